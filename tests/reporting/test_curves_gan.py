"""Curves of several runs in one picture."""

import json

import cv2
import numpy as np
import pytest

from cgan_tf.config import CurvesConfig
from cgan_tf.reporting.curves import chosen_curves, curves_figure, plot_curves, run_names
from cgan_tf.runs.errors import UserError


@pytest.fixture
def runs(tmp_path):
    """Two runs that differ in their precision and in where they are."""
    for number, precision in enumerate(("float32", "mixed_bfloat16")):
        run = tmp_path / precision
        run.mkdir()
        flags = {"precision": precision, "seed": 0, "output_dir": str(run)}
        (run / "run.json").write_text(json.dumps({"flags": flags}))
        rows = ["step,phase,loss_d,loss_g", *(f"{s},half,{s + number},0.5" for s in (5, 10))]
        (run / "metrics.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "float32", tmp_path / "mixed_bfloat16"


def test_the_picture(runs, tmp_path):
    output = tmp_path / "curves.png"
    plot_curves(
        CurvesConfig(gan_dirs=tuple(map(str, runs)), columns=("loss_d",), output=str(output))
    )
    picture = cv2.imread(str(output))
    assert picture.std() > 5
    assert not list(tmp_path.glob(".*"))


def test_a_panel_a_column_and_a_line_a_run(runs):
    columns = ("loss_d", "loss_g")
    figure = curves_figure({run.name: chosen_curves(run, columns) for run in runs})
    assert [axis.get_title() for axis in figure.axes] == list(columns)
    for axis in figure.axes:
        assert [line.get_label() for line in axis.lines] == ["float32", "mixed_bfloat16"]
    first, second = (line.get_xydata() for line in figure.axes[0].lines)
    np.testing.assert_array_equal(first, [(5, 5), (10, 10)])
    np.testing.assert_array_equal(second, [(5, 6), (10, 11)])


def test_runs_are_called_what_tells_them_apart(runs):
    flags = [json.loads((run / "run.json").read_text())["flags"] for run in runs]
    names = [str(run) for run in runs]
    assert run_names(names, flags) == ["precision=float32", "precision=mixed_bfloat16"]
    three = [*flags, flags[0] | {"seed": 2}]
    assert run_names([*names, "x"], three)[2] == "precision=float32, seed=2"
    assert run_names(names, [flags[0], flags[0]]) == names
    assert run_names(names[:1], flags[:1]) == names[:1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("step,phase,loss_d\n5,half,1\n", "expected column 'loss_g', found step, phase, loss_d"),
        ("", "expected column 'step', found no row"),
        ("step,phase,loss_d,loss_g\n", "found no row"),
        ("step,loss_d,loss_g\n5,low,1\n", "expected numbers in column 'loss_d', found low"),
    ],
)
def test_a_column_without_numbers_is_named(runs, content, message):
    (runs[0] / "metrics.csv").write_text(content)
    with pytest.raises(UserError, match=rf"metrics\.csv: .*{message}"):
        chosen_curves(runs[0], ("loss_d", "loss_g"))
