"""The report's section on quality says what quality.json says, and shows its pictures."""

import dataclasses
import html
import json
import re

import pytest

from cgan_tf.assessment.run import measure_quality
from cgan_tf.config import QualityConfig, ReportConfig
from cgan_tf.pages import html as pages_html
from cgan_tf.pages import style
from cgan_tf.pages.html import Gallery, Plot, Table
from cgan_tf.reporting import quality as reporting_quality
from cgan_tf.reporting.page import section_files, write_report
from cgan_tf.reporting.quality import PANELS
from cgan_tf.runs.errors import UserError
from tests.toys import quality_sets
from tests.toys.report import report_inputs


def quality(directory):
    return reporting_quality.section(report_inputs(quality_dir=str(directory)))


def parts_of(directory):
    return list(pages_html.unfolded(quality(directory).parts))


def test_a_bar_ends_where_its_quantile_is(directory):
    """The bar of the middle half is thick: only without projecting caps does it end there."""
    (plot,) = (part for part in parts_of(directory) if isinstance(part, Plot))
    bars = [line for axis in plot.figure.axes for line in axis.lines if line.get_linewidth() == 5]
    assert bars
    assert {line.get_solid_capstyle() for line in bars} == {"butt"}


def test_the_legend_names_the_sides_and_no_column_is_titled_by_them(directory):
    (plot,) = (part for part in parts_of(directory) if isinstance(part, Plot))
    (legend,) = plot.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["synthetic", "real"]
    colours = [line.get_color() for line in legend.get_lines()]
    assert colours == list(reporting_quality.SIDES.values())
    titles = [axis.get_title() for axis in plot.figure.axes]
    assert not {"synthetic", "real"} & set(titles)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Of a set with a fault, and of removal."""
    root = tmp_path_factory.mktemp("report_quality")
    patches = quality_sets.write_patches(root / "patches")
    directories = (
        quality_sets.write_masses(root / "mass", patches, quality_sets.pasted),
        quality_sets.write_removals(root / "removal", patches, left=0.0),
    )
    config = QualityConfig(
        patches_dir=str(patches),
        synthetic_dirs=tuple(map(str, directories)),
        output_dir=str(root / "q"),
        splits=1,
    )
    measure_quality(config)
    return root / "q"


@pytest.fixture(scope="module")
def sets(directory):
    return json.loads((directory / "quality.json").read_text(encoding="utf-8"))["sets"]


@pytest.fixture(scope="module")
def text(directory):
    page = pages_html.page("", "", [quality(directory)])
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def test_every_verdict_is_on_the_page(text, sets):
    for name, content in sets.items():
        assert f"{name.capitalize()}: 70 patches" in text
        for check in content["checks"]:
            assert check["name"] in text
            assert style.minus(check["text"]) in text
    first = text.index("faults not seen")
    assert text.index("lesions repeat") < first  # what is seen comes first


def test_numbers_are_those_of_the_file(directory, sets):
    tables = {p.name: p for p in parts_of(directory) if isinstance(p, Table)}
    assert list(tables) == [
        "quality_mass_overlap", "quality_mass_lesions", "quality_mass_spread",
        "quality_mass_membership",
        "quality_removal_lesions", "quality_removal_spread",
    ]  # fmt: skip
    measures = sets["mass"]["overlap"]["lesion shape"]["measures"]
    rows = {row[0]: row[1:] for row in tables["quality_mass_overlap"].rows}
    recall = measures["recall"]
    assert rows["Recall"] == (f"{recall['synthetic']:.3f}", f"{recall['ceiling']:.3f}")
    assert not any("eiling" in heading for t in tables.values() for heading in t.headings)
    rows = {row[0]: row[1:] for row in tables["quality_mass_lesions"].rows}
    area = sets["mass"]["lesions"]["area"]
    low, middle, high = (f"{area['synthetic'][i]:.1%}" for i in (0, 2, 4))
    assert rows["Area"][0] == f"{middle} ({low} to {high})"
    assert rows["Area"][2:] == (f"{area['distance']:.2f}", f"{area['ceiling']:.2f}")
    assert tables["quality_removal_lesions"].headings[0] == "Left of the lesion"
    (_, *spread), *_ = tables["quality_mass_spread"].rows
    positions = [sets["mass"]["spread"][side]["position"] for side in ("synthetic", "real")]
    assert spread == [f"{position:.3f}" for position in positions]


def test_pictures_are_those_of_the_run(directory, sets):
    galleries = [part for part in parts_of(directory) if isinstance(part, Gallery)]
    names = [f"quality_mass_{kind}" for kind in ("best", "median", "worst", "copy")]
    assert [gallery.name for gallery in galleries] == names  # removal has no feature space here
    shown = [png for gallery in galleries for png, _ in gallery.pictures]
    files = [pair["file"] for pair in sets["mass"]["pictures"]]
    assert shown == [(directory / "pictures" / file).read_bytes() for file in files]


def test_the_plot_has_a_row_for_each_set(directory, sets):
    (plot,) = (part for part in parts_of(directory) if isinstance(part, Plot))
    axes = plot.figure.axes
    assert len(axes) == len(sets) * (len(PANELS) + 1)
    area = axes[1].lines
    quantiles = [100 * value for value in sets["mass"]["lesions"]["area"]["synthetic"]]
    assert area[0].get_xdata() == pytest.approx([quantiles[0], quantiles[4]])
    assert area[2].get_xdata() == pytest.approx([quantiles[2]])
    noise = axes[len(PANELS)].lines[1].get_ydata()
    medians = [sets["mass"]["appearance"][f"noise_{n}"]["synthetic"][2] for n in range(4)]
    assert noise == pytest.approx([2**median for median in medians])


def test_files_of_the_section(directory):
    files = set(section_files([quality(directory)]))
    assert {"quality_lesions.png", "quality_mass_best.png", "quality_mass_overlap.csv"} <= files


def test_undefined_numbers_are_said(directory, sets, tmp_path):
    content = {"sets": {"mass": json.loads(json.dumps(sets["mass"]))}}
    mass = content["sets"]["mass"]
    mass["overlap"]["lesion shape"]["measures"]["classifier_auc"]["ceiling"] = None
    mass["lesions"]["contrast"] |= {"synthetic": None, "distance": None, "ceiling": None}
    mass["appearance"]["noise_1"]["real"] = None
    mass["spread"]["synthetic"]["position"] = None
    mass["pictures"] = []
    (tmp_path / "quality.json").write_text(json.dumps(content), encoding="utf-8")
    manifest = (directory / "manifest.json").read_text(encoding="utf-8")
    (tmp_path / "manifest.json").write_text(manifest, encoding="utf-8")
    page = pages_html.page("", "", [quality(tmp_path)])
    assert page.count("undefined") >= 5


def test_a_missing_picture_or_run_is_named(directory, tmp_path):
    assert quality("") is None
    with pytest.raises(UserError, match="expected the manifest of quality"):
        quality(tmp_path)
    for name in ("quality.json", "manifest.json"):
        (tmp_path / name).write_bytes((directory / name).read_bytes())
    with pytest.raises(UserError, match=r"mass_01_best.png: cannot be read"):
        quality(tmp_path)


@pytest.mark.slow
def test_the_report_has_the_section(directory, toy_experiment, tmp_path):
    config = ReportConfig(
        evaluations=(str(toy_experiment / "evaluation_baseline"),),
        patches_dir=str(toy_experiment / "patches"),
        quality_dir=str(directory),
        output=str(tmp_path / "report.html"),
        tsne_normal=2, tsne_mass=2, tsne_calcification=2, tsne_synthetic_mass=1,
        tsne_synthetic_calcification=1,
    )  # fmt: skip
    write_report(config)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<h2>Quality</h2>") == 1
    assert (tmp_path / "report_files/quality_mass_copy.png").exists()
    write_report(dataclasses.replace(config, quality_dir=""))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h2>Quality</h2>" not in page
    assert not (tmp_path / "report_files/quality_mass_copy.png").exists()
