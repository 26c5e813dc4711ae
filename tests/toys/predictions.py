"""Predictions made up on the spot, as predict_images and a detector's scoring leave them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cgan_tf.detection.heat_maps import file_stem
from cgan_tf.detection.overlays import png_bytes
from cgan_tf.detection.predictions import (
    Candidate,
    ImagePrediction,
    KnownLesion,
    ScoredBreast,
    ScoredImage,
    ScoredPatient,
    write_predictions,
    write_rows,
)
from cgan_tf.runs.directory import write_json

MASS, CALCIFICATION, BENIGN = "malignant_mass", "malignant_calcification", "benign_mass"

Box = tuple[float, float, float, float]


def scored_image(sop_uid: str = "1.2", **changes) -> ScoredImage:
    """A CC view of a left breast, 600 x 400 pixels, with a malignant lesion."""
    values = {
        "sop_uid": sop_uid,
        "client_id": "women/1",
        "study_uid": "9",
        "laterality": "L",
        "view": "CC",
        "split": "test",
        "malignant": 1,
        "width": 400,
        "height": 600,
        "spacing_mm": 0.07,
        "score": 0.9,
        "calibrated_score": None,
        "source_file": 'a "b", c.dcm',
    }
    return ScoredImage(**{**values, **changes})


def predicted(
    uid: str,
    marks: Sequence[tuple[Box, float]] = (),
    lesions: Sequence[tuple[Box, str]] = (),
    **changes,
) -> ImagePrediction:
    """An image of its own patient, 100 x 200 px of 0.5 mm: (box, score) and (box, class) each."""
    values = {
        "sop_uid": uid,
        "client_id": f"woman {uid}",
        "study_uid": f"study {uid}",
        "laterality": "L",
        "view": "CC",
        "split": "test",
        "malignant": int(any(kind.startswith("malignant") for _, kind in lesions)),
        "width": 100,
        "height": 200,
        "spacing_mm": 0.5,
        "score": max([score for _, score in marks], default=0.0),
        "calibrated_score": None,
        "source_file": f"{uid}.dcm",
    } | changes
    image = ScoredImage(**values)
    place = (uid, image.client_id, image.laterality, image.view)
    return ImagePrediction(
        image,
        tuple(Candidate(*place, *box, score) for box, score in marks),
        tuple(
            KnownLesion(*place, f"m{n}", kind, *box, _size_mm(box))
            for n, (box, kind) in enumerate(lesions)
        ),
    )


def _size_mm(box: Box) -> float:
    return round(0.5 * max(box[2] - box[0], box[3] - box[1]), 2)


def write_directory(
    directory: Path, images: Sequence[ImagePrediction], program="predict_images", **content
) -> Path:
    """A finished directory of predictions; breasts and patients by the maximum of their images."""
    directory.mkdir(parents=True)
    write_predictions(directory, images)
    rows = [item.image for item in images]
    breasts: dict[tuple[str, str, str], list[ScoredImage]] = {}
    patients: dict[str, list[ScoredImage]] = {}
    for row in rows:
        breasts.setdefault((row.client_id, row.study_uid, row.laterality), []).append(row)
        patients.setdefault(row.client_id, []).append(row)
    write_rows(
        directory / "breasts.csv",
        ScoredBreast,
        [ScoredBreast(*key, *_joined(own)) for key, own in breasts.items()],
    )
    write_rows(
        directory / "patients.csv",
        ScoredPatient,
        [ScoredPatient(key, *_joined(own)) for key, own in patients.items()],
    )
    manifest = {"format": 1, "program": program, "flags": {}} | content
    write_json(directory / "manifest.json", manifest)
    return directory


def write_pictures(directory: Path, images: Sequence[ImagePrediction], shape=(300, 200)) -> None:
    """Every image's mammogram, grey, and its heat map, in colour, as predict_images writes them."""
    for folder, levels in (("mammograms", np.zeros(shape, np.uint8)),
                           ("overlays", np.zeros((*shape, 3), np.uint8))):  # fmt: skip
        (directory / folder).mkdir()
        for prediction in images:
            name = f"{file_stem(prediction.image.sop_uid)}.png"
            (directory / folder / name).write_bytes(png_bytes(levels))


def _joined(images: Sequence[ScoredImage]) -> tuple[int, int | None, float, float | None]:
    known = [image.malignant for image in images if image.malignant is not None]
    calibrated = [i.calibrated_score for i in images if i.calibrated_score is not None]
    return (
        len(images),
        max(known, default=None),
        max(image.score for image in images),
        max(calibrated, default=None),
    )


def screening(
    patients: int = 40, skill: float = 1.5, seed: int = 0, marks: float = 2.0, truth_seed: int = 0
) -> list[ImagePrediction]:
    """Women with two views of a breast, every second with a lesion on both, 1,000 x 1,000 px.

    A lesion is a box of 100 x 100 px anywhere. Candidates are scattered evenly, a Poisson number
    with mean `marks` on each image; unless `skill` is 0, lesions are marked besides, with scores
    that are higher by it. `truth_seed` sets the lesions, `seed` the candidates.
    """
    truth, rng = np.random.default_rng(truth_seed), np.random.default_rng([seed, 1])
    images = []
    for number in range(patients):
        for view in ("CC", "MLO"):
            x, y = truth.uniform(0, 900, 2)
            lesion = ((x, y, x + 100, y + 100), (MASS, CALCIFICATION)[number // 2 % 2])
            lesions = [lesion] if number % 2 else []
            found = []
            for px, py in rng.uniform(0, 1000, (rng.poisson(marks), 2)):
                found.append(((px - 20, py - 20, px + 20, py + 20), _score(rng, 0)))
            if lesions and skill:
                found.append((lesion[0], _score(rng, skill)))
            found.sort(key=lambda each: -each[1])
            images.append(
                predicted(
                    f"{number:03d}.{view}",
                    found,
                    lesions,
                    client_id=f"w{number:03d}",
                    study_uid=f"s{number:03d}",
                    view=view,
                    width=1000,
                    height=1000,
                )
            )
    return images


def _score(rng: np.random.Generator, shift: float) -> float:
    return float(1 / (1 + np.exp(1 - shift - rng.standard_normal())))


def without_truth(images: Sequence[ImagePrediction]) -> list[ImagePrediction]:
    """The same images, of which nothing is known."""
    return [
        dataclasses.replace(item, image=dataclasses.replace(item.image, malignant=None), lesions=())
        for item in images
    ]
