"""What the classifiers' plots show, read back from the figures."""

import numpy as np
from matplotlib.colors import to_hex

from cgan_tf.pages.style import FAINT, proportion_colour
from cgan_tf.reporting import curves
from tests.toys.scored_tests import scored_test, sweep


def legend_texts(axis) -> list[str]:
    return [text.get_text() for text in axis.get_legend().get_texts()]


def lines_of(axis, colour: str):
    return [line for line in axis.get_lines() if to_hex(line.get_color()) == colour]


def test_schedules_are_the_papers_and_tell_what_was_run():
    figure = curves.schedule_figure([scored_test(0.0), scored_test(0.5)])
    (axis,) = figure.axes
    assert legend_texts(axis) == [
        "0%: 0 synthetic",
        "10%: 5,000 synthetic (not run)",
        "25%: 12,500 synthetic (not run)",
        "50%: 24,999 synthetic",
        "75%: 37,499 synthetic (not run)",
        "100%: 49,999 synthetic (not run)",
    ]
    strong = [line for line in axis.get_lines() if line.get_linestyle() == "-"]
    assert [line.get_ydata()[0] for line in strong] == [0, 50]
    samples, shares = strong[1].get_data()
    np.testing.assert_allclose(shares, 50 * 0.9 ** (samples // 5_000))


def test_a_proportion_of_ones_own_joins_the_schedules():
    figure = curves.schedule_figure([scored_test(0.0), scored_test(0.3)])
    assert "30%: 15,000 synthetic" in legend_texts(figure.axes[0])
    assert len(figure.axes[0].get_lines()) == 7


def test_twelve_validation_curves_are_two_a_panel():
    figure = curves.validation_figure(sweep(seeds=2))
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert len(shown) == 6
    for axis, fraction in zip(shown, (0.0, 0.1, 0.25, 0.5, 0.75, 1.0), strict=True):
        own = lines_of(axis, proportion_colour(fraction))
        assert len(own) == 2
        assert len({line.get_linestyle() for line in own}) == 2
        assert len(lines_of(axis, FAINT)) == 10
        assert legend_texts(axis) == ["seed 0", "seed 1"]
    first = lines_of(shown[0], proportion_colour(0.0))[0]
    np.testing.assert_allclose(first.get_ydata(), [0.71, 0.72, 0.73, 0.74])


def test_roc_curves_of_two_regimes_have_bands():
    figure = curves.roc_figure([scored_test(0.0), scored_test(0.5, skill=2.0)])
    assert [axis.get_title() for axis in figure.axes] == ["all lesions", "mass", "calcification"]
    assert [len(axis.collections) for axis in figure.axes] == [2, 2, 2]
    figure = curves.roc_figure(sweep())
    assert [len(axis.collections) for axis in figure.axes] == [0, 0, 0]
    assert len(legend_texts(figure.axes[0])) == 6


def test_every_regime_is_drawn_against_the_baseline():
    evaluations = sweep(seeds=2)
    figure = curves.roc_panels(evaluations)
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title() for axis in shown] == [
        f"{share}% w/ decay" for share in (10, 25, 50, 75, 100)
    ]
    aucs = [e.metrics.auc["overall"].auc for e in evaluations if e.arm.share == 0]
    for axis in shown:
        assert len(axis.collections) == 2
        assert legend_texts(axis)[0] == f"Baseline ({np.mean(aucs):.3f})"
