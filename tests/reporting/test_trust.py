"""Calibration, sub-groups and Grad-CAM pictures say what the evaluations say."""

import dataclasses

import cv2
import numpy as np
import pytest

from cgan_tf.pages.html import Gallery, Heading
from cgan_tf.reporting import trust
from cgan_tf.runs.errors import UserError
from tests.toys.report import report_inputs
from tests.toys.scored_tests import scored_test, sweep


def test_calibration_is_that_of_the_metrics():
    evaluation = scored_test(0.5, skill=2.0)
    values = evaluation.metrics.calibration
    section = trust.calibration(report_inputs([evaluation]))
    (row,) = section.parts[1].rows
    assert row[1].startswith(f"{values.slope:.2f} ({values.slope_low:.2f} to ")
    assert row[5] == f"{values.brier_score:.3f}"
    assert values.prevalence_note in section.parts[2].text


def test_the_diagram_has_the_bins():
    evaluation = scored_test(0.0)
    figure = trust.calibration_figure([evaluation])
    bins = [b for b in evaluation.metrics.calibration.bins if b.patches]
    (points,) = figure.axes[0].collections
    expected = [(b.mean_probability, b.positive_share) for b in bins]
    np.testing.assert_allclose(points.get_offsets(), expected)
    assert len(trust.calibration_figure(sweep()).axes) == 6


def test_an_undefined_slope_has_its_reason():
    evaluation = scored_test(0.0, skill=100.0)  # a threshold separates the classes
    section = trust.calibration(report_inputs([evaluation]))
    assert section.parts[1].rows[0][1].startswith("undefined: a threshold separates")


def test_subgroups_of_two_classifiers_stand_side_by_side():
    chosen = [scored_test(0.0), scored_test(0.5, skill=2.0)]

    section = trust.subgroups(report_inputs(chosen))
    table = next(p for p in section.parts if getattr(p, "rows", None))
    rows = {row[0]: row[1:] for row in table.rows}
    patches, women, first, second = rows["lesion type: mass"]
    assert (patches, women) == ("60 / 120", "40 / 40")
    for text, evaluation in ((first, chosen[0]), (second, chosen[1])):
        group = evaluation.metrics.subgroups["lesion_type"].groups["mass"]
        low, high = group.low_by_patient, group.high_by_patient
        assert text == f"{group.auc:.3f} ({low:.3f}–{high:.3f})"
    assert len(table.records) == 2 * len(table.rows)
    assert "Breast density is unknown for every malignant patch." in section.parts[-1].text


def test_a_subgroup_of_few_women_has_no_interval():
    evaluation = scored_test(0.0)
    groups = evaluation.metrics.subgroups["lesion_type"].groups
    few = {"low_by_patient": None, "high_by_patient": None, "note": "undefined: few"}
    groups["mass"] = dataclasses.replace(groups["mass"], **few)
    section = trust.subgroups(report_inputs([evaluation]))
    table = next(p for p in section.parts if getattr(p, "rows", None))
    mass = next(row for row in table.rows if row[0] == "lesion type: mass")
    assert mass[3] == f"{groups['mass'].auc:.3f} (too few women)"


def test_a_subgroup_of_one_class_is_undefined_in_a_word():
    """Its long note would push the columns off the page; it stays in the records."""
    evaluation = scored_test(0.0)
    groups = evaluation.metrics.subgroups["lesion_type"].groups
    nothing = dict.fromkeys(("auc", "low_by_patient", "high_by_patient"))
    nothing |= {"negatives": 0, "note": "undefined: 3 patients with positive ..."}
    groups["mass"] = dataclasses.replace(groups["mass"], **nothing)
    section = trust.subgroups(report_inputs([evaluation]))
    table = next(p for p in section.parts if getattr(p, "rows", None))
    mass = next(row for row in table.rows if row[0] == "lesion type: mass")
    assert mass[1:] == ("60 / 0", "40 / 40", "undefined")
    assert any(record["note"].startswith("undefined: 3") for record in table.records)


@pytest.fixture
def with_pictures(tmp_path):
    folder = tmp_path / "grad_cam"
    folder.mkdir()
    (folder / "fn.png").write_bytes(cv2.imencode(".png", np.zeros((8, 24, 3), np.uint8))[1])
    (folder / "index.csv").write_text(
        "patch_id,mistake,logit,file\np7,false_negative,-2.5,fn.png\n"
    )
    return dataclasses.replace(scored_test(0.0), directory=tmp_path, name="Baseline")


def test_pictures_of_mistakes_are_shown_with_their_logits(with_pictures):
    section = trust.grad_cams(report_inputs([with_pictures, scored_test(0.5)]))  # one has none
    (gallery,) = [part for part in section.parts if isinstance(part, Gallery)]
    assert gallery.pictures[0][1] == "p7, logit -2.50"
    headings = [part.text for part in section.parts if isinstance(part, Heading)]
    assert headings == ["Baseline: lesions mistaken for normal tissue"]
    assert trust.grad_cams(report_inputs([scored_test(0.0)])) is None


def test_a_missing_picture_is_one_line(with_pictures):
    (with_pictures.directory / "grad_cam" / "fn.png").unlink()
    with pytest.raises(UserError, match=r"fn\.png: cannot be read"):
        trust.grad_cams(report_inputs([with_pictures]))
