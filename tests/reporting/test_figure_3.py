"""Figure 3 and whole images in the report: the run's pictures, at their places."""

import pytest

from cgan_tf.pages import html
from cgan_tf.pages.html import Heading, Plot, Sliders
from cgan_tf.reporting import figure_3
from cgan_tf.runs.errors import UserError
from tests.toys.insertions import BOXES, HEIGHT, LEVELS, WIDTH, write_toy_insertions
from tests.toys.pages import levels_of
from tests.toys.report import report_inputs


@pytest.fixture
def directory(tmp_path):
    return write_toy_insertions(tmp_path / "run")


def insertions(*directories):
    return figure_3.section(report_inputs(insertion_dirs=tuple(map(str, directories))))


def part(directory, kind):
    (only,) = (part for part in insertions(directory).parts if isinstance(part, kind))
    return only


def test_a_row_is_shown_before_above_after(directory):
    plot = part(directory, Plot)
    assert plot.name == "figure_3_1_mass"
    assert plot.caption.startswith("Figure 3. 5 contiguous patches in a row")
    assert len(plot.figure.axes) == 4  # two rows of the three
    before, after = plot.figure.axes[:2]
    assert before.get_position().y0 > after.get_position().y1
    for axes, level in ((before, LEVELS["before"]), (after, LEVELS["after"])):
        assert axes.images[0].get_array().shape == (32, 160)
        assert (axes.images[0].get_array() == level).all()
        assert axes.images[0].get_clim() == (0, 255)
        assert axes.get_xticks().tolist() == [31.5, 63.5, 95.5, 127.5]  # 5 patches of 32 px
    assert min(axis.get_position().y0 for axis in plot.figure.axes) > 0  # nothing is cut off
    width, height = plot.figure.get_size_inches()
    position = before.get_position()
    assert position.width * width == pytest.approx(5 * position.height * height)


def test_images_with_lesions_are_compared(directory):
    sliders = part(directory, Sliders)
    titles = [each.title for each in sliders.comparisons]
    assert titles == ["R MLO film 0 & <b>", "R MLO film 1 & <b>"]
    assert [box for box, _ in sliders.comparisons[0].boxes] == [tuple(map(float, b)) for b in BOXES]
    page = html.page("", "", [insertions(directory)])
    assert "2 of 3 images; " in page
    assert "film 0 &amp; &lt;b&gt;" in page


def test_large_images_are_reduced_with_their_boxes(directory, monkeypatch):
    monkeypatch.setattr(figure_3, "LONGEST_SIDE", HEIGHT // 2)
    comparison = part(directory, Sliders).comparisons[0]
    assert (comparison.before.width, comparison.before.height) == (WIDTH // 2, HEIGHT // 2)
    assert comparison.boxes[0] == ((6, 10, 24, 30), "mass")
    assert (levels_of(comparison.after.address) == LEVELS["after"]).all()


def test_without_rows_or_runs(tmp_path):
    directory = write_toy_insertions(tmp_path / "plain", rows=False)
    parts = insertions(directory).parts
    assert not any(isinstance(part, Plot) for part in parts)
    assert insertions() is None


def test_runs_are_told_apart(directory, tmp_path):
    other = write_toy_insertions(tmp_path / "other", task="removal")
    parts = insertions(directory, other).parts
    plots = [part.name for part in parts if isinstance(part, Plot)]
    assert plots == ["figure_3_1_mass", "figure_3_2_removal"]
    headings = [part.text for part in parts if isinstance(part, Heading)]
    assert headings == ["Masses inserted", "Lesions removed"]
    keys = [each.key for part in parts if isinstance(part, Sliders) for each in part.comparisons]
    assert len(set(keys)) == 4


def test_mistakes_are_one_line(directory, tmp_path):
    with pytest.raises(UserError, match="expected the manifest of insert_lesions"):
        insertions(tmp_path)
    path = directory / "figure3/film 0_after.png"
    path.write_bytes((directory / "previews/film 0_after.png").read_bytes())
    with pytest.raises(UserError, match=r"film 0_after\.png: expected the size of film 0_before"):
        insertions(directory)
    path.write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"film 0_after\.png: expected a PNG, found something"):
        insertions(directory)
