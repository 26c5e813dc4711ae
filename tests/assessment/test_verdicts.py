"""Verdicts at and beyond their limits."""

import copy
from pathlib import Path

import pytest

from cgan_tf.assessment import verdicts
from cgan_tf.assessment.copies import MEASURES as REPETITION
from cgan_tf.assessment.overlap import MEASURES
from cgan_tf.assessment.verdicts import Check, checks_of, flat_rows, quality_markdown, verdict_line

GUIDE = Path(__file__).parents[2] / "docs" / "synthesis.md"
SPREAD = {"measured": 9, "without": 0, "position": 0.2, "area": 0.1, "area_spread": 0.04,
          "contrast": 0.3, "contrast_spread": 0.1}  # fmt: skip
COLUMN = {
    "synthetic": [0, 1, 2, 3, 4],
    "real": [0, 1, 2, 3, 5],
    "distance": 0.29,
    "ceiling": 0.1,
}


def good():
    """A set whose every measure is at its ceiling."""
    measures = {
        name: {"synthetic": 0.5, "ceiling": 0.5, "synthetic_spread": None, "ceiling_spread": None}
        for name in MEASURES
    }
    names = ("contrast", "area", "components")
    return {
        "task": "mass", "directory": "D", "patches": 100,
        "change": {"patches": 100, "changed": 0, "outside": 0, "worst": None, "inside": 1},
        "lesions": {name: dict(COLUMN) for name in names},
        "appearance": {name: dict(COLUMN) for name in
                       ("saturation", *(f"noise_{n}" for n in range(4)))},
        "spread": {"synthetic": dict(SPREAD), "real": dict(SPREAD), "over_z": dict(SPREAD)},
        "repetition": dict.fromkeys(REPETITION, 0.05) | {"group_size": 90, "note": ""},
        "memorisation": {"copies": 0.05, "auc": 0.5, "low": 0.4, "high": 0.6, "note": "",
                         "from_training": 0.7, "from_training_expected": 0.7,
                         "from_training_p": 0.5},
        "overlap": {"x": {"note": "", "measures": measures,
                          "kid_p": {"synthetic": 0.5, "ceiling": 0.5}}},
    }  # fmt: skip


def changed(**changes):
    """The good set with values replaced, named by their path: change__outside=1."""
    found = copy.deepcopy(good())
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = found
        for parent in parents:
            place = place[parent]
        place[last] = value
    return found


def seen(found):
    return {check.name for check in checks_of(found) if check.seen}


def test_a_good_set_passes():
    assert seen(good()) == set()
    assert all(check.seen is False for check in checks_of(good()))


COPIES = {"memorisation__copies": 0.2, "memorisation__from_training_p": 0.01,
          "memorisation__low": 0.6}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"change__outside": 1}, "a change outside the mask"),
        ({"change__inside": 2}, "a patch that is not its source with the lesion added"),
        (COPIES, "copies of training lesions"),
        ({"repetition__repeats": 0.36}, "one lesion again and again"),
        ({"repetition__alike": 0.26}, "one lesion again and again"),
        ({"spread__synthetic__position": 0.09}, "too little variety over patches"),
        ({"spread__synthetic__area_spread": 0.01}, "too little variety over patches"),
        ({"spread__over_z__contrast_spread": 0.02}, "too little variety over the scalars"),
        ({"overlap__x__kid_p__synthetic": 0.04}, "another distribution (x features)"),
        ({"overlap__x__measures__classifier_auc__synthetic": 0.66},
         "two-sample classifier (x features)"),
        ({"overlap__x__measures__mixing__synthetic": 0.37},
         "low mixing of neighbours (x features)"),
        ({"overlap__x__measures__precision__synthetic": 0.37}, "low precision (x features)"),
        ({"overlap__x__measures__recall__synthetic": 0.37}, "low recall (x features)"),
        ({"overlap__x__measures__coverage__synthetic": 0.37}, "low coverage (x features)"),
        ({"lesions__area__distance": 0.31}, "another area of the lesion than real"),
        ({"lesions__components__distance": 0.31},
         "another number of parts of the lesion than real"),
        ({"appearance__saturation__distance": 0.31}, "another saturation in its place than real"),
        ({"appearance__noise_2__distance": 0.31}, "other noise inside than beside, beyond real"),
    ],
)  # fmt: skip
def test_one_fault_is_one_verdict(changes, name):
    assert seen(changed(**changes)) == {name}


