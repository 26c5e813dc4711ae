"""Verdicts at and beyond their limits, the numbers of every measure, and quality.json."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from cgan_tf.assessment import appearance, measures
from cgan_tf.assessment.appearance import AppearanceDistributions, LesionDistributions
from cgan_tf.assessment.base import Check
from cgan_tf.assessment.copies import Memorisation, Repetition
from cgan_tf.assessment.distributions import Distribution
from cgan_tf.assessment.lesions import Spread
from cgan_tf.assessment.measures import ChangeSummary, RemovalSummary, Spreads
from cgan_tf.assessment.membership import Attack, Membership
from cgan_tf.assessment.overlap import BesideCeiling, Overlap, OverlapStatistics, PValues
from cgan_tf.assessment.results import (
    SetResult,
    checks_of,
    quality_markdown,
    read_results,
    write_results,
)
from cgan_tf.runs.errors import UserError

GUIDE = Path(__file__).parents[2] / "docs" / "synthesis.md"
SPREAD = Spread(9, 0, position=0.2, area=0.1, area_spread=0.04, contrast=0.3, contrast_spread=0.1)
COLUMN = Distribution((0, 1, 2, 3, 4), (0, 1, 2, 3, 5), distance=0.29, ceiling=0.1)


ATTACK = Attack(90, 90, 0.5, 0.4, 0.6, 0.4, 0.6, 0.5, 0.05)


def good():
    """The values of a set whose every measure is at its ceiling."""
    statistics = OverlapStatistics(*[BesideCeiling(0.5, None, 0.5, None)] * 8)
    return {
        "change": ChangeSummary(patches=100, changed=0, outside=0, worst=None, inside=1),
        "lesions": LesionDistributions(COLUMN, COLUMN, COLUMN),
        "appearance": AppearanceDistributions(*[COLUMN] * 5),
        "spread": Spreads(SPREAD, SPREAD, SPREAD),
        "repetition": Repetition(90, 0.05, 0.05, 0.05, 0.05, 0.4, 0.4),
        "removal": None,
        "memorisation": Memorisation(
            counts={}, quartiles={}, auc=0.5, low=0.4, high=0.6, copies=0.05, from_training=0.7,
            from_training_expected=0.7, from_training_p=0.5, nearest=[], note="",
        ),
        "membership": Membership(neighbours=ATTACK, discriminator=ATTACK),
        "overlap": {"x": Overlap("", 9, 9, 9, 9, 5, 5, statistics, PValues(0.5, 0.5))},
    }  # fmt: skip


def changed(**changes):
    """The good values with some replaced, named by their path: change__outside=1."""
    values = good()
    for path, value in changes.items():
        values = _replaced(values, path.split("__"), value)
    return values


def _replaced(owner, path, value):
    name, *rest = path
    if isinstance(owner, Mapping):
        return {**owner, name: _replaced(owner[name], rest, value) if rest else value}
    new = _replaced(getattr(owner, name), rest, value) if rest else value
    return dataclasses.replace(owner, **{name: new})


def result(values, **changes):
    """A set with these values."""
    actual = SetResult("mass", "D", 100, 90, values, "", [], checks_of(values, "mass"))
    return dataclasses.replace(actual, **changes)


def seen(values, task="mass"):
    return {check.name for check in checks_of(values, task) if check.seen}


def test_a_good_set_passes():
    assert seen(good()) == set()
    assert all(check.seen is False for check in checks_of(good(), "mass"))


COPIES = {"memorisation__copies": 0.2, "memorisation__from_training_p": 0.01,
          "memorisation__low": 0.6}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"change__outside": 1}, "a change outside the mask"),
        ({"change__inside": 2}, "a patch that is not its source with the lesion added"),
        (COPIES, "copies of training lesions"),
        ({"membership__neighbours__auc": 0.61, "membership__neighbours__p_value": 0.04},
         "training patients recognisable in the set"),
        ({"membership__discriminator__auc": 0.61, "membership__discriminator__p_value": 0.04},
         "training patients recognisable by the discriminator"),
        ({"repetition__repeats": 0.53}, "lesions repeat"),
        ({"repetition__alike": 0.26}, "lesions repeat"),
        ({"spread__synthetic__position": 0.09}, "too little variety over patches"),
        ({"spread__synthetic__area_spread": 0.01}, "too little variety over patches"),
        ({"spread__over_z__contrast_spread": 0.02}, "too little variety over the scalars"),
        ({"overlap__x__kid_p__synthetic": 0.04}, "distribution differs from real (x features)"),
        ({"overlap__x__measures__classifier_auc__synthetic": 0.66},
         "a classifier tells synthetic from real (x features)"),
        ({"overlap__x__measures__mixing__synthetic": 0.37},
         "low mixing of neighbours (x features)"),
        ({"overlap__x__measures__precision__synthetic": 0.37}, "low precision (x features)"),
        ({"overlap__x__measures__recall__synthetic": 0.37}, "low recall (x features)"),
        ({"overlap__x__measures__coverage__synthetic": 0.37}, "low coverage (x features)"),
        ({"lesions__area__distance": 0.31}, "area of the lesion differs from real"),
        ({"lesions__components__distance": 0.31},
         "number of parts of the lesion differs from real"),
        ({"appearance__saturation__distance": 0.31},
         "saturation in the lesion's place differs from real"),
        ({"appearance__noise_2__distance": 0.31}, "texture in the lesion differs from real"),
    ],
)  # fmt: skip
def test_one_fault_is_one_verdict(changes, name):
    assert seen(changed(**changes)) == {name}


@pytest.mark.parametrize(
    ("repeats", "null", "fault"),
    [(0.51, 0.4, False), (0.19, 0.1, False), (0.21, 0.1, True), (0.9, None, False)],
)
def test_twins_are_judged_by_those_of_lesions_that_differ(repeats, null, fault):
    values = changed(repetition__repeats=repeats, repetition__repeats_null=null)
    assert seen(values) == ({"lesions repeat"} if fault else set())
    (check,) = (check for check in checks_of(values, "mass") if "repeat" in check.name)
    beside = "too few patients" if null is None else f"{null:.0%} of as many lesions that differ"
    assert f"{repeats:.0%} have a twin" in check.text
    assert beside in check.text


GONE = RemovalSummary((0.4, 0.6, 0.75, 0.9, 1.1), 0.2, 0.15, 0.9, False)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"share": (0.0, 0.2, 0.59, 0.8, 1.0)}, "much of the lesion is left"),
        ({"malignant": 0.26}, "a critic sees lesions in cleaned patches"),
    ],
)
def test_what_a_removal_leaves(changes, name):
    removal = {"memorisation": None, "repetition": None}
    assert seen(changed(removal=GONE, **removal), "removal") == set()
    spoilt = changed(removal=dataclasses.replace(GONE, **changes), **removal)
    assert seen(spoilt, "removal") == {name}


def test_a_critic_that_chose_the_patches_is_named():
    for selected in (False, True):
        values = changed(removal=dataclasses.replace(GONE, selected=selected))
        (check,) = (each for each in checks_of(values, "removal") if "critic" in each.name)
        assert "20% malignant (of real normal patches 15%, of real lesions 90%)" in check.text
        assert ("chose which patches were kept" in check.text) == selected


def test_without_a_critic_nothing_is_said_for_it():
    values = changed(removal=RemovalSummary(GONE.share, None, None, None, False))
    (check,) = (each for each in checks_of(values, "removal") if "critic" in each.name)
    assert (check.seen, check.text) == (None, "no --critic")


@pytest.mark.parametrize("left_out", COPIES)
def test_copies_want_all_three_signs(left_out):
    """Plain lesions are near to training ones, and not from training."""
    assert seen(changed(**{k: v for k, v in COPIES.items() if k != left_out})) == set()


def test_better_than_the_ceiling_is_no_fault():
    better = {f"overlap__x__measures__{name}__synthetic": 0.9
              for name in ("mixing", "precision", "recall", "coverage")}  # fmt: skip
    assert seen(changed(**better, overlap__x__measures__classifier_auc__synthetic=0.3)) == set()


def test_removal_has_no_copies_and_no_variety_to_ask_for():
    values = changed(memorisation=None, repetition=None, spread__over_z__position=0.0)
    assert seen(values, "removal") == set()
    names = {check.name for check in checks_of(values, "removal")}
    assert "area of what is left differs from real" in names
    assert not names & {"copies of training lesions", "lesions repeat"}


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"change__patches": 0}, "a change outside the mask", "no patch has a mask"),
        ({"memorisation__copies": None, "memorisation__note": "undefined: why"},
         "copies of training lesions", "undefined: why"),
        ({"repetition__repeats": None, "repetition__note": "undefined: few"},
         "lesions repeat", "undefined: few"),
        ({"spread__real__position": None}, "too little variety over patches", "fewer than two"),
        ({"overlap__x__note": "undefined: so"}, "overlap (x features)", "undefined: so"),
        ({"lesions__area__distance": None}, "area of the lesion differs from real", "too few"),
        ({f"appearance__noise_{n}__distance": None for n in range(4)},
         "texture in the lesion differs from real", "too few"),
    ],
)  # fmt: skip
def test_what_cannot_be_looked_for_is_said(changes, name, words):
    values = changed(**changes)
    (check,) = (check for check in checks_of(values, "mass") if check.name == name)
    assert check.seen is None
    assert words in check.text
    assert seen(values) == set()


def test_a_band_that_is_undefined_leaves_the_others():
    values = changed(appearance__noise_0__distance=None, appearance__noise_3__distance=0.5)
    (check,) = (check for check in checks_of(values, "mass") if "texture" in check.name)
    assert check.seen
    assert "at 0.375–0.5 cycles per pixel: median 4.00 times" in check.text


def test_lines():
    assert Check("a", True, "b").line == "seen: a: b"
    assert Check("a", False, "b").line == "not seen: a: b"
    assert Check("a", None, "b").line == "not measured: a: b"


def test_markdown_has_every_number():
    actual = result(changed(lesions__area__distance=None))
    lines = quality_markdown({"mass": actual}).splitlines()
    assert lines[0] == "# Quality of synthetic sets"
    assert "## mass: 100 patches, D" in lines
    rows = list(actual.rows())
    assert len([line for line in lines if line.startswith("| ")]) == len(rows) + 1
    assert "| lesions | area_median | 2 | 2 |" in lines
    assert "| lesions | area_distance | undefined | 0.1 |" in lines
    assert "| memorisation | from_training | 0.7 | 0.7 |" in lines


class TestJson:
    @pytest.fixture
    def path(self, tmp_path):
        values = changed(memorisation__nearest=[("a", "b", 0.9)], spread__over_z=None)
        write_results(tmp_path / "quality.json", {"mass": result(values)})
        return tmp_path / "quality.json"

    def test_what_was_written_is_read(self, path):
        values = changed(memorisation__nearest=[("a", "b", 0.9)], spread__over_z=None)
        assert read_results(path) == {"mass": result(values)}

    def test_written_again_it_is_the_same(self, path):
        before = path.read_bytes()
        write_results(path, read_results(path))
        assert path.read_bytes() == before

    @pytest.mark.parametrize(
        "key",
        ["sets", "sets.mass.patches", "sets.mass.spread", "sets.mass.lesions.area.ceiling",
         "sets.mass.overlap.x.kid_p", "sets.mass.overlap.x.measures.fid", "sets.mass.checks.0.seen",
         "sets.mass.appearance.noise_2"],
    )  # fmt: skip
    def test_a_missing_key_is_named(self, path, key):
        owner = content = json.loads(path.read_text(encoding="utf-8"))
        *parents, last = key.split(".")
        for name in parents:
            owner = owner[int(name) if isinstance(owner, list) else name]
        del owner[last]
        path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(UserError, match=f"^{path}: expected the key '{key}', found none; run"):
            read_results(path)

    @pytest.mark.parametrize(
        ("key", "value", "words"),
        [
            ("patches", "many", "a number at 'sets.mass.patches', found 'many'"),
            ("patches", True, "a number at 'sets.mass.patches', found True"),
            ("directory", 7, "a text at 'sets.mass.directory', found 7"),
            ("change", [], r"an object at 'sets.mass.change', found \[\]"),
            ("checks", {}, "a list at 'sets.mass.checks', found {}"),
        ],
    )
    def test_a_wrong_type_is_named(self, path, key, value, words):
        content = json.loads(path.read_text(encoding="utf-8"))
        content["sets"]["mass"][key] = value
        path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(UserError, match=f"^{path}: expected {words}"):
            read_results(path)

    def test_quantiles_are_five(self, path):
        content = json.loads(path.read_text(encoding="utf-8"))
        del content["sets"]["mass"]["lesions"]["area"]["real"][4]
        path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(UserError, match=r"a list of 5 at 'sets.mass.lesions.area.real', found"):
            read_results(path)

    def test_a_pair_has_three_entries(self, path):
        content = json.loads(path.read_text(encoding="utf-8"))
        content["sets"]["mass"]["memorisation"]["nearest"] = [["a", "b"]]
        path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(UserError, match=r"a list of 3 at 'sets.mass.memorisation.nearest.0'"):
            read_results(path)


def test_no_two_measures_share_a_name_or_a_key_of_a_set():
    names = [measure.name for measure in measures.MEASURES]
    others = [field.name for field in dataclasses.fields(SetResult)]
    assert len({*names, *others}) == len(names) + len(others)


def test_the_guide_has_the_limits():
    """docs/synthesis.md names the constants' values."""
    text = GUIDE.read_text(encoding="utf-8")
    for words in (
        f"more than {measures.COPIES:.0%}",
        f"less than {measures.SHARE_REMOVED:.0%} of the bright part",
        f"by {measures.MALIGNANT_ABOVE_REAL * 100:.0f} points as malignant",
        f"alike by {measures.ALIKE_ABOVE_REAL}",
        f"{measures.REPEATS_OF_NULL} times as many",
        f"{measures.REPEATS_ABOVE_NULL * 100:.0f} points more",
        f"AUC is {measures.AUC_ABOVE_CEILING} above",
        f"under {measures.SHARE_OF_CEILING:.0%} of the reference",
        f"distance is {appearance.DISTANCE_ABOVE_CEILING} above",
        f"KID under {measures.P_LIMIT}",
    ):
        assert words in text, words
    assert (measures.SHARE_OF_SPREAD, measures.SHARE_OVER_Z) == (1 / 2, 1 / 4)
