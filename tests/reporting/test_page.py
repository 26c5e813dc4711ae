"""The report: self-contained, escaped, and saying what the evaluations say."""

import csv
import dataclasses
import json
import re
import shutil
import types
from pathlib import Path
from urllib.parse import unquote

import jinja2
import numpy as np
import pytest

from cgan_tf.classifier.results import read_evaluations
from cgan_tf.config import GanConfig, ReportConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.pages import html
from cgan_tf.pages import patches as pages_patches
from cgan_tf.pages.html import Sliders, Table, section_of
from cgan_tf.pages.style import auc_and_interval, column_decimals, format_p
from cgan_tf.reporting import appendix, figure_1
from cgan_tf.reporting import page as page_module
from cgan_tf.reporting.inputs import PHANTOM_NOTICE, ReportInputs, auc_of, read_set
from cgan_tf.reporting.page import FILMS_NOTICE, overlap_notices, write_report
from cgan_tf.reporting.trust import MISTAKES_SHOWN
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import config_to_dict
from cgan_tf.statistics.auc import delong_test
from tests.toys.experiment import SETS
from tests.toys.pages import PageReader, levels_of
from tests.toys.report import report_inputs
from tests.toys.scored_tests import scored_test

HOSTILE = "<script>alert(\"x\")</script> & 'quoted'"
MASS = "malignant_mass"
SMALL_GAN = {"size": 32, "generator_filters": 4, "bottleneck_filters": 16}


