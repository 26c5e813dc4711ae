"""What is predicted of whole mammograms: a directory of tables, its writer and its reader.

Every program that scores mammograms writes such a directory, whether a patch classifier or a
detector is behind it:

    images.csv       a row an image that was scored, in the order of `sop_uid`
    candidates.csv   a row a candidate: a box that may be a malignant lesion, and its score
    lesions.csv      a row a lesion that the source marks; empty where nothing is marked
    breasts.csv      scores of a breast at a study, over its images
    patients.csv     scores of a patient, over all of her images
    coco_truth.json, coco_results.json   the same boxes in the formats of cocodataset.org

Boxes are (x0, y0, x1, y1) in pixels of the stored image, x1 and y1 exclusive, as in boxes.csv of
insert_lesions. Scores are probabilities of a malignant lesion as the model gives them, 0 to 1; how
breasts and patients get theirs is in `detection.scores`.
"""

import contextlib
import csv
import dataclasses
import json
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO, TypeVar

from cgan_tf.config import ClassifierConfig
from cgan_tf.labels import MALIGNANT_CLASSES, arm_of, arm_title
from cgan_tf.runs.directory import Json, read_manifest
from cgan_tf.runs.errors import UserError, reading, writing
from cgan_tf.runs.flags import renamed

PROGRAMS = ("predict_images", "train_detector")  # those that write such directories
IMAGES, CANDIDATES, LESIONS = "images.csv", "candidates.csv", "lesions.csv"
BREASTS, PATIENTS = "breasts.csv", "patients.csv"
COCO_TRUTH, COCO_RESULTS = "coco_truth.json", "coco_results.json"

# Candidates are of the first category: COCO's evaluation then takes benign lesions for no truth.
COCO_CATEGORIES = ("malignant", "benign")

Row = TypeVar("Row")


@dataclasses.dataclass(frozen=True)
class ScoredImage:
    """An image that was scored: a row of images.csv.

    Attributes:
      laterality, view: empty where unknown.
      split: of its patient; empty where no patch set says.
      malignant: 1 with a malignant lesion, 0 without, None where nobody knows.
      width, height: of the stored image in pixels. spacing_mm: of a pixel; 0 where unknown.
      score: the highest of the image. calibrated_score: None without a calibration.
      source_file: name of its file, as the user gave it.
    """

    sop_uid: str
    client_id: str
    study_uid: str
    laterality: str
    view: str
    split: str
    malignant: int | None
    width: int
    height: int
    spacing_mm: float
    score: float
    calibrated_score: float | None
    source_file: str


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A box that may be a malignant lesion: a row of candidates.csv."""

    sop_uid: str
    client_id: str
    laterality: str
    view: str
    x0: float
    y0: float
    x1: float
    y1: float
    score: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1)."""
        return self.x0, self.y0, self.x1, self.y1

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y)."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2


