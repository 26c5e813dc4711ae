"""Draws lesions with the generator: the settings of a run, and its model for `RunInference`.

Beam's own handlers for TensorFlow want Keras models or weights, and refuse SavedModels. This is the
one module of the pipelines that loads TensorFlow, in the worker that runs the generator. What the
generator is given for an image depends on that image alone: its lesions have the same bits whatever
other images a worker has, and in whatever order.
"""

import collections
import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from apache_beam.ml.inference.base import ModelHandler

from beam_pipelines.sources.base import Box
from cgan_tf.config import InsertionConfig
from cgan_tf.data.keyed import digest
from cgan_tf.gan.card import GeneratorCard, task_of
from cgan_tf.labels import scaled_length
from cgan_tf.runs.console import quiet_tensorflow
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import check_ranges, config_to_dict
from cgan_tf.runs.machine import Threads, set_threads
from cgan_tf.synthesis.postprocess import Extraction, Lesion, extract_lesion, limited_extraction

ELSEWHERE = "elsewhere"  # the largest object is not at the lesion that is to be removed
SATURATED = "saturated"  # most of it is lost at the end of the grey scale
OUTSIDE = "outside"  # it glows beyond the skin
_SHOWN = 0.5  # of a lesion's sum at least
_OUTSIDE = 0.05  # of a lesion's sum at most

Generate = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Request:
    """The places of one image.

    Attributes:
      patches: float32 [n, size, size]. scalars: float32 [n, draws, z_width].
      tissue: bool [n, size, size], where the breast is.
      boxes: [n], what a lesion must touch, wherever it is; None: it must lie in tissue.
    """

    patches: np.ndarray
    scalars: np.ndarray
    tissue: np.ndarray
    boxes: tuple[Box | None, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """What was drawn for a request.

    Attributes:
      lesions: [n], None where nothing was accepted. draws: [n], the number of draws made.
      rejected: how many draws were rejected, by reason.
    """

    lesions: tuple[Lesion | None, ...]
    draws: tuple[int, ...]
    rejected: dict[str, int]


def draw_lesions(generate: Generate, request: Request, extraction: Extraction) -> Answer:
    """The first accepted lesion of each place.

    Args:
      generate: patches [n, size, size] and scalars [n, z_width] to lesion channels.
      extraction: the settings of `extract_lesion`.
    """
    lesions: list[Lesion | None] = [None] * len(request.patches)
    draws = [0] * len(lesions)
    rejected: collections.Counter[str] = collections.Counter()
    for draw in range(request.scalars.shape[1]):
        places = [place for place, lesion in enumerate(lesions) if lesion is None]
        if not places:
            break
        channels = generate(request.patches[places], request.scalars[places, draw])
        for place, channel in zip(places, channels, strict=True):
            draws[place] = draw + 1
            lesion = extract_lesion(channel, extraction, request.boxes[place] or ())
            fault = lesion.rejected or _fault(lesion, request, place)
            if fault:
                rejected[fault] += 1
            else:
                lesions[place] = lesion
    return Answer(tuple(lesions), tuple(draws), dict(sorted(rejected.items())))


def _fault(lesion: Lesion, request: Request, place: int) -> str:
    """Why a lesion that passed the paper's rules is unusable in a whole image; or empty."""
    assert lesion.lesion is not None
    assert lesion.box is not None
    patch, box = request.patches[place], request.boxes[place]
    change = np.abs(lesion.lesion)
    shown = np.clip(patch + lesion.lesion, -1.0, 1.0) - patch
    if np.abs(shown).sum() < _SHOWN * change.sum():
        return SATURATED
    if box is None:
        beyond = change[~request.tissue[place]].sum()
        return OUTSIDE if beyond > _OUTSIDE * change.sum() else ""
    x0, y0, x1, y1 = lesion.box
    touches = x0 < box[2] and box[0] < x1 and y0 < box[3] and box[1] < y1
    return "" if touches else ELSEWHERE


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
    name: getattr(InsertionConfig(), name) for name in ("objects", "near", "max_area_fraction")
}


@dataclasses.dataclass(frozen=True)
class Setup:
    """Flags and card, resolved.

    Attributes:
      card: of the generator.
      border: pixels at the edge of a patch where the generator changes nothing.
      reduction, spacing_mm: arguments of `dicom.reduce` that make what the generator is shown.
      fingerprint: stands for all that decides the pixels of an image besides its source.
    """

    config: InsertionConfig
    card: GeneratorCard
    task: str
    border: int
    reduction: int
    spacing_mm: float
    fingerprint: str

    @property
    def size(self) -> int:
        """Of the generator's patches."""
        return self.card.size

    @property
    def removal(self) -> bool:
        """Whether lesions are removed."""
        return self.task == "removal"


def setup_of(config: InsertionConfig, card: GeneratorCard) -> Setup:
    """Checks the flags and resolves those that follow the generator; `UserError` otherwise."""
    task = task_of(config, card)
    check_ranges(config)
    if not config.min_tissue:
        raise UserError("--min_tissue: expected more than 0 and 1 or less, found 0")
    if task == "removal" and config.source == "folder":
        raise UserError(
            "--source=folder names no lesions that could be removed; removal needs annotated "
            "images (--source=optimam)"
        )
    reduction, spacing = _resolution(config, card)
    border = card.flags.get("border", 0)
    flags = {
        k: v
        for k, v in config_to_dict(config).items()
        if k not in _OTHER_FLAGS and not (k in _LATER_FLAGS and v == _LATER_FLAGS[k])
    }
    decides = json.dumps([card.checksum, task, reduction, spacing, flags], sort_keys=True)
    return Setup(
        config=config,
        card=card,
        task=task,
        border=scaled_length(border, card.size),
        reduction=reduction,
        spacing_mm=spacing,
        fingerprint=digest(decides).hex(),
    )


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
