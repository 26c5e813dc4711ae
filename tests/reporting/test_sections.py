"""A section is one function of the report's inputs and one name in SECTIONS."""

from pathlib import Path

from matplotlib.figure import Figure

from cgan_tf.config import ReportConfig
from cgan_tf.pages.html import Fold, Plot, Section, Table, numbered, section_of
from cgan_tf.reporting import appendix, page
from cgan_tf.reporting.inputs import ReportInputs, read_inputs
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
        Plot("figure_7", figure, "Figure 7. Test patches by label."),
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
    assert reader.values("img", "alt") == ["Figure 7"]  # its caption is read with it
    assert any("Test patches by label." in text for text in reader.text)
    files = {path.name for path in (tmp_path / "report_files").iterdir()}
    assert {"figure_7.png", "figure_7.pdf", "figure_7_counts.csv"} <= files
    table = (tmp_path / "report_files" / "figure_7_counts.csv").read_text(encoding="utf-8")
    assert table.startswith("Label,Patches\nmalignant,")


def test_plots_and_tables_are_numbered_and_the_papers_keep_their_numbers():
    plots = [Plot(f"p{n}", Figure(), text) for n, text in enumerate(("ROC.", "Figure 4. A map."))]
    tables = [Table("table_1", ("a",), [("b",)], caption="Table 1. AUCs.")]
    tables += [Table(name, ("a",), [("b",)]) for name in ("p0", "inner")]
    sections = [
        Section("Table 1. Test", [*plots, *tables[:2]]),
        Section("More", [Fold("Details", [tables[2]])], closed=True),
    ]
    assert numbered(sections) == {
        ("Figure", "p0"): ("Figure S1", "ROC."),
        ("Figure", "p1"): ("Figure 4", "A map."),
        ("Table", "table_1"): ("Table 1", "AUCs."),
        ("Table", "p0"): ("Table S1", "Test"),  # a table beside a plot of its name
        ("Table", "inner"): ("Table S2", "Details"),
    }


def test_what_answers_is_open_and_the_rest_is_closed(toy_experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "OPEN", (figure_7,))
    inputs = read_inputs(
        ReportConfig(
            evaluations=(str(toy_experiment / "evaluation_baseline"),),
            patches_dir=str(toy_experiment / "patches"),
        )
    )
    made = [page._made(section, inputs) for section in (figure_7, appendix.data, nothing)]
    assert [each and each.closed for each in made] == [False, True, None]


def test_every_section_has_a_place_of_its_own():
    names = [f"{section.__module__}.{section.__name__}" for section in page.SECTIONS]
    assert len(set(names)) == len(names)
    assert Section("Figures 5 and 6. A, b & “c”", ()).anchor == "figures-5-and-6-a-b-c"
