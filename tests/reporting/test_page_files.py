"""The files beside the report: what the page shows, whole, and nothing that it no longer shows."""

import csv
import io
import json

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from cgan_tf.pages.html import Gallery, Paragraph, Plot, Table, section_of
from cgan_tf.pages.style import DPI, MARK_INCHES, PHANTOM_MARK, mark_as_phantom
from cgan_tf.reporting.page import (
    files_directory,
    section_files,
    sheet_figure,
    table_csv,
    write_files,
)
from cgan_tf.runs.errors import UserError


def plot(name: str = "line") -> Plot:
    figure = Figure()
    figure.subplots().plot([0, 1], [0, 1])
    return Plot(name, figure, "A line")


def picture(level: int, shape: tuple[int, int] = (20, 30)) -> bytes:
    return cv2.imencode(".png", np.full(shape, level, np.uint8))[1].tobytes()


def test_every_part_becomes_its_files():
    table = Table("numbers", ["what", "value"], [["a", "−0.5"], ["b, c", "1"]])
    gallery = Gallery("pairs", [(picture(0), "dark"), (picture(255), "bright")])
    sections = [
        section_of("One", plot(), Paragraph("text"), table),
        None,
        section_of("Two", gallery),
    ]
    files = section_files(sections)
    assert set(files) == {"line.png", "line.pdf", "numbers.csv", "pairs.png", "pairs.pdf"}
    assert files["line.pdf"].startswith(b"%PDF")
    assert files["line.png"] == sections[0].parts[0].png
    rows = list(csv.reader(io.StringIO(files["numbers.csv"].decode())))
    assert rows == [["what", "value"], ["a", "-0.5"], ["b, c", "1"]]


def test_the_same_plot_gives_the_same_bytes():
    assert section_files([section_of("", plot())]) == section_files([section_of("", plot())])


def test_records_are_what_the_file_holds():
    table = Table("t", ["shown"], [["0.8 (0.7–0.9)"]], [{"auc": 0.8123456, "low": 0.7}])
    assert table_csv(table) == b"auc,low\n0.8123456,0.7\n"


def test_a_sheet_shows_its_pictures_pixel_for_pixel():
    levels = [40, 80, 120]
    sheet = section_files([section_of("", Gallery("g", [(picture(v), "") for v in levels]))])[
        "g.png"
    ]
    shown = cv2.imdecode(np.frombuffer(sheet, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert [int((shown == level).sum()) for level in levels] == [600, 600, 600]
    assert shown[10, 10] == 40  # the first one above, on the left
    assert sheet_figure([(picture(0), "dark")]).get_size_inches()[0] > 0


def test_a_phantoms_files_say_so_below_the_plot():
    """The plot itself keeps its pixels; its title says it, too."""
    plain, marked = plot(), plot()
    mark_as_phantom(marked.figure)
    first, second = (
        cv2.imdecode(np.frombuffer(each.png, np.uint8), cv2.IMREAD_COLOR)
        for each in (plain, marked)
    )
    foot = second.shape[0] - first.shape[0]
    assert foot == pytest.approx(MARK_INCHES * DPI, abs=1)
    np.testing.assert_array_equal(second[: first.shape[0]], first)
    assert (second[-foot:] < 200).any()  # the mark
    files = section_files([section_of("", marked)])
    assert b"phantom" in files["line.png"]
    sheet = sheet_figure([(picture(0), "dark")], marked=True)
    assert [text.get_text() for text in sheet.texts] == [PHANTOM_MARK]


def test_files_have_their_caption_as_title():
    files = section_files([section_of("", plot())])
    assert b"Title\0A line" in files["line.png"]
    assert b"/Title (A line)" in files["line.pdf"]
    assert b"phantom" not in files["line.png"]


def test_files_of_the_report_before_go_and_others_stay(tmp_path):
    directory = files_directory(tmp_path / "report.html")
    assert directory == tmp_path / "report_files"
    write_files(directory, {"old.csv": b"1", "kept.csv": b"2"})
    (directory / "mine.txt").write_text("a note")
    write_files(directory, {"kept.csv": b"3"})
    assert {path.name for path in directory.iterdir()} == {"contents.json", "kept.csv", "mine.txt"}
    assert (directory / "kept.csv").read_bytes() == b"3"
    assert json.loads((directory / "contents.json").read_text()) == {"files": ["kept.csv"]}


def test_nothing_outside_the_directory_is_taken_away(tmp_path):
    directory = tmp_path / "report_files"
    write_files(directory, {"a.csv": b""})
    (tmp_path / "b.csv").write_text("")
    (directory / "contents.json").write_text(json.dumps({"files": ["../b.csv"]}))
    write_files(directory, {"a.csv": b""})
    assert (tmp_path / "b.csv").exists()


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "report_files").write_text("a file in its place")
    with pytest.raises(UserError, match="cannot be written"):
        write_files(tmp_path / "report_files", {"a.csv": b""})