@pytest.fixture(scope="module")
def config(toy_experiment, tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    gan = root / "gan_mass"
    gan.mkdir()
    (gan / "run.json").write_text(
        json.dumps({"flags": config_to_dict(GanConfig(**SMALL_GAN, task=HOSTILE))})
    )
    rows = ["step,phase,alpha,loss_d,loss_g,seconds"]
    rows += [f"{i},{'fade_in' if 4 < i < 8 else 'full'},1,{2 / i},{i},0" for i in range(1, 20)]
    (gan / "metrics.csv").write_text("\n".join(rows) + "\n")
    return ReportConfig(
        evaluations=tuple(str(toy_experiment / f"evaluation_{n}") for n in ("baseline", "mixed")),
        patches_dir=str(toy_experiment / "patches"),
        synthetic_dirs=tuple(str(toy_experiment / name) for name in SETS),
        showcase_dirs=(str(toy_experiment / "calcification"),),
        showcase_patches_dir=str(toy_experiment / "patches"),
        gan_dirs=(str(gan),),
        output=str(root / "deep" / "report.html"),
        title=HOSTILE,
        notice=HOSTILE,
        tsne_normal=12, tsne_mass=12, tsne_calcification=12,
        tsne_synthetic_mass=12, tsne_synthetic_calcification=12,
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(config):
    write_report(config)
    return Path(config.output).read_text(encoding="utf-8")


def test_page_needs_nothing_from_outside(page, config):
    reader = PageReader(page)
    assert not {"link", "iframe", "object"} & set(reader.tags)
    assert re.findall(r"<script>(.*?)</script>", page, re.S) == [
        html.PAGE_SCRIPT, html.COMPARISON_SCRIPT,
    ]  # fmt: skip
    assert reader.tags.count("script") == 2
    sources = [value for _, name, value in reader.attributes if name == "src"]
    assert sources
    assert all(value.startswith("data:image/png;base64,") for value in sources)
    links = [value for _, name, value in reader.attributes if name == "href"]
    assert not any(re.match(r"\w+:", link) for link in links)
    beside = Path(config.output).parent
    for link in links:  # to a place on the page, or to a file that is there
        if link.startswith("#"):
            assert link[1:] in [value for _, name, value in reader.attributes if name == "id"]
        else:
            assert (beside / unquote(link)).exists(), link
    cards = [link for link in links if link.endswith(".md")]
    assert len(cards) == 2  # the classifiers' cards, beside the page and folded into it
    for link in cards:
        card = (Path(config.output).parent / link).read_text(encoding="utf-8")
        assert card.startswith("# Classifier card: ")
        assert card in "".join(reader.text)
    assert "url(" not in page
    assert "@import" not in page


def test_a_gallery_is_linked_where_its_flag_says_through_a_symbolic_link_too(tmp_path):
    (tmp_path / "elsewhere" / "mass").mkdir(parents=True)
    (tmp_path / "elsewhere" / "mass" / "gallery.html").touch()
    (tmp_path / "synthetic").symlink_to(tmp_path / "elsewhere")
    sets = (str(tmp_path / "synthetic" / "mass"),)
    output = str(tmp_path / "report" / "report.html")
    links = page_module._links(report_inputs(synthetic_dirs=sets, output=output))
    assert links[0] == ("Gallery: synthetic/mass", "../synthetic/mass/gallery.html")


def test_every_string_from_data_is_escaped(page):
    assert HOSTILE not in page
    text = " ".join(PageReader(page).text)
    assert text.count(HOSTILE) >= 3  # title element, heading, notice


PLOTS = (
    "Each pair: ", "The networks for ", "ROC curves on 30 ", "t-SNE of the last feature layer ",
    "Share of malignant test patches ", "AUC in sub-groups ", "Logits of the source patches ",
    "Exact AUC of each classifier ", "Share of synthetic samples ", "GAN losses; ",
)  # fmt: skip


def test_the_pictures_are_those_of_the_plots_the_sets_and_the_maps(page, config):
    reader = PageReader(page)
    names, text = reader.values("img", "alt"), re.sub(r"\s+", " ", " ".join(reader.text))
    assert [start for start in PLOTS if start not in text] == []
    plots = [name for name in names if name.startswith("Figure ")]
    assert len(set(plots)) == len(plots) >= len(PLOTS)
    triplets = [name for name in names if ", pair " in name]
    marks = [", phantom" in name for name in triplets[::3]]
    assert marks == [True] * 24 + [False] * 6  # the showcase is of other data
    compared = reader.values("figure", "data-source")
    assert sorted(set(compared)) == sorted(
        f"{split}-{source}-{number:05d}"
        for split, source in (("train", "source"), ("train", MASS), ("test", MASS))
        for number in (0, 2, 4, 5, 6, 7)
    )
    assert len(compared) == 6 * (len(SETS) + 1)  # the showcase too
    for place, patch in enumerate(compared):
        change = "added" if "source" in patch else "removed"
        mark = ", phantom" if marks[place] else ""
        of_one = triplets[3 * place : 3 * place + 3]
        number = place % 6 + 1
        assert [name.partition(f", pair {number}")[2] for name in of_one] == [
            f"{mark}, original", f"{mark}, lesion {change}", f"{mark}, Lesion channel",
        ]  # fmt: skip
    maps = [name.partition(", logit ")[0] for name in names if ", logit " in name]
    expected = []
    for directory in config.evaluations:
        with (Path(directory) / "grad_cam" / "index.csv").open(newline="") as file:
            index = list(csv.DictReader(file))
        for mistake in ("false_negative", "false_positive"):
            of_a_kind = [row["patch_id"] for row in index if row["mistake"] == mistake]
            expected += of_a_kind[:MISTAKES_SHOWN]
    assert maps
    assert sorted(maps) == sorted(expected)
    assert len(names) == len(plots) + len(triplets) + len(maps)


def test_pictures_open(page):
    for address in PageReader(page).values("img", "src"):
        assert levels_of(address).std() > 1


def test_page_says_what_the_evaluations_say(page, config):
    text = re.sub(r"\s+", " ", " ".join(PageReader(page).text))
    baseline, mixed = read_evaluations(config.evaluations)
    aucs = [auc_of(evaluation.metrics.auc["overall"]) for evaluation in (baseline, mixed)]
    decimals = column_decimals(auc.limits for auc in aucs)
    for auc in aucs:
        assert text.count(auc_and_interval(auc, decimals)) >= 1
    for words in (PHANTOM_NOTICE, FILMS_NOTICE, "normal phantom patches of"):
        assert words in text
    assert "50% w/ decay" in text
    plain = delong_test(baseline.labels, mixed.logits, baseline.logits)
    clustered = delong_test(baseline.labels, mixed.logits, baseline.logits, baseline.patients)
    assert format_p(plain) in text
    assert format_p(clustered) in text
    effect = baseline.metrics.synthetic["removal_test"]  # held out comes before training
    scores = (
        1 / (1 + np.exp(-logit)) for logit in (effect.mean_logit_before, effect.mean_logit_after)
    )
    assert " → ".join(f"{score:.2f}" for score in scores) in text
    for words in ("50% · 50% · 50%", "held-out", "One seed, so the interval leaves out"):
        assert words in text
    for words in ("0.829", "0.846", "Paper's"):  # not beside the numbers of a phantom
        assert words not in text
    for flag in ("--synthetic_fraction=0.5", "--learning_rate=0.003", "--batch_norm=batch"):
        assert flag in text


@pytest.mark.slow
def test_the_same_inputs_give_the_same_page(page, config, tmp_path):
    again = dataclasses.replace(config, output=str(tmp_path / "report.html"))
    write_report(again)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page


@pytest.mark.slow
def test_a_single_evaluation_is_enough(config, tmp_path):
    alone = dataclasses.replace(
        config,
        evaluations=config.evaluations[:1],
        synthetic_dirs=(),
        showcase_dirs=(),
        gan_dirs=(),
        output=str(tmp_path / "alone.html"),
    )
    write_report(alone)
    assert "Figure 1." not in (tmp_path / "alone.html").read_text(encoding="utf-8")


def test_the_first_evaluation_is_a_baseline(config):
    with pytest.raises(UserError, match=r"expected a baseline.*found 50% synthetic"):
        read_evaluations(config.evaluations[::-1])


def test_a_proportion_twice_with_one_seed_is_refused(config):
    with pytest.raises(UserError, match="seed 0, real_only: expected one run, found two"):
        write_report(dataclasses.replace(config, evaluations=config.evaluations[:1] * 2))


def test_other_patches_cannot_be_compared(config, tmp_path):
    shutil.copytree(config.evaluations[1], tmp_path / "other")
    table = tmp_path / "other" / "scores.csv"
    table.write_text(table.read_text().replace("test-normal-00000", "test-normal-99999"))
    with pytest.raises(UserError, match="found others"):
        read_evaluations((config.evaluations[0], str(tmp_path / "other")))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"evaluations": ("nowhere",)}, "expected an output directory of evaluate"),
        ({"showcase_patches_dir": ""}, "--showcase_patches_dir is required"),
        ({"heat_map_dirs": ("nowhere",)}, "--froc_dir is required with --heat_map_dirs"),
        ({"synthetic_dirs": ("nowhere",)}, "expected an output directory of synthesize"),
        ({"gan_dirs": ("nowhere",)}, "nowhere"),
        ({"output": "/proc/nowhere/report.html"}, "cannot be written"),
    ],
)
def test_mistakes_are_one_line(config, changes, words):
    with pytest.raises(UserError, match=words) as caught:
        write_report(dataclasses.replace(config, **changes))
    assert "\n" not in str(caught.value)


