"""From boxes on a canvas to the tables, and what validation measures of them."""

import numpy as np
import pytest

from cgan_tf.detection import predictions as tables
from cgan_tf.detection.predictions import read_rows
from cgan_tf.detector.scoring import prediction_of, validation_measures, write_tables
from tests.toys.images import toy_image


def test_candidates_are_in_pixels_of_the_stored_image():
    """(x + 1) / 0.5 and y / 0.5, to the edges of 90 x 120; what lies beside it is left out."""
    record = toy_image("w1/1", [[10, 20, 40, 60]])
    boxes = np.array([[4, 10, 19, 30], [30, 40, 60, 62], [50, 2, 60, 9]], np.float32)
    found = prediction_of(record, "test", boxes, np.array([0.9, 0.5, 0.25], np.float32))
    assert [each.box for each in found.candidates] == [(10, 20, 40, 60), (62, 80, 90, 120)]
    assert [each.score for each in found.candidates] == pytest.approx([0.9, 0.5])
    (lesion,) = found.lesions
    assert (lesion.box, lesion.mark_id, lesion.malignant) == ((10, 20, 40, 60), "m0", True)
    assert lesion.size_mm == pytest.approx(4.0)  # 40 px of 0.1 mm
    image = found.image
    assert (image.width, image.height, image.split, image.malignant) == (90, 120, "test", 1)
    assert image.score == pytest.approx(0.9)


def test_an_image_without_candidates_scores_nothing():
    found = prediction_of(toy_image("w1"), "test", np.zeros((0, 4)), np.zeros(0))
    assert (found.image.score, found.image.malignant, found.candidates) == (0.0, 0, ())


def _predictions(scores):
    """A lesion that is hit on each of two images, and a false box on each of two others."""
    hit, beside = np.array([[4.0, 10, 19, 30]]), np.array([[0.0, 0, 9, 9]])
    lesions = [[[10, 20, 40, 60]], [[10, 20, 40, 60]], [], []]
    return [
        prediction_of(
            toy_image(f"w{number}/1", boxes), "test", hit if boxes else beside, np.array([score])
        )
        for number, (boxes, score) in enumerate(zip(lesions, scores, strict=True))
    ]


@pytest.mark.parametrize(
    ("scores", "area", "auc"),
    [
        ((0.9, 0.8, 0.2, 0.1), 1.0, 1.0),
        # Both false boxes first: nothing is found before 1 false positive an image.
        ((0.2, 0.1, 0.9, 0.8), 0.0, 0.0),
        # hit, false, hit, false: half found to 0.5 false positives an image, then all.
        ((0.9, 0.7, 0.8, 0.6), 0.75, 0.75),
    ],
)
def test_the_measures_of_a_validation(scores, area, auc):
    assert validation_measures(_predictions(scores), "test") == pytest.approx((area, auc))


def test_tables_hold_images_in_order_and_the_highest_score_of_a_patient(tmp_path):
    found = _predictions((0.9, 0.8, 0.2, 0.1))
    twice = prediction_of(toy_image("w0/2"), "test", np.array([[1.0, 1, 9, 9]]), np.array([0.95]))
    write_tables(tmp_path, [*found[::-1], twice])
    images = list(read_rows(tmp_path / tables.IMAGES, tables.ScoredImage))
    assert [image.sop_uid for image in images] == ["w0/1", "w0/2", "w1/1", "w2/1", "w3/1"]
    patients = list(read_rows(tmp_path / tables.PATIENTS, tables.ScoredPatient))
    assert [(row.client_id, row.images, row.malignant) for row in patients] == [
        ("w0", 2, 1),
        ("w1", 1, 1),
        ("w2", 1, 0),
        ("w3", 1, 0),
    ]
    assert patients[0].score == pytest.approx(0.95)
    breasts = list(read_rows(tmp_path / tables.BREASTS, tables.ScoredBreast))
    assert len(breasts) == 5  # w0's images are of two studies
