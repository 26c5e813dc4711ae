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
        assert text == f"{group.auc:.2f} ({low:.2f}–{high:.2f})"  # as the widest interval allows
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
    assert mass[3] == f"{groups['mass'].auc:.2f} (too few women)"


def _rows_by_group(chosen):
    section = trust.subgroups(report_inputs(chosen))
    table = next(p for p in section.parts if getattr(p, "rows", None))
    return {row[0]: row[1:] for row in table.rows}, section.parts[-1].text


def test_bands_of_the_exposure_are_rows_with_their_unit():
    """Women 0 to 10 have at most 100 mAs, 11 to 35 at most 200, and four more."""
    rows, text = _rows_by_group([scored_test(0.0)])
    exposure = [(name, row[1]) for name, row in rows.items() if name.startswith("exposure")]
    assert exposure == [
        ("exposure: 50 to 100 mAs", "11 / 11"),
        ("exposure: 100 to 200 mAs", "25 / 25"),
        ("exposure: over 200 mAs", "4 / 4"),
    ]
    assert rows["exposure: over 200 mAs"][2].endswith("(too few women)")
    assert "Breast thickness is unknown for every malignant patch." in text


def test_an_older_evaluation_stands_beside_a_newer_one():
    """The groups are those of both: an older evaluation knows no exposure."""
    for older in (0, 1):
        chosen = [scored_test(0.0), scored_test(0.5)]
        del chosen[older].metrics.subgroups["exposure_mas"]
        rows, _ = _rows_by_group(chosen)
        assert len(rows["lesion type: mass"]) == 4  # patches, women, and both AUCs
        assert not any(name.startswith("exposure") for name in rows)


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


def test_maps_too_coarse_to_tell_a_place_are_left_out(with_pictures):
    """A map of 2×2 places would colour the whole patch; the patch is the picture's first third."""
    folder = with_pictures.directory / "grad_cam"
    strip = np.concatenate([np.full((8, 8, 3), level, np.uint8) for level in (50, 100, 150)], 1)
    (folder / "fn.png").write_bytes(cv2.imencode(".png", strip)[1])
    for places, shape, words in ((2, (8, 8), "2×2 places"), (8, (8, 24), "evidence for cancer")):
        (folder / "index.csv").write_text(
            f"patch_id,mistake,logit,file,places\np7,false_negative,-2.5,fn.png,{places}\n"
        )
        section = trust.grad_cams(report_inputs([with_pictures]))
        (gallery,) = [part for part in section.parts if isinstance(part, Gallery)]
        shown = cv2.imdecode(np.frombuffer(gallery.pictures[0][0], np.uint8), cv2.IMREAD_COLOR)
        assert shown.shape[:2] == shape
        assert (shown[:, :8] == 50).all()
        assert words in section.parts[0].text


def test_three_mistakes_of_a_kind_are_shown(with_pictures):
    rows = "".join(f"p{n},false_negative,-{n},fn.png\n" for n in range(9, 4, -1))
    index = with_pictures.directory / "grad_cam" / "index.csv"
    index.write_text(f"patch_id,mistake,logit,file\n{rows}")
    section = trust.grad_cams(report_inputs([with_pictures]))
    (gallery,) = [part for part in section.parts if isinstance(part, Gallery)]
    assert [text.partition(",")[0] for _, text in gallery.pictures] == ["p9", "p8", "p7"]


def test_a_missing_picture_is_one_line(with_pictures):
    (with_pictures.directory / "grad_cam" / "fn.png").unlink()
    with pytest.raises(UserError, match=r"fn\.png: cannot be read"):
        trust.grad_cams(report_inputs([with_pictures]))
