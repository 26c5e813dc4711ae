"""Draws lesions with the generator: the settings of a run, and its model for `RunInference`.

Beam's own handlers for TensorFlow want Keras models or weights, and refuse SavedModels. This is the
one module of the pipelines that loads TensorFlow, in the worker that runs the generator. What the
generator is given for an image depends on that image alone: its lesions have the same bits whatever
other images a worker has, and in whatever order.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from apache_beam.ml.inference.base import ModelHandler

from beam_pipelines.insertion.draws import Answer, Request, draw_lesions
from beam_pipelines.insertion.real_lesions import LEAST_LESIONS, RealLesions
from cgan_tf.config import InsertionConfig
from cgan_tf.data.keyed import digest
from cgan_tf.gan.card import GeneratorCard, task_of
from cgan_tf.labels import scaled_length
from cgan_tf.runs.console import quiet_tensorflow
from cgan_tf.runs.errors import UserError, reading
from cgan_tf.runs.flags import check_ranges, config_to_dict
from cgan_tf.runs.machine import Threads, set_threads
from cgan_tf.synthesis.postprocess import Extraction, limited_extraction


def extraction_for(config: InsertionConfig, card: GeneratorCard) -> Extraction:
    """The post-processing of a run."""
    return limited_extraction(config, card.size, removal=task_of(config, card) == "removal")


class LesionModelHandler(ModelHandler[Request, Answer, Any]):
    """Gives every place of an image its lesion.

    A batch of Beam's is a number of images, and each of them is a batch of its own for the
    generator: bits depend on the shape of a batch, and Beam's depend on the clock.
    """

    def __init__(self, config: InsertionConfig, card: GeneratorCard, threads: Threads):
        # One image at a time: there is nothing to gain from more, and images take memory.
        super().__init__(max_batch_size=1)
        self.config, self.card, self.threads = config, card, threads
        self.task = task_of(config, card)

    def load_model(self) -> Any:
        """The generator's `with_noise` signature, its files compared with their checksum first."""
        quiet_tensorflow()
        set_threads(self.threads)
        from cgan_tf.gan.export import load_generator

        function, _ = load_generator(self.config.generator)
        return function

    def run_inference(
        self, batch: Sequence[Request], model: Any, inference_args: dict[str, Any] | None = None
    ) -> Iterable[Answer]:
        """One answer a request."""
        from cgan_tf.gan.export import generate

        def channels(patches: np.ndarray, z: np.ndarray) -> np.ndarray:
            return generate(model, self.card, self.task, patches, z)

        extraction = extraction_for(self.config, self.card)
        return [draw_lesions(channels, request, extraction) for request in batch]

    def get_num_bytes(self, batch: Sequence[Request]) -> int:
        """For Beam's metrics."""
        return sum(request.patches.nbytes for request in batch)

    def get_metrics_namespace(self) -> str:
        """For Beam's metrics."""
        return "insert_lesions"


# Flags that decide neither the pixels of an image nor its header.
_OTHER_FLAGS = frozenset(
    {"generator", "input_dir", "output_dir", "images", "previews", "beam", "normals_from_cases",
     "normal_follow_up", "allow_synthetic", "admit_special", "source", "structured_reports"}
)  # fmt: skip
# Flags that came later: where they are what was done before, UIDs are those from before.
_LATER_FLAGS = {
    name: getattr(InsertionConfig(), name)
    for name in (
        *("objects", "near", "max_area_fraction"),
        *("size_quantiles", "contrast_quantiles", "both_views"),
    )
}
RANDOM, ROW, LIKE_REAL = "random", "row", "like_real"  # values of --places; any other is a file


@dataclasses.dataclass(frozen=True)
class Setup:
    """Flags and card, resolved.

    Attributes:
      card: of the generator.
      border: pixels at the edge of a patch where the generator changes nothing.
      reduction, spacing_mm: arguments of `dicom.reduce` that make what the generator is shown.
      fingerprint: stands for all that decides the pixels of an image besides its source.
      size_quantiles, contrast_quantiles: (low, high) of the real lesions, or None: any.
      real: the real lesions, where places, sizes or contrasts are to be like theirs.
    """

    config: InsertionConfig
    card: GeneratorCard
    task: str
    border: int
    reduction: int
    spacing_mm: float
    fingerprint: str
    size_quantiles: tuple[float, float] | None = None
    contrast_quantiles: tuple[float, float] | None = None
    real: RealLesions | None = None

    @property
    def size(self) -> int:
        """Of the generator's patches."""
        return self.card.size

    @property
    def removal(self) -> bool:
        """Whether lesions are removed."""
        return self.task == "removal"

    @property
    def listed(self) -> bool:
        """Whether places are those of a file."""
        return self.config.places not in (RANDOM, ROW, LIKE_REAL)

    @property
    def needs_real(self) -> bool:
        """Whether the real lesions have to be looked at."""
        quantiles = self.size_quantiles or self.contrast_quantiles
        return self.config.places == LIKE_REAL or bool(quantiles)

    def with_real(self, real: RealLesions) -> "Setup":
        """The setup with real lesions; `UserError` where they are too few."""
        usable = len(real.contrasts()) if self.contrast_quantiles else len(real.lesions)
        if usable < LEAST_LESIONS:
            reasons = ", ".join(f"{reason} {count}" for reason, count in real.left_out.items())
            raise UserError(
                f"{self.config.input_dir}: expected {LEAST_LESIONS} malignant lesions or more of "
                f"type {self.task}, that others can be like, found {usable}"
                + (f"; left out: {reasons}" if reasons else "")
            )
        fingerprint = digest(self.fingerprint, real.digest()).hex()
        return dataclasses.replace(self, real=real, fingerprint=fingerprint)


