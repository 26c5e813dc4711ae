"""What the package offers in Python: mammogram DICOM files in, arrays and DICOM files out.

`import beam_pipelines` gives every name here. A generator comes from `cgan_tf.load_generator`; this
package needs no TensorFlow of its own. docs/python.md shows all of it at work.

Grey levels are float32 [H, W] in [-1, 1], background dark, whatever the window and polarity of the
file. Whole collections are the work of `python -m beam_pipelines.insert_lesions`, which also writes
boxes, masks, a ledger and pages.
"""

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from pydicom.errors import InvalidDicomError

from beam_pipelines.dicom import reading
from beam_pipelines.dicom.header import Header
from beam_pipelines.dicom.reading import Mammogram
from beam_pipelines.insertion.draws import draw_lesions
from beam_pipelines.insertion.finish import Composed, compose
from beam_pipelines.insertion.generator import extraction_for, setup_of
from beam_pipelines.insertion.places import prepare
from beam_pipelines.rejections import Reason, Rejected
from beam_pipelines.scoring.classifier import setup_with
from beam_pipelines.scoring.images import score_image
from beam_pipelines.sources.base import Image
from beam_pipelines.sources.folder import Folder
from beam_pipelines.storage import files
from cgan_tf.config import InsertionConfig, PredictImagesConfig
from cgan_tf.detection.heat_maps import Grid, window_batches
from cgan_tf.detection.overlays import overlay, reduced
from cgan_tf.gan.card import GeneratorCard
from cgan_tf.runs import errors
from cgan_tf.runs.directory import Json, write_bytes
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import check_ranges

__all__ = [
    "Header",
    "Mammogram",
    "ScoredMammogram",
    "SyntheticMammogram",
    "UserError",
    "add_lesions",
    "read_mammogram",
    "score_mammogram",
]


def read_mammogram(
    path: str | os.PathLike[str], *, spacing_mm: float = 0.0, allow_synthetic: bool = False
) -> Mammogram:
    """Reads a mammogram in grey levels.

    Args:
      path: a DICOM file, compressed or not, local or `gs://`.
      spacing_mm: pixel spacing to resample to; 0 keeps the stored pixels.
      allow_synthetic: whether to read files that are marked as synthetic data (0008,001C).

    Returns:
      `grey` float32 [H, W] in [-1, 1], the `header`, and the pixel spacing in mm (0: unknown).

    Raises:
      UserError: for a file that is missing, damaged, or no two-dimensional mammogram for
        presentation; the line says which.
    """
    with _in_one_line(path):
        data = files.read_bytes(os.fspath(path))
        mammogram = reading.read_mammogram(data, strict=False, allow_synthetic=allow_synthetic)
        mammogram = reading.reduce(mammogram, 1, spacing_mm)
        return dataclasses.replace(mammogram, grey=mammogram.grey[:])


class Generator(Protocol):
    """What `add_lesions` asks of a generator, such as `cgan_tf.LesionGenerator`.

    Attributes:
      card: what model.json says of it.
      task: "mass" or "calcification".
      directory: for messages.
    """

    card: GeneratorCard
    task: str
    directory: str

    def lesion_channels(self, images: np.ndarray, z: np.ndarray) -> np.ndarray:
        """float32 [n, size, size] of patches [n, size, size] and scalars [n, z_width]."""


