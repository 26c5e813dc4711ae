"""The overlap numbers in words and in a table."""

import dataclasses
import types

import numpy as np
import pytest

from cgan_tf.assessment import overlap
from cgan_tf.assessment.overlap import BesideCeiling, Overlap, OverlapStatistics, PValues
from cgan_tf.classifier.results import read_evaluations
from cgan_tf.config import ReportConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.pages.html import Table
from cgan_tf.reporting import figure_4
from cgan_tf.reporting.feature_space import baseline_space
from cgan_tf.reporting.figure_4 import overlap_parts, patch_clients, sentence


@pytest.fixture(scope="module")
def patches(toy_experiment):
    return PatchSet(toy_experiment / "patches")


@pytest.fixture(scope="module")
def space(toy_experiment):
    sizes = ("normal", "mass", "calcification", "synthetic_mass", "synthetic_calcification")
    config = ReportConfig(**{f"tsne_{name}": 20 for name in sizes})
    evaluation = read_evaluations((str(toy_experiment / "evaluation_baseline"),))[0]
    return baseline_space(config, evaluation)


def result(**changes):
    each = BesideCeiling(0.4, 0.01, 0.5, 0.02)
    measures = OverlapStatistics(*[each] * 8)
    actual = Overlap("", 300, 240, 60, 120, 5, 5, measures, PValues(0.004, 0.6))
    return dataclasses.replace(actual, **changes)


def with_auc(synthetic, ceiling):
    measures = result().measures
    auc = dataclasses.replace(measures.classifier_auc, synthetic=synthetic, ceiling=ceiling)
    return result(measures=dataclasses.replace(measures, classifier_auc=auc))


def test_the_sentence_has_every_number_beside_its_ceiling():
    actual = with_auc(0.91, 0.52)
    assert sentence("masses", actual) == (
        "Of a patch's nearest neighbours, 40% belong to the other set (real against real: "
        "50%); a simple classifier tells synthetic masses from real ones with an AUC of 0.91 (real "
        "from real: 0.52); synthetic ones cover 40% of the real ones' neighbourhoods; by KID the "
        "two differ (p = 0.004)."
    )
    actual = dataclasses.replace(actual, kid_p=PValues(0.2, 0.6))
    assert "by KID the two are not shown to differ (p = 0.20)" in sentence("masses", actual)


def test_what_is_undefined_is_said_or_left_out():
    text = sentence("masses", result(note="undefined: 3 real patches of 1 women"))
    assert text == "Synthetic and real masses: undefined: 3 real patches of 1 women."
    assert "classifier" not in sentence("masses", with_auc(None, None))


def test_every_patch_knows_its_woman(space, patches):
    clients = patch_clients(space, patches)
    known = {}
    for split in ("validation", "test"):
        index = patches.index(split, "normal", "malignant_mass", "malignant_calcification")
        for number in range(len(index)):
            record = index.record(number)
            known[record.patch_id] = record.client_id
    real = np.char.startswith(space.patches.groups, "real")
    expected = [known[patch_id] for patch_id in space.patch_ids[real]]
    assert clients[real].tolist() == expected
    assert len(set(expected)) > 3
    assert all(clients[~real])


def test_numbers_are_those_of_the_groups_of_the_map(space, patches, monkeypatch):
    seen = []

    def compare(real, synthetic, patients, seed, synthetic_patients):
        seen.append((len(real), len(synthetic), len(patients), len(synthetic_patients)))
        return result()

    monkeypatch.setattr(figure_4.overlap, "compare", compare)
    parts = overlap_parts(space, patches, seed=0)
    groups = space.patches.groups.tolist()
    for kind, sizes in zip(("mass", "calcification"), seen, strict=True):
        real, synthetic = groups.count(f"real {kind}"), groups.count(f"synthetic {kind}")
        assert sizes == (real, synthetic, real, synthetic)
    tables = [part for part in parts if isinstance(part, Table)]
    assert [t.name for t in tables] == ["figure_4_overlap_mass", "figure_4_overlap_calcification"]
    rows = {row[0]: row[1:] for row in tables[0].rows}
    assert rows["Coverage"] == ("0.400 ± 0.010", "0.500 ± 0.020", "the reference")
    assert rows["p of the KID"][:2] == ("0.004", "0.60")
    assert [record["measure"] for record in tables[0].records] == [
        *(each.name for each in overlap.STATISTICS),
        "kid_p",
    ]


def test_numbers_of_quality_take_the_place_of_those_of_the_map():
    """One set of numbers on a page, that of more patches, with its size."""
    values = {"overlap": {"classifier": result()}}
    of_quality = types.SimpleNamespace(task="mass", of=lambda measure: values[measure.name])
    inputs = types.SimpleNamespace(quality={"mass": of_quality})
    texts = [part.text for part in figure_4.measured_by_quality(inputs)]
    assert texts[0].startswith(sentence("masses", result()))
    assert texts[0].endswith(
        "Measured on 240 synthetic and 300 real patches of 60 women, in groups of 120."
    )
    values["overlap"] = {"lesion shape": result()}
    assert figure_4.measured_by_quality(inputs) == []


def test_a_map_without_synthetic_patches_has_no_numbers(space, patches):
    groups = np.char.replace(space.patches.groups, "synthetic", "other")
    alone = dataclasses.replace(space, patches=dataclasses.replace(space.patches, groups=groups))
    assert overlap_parts(alone, patches, seed=0) == []
