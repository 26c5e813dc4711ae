"""The section on whole mammograms says what evaluate measured."""

import csv
import re

import numpy as np
import pytest

from cgan_tf.classifier.evaluation import evaluate
from cgan_tf.config import EvaluateConfig
from cgan_tf.detection.predictions import KnownLesion, ScoredImage, read_rows
from cgan_tf.detection.results import read_results
from cgan_tf.labels import arm_of, arm_title
from cgan_tf.pages.html import (
    Fold,
    Heading,
    Notes,
    Paragraph,
    Plot,
    Sliders,
    Table,
    page,
    unfolded,
)
from cgan_tf.pages.style import arm_colour
from cgan_tf.reporting.froc import section
from cgan_tf.reporting.page import table_csv
from cgan_tf.runs.errors import UserError
from tests.toys.pages import PageReader
from tests.toys.predictions import screening, write_directory, write_pictures
from tests.toys.report import report_inputs
from tests.toys.scored_tests import scored_test

BASELINE, MIXED = "Baseline", arm_title(arm_of("both", 0.5, "multiplicative"))


def evaluated(root, seeds=(0,), **flags):
    directories = [
        write_directory(
            root / f"{name[:2]}-{seed}",
            screening(12, skill, seed=10 * seed + int(skill)),
            model={"name": name, "seed": seed},
        )
        for seed in seeds
        for name, skill in ((BASELINE, 1.0), (MIXED, 3.0))
    ]
    output = root / "evaluation"
    names = tuple(map(str, directories))
    evaluate(EvaluateConfig(prediction_dirs=names, output_dir=str(output), rounds=40, **flags))
    return output


@pytest.fixture(scope="module")
def one_seed(tmp_path_factory):
    return evaluated(tmp_path_factory.mktemp("one"))


def parts_of(directory, kind, evaluations=()):
    made = section(report_inputs(evaluations, froc_dir=str(directory)))
    return [part for part in unfolded(made.parts) if isinstance(part, kind)]


def tables_of(directory):
    return {table.name: table for table in parts_of(directory, Table)}


def test_without_a_directory_there_is_no_section():
    assert section(report_inputs()) is None


def test_another_programs_directory_is_refused(tmp_path):
    directory = write_directory(tmp_path / "p", screening(2))
    with pytest.raises(UserError, match="expected a manifest of evaluate_images, found 'predict"):
        section(report_inputs(froc_dir=str(directory)))


def test_tables_show_the_measures_and_chance(one_seed):
    result, tables = read_results(one_seed), tables_of(one_seed)
    assert list(tables) == ["froc", "froc_aucs", "froc_differences", "froc_groups"]
    rows = tables["froc"].rows
    assert [row[0] for row in rows] == [BASELINE, MIXED, "Chance"]
    at_half = result.models[1].overall.measures["sensitivity_at_0.5"].value
    assert rows[1][tables["froc"].headings.index("at 0.5")] == f"{at_half:.0%}"
    area = result.models[0].overall.measures["area"]
    assert rows[0][1] == f"{area.value:.2f} ({area.low:.2f}–{area.high:.2f})"
    assert rows[2][1] == f"{result.models[0].overall.chance['area']:.2f}"
    assert tables["froc_aucs"].rows[-1][1:] == ("12 / 12", "6 / 6", "6 / 6")
    difference = next(r for r in tables["froc_differences"].rows if r[1] == "Sensitivity at 1")
    assert difference[0] == f"{MIXED} − {BASELINE}"
    types = {row[0] for row in tables["froc_groups"].rows}
    assert types == {"lesion type: calcification", "lesion type: mass", "lesion size: 20 to 50 mm"}
    plain = list(csv.DictReader(table_csv(tables["froc"]).decode().splitlines()))
    assert float(plain[7]["value"]) == area.value
    assert (plain[7]["measure"], plain[7]["chance"]) != ("", "")


def test_the_plot_has_a_line_for_every_model_in_the_colour_of_its_arm(one_seed):
    evaluations = [scored_test(0.0), scored_test(0.5)]
    (plot,) = parts_of(one_seed, Plot, evaluations)
    (axis,) = plot.figure.axes
    lines = {line.get_label(): line for line in axis.lines}
    assert {BASELINE, MIXED, "chance"} <= set(lines)
    assert lines[MIXED].get_color() == arm_colour(evaluations[1].arm)
    # Told apart without colours, too.
    assert lines[BASELINE].get_linestyle() != lines[MIXED].get_linestyle()
    curve = read_results(one_seed).models[0].curve
    assert lines[BASELINE].get_ydata()[-1] == curve.sensitivities[-1]