@dataclasses.dataclass(frozen=True, eq=False)
class SyntheticMammogram:
    """A mammogram with synthetic lesions, before it is written.

    Attributes:
      before, after: float32 [H, W] in [-1, 1], the image as it was and with the lesions.
      mask: uint8 [H, W]: 0, or the number of the lesion from 1.
      boxes: int64 [n, 4], (x0, y0, x1, y1) of each lesion in stored pixels, x1 and y1 exclusive.
      dicom: the bytes of the derived DICOM file. Its header names the source and the generator, and
        says that the data are synthetic and for research. The patient is blanked unless kept.
    """

    before: np.ndarray
    after: np.ndarray
    mask: np.ndarray
    boxes: np.ndarray
    dicom: bytes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the DICOM file, whole or not at all; `UserError` where the disk refuses."""
        write_bytes(os.fspath(path), self.dicom)


def add_lesions(
    path: str | os.PathLike[str],
    generator: Generator,
    *,
    lesions: int = 1,
    seed: int = 0,
    min_area_fraction: float = 0.1,
    max_area_fraction: float = 1.0,
    min_tissue: float = 0.9,
    draws: int = 20,
    resample_spacing_mm: float = -1.0,
    keep_patient: bool = False,
) -> SyntheticMammogram:
    """Inserts lesions into a mammogram at random places in the breast.

    It does what `python -m beam_pipelines.insert_lesions --source=folder` does for one file, places
    and lesions included, given the same seed.

    Args:
      path: a mammogram DICOM file.
      generator: from `cgan_tf.load_generator`, of masses or calcifications. Lesions are removed by
        `insert_lesions`, which knows where a data set has marked them.
      lesions: at most so many; patches that get one do not overlap.
      seed: other seeds give other places and lesions.
      min_area_fraction: smallest share of the generator's patch that a lesion may cover, 0 to 1.
      max_area_fraction: largest.
      min_tissue: share of breast in a patch that gets a lesion, above 0, to 1.
      draws: how often the generator may try at a place.
      resample_spacing_mm: pixel spacing that the generator is shown, -1 for that of its training,
        0 for the file's own.
      keep_patient: whether the derived file keeps the patient's attributes and the study.

    Raises:
      UserError: for a file that is no usable mammogram, one without room for a lesion, and where no
        lesion was accepted in all the draws.
      ValueError: for a generator that removes lesions, and settings out of their range.
    """
    config = InsertionConfig(
        generator=generator.directory, task=_task_for(generator), source="folder",
        input_dir=str(Path(path).parent), lesions_per_image=lesions, seed=seed,
        min_area_fraction=min_area_fraction, max_area_fraction=max_area_fraction,
        min_tissue=min_tissue, draws=draws,
        resample_spacing_mm=resample_spacing_mm, keep_patient=keep_patient,
    )  # fmt: skip
    _check(config)
    with _in_one_line(path):
        setup = setup_of(config, generator.card)
        prepared, request = prepare(_image(path), setup, [])
        extraction = extraction_for(config, generator.card)
        answer = draw_lesions(generator.lesion_channels, request, extraction)
        return _result(compose(prepared, answer, setup, []))


def _task_for(generator: Generator) -> str:
    """--task: of a conditional generator the one that it was loaded for, else none."""
    if generator.task == "removal":
        raise ValueError(
            "generator: expected one that adds lesions, found one of removal; python -m "
            "beam_pipelines.insert_lesions removes lesions that a data set has marked"
        )
    return generator.task if generator.card.conditional else ""


class Classifier(Protocol):
    """What `score_mammogram` asks of a classifier, such as `cgan_tf.Classifier`.

    Attributes:
      manifest: what its training recorded.
    """

    manifest: Json

    def decision_function(self, images: np.ndarray) -> np.ndarray:
        """Logits float32 [n] of patches [n, size, size] in [-1, 1]."""


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredMammogram:
    """What a patch classifier sees in a mammogram.

    Attributes:
      score: the highest probability of a malignant lesion in a window, 0 to 1.
      boxes: float64 [n, 4], (x0, y0, x1, y1) of the candidates in stored pixels, from the highest
        score down. scores: float64 [n], theirs, 0 to 1.
      logits: float32 [R, C], the heat map; NaN where no window was scored.
      x, y: float64 [C] and [R], the centres of the windows in stored pixels.
      picture: uint8 [h, w, 3], red, green, blue: the mammogram with heat map and candidates.
    """

    score: float
    boxes: np.ndarray
    scores: np.ndarray
    logits: np.ndarray
    x: np.ndarray
    y: np.ndarray
    picture: np.ndarray


def score_mammogram(
    path: str | os.PathLike[str],
    classifier: Classifier,
    *,
    stride: int = 64,
    min_tissue: float = 0.9,
    candidates: int = 20,
    resample_spacing_mm: float = -1.0,
    reduction: int = 0,
) -> ScoredMammogram:
    """Scores a mammogram window by window with a patch classifier.

    It does what `python -m beam_pipelines.predict_images --source=folder` does for one file.

    Args:
      path: a mammogram DICOM file.
      classifier: from `cgan_tf.load_classifier`.
      stride: pixels from a window to the next, for windows of 256 px; scales with their size.
      min_tissue: share of breast in a window that is scored, 0 to 1.
      candidates: at most so many.
      resample_spacing_mm: pixel spacing that the classifier is shown, -1 for that of its training
        patches, 0 for the file's own.
      reduction: side in pixels of the blocks whose averages it is shown; 0 as in training.

    Raises:
      UserError: for a file that is no usable mammogram, and a classifier that does not say at which
        resolution it was trained.
      ValueError: for settings out of their range.
    """
    config = PredictImagesConfig(
        source="folder", input_dir=str(Path(path).parent), stride=stride, min_tissue=min_tissue,
        candidates=candidates, resample_spacing_mm=resample_spacing_mm, reduction=reduction,
    )  # fmt: skip
    _check(config)
    setup = setup_with(config, classifier.manifest)

    def score(grey: np.ndarray, grid: Grid, chosen: np.ndarray) -> np.ndarray:
        batches = window_batches(grey, grid.corners(chosen), grid.size, config.batch_size)
        return np.concatenate([classifier.decision_function(batch[..., 0]) for batch in batches])

    with _in_one_line(path):
        found = score_image(_image(path), setup, score, [])
    prediction, heat = found.prediction, found.heat
    over = overlay(reduced(found.mammogram.grey[:]), prediction, heat)
    return ScoredMammogram(
        score=heat.score,
        boxes=np.array([each.box for each in prediction.candidates], np.float64).reshape(-1, 4),
        scores=np.array([each.score for each in prediction.candidates], np.float64),
        logits=heat.logits,
        x=heat.x,
        y=heat.y,
        picture=np.ascontiguousarray(over[..., ::-1]),
    )


def _check(config: InsertionConfig | PredictImagesConfig) -> None:
    try:
        check_ranges(config)
    except UserError as error:  # it names a flag
        raise ValueError(str(error).removeprefix("--")) from error


def _image(path: str | os.PathLike[str]) -> Image:
    name = os.fspath(path)
    found = Folder(str(Path(name).parent), (name,)).read_unit(name)
    if not found.images:
        raise Rejected(found.rejections[0].reason, found.rejections[0].detail)
    return found.images[0]


def _result(composed: Composed) -> SyntheticMammogram:
    before, after = composed.grey_levels()
    boxes = [lesion.box for lesion in composed.made.lesions]
    (content,) = composed.contents.values()  # a folder's images have no side-car
    return SyntheticMammogram(before, after, composed.mask, np.array(boxes, np.int64), content)


@contextmanager
def _in_one_line(path: str | os.PathLike[str]) -> Iterator[None]:
    """What makes a file unfit is a `UserError` that names it."""
    try:
        with errors.reading(os.fspath(path)):
            yield
    except Rejected as fault:
        raise UserError(
            f"{os.fspath(path)}: expected a mammogram that can be used, found {_found(fault)}"
        ) from fault


def _found(fault: Rejected) -> str:
    if isinstance(fault.__cause__, InvalidDicomError):
        return Reason.NOT_DICOM.value
    return fault.reason.value + (f" ({fault.detail})" if fault.detail else "")
