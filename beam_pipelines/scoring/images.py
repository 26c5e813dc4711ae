"""One image scored: read, shown to the classifier, and its files written.

What becomes of an image is kept as a file, written after its other files, so that an interrupted
run finds what was done, and a finished one writes its tables without holding all images.
"""

import dataclasses
import json
import os

import numpy as np

from beam_pipelines.dicom import reading
from beam_pipelines.dicom.grey_levels import GreyLevels
from beam_pipelines.dicom.reading import Mammogram
from beam_pipelines.patches.breast_mask import breast_mask, film_bounds
from beam_pipelines.patches.cutting import mammogram_of, read_file, reject_whole
from beam_pipelines.patches.windows import integral_of, tissue_fraction
from beam_pipelines.rejections import Reason, Rejected, Rejection, rejection_from
from beam_pipelines.scoring.classifier import Scorer, Setup, scorer_of
from beam_pipelines.sources.base import UNKNOWN, Image, split_of
from beam_pipelines.sources.index import image_from
from beam_pipelines.sources.outlines import lesions_inside
from beam_pipelines.storage import files
from cgan_tf.data.keyed import digest
from cgan_tf.detection.heat_maps import (
    HEAT_MAPS,
    Grid,
    HeatMap,
    candidates_of,
    dense_grid,
    file_stem,
    grid_of,
    heat_map_bytes,
    heat_map_of,
)
from cgan_tf.detection.overlays import MAMMOGRAMS, OVERLAYS, overlay, png_bytes, reduced
from cgan_tf.detection.predictions import (
    Candidate,
    ImagePrediction,
    KnownLesion,
    ScoredImage,
)
from cgan_tf.detection.scores import calibrated_image_score
from cgan_tf.labels import MALIGNANT_CLASSES
from cgan_tf.runs.directory import Json
from cgan_tf.runs.machine import Threads

DIRECTORY = ".work"


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of an image.

    Attributes:
      name: of the file that keeps it. prediction: None where none was made.
      rejections: of the image, or of marks on it. windows: that were scored.
    """

    name: str
    prediction: ImagePrediction | None
    rejections: tuple[Rejection, ...]
    windows: int = 0


def result_from(values: Json) -> Result:
    """The inverse of `dataclasses.asdict` after JSON."""
    found = values["prediction"]
    prediction = found and ImagePrediction(
        ScoredImage(**found["image"]),
        tuple(Candidate(**candidate) for candidate in found["candidates"]),
        tuple(KnownLesion(**lesion) for lesion in found["lesions"]),
    )
    rejections = tuple(map(rejection_from, values["rejections"]))
    return Result(values["name"], prediction, rejections, values["windows"])


def work_item(image: Image, shown: bool) -> Json:
    """What `ScoreImages` is given for an image, ready for JSON; `shown`: with pictures of it."""
    name = f"{digest('scoring', image.sop_uid).hex()}.json"
    return {"name": name, "image": dataclasses.asdict(image), "shown": shown}


@dataclasses.dataclass(frozen=True)
class ScoreImages:
    """Scores the image of an item, unless an earlier run has; a function for Beam's workers."""

    setup: Setup
    threads: Threads

    def __call__(self, item: Json) -> Json:
        """Returns the result, ready for JSON."""
        path = result_path(self.setup.config.output_dir, item["name"])
        if files.exists(path):
            return json.loads(files.read_bytes(path))
        image, rejections = image_from(item["image"]), list[Rejection]()
        try:
            scored = score_image(image, self.setup, scorer_of(self.setup, self.threads), rejections)
        except Rejected as fault:
            result = Result(item["name"], None, reject_whole(image, fault, rejections))
        else:
            _write_files(scored, self.setup, item["shown"])
            result = Result(item["name"], scored.prediction, tuple(rejections), scored.windows)
        content = dataclasses.asdict(result)
        files.write_atomically(path, json.dumps(content).encode())
        return content


def result_path(output_dir: str, name: str) -> str:
    """Where the result of an image is kept."""
    return os.path.join(output_dir, DIRECTORY, "images", name)


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredMammogram:
    """An image with its heat map, before anything is written.

    Attributes:
      mammogram: as it is stored, in grey levels. windows: that were scored.
    """

    prediction: ImagePrediction
    heat: HeatMap
    mammogram: Mammogram
    windows: int


