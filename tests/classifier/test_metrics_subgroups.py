"""Sub-groups: who is compared with whom, the bands, and what too few patients give."""

import numpy as np
import pytest

from cgan_tf.classifier.metrics import (
    ALL_NORMALS,
    BANDS,
    NORMALS_OF_GROUP,
    ScoreRow,
    subgroup_aucs,
)
from cgan_tf.statistics.auc import auc_interval, exact_auc


def row(label, logit, client, **values):
    given = {"patch_id": "", "patch_class": "", "lesion_type": "", **values}
    return ScoreRow(label=label, logit=logit, client_id=client, **given)


def _rows():
    """Twelve patients, four patches each; patients 0 to 5 have masses. Logits overlap."""
    rng = np.random.default_rng(0)
    rows = []
    for client in range(12):
        for _ in range(4):
            case = client < 6
            rows.append(
                row(
                    int(case),
                    float(rng.normal(case)),
                    f"c{client}",
                    manufacturer="ACME" if client % 3 else "TOY",
                    lesion_type="mass" if case else "",
                    lesion_size_mm=12.5 if client in (0, 1) else 60.0 if case else None,
                    conspicuity=("Subtle" if client < 5 else "") if case else "",
                )
            )
    return rows


@pytest.mark.parametrize(
    ("size_mm", "band"),
    [
        (3.0, "up to 10 mm"),
        (10.0, "up to 10 mm"),
        (10.01, "10 to 20 mm"),
        (20.0, "10 to 20 mm"),
        (50.0, "20 to 50 mm"),
        (50.1, "over 50 mm"),
    ],
)
def test_size_bands(size_mm, band):
    assert BANDS["lesion_size_mm"].of(size_mm) == band


def test_lesions_are_compared_with_all_normals():
    rows = _rows()
    found = subgroup_aucs(rows)["lesion_size_mm"]
    assert found.negatives == ALL_NORMALS
    assert list(found.groups) == ["10 to 20 mm", "over 50 mm"]  # by size, not by name
    chosen = [r for r in rows if r.label == 0 or r.lesion_size_mm == 12.5]
    group = found.groups["10 to 20 mm"]
    assert (group.positives, group.negatives) == (8, 24)
    assert (group.positive_patients, group.negative_patients) == (2, 6)
    assert group.auc == pytest.approx(
        exact_auc([r.label for r in chosen], [r.logit for r in chosen])
    )


def test_patients_are_compared_with_normals_of_their_group():
    rows = _rows()
    found = subgroup_aucs(rows)["manufacturer"]
    assert found.negatives == NORMALS_OF_GROUP
    assert list(found.groups) == ["ACME", "TOY"]
    group = found.groups["ACME"]
    chosen = [r for r in rows if r.manufacturer == "ACME"]
    assert (group.positives, group.negatives) == (16, 16)
    assert group.auc == pytest.approx(
        exact_auc([r.label for r in chosen], [r.logit for r in chosen])
    )


def test_interval_is_clustered():
    rows = _rows()
    group = subgroup_aucs(rows)["lesion_type"].groups["mass"]
    columns = [
        np.array([getattr(r, name) for r in rows]) for name in ("label", "logit", "client_id")
    ]
    expected = auc_interval(*columns)
    assert (group.low_by_patient, group.high_by_patient) == (expected.low, expected.high)
    assert group.note == ""


def test_too_few_patients_have_no_interval():
    group = subgroup_aucs(_rows())["manufacturer"].groups["ACME"]
    assert 0 < group.auc < 1
    assert group.low_by_patient is None
    assert group.note.startswith("undefined: 4 patients with positive and 4 with negative patches")


def test_a_group_without_normals_is_undefined():
    rows = [*_rows(), row(1, 2.0, "new", manufacturer="NEW", lesion_type="mass")]
    group = subgroup_aucs(rows)["manufacturer"].groups["NEW"]
    assert group.auc is None
    assert group.note.startswith("undefined: 1 patients with positive and 0 with negative")


def test_unknown_values_are_a_group_of_their_own_and_come_last():
    found = subgroup_aucs(_rows())["conspicuity"]
    assert list(found.groups) == ["Subtle", "unknown"]
    assert found.groups["Subtle"].positives == 20
    assert found.groups["unknown"].positives == 4
    assert found.note == ""


def test_an_attribute_that_nobody_knows_has_no_groups():
    found = subgroup_aucs(_rows())["breast_density"]
    assert found.groups == {}
    assert found.note == "undefined: breast_density is unknown for every malignant patch"


# Malignant logits, normal logits and AUC of each group, whose pairs are counted by hand. Against
# the normals of all groups, the first AUC would be 3/8 and the second 4.5/8, or nearly.
ACQUIRED = {
    "age_band": {
        "under 50 years": ((1.0, 3.0), (0.0, 2.0), 3 / 4),
        "60 to 69 years": ((12.0, 11.0), (12.0, 13.0), 0.5 / 4),
        "70 years and over": ((5.0,), (), None),
    },
    "breast_thickness_mm": {
        45.0: ((1.0,), (0.0, 1.0), 1.5 / 2),
        46.0: ((12.0, 11.0), (12.0, 13.0), 0.5 / 4),
        76.0: ((1.0,), (0.0,), 1.0),
    },
    "exposure_mas": {
        50.0: ((1.0, 3.0), (0.0, 2.0), 3 / 4),
        100.1: ((12.0, 11.0), (12.0, 13.0), 0.5 / 4),
        900.0: ((2.0,), (3.0,), 0.0),
    },
    "site": {
        "adde": ((1.0, 3.0), (0.0, 2.0), 3 / 4),
        "stge": ((12.0, 11.0), (12.0, 13.0), 0.5 / 4),
    },
}
NAMES = {
    "breast_thickness_mm": ["up to 45 mm", "45 to 60 mm", "over 75 mm"],
    "exposure_mas": ["up to 50 mAs", "100 to 200 mAs", "over 200 mAs"],
}


@pytest.mark.parametrize("attribute", ACQUIRED)
def test_groups_by_acquisition_by_hand(attribute):
    content = ACQUIRED[attribute]
    rows = [
        row(label, logit, f"{value} {label} {number}", **{attribute: value})
        for value, (malignant, normal, _) in reversed(content.items())
        for label, logits in ((1, malignant), (0, normal))
        for number, logit in enumerate(logits)
    ]
    found = subgroup_aucs(rows)[attribute]
    assert found.negatives == NORMALS_OF_GROUP
    assert list(found.groups) == NAMES.get(attribute, list(content))  # in order, not as met
    for group, (malignant, normal, auc) in zip(
        found.groups.values(), content.values(), strict=True
    ):
        assert (group.positives, group.negatives) == (len(malignant), len(normal))
        assert group.auc == (auc if auc is None else pytest.approx(auc))
        assert group.low_by_patient is None  # of fewer than five women
        assert group.note.startswith("undefined: ")


def test_rows_without_acquisition_are_unknown_and_never_join_a_band():
    rows = [row(1, 1.0, "a", exposure_mas=60.0), row(0, 0.0, "b", exposure_mas=60.0)]
    rows += [row(1, -9.0, "c"), row(0, 9.0, "d")]
    found = subgroup_aucs(rows)
    groups = found["exposure_mas"].groups
    assert {name: group.auc for name, group in groups.items()} == {
        "50 to 100 mAs": 1.0,
        "unknown": 0.0,
    }
    for attribute in ("age_band", "breast_thickness_mm", "site"):
        assert found[attribute].groups == {}
        assert found[attribute].note.startswith(f"undefined: {attribute} is unknown")