def setup_of(config: InsertionConfig, card: GeneratorCard) -> Setup:
    """Checks the flags and resolves those that follow others; `UserError` otherwise."""
    task = task_of(config, card)
    check_ranges(config)
    if not config.min_tissue:
        raise UserError("--min_tissue: expected more than 0 and 1 or less, found 0")
    if task == "removal" and config.source == "folder":
        raise UserError(
            "--source=folder names no lesions that could be removed; removal needs annotated "
            "images (--source=optimam)"
        )
    config = _with_places(config, removal=task == "removal")
    reduction, spacing = _resolution(config, card)
    border = card.flags.get("border", 0)
    flags = {
        k: v
        for k, v in config_to_dict(config).items()
        if k not in _OTHER_FLAGS and not (k in _LATER_FLAGS and v in (_LATER_FLAGS[k], []))
    }
    if config.places not in (RANDOM, ROW, LIKE_REAL):
        with reading(config.places):
            flags["places"] = digest(Path(config.places).read_bytes()).hex()
    decides = json.dumps([card.checksum, task, reduction, spacing, flags], sort_keys=True)
    return Setup(
        config=config,
        card=card,
        task=task,
        border=scaled_length(border, card.size),
        reduction=reduction,
        spacing_mm=spacing,
        fingerprint=digest(decides).hex(),
        size_quantiles=_quantiles(config, "size_quantiles"),
        contrast_quantiles=_quantiles(config, "contrast_quantiles"),
    )


def _with_places(config: InsertionConfig, removal: bool) -> InsertionConfig:
    """The config with --exclude_pectoral decided; `UserError` for flags that do not go together."""
    places = config.places
    chosen = places not in (RANDOM, ROW)
    if chosen and places != LIKE_REAL and not os.path.isfile(places):
        raise UserError(
            f"--places={places}: expected random, row, like_real or a CSV file, found neither"
        )
    if removal:
        asked = {"places": chosen, "both_views": config.both_views} | {
            name: bool(getattr(config, name)) for name in ("size_quantiles", "contrast_quantiles")
        }
        if name := next((name for name, given in asked.items() if given), ""):
            raise UserError(f"--{name}: is for inserting; what is removed has its place and size")
    if config.both_views and places == ROW:
        raise UserError("--both_views: expected --places=random, like_real or a file, found row")
    if config.source == "folder" and (
        places == LIKE_REAL or config.size_quantiles or config.contrast_quantiles
    ):
        raise UserError(
            "--source=folder names no real lesions that others could be like; expected a data set "
            "with marks (--source=optimam), or --places=random or a file"
        )
    exclude = config.exclude_pectoral if config.exclude_pectoral is not None else chosen
    return dataclasses.replace(config, exclude_pectoral=exclude)


def _quantiles(config: InsertionConfig, name: str) -> tuple[float, float] | None:
    """(low, high) of a flag, None where it is not given."""
    texts = getattr(config, name)
    if not texts:
        return None
    try:
        low, high = map(float, texts)
    except ValueError:
        low, high = 1.0, 0.0
    if not 0 <= low < high <= 1:
        raise UserError(
            f"--{name}: expected two numbers from 0 to 1, the lower one first (0,0.5), found "
            f"{','.join(texts)}"
        )
    return low, high


def _resolution(config: InsertionConfig, card: GeneratorCard) -> tuple[int, float]:
    """(reduction, spacing in mm): those of the flags, else those of the generator's patches."""
    trained = card.resolution
    if config.reduction == 0 and config.resample_spacing_mm < 0 and not trained:
        raise UserError(
            f"{config.generator}: does not say at which resolution its training patches were; "
            "give --resample_spacing_mm (0: native) and --reduction"
        )
    spacing = config.resample_spacing_mm
    if spacing < 0:
        spacing = trained.get("resample_spacing_mm", 0.0)
    return config.reduction or int(trained.get("reduction", 1)), spacing