def score_image(
    image: Image, setup: Setup, score: Scorer, rejections: list[Rejection]
) -> ScoredMammogram:
    """Reads and scores an image; `Rejected` where that cannot be.

    Marks that do not lie on the image are added to `rejections`.
    """
    config = setup.config
    data = read_file(image)
    mammogram = mammogram_of(image, data, config.allow_synthetic, config.admit_special)
    lesions = _lesions(image, mammogram, rejections)
    heat, windows = _heat_map(mammogram, setup, score)
    scored = _scored(image, mammogram, heat, setup)
    candidates = candidates_of(
        heat, scored, setup.separation, setup.candidate_side, config.candidates
    )
    return ScoredMammogram(ImagePrediction(scored, candidates, lesions), heat, mammogram, windows)


def _heat_map(mammogram: Mammogram, setup: Setup, score: Scorer) -> tuple[HeatMap, int]:
    """(the map, how many windows were scored)."""
    shown = reading.reduce(mammogram, setup.reduction, setup.spacing_mm)
    shown = reading.crop(shown, film_bounds(shown.grey).place)
    if min(shown.grey.shape) < setup.size:
        raise Rejected(Reason.IMAGE_TOO_SMALL, "{}x{}".format(*shown.grey.shape))
    layout = dense_grid if setup.config.dense else grid_of
    grid = layout(shown.grey.shape, setup.size, setup.stride)
    chosen = windows_with_tissue(shown.grey, grid, setup.config.min_tissue)
    if not chosen.any():
        raise Rejected(Reason.NO_VALID_WINDOW, f"{setup.size} px")
    grey = np.ascontiguousarray(shown.grey[:], np.float32)
    logits = score(grey, grid, chosen)
    return heat_map_of(logits, chosen, grid, shown.origin, shown.scale), int(chosen.sum())


def windows_with_tissue(grey: np.ndarray | GreyLevels, grid: Grid, min_tissue: float) -> np.ndarray:
    """bool [R, C]: whether a window of an image [H, W] has this share of the breast in it."""
    integral = integral_of(breast_mask(grey), grey.shape)
    lefts, tops = (edges.ravel() for edges in np.meshgrid(grid.lefts, grid.tops))
    share = tissue_fraction(integral, lefts, tops, grid.size)
    return (share >= min_tissue - 1e-9).reshape(grid.shape)


def _lesions(
    image: Image, mammogram: Mammogram, rejections: list[Rejection]
) -> tuple[KnownLesion, ...]:
    """The marks on the stored image."""
    spacing = mammogram.spacing_mm
    found = []
    for mark in (lesion.mark for lesion in lesions_inside(image, mammogram, rejections)):
        x0, y0, x1, y1 = (round(float(edge), 2) for edge in mark.box)
        found.append(
            KnownLesion(
                sop_uid=image.sop_uid,
                client_id=image.client_id,
                laterality=image.laterality,
                view=image.view,
                mark_id=mark.mark_id,
                patch_class=mark.patch_class,
                x0=x0,
                y0=y0,
                x1=x1,
                y1=y1,
                size_mm=round(max(x1 - x0, y1 - y0) * spacing, 3),
            )
        )
    return tuple(found)


def _scored(image: Image, mammogram: Mammogram, heat: HeatMap, setup: Setup) -> ScoredImage:
    height, width = mammogram.grey.shape
    patients = setup.patients
    return ScoredImage(
        sop_uid=image.sop_uid,
        client_id=image.client_id,
        study_uid=image.study_uid,
        laterality=image.laterality,
        view=image.view,
        split=split_of(image.client_id, patients, image.splits) if patients else "",
        malignant=_truth(image),
        width=width,
        height=height,
        spacing_mm=float(mammogram.spacing_mm),
        score=heat.score,
        calibrated_score=calibrated_image_score(heat.score, setup.calibration),
        source_file=os.path.basename(image.path),
    )


def _truth(image: Image) -> int | None:
    if image.use == UNKNOWN:
        return None
    return int(any(mark.patch_class in MALIGNANT_CLASSES for mark in image.marks))


def _write_files(scored: ScoredMammogram, setup: Setup, shown: bool) -> None:
    """The heat map, and the pictures where they are wanted."""
    root, stem = setup.config.output_dir, file_stem(scored.prediction.image.sop_uid)
    if setup.config.heat_maps:
        path = os.path.join(root, HEAT_MAPS, f"{stem}.npz")
        files.write_atomically(path, heat_map_bytes(scored.heat))
    if shown:
        picture = reduced(scored.mammogram.grey[:])
        over = overlay(picture, scored.prediction, scored.heat)
        for folder, content in ((MAMMOGRAMS, picture), (OVERLAYS, over)):
            files.write_atomically(os.path.join(root, folder, f"{stem}.png"), png_bytes(content))