def test_pairs_are_compared_on_one_scale(toy_experiment):
    patches = PatchSet(toy_experiment / "patches")
    pairs = pages_patches.example_pairs(toy_experiment / "mass", patches, 4, seed=0)
    assert len({pair.synthetic.patch_id for pair in pairs}) == 4
    for pair in pairs:
        assert pair.source.patch_id == pair.synthetic.source_patch_id
        content = pages_patches.pair_comparison(pair, "k", "Pair 1")
        before, after, lesion = (
            levels_of(picture.address)
            for picture in (content.before, content.after, content.layers[0][1])
        )
        assert before.shape == (192, 192)  # 32 px enlarged by a whole factor
        assert after.max() > before.max() - 1
        assert np.corrcoef((after - before).ravel(), lesion.ravel())[0, 1] > 0.9
        assert np.median(lesion) == pytest.approx(128, abs=1)  # zero is mid-grey


def test_the_box_is_that_of_the_lesion_added_or_removed(toy_experiment):
    patches = PatchSet(toy_experiment / "patches")
    (pair,) = pages_patches.example_pairs(toy_experiment / "removal", patches, 1, seed=0)
    content = pages_patches.pair_comparison(pair, "k", "Pair 1")
    assert (content.title, content.source) == ("Pair 1", pair.source.patch_id)
    assert content.boxes == [(tuple(6 * edge for edge in pair.source.box), "lesion")]
    assert content.labels == ("original", "lesion removed")
    assert content.start == round(100 * (pair.source.box[0] + pair.source.box[2]) / 2 / 32)
    added = dataclasses.replace(
        pair.synthetic, task="mass", box=(1.0, 2.0, 3.0, 5.0), patch_class="malignant_mass"
    )
    content = pages_patches.pair_comparison(pages_patches.Pair(added, pair.source), "k", "Pair 1")
    assert content.boxes == [((6, 12, 18, 30), "added lesion")]
    assert content.labels == ("original", "lesion added")