@pytest.mark.parametrize("left_out", COPIES)
def test_copies_want_all_three_signs(left_out):
    """Plain lesions are near to training ones, and not from training."""
    assert seen(changed(**{k: v for k, v in COPIES.items() if k != left_out})) == set()


def test_better_than_the_ceiling_is_no_fault():
    better = {f"overlap__x__measures__{name}__synthetic": 0.9
              for name in ("mixing", "precision", "recall", "coverage")}  # fmt: skip
    assert seen(changed(**better, overlap__x__measures__classifier_auc__synthetic=0.3)) == set()


def test_removal_has_no_copies_and_no_variety_to_ask_for():
    found = changed(task="removal", memorisation=None, repetition=None)
    found["spread"]["over_z"] = dict(SPREAD, position=0.0)
    assert seen(found) == set()
    names = {check.name for check in checks_of(found)}
    assert "another area left of the lesion than real" in names
    assert not names & {"copies of training lesions", "one lesion again and again"}


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"change__patches": 0}, "a change outside the mask", "no patch has a mask"),
        ({"memorisation__copies": None, "memorisation__note": "undefined: why"},
         "copies of training lesions", "undefined: why"),
        ({"repetition__repeats": None, "repetition__note": "undefined: few"},
         "one lesion again and again", "undefined: few"),
        ({"spread__real__position": None}, "too little variety over patches", "fewer than two"),
        ({"overlap__x__note": "undefined: so"}, "overlap (x features)", "undefined: so"),
        ({"lesions__area__distance": None}, "another area of the lesion than real", "too few"),
        ({f"appearance__noise_{n}__distance": None for n in range(4)},
         "other noise inside than beside, beyond real", "too few"),
    ],
)  # fmt: skip
def test_what_cannot_be_looked_for_is_said(changes, name, words):
    found = changed(**changes)
    (check,) = (check for check in checks_of(found) if check.name == name)
    assert check.seen is None
    assert words in check.text
    assert seen(found) == set()


def test_a_band_that_is_undefined_leaves_the_others():
    found = changed(appearance__noise_0__distance=None, appearance__noise_3__distance=0.5)
    (check,) = (check for check in checks_of(found) if "noise" in check.name)
    assert check.seen
    assert "most at 0.375–0.5 cycles per pixel: median 4.00 times" in check.text


def test_lines():
    assert verdict_line(vars(Check("a", True, "b"))) == "seen: a: b"
    assert verdict_line({"name": "a", "seen": False, "text": "b"}) == "not seen: a: b"
    assert verdict_line({"name": "a", "seen": None, "text": "b"}) == "not measured: a: b"


def test_markdown_has_every_number():
    found = good() | {"checks": [vars(check) for check in checks_of(good())]}
    found["lesions"]["area"]["distance"] = None
    lines = quality_markdown({"mass": found}).splitlines()
    assert lines[0] == "## mass: 100 patches, D"
    rows = list(flat_rows(found))
    assert len([line for line in lines if line.startswith("| ")]) == len(rows) + 1
    assert "| lesions | area_median | 2 | 2 |" in lines
    assert "| lesions | area_distance | undefined | 0.1 |" in lines
    assert "| memorisation | from_training | 0.7 | 0.7 |" in lines


def test_the_guide_has_the_limits():
    """docs/synthesis.md names the constants' values."""
    text = GUIDE.read_text(encoding="utf-8")
    for words in (
        f"more than {verdicts.COPIES:.0%}",
        f"alike by {verdicts.ALIKE_ABOVE_REAL}",
        f"{verdicts.REPEATS:.0%} have a twin",
        f"AUC is {verdicts.AUC_ABOVE_CEILING} above",
        f"under {verdicts.SHARE_OF_CEILING:.0%} of the ceiling",
        f"distance is {verdicts.DISTANCE_ABOVE_CEILING} above",
        f"KID under {verdicts.P_LIMIT}",
    ):
        assert words in text, words
    assert (verdicts.SHARE_OF_SPREAD, verdicts.SHARE_OVER_Z) == (1 / 2, 1 / 4)