@dataclasses.dataclass(frozen=True)
class KnownLesion:
    """A lesion that the source marks: a row of lesions.csv.

    Attributes:
      mark_id: unique within its image. patch_class: one of `labels.LESION_CLASSES`.
      size_mm: the longer side of the box; 0 where the spacing is unknown.
    """

    sop_uid: str
    client_id: str
    laterality: str
    view: str
    mark_id: str
    patch_class: str
    x0: float
    y0: float
    x1: float
    y1: float
    size_mm: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1)."""
        return self.x0, self.y0, self.x1, self.y1

    @property
    def malignant(self) -> bool:
        """Whether it is one of those that a classifier should find."""
        return self.patch_class in MALIGNANT_CLASSES

    @property
    def lesion_type(self) -> str:
        """mass or calcification."""
        return self.patch_class.rpartition("_")[2]


@dataclasses.dataclass(frozen=True)
class ScoredBreast:
    """A breast at one study: a row of breasts.csv; `malignant` and scores as of an image."""

    client_id: str
    study_uid: str
    laterality: str
    images: int
    malignant: int | None
    score: float
    calibrated_score: float | None


@dataclasses.dataclass(frozen=True)
class ScoredPatient:
    """A patient: a row of patients.csv; `malignant` and scores as of an image."""

    client_id: str
    images: int
    malignant: int | None
    score: float
    calibrated_score: float | None


@dataclasses.dataclass(frozen=True)
class ImagePrediction:
    """All that is predicted and known of one image; candidates from the highest score down."""

    image: ScoredImage
    candidates: tuple[Candidate, ...]
    lesions: tuple[KnownLesion, ...]


@dataclasses.dataclass(frozen=True)
class Predictions:
    """A directory of predictions as it is read.

    Attributes:
      directory: it. manifest: its content.
      images, breasts, patients: in the order of their names.
      candidates: by image, from the highest score down. lesions: by image.
    """

    directory: Path
    manifest: Json
    images: tuple[ScoredImage, ...]
    candidates: tuple[Candidate, ...]
    lesions: tuple[KnownLesion, ...]
    breasts: tuple[ScoredBreast, ...]
    patients: tuple[ScoredPatient, ...]


def trained_model(classifier: Json) -> Json:
    """What a manifest of predictions tells of its classifier, by the classifier's own manifest: the
    `name` that evaluate and the report give it, as in Table 1, and the `seed` of its training.

    A detector tells the same of itself in words of its own.
    """
    flags = renamed(ClassifierConfig, classifier["flags"])
    share = float(flags.get("synthetic_fraction", 0.0))
    arm = arm_of(flags.get("filling", "both"), share, flags.get("decay", "constant"))
    return {"name": arm_title(arm), "seed": int(flags.get("seed", 0))}


def read_predictions(directory: str | Path) -> Predictions:
    """The predictions of a finished run.

    Raises `UserError` when the run is unfinished or another program's, and naming the file and the
    line when a table is damaged or speaks of an image that images.csv lacks.
    """
    directory = Path(directory)
    manifest = read_manifest(directory, PROGRAMS)
    images = tuple(read_rows(directory / IMAGES, ScoredImage))
    known = {image.sop_uid for image in images}
    return Predictions(
        directory,
        manifest,
        images,
        tuple(_of_images(directory / CANDIDATES, Candidate, known)),
        tuple(_of_images(directory / LESIONS, KnownLesion, known)),
        tuple(read_rows(directory / BREASTS, ScoredBreast)),
        tuple(read_rows(directory / PATIENTS, ScoredPatient)),
    )


def _of_images(path: Path, kind: type[Row], known: set[str]) -> Iterator[Row]:
    """Rows that each speak of a known image."""
    for number, row in enumerate(read_rows(path, kind), 2):
        uid = row.sop_uid  # type: ignore[attr-defined]
        if uid not in known:
            raise UserError(f"{path}, line {number}: expected an image of {IMAGES}, found {uid!r}")
        yield row


def read_rows(path: Path, kind: type[Row]) -> Iterator[Row]:
    """The rows of a table as dataclasses of `kind`, one at a time.

    Raises `UserError` naming the file and the line for other columns and for values of another
    type. An empty cell is None where the field may be None.
    """
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    with reading(path), path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.reader(file)
        heading = next(rows, [])
        if heading != names:
            raise UserError(
                f"{path}: expected the columns {','.join(names)}, found {','.join(heading) or '-'}"
            )
        for number, cells in enumerate(rows, 2):
            if len(cells) != len(names):
                raise UserError(
                    f"{path}, line {number}: expected {len(names)} cells, found {len(cells)}"
                )
            values = {
                name: _value(hints[name], cell, f"{path}, line {number}: {name}")
                for name, cell in zip(names, cells, strict=True)
            }
            yield kind(**values)


def _value(kind: Any, cell: str, where: str) -> Any:
    if isinstance(kind, types.UnionType):  # only `... | None` is used
        return None if cell == "" else _value(typing.get_args(kind)[0], cell, where)
    try:
        return kind(cell)
    except ValueError as error:
        word = {int: "a whole number", float: "a number"}[kind]
        raise UserError(f"{where}: expected {word}, found {cell!r:.80}") from error


def write_rows(path: Path, kind: type, rows: Iterable[Any]) -> None:
    """Rows of one dataclass, `kind`, as CSV: a column a field; None is an empty cell."""
    with _table(path, kind) as add:
        for row in rows:
            add(row)


def write_predictions(directory: Path, predictions: Iterable[ImagePrediction]) -> None:
    """Writes the tables of images, candidates and lesions, and COCO's files.

    Each image is written as it comes, so that memory does not grow with what is found on them. They
    should come in the order of their `sop_uid`; COCO's numbers of images are rows of images.csv.
    """
    with (
        _table(directory / IMAGES, ScoredImage) as add_image,
        _table(directory / CANDIDATES, Candidate) as add_candidate,
        _table(directory / LESIONS, KnownLesion) as add_lesion,
    ):
        for prediction in predictions:
            add_image(prediction.image)
            for candidate in prediction.candidates:
                add_candidate(candidate)
            for lesion in prediction.lesions:
                add_lesion(lesion)
    _write_coco(directory)


@contextlib.contextmanager
def _table(path: Path, kind: type) -> Iterator[Callable[[Any], None]]:
    """What adds a row to a table, which is there once the block has ended."""
    with (
        writing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        names = [field.name for field in dataclasses.fields(kind)]
        writer.writerow(names)
        yield lambda row: writer.writerow([getattr(row, name) for name in names])


def _write_coco(directory: Path) -> None:
    """coco_truth.json and coco_results.json of the tables."""
    numbers: dict[str, int] = {}

    def images() -> Iterator[Json]:
        for number, image in enumerate(read_rows(directory / IMAGES, ScoredImage), 1):
            numbers[image.sop_uid] = number
            yield _coco_image(number, image)

    def annotations() -> Iterator[Json]:
        for number, lesion in enumerate(read_rows(directory / LESIONS, KnownLesion), 1):
            yield _coco_annotation(number, numbers[lesion.sop_uid], lesion)

    with writing(directory / COCO_TRUTH) as temporary, temporary.open("w") as file:
        categories = [{"id": n, "name": name} for n, name in enumerate(COCO_CATEGORIES, 1)]
        file.write(f'{{"categories": {json.dumps(categories)},\n"images": ')
        _write_list(file, images())
        file.write(',\n"annotations": ')
        _write_list(file, annotations())
        file.write("}\n")
    with writing(directory / COCO_RESULTS) as temporary, temporary.open("w") as file:
        candidates = read_rows(directory / CANDIDATES, Candidate)
        _write_list(file, (_coco_result(numbers[c.sop_uid], c) for c in candidates))
        file.write("\n")


def _write_list(file: TextIO, items: Iterable[Json]) -> None:
    """A JSON list, an item a line, of which one item at a time is in memory."""
    file.write("[")
    for number, item in enumerate(items):
        file.write(("," if number else "") + "\n" + json.dumps(item))
    file.write("]")


def _coco_image(number: int, image: ScoredImage) -> Json:
    return {
        "id": number,
        "file_name": image.source_file,
        "width": image.width,
        "height": image.height,
        "sop_uid": image.sop_uid,
        "client_id": image.client_id,
        "laterality": image.laterality,
        "view": image.view,
    }


def _coco_annotation(number: int, image_number: int, lesion: KnownLesion) -> Json:
    x, y, width, height = _coco_box(lesion.box)
    return {
        "id": number,
        "image_id": image_number,
        "category_id": 1 if lesion.malignant else 2,
        "bbox": [x, y, width, height],
        "area": width * height,
        "iscrowd": 0,
        "mark_id": lesion.mark_id,
    }


def _coco_result(image_number: int, candidate: Candidate) -> Json:
    return {
        "image_id": image_number,
        "category_id": 1,
        "bbox": _coco_box(candidate.box),
        "score": candidate.score,
    }


def _coco_box(box: tuple[float, float, float, float]) -> list[float]:
    """[x, y, width, height]."""
    x0, y0, x1, y1 = box
    return [x0, y0, x1 - x0, y1 - y0]