def test_figure_1_has_a_row_a_set_of_pairs(toy_experiment):
    patches = PatchSet(toy_experiment / "patches")
    config = ReportConfig(synthetic_dirs=tuple(str(toy_experiment / name) for name in SETS))
    inputs = ReportInputs(config, (), patches, list(map(read_set, config.synthetic_dirs)))
    figure, gallery = figure_1.section(inputs), figure_1.before_and_after(inputs)
    (plot,) = figure.parts
    axes = plot.figure.axes
    places = np.array([axis.get_position().bounds for axis in axes]).reshape(4, 4, 2, 4)
    assert (np.diff(places[..., 1], axis=0) < 0).all()  # a row lower for every set
    left, right = places[..., 0, 0], places[..., 1, 0]
    assert (left < right).all()
    width = places[0, 0, 0, 2]
    within, between = right - left - width, left[:, 1:] - right[:, :-1] - width
    assert within.max() < between.min() / 2  # pairs are seen as pairs
    titles = [text.get_text() for text in plot.figure.texts]
    assert titles == [
        "Masses synthesised", "Calcifications synthesised", "Lesions removed",
        "Lesions removed (test split)",
    ]  # fmt: skip
    pairs = pages_patches.example_pairs(config.synthetic_dirs[0], patches, 6, 0)
    sliders = [part for part in gallery.parts if isinstance(part, Sliders)]
    assert [len(part.comparisons) for part in sliders] == [6] * 4
    for number, pair in enumerate(pairs[:4]):
        for place, view in enumerate(pages_patches.pair_views(pair)):
            np.testing.assert_array_equal(axes[2 * number + place].images[0].get_array(), view)
        shown = sliders[0].comparisons[number]
        assert shown.source == pair.source.patch_id
        assert shown.title == f"Masses synthesised, pair {number + 1}"


def test_ledger_is_added_up():
    ledger = {
        "images": {"read": 10, "used": 6, "not_needed": 1, "rejected": {"too_dark": 3}},
        "marks": {"read": 5, "used": 4, "not_needed": 0, "rejected": {}},
        "note": "not an account",
    }

    patches = types.SimpleNamespace(
        manifest={"ledger": ledger}, count=lambda split, name: 3 if name == "normal" else 0
    )
    text = html.page("", "", [appendix.data(report_inputs(patches=patches))])
    text = re.sub(r' data-of="[^"]*"', "", text)  # headings, for narrow screens
    assert "<td>images</td><td>10</td><td>6</td><td>1</td><td>3</td><td>yes</td>" in text
    assert "<td>marks</td><td>5</td><td>4</td><td>0</td><td>0</td><td>no: 4</td>" in text
    assert "Rejected images: 3 too dark" in text
    assert "benign" not in text


def test_every_part_escapes_its_text():
    parts = [
        html.Heading("<x1>"),
        html.Paragraph("<x2>", "<x3>"),
        html.Notes(["<x4>"]),
        html.Facts([("<x5>", "<x6>", "<x7>")]),
        html.Links([("<x8>", "<x9>")]),
        html.Details("<x10>", "<x11>"),
        Table("t", ["<x12>"], [["<x13>"]]),
        html.Fold("<x20>", [html.Checks([(True, "<x21>", "<x22>")])]),
        html.Document("<x14>", "<x15>", "<x16>"),
    ]
    text = html.page("<x17>", [html.Paragraph("<x18>")], [section_of("<x19>", *parts)])
    assert "<x" not in text
    reader = PageReader(text)
    values = [value for _, _, value in reader.attributes if value]
    shown = " ".join([*reader.text, *values])
    assert [n for n in range(1, 23) if f"<x{n}>" not in shown] == []
    assert section_of("Empty") is None


def test_a_name_that_a_template_does_not_know_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        html.page("T", [], [html.Section("S", [types.SimpleNamespace()])])


def test_a_deliberate_overlap_is_said_once_for_all_runs():
    overlap = {"name": "SYN/mass", "split": "test", "patients": ["a", "b"], "patches": 7, "of": 9}
    clean, leaking = scored_test(0.0), scored_test(0.5)
    leaking.training["overlap"] = [overlap]
    assert overlap_notices([clean]) == []
    assert overlap_notices([clean, leaking, leaking]) == [
        "Training overlaps with evaluation, as --allow_overlap permitted. SYN/mass: 2 of its 9 "
        "women are in the test split (a, b, 7 patches). The AUCs may be too high."
    ]