def test_rules_and_method_are_told(tmp_path, one_seed):
    notes = " ".join(text for part in parts_of(one_seed, Notes) for text in part.texts)
    assert "its centre is in the lesion's box" in notes
    assert "images without a malignant lesion" in notes
    flags = {"hit": "iou", "false_positives_on": "all", "benign_marks": "neither"}
    others = parts_of(evaluated(tmp_path, **flags), Notes)
    notes = " ".join(text for part in others for text in part.texts)
    assert "intersection over union of 0.2" in notes
    assert "all images, beside lesions, too" in notes
    assert "count as neither" in notes
    (lead, *_) = parts_of(one_seed, Paragraph)
    assert "false positives count on 12 of 24 images" in lead.text


def test_seeds_are_pooled_and_shown_one_by_one_in_a_fold(tmp_path):
    directory = evaluated(tmp_path, seeds=(0, 1))
    tables = tables_of(directory)
    assert [row[:2] for row in tables["froc_seeds"].rows] == [
        (BASELINE, "2"), (MIXED, "2"), ("Chance", ""),
    ]  # fmt: skip
    pooled = read_results(directory).compared(MIXED, "area")
    assert tables["froc_seeds"].rows[1][2] == f"{pooled.mean:.2f} ± {pooled.spread:.2f}"
    assert [row[0] for row in tables["froc_differences"].rows] == [f"{MIXED} − {BASELINE}"] * 5
    folds = parts_of(directory, Fold)
    assert folds[0].summary == "Seed by seed"
    (seeds, _) = folds[0].parts
    assert [row[0] for row in seeds.rows][:2] == [f"{BASELINE}, seed 0", f"{MIXED}, seed 0"]


def test_the_page_describes_its_plot_to_who_cannot_see_it(one_seed):
    made = section(report_inputs(froc_dir=str(one_seed)))
    reader = PageReader(page("Report", [], [made]))
    assert reader.values("section", "id") == ["froc-on-whole-mammograms"]
    assert reader.values("img", "alt") == ["Figure S1"]
    assert any("what chance finds" in text for text in reader.text)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Directories of a baseline and a mixed classifier, with pictures of every image."""
    root, directories = tmp_path_factory.mktemp("pictures"), []
    for name, skill in ((BASELINE, 1.0), (MIXED, 3.0)):
        images = screening(4, skill)
        model = {"name": name, "seed": 0}
        directories.append(write_directory(root / name, images, model=model))
        write_pictures(directories[-1], images, shape=(1400, 1000))
    return directories


def test_heat_maps_show_the_same_first_images_of_every_classifier(one_seed, scored):
    directories = tuple(map(str, scored))
    made = section(report_inputs(froc_dir=str(one_seed), heat_map_dirs=directories))
    parts = list(unfolded(made.parts))
    assert [part.text for part in parts if isinstance(part, Heading)] == [BASELINE, MIXED]
    sliders = [part.comparisons for part in parts if isinstance(part, Sliders)]
    known = {i.sop_uid: i.malignant for i in read_rows(scored[0] / "images.csv", ScoredImage)}
    for malignant, place in ((1, 0), (1, 1), (0, 2)):
        uid = [uid for uid, truth in known.items() if truth == malignant][place % 2]
        for comparisons in sliders:
            assert len(comparisons) == 3
            assert uid in comparisons[place].caption
    scores = [[re.search(r"score [.\d]+", c.caption)[0] for c in each] for each in sliders]
    assert scores[0] != scores[1]
    assert len({c.key for comparisons in sliders for c in comparisons}) == 6


def test_heat_maps_are_reduced_and_their_boxes_with_them(one_seed, scored):
    made = section(report_inputs(froc_dir=str(one_seed), heat_map_dirs=(str(scored[0]),)))
    (sliders,) = (part for part in unfolded(made.parts) if isinstance(part, Sliders))
    shown = sliders.comparisons[0]
    assert (shown.before.width, shown.before.height) == (500, 700)
    uid = next(i for i in read_rows(scored[0] / "images.csv", ScoredImage) if i.malignant)
    lesions = [
        each
        for each in read_rows(scored[0] / "lesions.csv", KnownLesion)
        if each.sop_uid == uid.sop_uid
    ]
    for (box, _), lesion in zip(shown.boxes, lesions, strict=True):
        scale = np.array([500 / uid.width, 700 / uid.height] * 2)
        np.testing.assert_allclose(box, scale * lesion.box, atol=0.01)


def test_without_pictures_there_are_no_heat_maps(one_seed, tmp_path):
    bare = write_directory(tmp_path / "bare", screening(2))
    made = section(report_inputs(froc_dir=str(one_seed), heat_map_dirs=(str(bare),)))
    assert not [part for part in unfolded(made.parts) if isinstance(part, Sliders)]


def test_heat_maps_of_a_directory_that_has_none_are_refused(one_seed):
    with pytest.raises(UserError, match="nowhere"):
        section(report_inputs(froc_dir=str(one_seed), heat_map_dirs=("nowhere",)))
