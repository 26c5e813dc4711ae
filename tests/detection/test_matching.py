"""Hits and false positives: by hand, against MONAI's, and of candidates that know nothing."""

import json
from pathlib import Path

import numpy as np
import pytest

from cgan_tf.detection.matching import (
    ALL,
    IOU,
    NEITHER,
    Rules,
    elsewhere,
    fits,
    free_response,
    marks_of,
    truth_of,
)
from cgan_tf.detection.predictions import read_predictions
from cgan_tf.runs.errors import UserError
from cgan_tf.statistics.froc import (
    chance_sensitivities,
    froc_area,
    froc_curve,
    sensitivities_at,
)
from tests.toys.predictions import (
    BENIGN,
    CALCIFICATION,
    MASS,
    predicted,
    screening,
    without_truth,
    write_directory,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "froc.json").read_text("utf-8"))
LESION = (10.0, 10.0, 30.0, 50.0)


def box(x, y, half=1.0):
    return (x - half, y - half, x + half, y + half)


def responded(directory, images, rules=None):
    rules = rules or Rules()
    predictions = read_predictions(write_directory(directory, images))
    truth = truth_of(predictions, "test", rules)
    return free_response(marks_of(predictions.candidates, truth), rules)


def test_a_centre_is_in_a_box_to_its_last_pixel():
    lesions = np.array([LESION])
    for point, hit in (
        ((10, 10), True),  # x1 and y1 are exclusive, x0 and y0 are not
        ((29.9, 49.9), True),
        ((30, 20), False),
        ((20, 50), False),
        ((9.9, 20), False),
    ):
        assert (fits(np.array([box(*point)]), lesions, Rules())[0, 0] > -np.inf) == hit


def test_overlap_by_hand():
    # 20 x 40 = 800 px against 10 x 40 of them and as much outside: 400 / (800 + 800 - 400) = 1/3.
    shifted = np.array([(20.0, 10.0, 40.0, 50.0)])
    lesions = np.array([LESION, (50.0, 50.0, 60.0, 60.0)])
    fit = fits(shifted, lesions, Rules(hit=IOU))
    assert fit.tolist() == [[pytest.approx(1 / 3), -np.inf]]
    assert fits(shifted, lesions, Rules(hit=IOU, least_iou=0.34))[0, 0] == -np.inf
    assert fits(shifted, lesions, Rules(hit=IOU, least_iou=1 / 3))[0, 0] > -np.inf
    assert (fits(np.array([(5.0, 5.0, 5.0, 9.0)]), lesions, Rules(hit=IOU)) == -np.inf).all()


def by_hand():
    """Two images with lesions, two without, one with a benign lesion alone."""
    other = (60.0, 100.0, 80.0, 120.0)
    return [
        predicted(
            "1",
            [(box(20, 30), 0.9), (box(12, 12), 0.8), (box(90, 190), 0.7), (box(70, 110), 0.3)],
            [(LESION, MASS), (other, CALCIFICATION)],
        ),
        predicted("2", [(box(90, 10), 0.6)], [(LESION, MASS)]),
        predicted("3", [(box(20, 30), 0.5), (box(5, 5), 0.2)]),
        predicted("4"),
        predicted("5", [(box(20, 30), 0.4), (box(90, 90), 0.1)], [(LESION, BENIGN)]),
    ]


def test_by_hand(tmp_path):
    response = responded(tmp_path / "p", by_hand())
    # Two marks on the first lesion count once, the second lesion is found, that of image 2 is not.
    assert response.lesion_scores.tolist() == [0.9, 0.3, -np.inf]
    assert response.lesion_patients.tolist() == ["woman 1", "woman 1", "woman 2"]
    # The misses of images 1 and 2 count nowhere: these images show lesions.
    assert response.image_patients.tolist() == ["woman 3", "woman 4", "woman 5"]
    assert response.false_scores.tolist() == [0.5, 0.2, 0.4, 0.1]
    assert response.false_images.tolist() == [0, 0, 2, 2]


def test_on_all_images_by_hand(tmp_path):
    response = responded(tmp_path / "p", by_hand(), Rules(false_positives_on=ALL))
    assert response.false_scores.tolist() == [0.7, 0.6, 0.5, 0.2, 0.4, 0.1]
    assert response.false_images.tolist() == [0, 1, 2, 2, 4, 4]
    assert len(response.image_patients) == 5


def test_candidates_on_benign_lesions_can_be_neither(tmp_path):
    response = responded(tmp_path / "p", by_hand(), Rules(benign_marks=NEITHER))
    assert response.false_scores.tolist() == [0.5, 0.2, 0.1]
    assert response.lesion_scores.tolist() == [0.9, 0.3, -np.inf]


def test_a_malignant_lesion_goes_before_a_benign_one_around_it(tmp_path):
    images = [
        predicted("1", [(box(20, 30), 0.9)], [((0.0, 0.0, 60.0, 60.0), BENIGN), (LESION, MASS)]),
        predicted("2"),
    ]
    for benign in ("false_positive", NEITHER):
        rules = Rules(benign_marks=benign, false_positives_on=ALL)
        response = responded(tmp_path / benign, images, rules)
        assert (response.lesion_scores.tolist(), len(response.false_scores)) == ([0.9], 0)


