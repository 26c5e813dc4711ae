import dataclasses
import json
import tracemalloc

import pytest

from cgan_tf.detection.predictions import (
    Candidate,
    ImagePrediction,
    KnownLesion,
    ScoredBreast,
    ScoredPatient,
    read_predictions,
    read_rows,
    write_predictions,
    write_rows,
)
from cgan_tf.runs.directory import write_json
from cgan_tf.runs.errors import UserError
from tests.toys.predictions import scored_image

PLACE = ("women/1", "L", "CC")


def predicted() -> list[ImagePrediction]:
    """Two images: one with a malignant and a benign lesion, one of which nothing is known."""
    return [
        ImagePrediction(
            scored_image(),
            (
                Candidate("1.2", *PLACE, 10.0, 20.0, 30.0, 60.5, 0.9),
                Candidate("1.2", *PLACE, 0.0, 0.0, 8.0, 8.0, 0.25),
            ),
            (
                KnownLesion("1.2", *PLACE, "m1", "malignant_mass", 12.0, 20.0, 32.0, 44.0, 1.68),
                KnownLesion("1.2", *PLACE, "m2", "benign_calcification", 1.0, 2.0, 4.0, 4.0, 0.21),
            ),
        ),
        ImagePrediction(
            scored_image("1.3", malignant=None, score=1 / 3, calibrated_score=0.125, laterality=""),
            (Candidate("1.3", "women/1", "", "CC", 5.0, 5.0, 9.0, 9.0, 1 / 3),),
            (),
        ),
    ]


def finished(directory) -> None:
    write_predictions(directory, predicted())
    write_rows(
        directory / "breasts.csv",
        ScoredBreast,
        [ScoredBreast("women/1", "9", "L", 2, 1, 0.9, None)],
    )
    write_rows(
        directory / "patients.csv", ScoredPatient, [ScoredPatient("women/1", 2, 1, 0.9, 0.5)]
    )
    write_json(directory / "manifest.json", {"format": 1, "program": "predict_images"})


def test_what_is_written_is_read_again(tmp_path):
    finished(tmp_path)
    found = read_predictions(tmp_path)
    assert found.images == tuple(item.image for item in predicted())
    assert found.candidates == tuple(c for item in predicted() for c in item.candidates)
    assert found.lesions == tuple(lesion for item in predicted() for lesion in item.lesions)
    assert found.breasts == (ScoredBreast("women/1", "9", "L", 2, 1, 0.9, None),)
    assert found.patients == (ScoredPatient("women/1", 2, 1, 0.9, 0.5),)


def test_coco_files_number_the_images_and_keep_benign_lesions_apart(tmp_path):
    finished(tmp_path)
    truth = json.loads((tmp_path / "coco_truth.json").read_text())
    results = json.loads((tmp_path / "coco_results.json").read_text())
    assert [(i["id"], i["sop_uid"]) for i in truth["images"]] == [(1, "1.2"), (2, "1.3")]
    assert truth["categories"] == [{"id": 1, "name": "malignant"}, {"id": 2, "name": "benign"}]
    assert [
        (a["id"], a["image_id"], a["category_id"], a["bbox"], a["area"])
        for a in truth["annotations"]
    ] == [(1, 1, 1, [12.0, 20.0, 20.0, 24.0], 480.0), (2, 1, 2, [1.0, 2.0, 3.0, 2.0], 6.0)]
    assert results == [
        {"image_id": 1, "category_id": 1, "bbox": [10.0, 20.0, 20.0, 40.5], "score": 0.9},
        {"image_id": 1, "category_id": 1, "bbox": [0.0, 0.0, 8.0, 8.0], "score": 0.25},
        {"image_id": 2, "category_id": 1, "bbox": [5.0, 5.0, 4.0, 4.0], "score": 1 / 3},
    ]


def test_no_image_gives_empty_tables_and_valid_json(tmp_path):
    write_predictions(tmp_path, [])
    assert (tmp_path / "lesions.csv").read_text().startswith("sop_uid,client_id,")
    assert json.loads((tmp_path / "coco_truth.json").read_text())["images"] == []
    assert json.loads((tmp_path / "coco_results.json").read_text()) == []


def test_boxes_have_a_centre_and_lesions_a_type():
    candidate, lesion = predicted()[0].candidates[0], predicted()[0].lesions[1]
    assert candidate.centre == (20.0, 40.25)
    assert (lesion.lesion_type, lesion.malignant) == ("calcification", False)
    assert predicted()[0].lesions[0].malignant


@pytest.mark.parametrize(
    ("name", "old", "new", "line"),
    [
        ("candidates.csv", "60.5", "sixty", "line 2: y1: expected a number, found 'sixty'"),
        ("images.csv", ",400,", ",400.5,", "line 2: width: expected a whole number"),
        ("lesions.csv", "1.2,", "7.7,", "line 2: expected an image of images.csv, found '7.7'"),
        ("breasts.csv", ",0.9,", ",", "line 2: expected 7 cells, found 6"),
        ("patients.csv", "malignant", "cancer", "expected the columns client_id,images,malignant"),
    ],
)
def test_damage_is_named_with_its_place(tmp_path, name, old, new, line):
    finished(tmp_path)
    path = tmp_path / name
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=f"{name}.*{line}"):
        read_predictions(tmp_path)


def test_an_unfinished_run_is_refused(tmp_path):
    write_predictions(tmp_path, predicted())
    with pytest.raises(UserError, match=r"manifest.json: expected the manifest of predict_images"):
        read_predictions(tmp_path)


def test_a_failure_while_writing_leaves_no_table(tmp_path):
    def interrupted():
        yield predicted()[0]
        raise UserError("stopped")

    with pytest.raises(UserError, match="stopped"):
        write_predictions(tmp_path, interrupted())
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_candidates(tmp_path):
    def peak(images: int) -> int:
        candidate = predicted()[0].candidates[0]
        many = (
            ImagePrediction(
                scored_image(str(n)), (dataclasses.replace(candidate, sop_uid=str(n)),) * 50, ()
            )
            for n in range(images)
        )
        tracemalloc.start()
        write_predictions(tmp_path, many)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)  # what is made once
    assert peak(200) - peak(20) < 180 * 500  # bytes: a name and a number an image


def test_rows_are_read_one_at_a_time(tmp_path):
    finished(tmp_path)
    path = tmp_path / "candidates.csv"
    path.write_text(path.read_text() + "broken\n")
    rows = read_rows(path, Candidate)
    assert [next(rows).score for _ in range(3)] == [0.9, 0.25, 1 / 3]
    with pytest.raises(UserError, match="line 5"):
        next(rows)
