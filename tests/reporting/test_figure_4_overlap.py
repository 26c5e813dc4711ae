"""The overlap numbers in words and in a table."""

import dataclasses

import numpy as np
import pytest

from cgan_tf.assessment import overlap
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
    pair = {"synthetic": 0.4, "synthetic_spread": 0.01, "ceiling": 0.5, "ceiling_spread": 0.02}
    measures = {name: dict(pair) for name in overlap.MEASURES}
    found = {"note": "", "group_size": 120, "measures": measures,
             "kid_p": {"synthetic": 0.004, "ceiling": 0.6}}  # fmt: skip
    return {**found, **changes}


def test_the_sentence_has_every_number_beside_its_ceiling():
    found = result()
    found["measures"]["classifier_auc"] |= {"synthetic": 0.91, "ceiling": 0.52}
    assert sentence("masses", found) == (
        "Of a patch's nearest neighbours, 40% belong to the other set (real against real: "
        "50%); a simple classifier tells synthetic masses from real ones with an AUC of 0.91 (real "
        "from real: 0.52); synthetic ones cover 40% of the real ones' neighbourhoods; by KID the "
        "two differ (p = 0.004)."
    )
    found["kid_p"]["synthetic"] = 0.2
    assert "by KID the two are not shown to differ (p = 0.20)" in sentence("masses", found)


def test_what_is_undefined_is_said_or_left_out():
    text = sentence("masses", result(note="undefined: 3 real patches of 1 women"))
    assert text == "Synthetic and real masses: undefined: 3 real patches of 1 women."
    found = result()
    found["measures"]["classifier_auc"] |= {"synthetic": None, "ceiling": None}
    assert "classifier" not in sentence("masses", found)


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

    def compare(real, synthetic, clients, seed, synthetic_clusters):
        seen.append((len(real), len(synthetic), len(clients), len(synthetic_clusters)))
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
    assert rows["Coverage"] == ("0.400 ± 0.010", "0.500 ± 0.020", "the ceiling")
    assert rows["p of the KID"][:2] == ("0.004", "0.60")
    assert [record["measure"] for record in tables[0].records] == [*overlap.MEASURES, "kid_p"]


def test_a_map_without_synthetic_patches_has_no_numbers(space, patches):
    groups = np.char.replace(space.patches.groups, "synthetic", "other")
    alone = dataclasses.replace(space, patches=dataclasses.replace(space.patches, groups=groups))
    assert overlap_parts(alone, patches, seed=0) == []