def test_of_two_lesions_the_nearer_is_hit(tmp_path):
    inner, outer = (10.0, 10.0, 20.0, 20.0), (10.0, 10.0, 60.0, 60.0)
    images = [predicted("1", [(box(16, 16), 0.9)], [(outer, MASS), (inner, MASS)]), predicted("2")]
    assert responded(tmp_path / "a", images).lesion_scores.tolist() == [-np.inf, 0.9]
    # A box that is smaller than the outer lesion and larger than the inner one.
    lesions = [(outer, MASS), (inner, MASS)]
    images = [predicted("1", [((8.0, 8.0, 40.0, 40.0), 0.9)], lesions), predicted("2")]
    found = responded(tmp_path / "b", images, Rules(hit=IOU, least_iou=0.05))
    assert found.lesion_scores.tolist() == [0.9, -np.inf]


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['images']} images")
def test_equal_to_monai_through_the_tables(case, tmp_path):
    images = []
    for number in range(case["images"]):
        marks = [
            ((x, y, x + w, y + h), score) for n, x, y, w, h, score in case["marks"] if n == number
        ]
        lesions = [((x, y, x + w, y + h), MASS) for n, x, y, w, h in case["lesions"] if n == number]
        images.append(predicted(f"{number:03d}", marks, lesions))
    response = responded(tmp_path / "p", images, Rules(false_positives_on=ALL))
    found = sensitivities_at(froc_curve(response), GOLDEN["rates"])
    np.testing.assert_allclose(found, case["monai"], rtol=0, atol=1e-12)


def test_images_of_other_splits_and_unknown_ones_are_left_out(tmp_path):
    images = [*by_hand(), *without_truth([predicted("7", [(box(1, 1), 0.99)])])]
    images.append(predicted("8", [(box(1, 1), 0.98)], split="train"))
    response = responded(tmp_path / "p", images)
    assert response.false_scores.max() == 0.5
    assert len(response.image_patients) == 3


def test_without_any_split_all_images_count(tmp_path):
    images = [predicted("1", [], [(LESION, MASS)], split=""), predicted("2", split="")]
    assert len(responded(tmp_path / "p", images).image_patients) == 1


@pytest.mark.parametrize(
    ("images", "rules", "message"),
    [
        ([predicted("1", split="train")], Rules(), "p, test split: expected images, found none"),
        (
            [predicted("1"), predicted("2", [], [(LESION, BENIGN)])],
            Rules(),
            "expected malignant lesions with their boxes, found none",
        ),
        (
            [predicted("1", [], [(LESION, MASS)])],
            Rules(),
            "expected images without a malignant lesion, found none; --false_positives_on=all",
        ),
        (without_truth([predicted("1")]), Rules(), "expected malignant lesions"),
    ],
)
def test_what_cannot_be_measured_is_told(images, rules, message, tmp_path):
    with pytest.raises(UserError, match=message):
        responded(tmp_path / "p", images, rules)


def test_scattered_candidates_find_what_chance_finds(tmp_path):
    """The formula for marks that lie anywhere, and candidates moved to other images."""
    images = screening(patients=600, skill=0, marks=6.0)
    rates = (0.5, 1, 2, 4)
    covered = np.full(600, 0.01)  # 100 x 100 of 1,000 x 1,000 px
    expected = chance_sensitivities(covered, rates)
    found = sensitivities_at(froc_curve(responded(tmp_path / "p", images)), rates)
    error = 4 * np.sqrt(expected / 600)
    assert (np.abs(found - expected) < error).all()


def test_moved_candidates_find_what_chance_finds(tmp_path):
    predictions = read_predictions(write_directory(tmp_path / "p", screening(600, skill=4.0)))
    truth = truth_of(predictions, "test", Rules())
    marks = marks_of(predictions.candidates, truth)
    assert froc_area(froc_curve(free_response(marks, Rules()))) > 0.9
    moved = elsewhere(marks, 0)
    assert len(moved.scores) == len(marks.scores)
    found = froc_area(froc_curve(free_response(moved, Rules())))
    assert found < 0.03  # 1 - exp(-0.01 r), averaged over r to 1, is .005
    # Each image has the candidates of one other, none its own.
    assert sorted(np.bincount(moved.images, minlength=1200)) == sorted(
        np.bincount(marks.images, minlength=1200)
    )
    same = np.isin(moved.boxes[:, 0] + 1e6 * moved.images, marks.boxes[:, 0] + 1e6 * marks.images)
    assert not same.any()


def test_moved_candidates_keep_their_place_in_images_of_other_sizes(tmp_path):
    images = [
        predicted("1", [((10.0, 20.0, 30.0, 40.0), 0.5)], [(LESION, MASS)]),
        predicted("2", [((0.0, 0.0, 4.0, 8.0), 0.4)], width=200, height=800),
        predicted("3", [(box(5, 5), 0.3)], view="MLO"),
    ]
    predictions = read_predictions(write_directory(tmp_path / "p", images))
    moved = elsewhere(marks_of(predictions.candidates, truth_of(predictions, "test", Rules())), 0)
    assert moved.images.tolist() == [1, 0]  # the only MLO view has nowhere to go
    assert moved.boxes.tolist() == [[20, 80, 60, 160], [0, 0, 2, 2]]
