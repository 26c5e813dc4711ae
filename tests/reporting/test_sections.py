"""A section is one function of the report's inputs and one name in SECTIONS."""

from pathlib import Path

from matplotlib.figure import Figure

from cgan_tf.config import ReportConfig
from cgan_tf.pages.html import Plot, Section, Table, section_of
from cgan_tf.reporting import page
from cgan_tf.reporting.inputs import ReportInputs
from cgan_tf.reporting.page import write_report
from tests.toys.pages import PageReader


def figure_7(inputs: ReportInputs) -> Section | None:
    """A stranger's section: the patches that the baseline was tested on."""
    labels = inputs.baseline.labels
    figure = Figure(figsize=(2, 1))
    figure.subplots().hist(labels)
    rows = [("malignant", int(labels.sum())), ("normal", int((1 - labels).sum()))]
    return section_of(
        "Figure 7. Test patches",
        Plot("figure_7", figure, "Test patches by label."),
        Table("figure_7_counts", ("Label", "Patches"), rows),
    )


def nothing(inputs: ReportInputs) -> Section | None:
    """A section whose inputs are missing."""
    return None


def test_one_function_and_one_line_add_a_section(toy_experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "SECTIONS", (*page.SECTIONS[-2:], nothing, figure_7))
    config = ReportConfig(
        evaluations=(str(toy_experiment / "evaluation_baseline"),),
        patches_dir=str(toy_experiment / "patches"),
        output=str(tmp_path / "report.html"),
    )
    write_report(config)
    reader = PageReader(Path(config.output).read_text(encoding="utf-8"))
    assert reader.values("section", "id") == [
        "data", "flags-of-every-run", "figure-7-test-patches",
    ]  # fmt: skip
    assert "Figure 7. Test patches" in reader.text
    assert reader.values("img", "alt") == ["Test patches by label."]
    files = {path.name for path in (tmp_path / "report_files").iterdir()}
    assert {"figure_7.png", "figure_7.pdf", "figure_7_counts.csv"} <= files
    table = (tmp_path / "report_files" / "figure_7_counts.csv").read_text(encoding="utf-8")
    assert table.startswith("Label,Patches\nmalignant,")


def test_every_section_has_a_place_of_its_own():
    names = [f"{section.__module__}.{section.__name__}" for section in page.SECTIONS]
    assert len(set(names)) == len(names)
    assert Section("Figures 5 and 6. A, b & “c”", ()).anchor == "figures-5-and-6-a-b-c"
