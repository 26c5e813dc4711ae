"""The look of all plots, and how pages write probabilities, differences and intervals."""

import dataclasses
import io
import math
import re
from collections.abc import Iterable
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from cgan_tf.labels import Arm
from cgan_tf.statistics.auc import AucComparison

# Figure 4 of the paper: "red points represent real normal examples, the orange points real
# malignant calcifications, the green points real malignant masses, the blue-green points synthetic
# malignant masses, and the blue points synthetic malignant calcifications".
GROUP_COLOURS = {
    "real normal": "#d62728",
    "real calcification": "#ff8c1a",
    "real mass": "#2ca02c",
    "synthetic mass": "#1aa6a6",
    "synthetic calcification": "#1f4fd6",
}
# One colour for each of the paper's proportions in every plot; others get the spare ones.
_PROPORTION_COLOURS = {
    0.0: "#3d3d3d",
    0.1: "#b08a2e",
    0.25: "#5c8a3a",
    0.5: "#b5452c",
    0.75: "#2f6f9f",
    1.0: "#8a5a9e",
}
_FILLING_COLOURS = {
    "oversampled": "#8f8f8f",
    "augmented": "#b08a2e",
    "pasted": "#5c8a3a",
    "lesions": "#b5452c",
    "removal": "#2f6f9f",
    "both": "#8a5a9e",
    "oracle": "#1aa6a6",
}
_SPARE_COLOURS = ("#1aa6a6", "#d4779b", "#7d6b5d", "#a4b02e")
LINE_COLOURS = ("#3d3d3d", "#b5452c", "#2f6f9f", "#5c8a3a", "#8a5a9e", "#b08a2e")
FAINT = "#bbbbbb"
DPI = 170  # of PNG files
PAGE_INCHES = 9.0  # widest plot whose text keeps its size on the page

# What a user's matplotlibrc may have changed, as matplotlib ships it.
_SHIPPED = {
    name: value
    for name, value in matplotlib.rcParamsDefault.items()
    if name.startswith(
        ("axes", "figure", "font", "grid", "hatch", "image", "legend", "lines", "markers",
         "mathtext", "patch", "path", "pdf", "savefig", "scatter", "text", "xtick", "ytick")
    )
}  # fmt: skip
# Decorates every function that draws: matplotlib reads its settings while it draws.
house_style = matplotlib.rc_context(
    _SHIPPED
    | {
        "font.size": 9,
        "font.family": "DejaVu Sans",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#777777",
        "axes.linewidth": 0.8,
        "axes.titlesize": 9,
        "xtick.color": "#444444",
        "ytick.color": "#444444",
        "axes.labelcolor": "#222222",
        "legend.frameon": False,
        "legend.fontsize": 8,
        "lines.linewidth": 1.5,
        "text.parse_math": False,  # a manufacturer's name with two dollar signs starts no formula
        "pdf.fonttype": 42,  # text stays text
    }
)


def arm_colour(arm: Arm) -> str:
    """The colour of what a classifier was trained on: the paper's by their shares."""
    if arm.is_baseline or arm.decayed:
        return proportion_colour(arm.share)
    return _FILLING_COLOURS[arm.filling]


def proportion_colour(fraction: float) -> str:
    """The colour of an initial synthetic share, 0 to 1."""
    known = _PROPORTION_COLOURS.get(round(fraction, 6))
    return known or _SPARE_COLOURS[round(1000 * fraction) % len(_SPARE_COLOURS)]


def row_size(panels: int, height: float = 2.7) -> tuple[float, float]:
    """Inches of a row of panels: at most the width of the page, so that text keeps its size."""
    return min(PAGE_INCHES, 3.0 * panels), height


def panels(count: int, label: str, height: float) -> tuple[Figure, list[Axes]]:
    """Axes in rows of three, sharing their scales; `height` of a row in inches."""
    columns = min(count, 3)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(3 * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for spare in axes[count:]:
        spare.set_visible(False)
    for lowest in axes[max(0, count - columns) : count]:
        lowest.tick_params(labelbottom=True)
        lowest.set_xlabel(label)
    return figure, list(axes[:count])


PHANTOM_MARK = "phantom: drawn by a computer · research only, not for diagnosis"
MARK_INCHES = 27 / DPI  # below a figure, for the mark: whole pixels
NEUTRAL = "#808080"  # text that can be read on a white page and on a dark one
_MARK = "phantom"  # names the text among a figure's texts


@house_style
def mark_as_phantom(figure: Figure) -> None:
    """Writes below it that the data are drawn; its files get room for that."""
    middle = -MARK_INCHES / 2 / figure.get_figheight()
    figure.text(
        1, middle, PHANTOM_MARK, ha="right", va="center", fontsize=6, color=NEUTRAL, gid=_MARK,
        in_layout=False,
    )  # fmt: skip


def is_marked(figure: Figure) -> bool:
    """Whether a figure says that its data are drawn."""
    return any(text.get_gid() == _MARK for text in figure.texts)


def without_background(figure: Figure) -> Figure:
    """The figure, through which the page is seen: for pictures, which stay as they are."""
    figure.patch.set_alpha(0)
    return figure


@house_style
def png(figure: Figure, effort: int = 6) -> bytes:
    """A PNG, without a version: equal figures give equal bytes. `effort`: compression, 0 to 9."""
    about: dict[str, str | None] = {"Software": None}
    about |= _title(figure)
    settings = {"metadata": about, "pil_kwargs": {"compress_level": effort}}
    return _saved(figure, format="png", dpi=DPI, **settings)


@house_style
def pdf(figure: Figure) -> bytes:
    """A PDF, without version and date: equal figures give equal bytes."""
    about: dict[str, str | None] = dict.fromkeys(("Creator", "Producer", "CreationDate"))
    about |= _title(figure)
    return _saved(figure, format="pdf", dpi=DPI, metadata=about)


def _title(figure: Figure) -> dict[str, str]:
    """The title of a figure's files: its label, and what its data are."""
    label = str(figure.get_label())
    told = f"{label} ({PHANTOM_MARK})" if label and is_marked(figure) else label
    return {"Title": told} if told else {}


def _saved(figure: Figure, **settings: Any) -> bytes:
    if is_marked(figure):
        width, height = figure.get_size_inches()
        settings["bbox_inches"] = Bbox.from_bounds(0, -MARK_INCHES, width, height + MARK_INCHES)
    buffer = io.BytesIO()
    figure.savefig(buffer, **settings)
    return buffer.getvalue()


_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def format_p(comparison: AucComparison) -> str:
    """A p-value as text: 0.031, 2 × 10⁻⁹, or the reason why there is none."""
    return comparison.note or format_probability(comparison.p_value, comparison.log_p)


def format_probability(value: float, log_value: float | None = None) -> str:
    """A probability to two digits; `log_value` serves where the value itself underflows."""
    if math.isnan(value):
        return "undefined"
    if value >= 0.0995:
        return f"{value:.2f}"
    if value >= 0.001:
        return f"{value:.2g}"
    if value == 0 and log_value is None:
        return "under 10⁻³⁰⁰"
    logarithm = (math.log(value) if log_value is None else log_value) / math.log(10)
    exponent = math.floor(logarithm)
    digit = round(10 ** (logarithm - exponent))
    if digit == 10:
        digit, exponent = 1, exponent + 1
    return f"{digit} × 10{str(exponent).translate(_SUPERSCRIPTS)}"


def decimals_for(uncertainty: float) -> int:
    """Decimals that leave two digits of an uncertainty; negative ones round tens, hundreds, …

    >>> decimals_for(0.032), decimals_for(0.14), decimals_for(5421.1)
    (3, 2, -2)
    """
    if not math.isfinite(uncertainty) or uncertainty <= 0:
        return 3
    return 1 - math.floor(math.log10(uncertainty))


def value_and_spread(value: float, spread: float, widest: float = 0) -> str:
    """3,900 ± 5,400, 0.49 ± 0.14: as many digits as the spread allows, four decimals at most.

    `widest`: the largest spread of those that it stands beside, which then share its digits.
    """
    decimals = min(4, decimals_for(max(spread, widest)))
    shown = (f"{round(each, decimals):,.{max(0, decimals)}f}" for each in (value, spread))
    return minus(" ± ".join(shown))


def minus(text: str) -> str:
    """Hyphens before numbers become U+2212; those between two numbers stay."""
    return re.sub(r"(?<![\w.)-])-(?=[\d.])", "−", text)


def _auc_decimals(low: float, high: float) -> int:
    """Two or three, by the width of the interval."""
    return min(3, max(2, decimals_for((high - low) / 2)))


def difference_and_interval(
    difference: float, low: float, high: float, decimals: int | None = None
) -> str:
    """+0.017 (+0.002 to +0.032), +0.05 (−0.12 to +0.22), or undefined.

    `decimals`: those of a column, see `column_decimals`; None: as many as its interval allows.
    """
    if math.isnan(difference):
        return "undefined"
    if math.isnan(low):
        return f"{signed(difference, decimals or 3)} (undefined)"
    decimals = decimals or _auc_decimals(low, high)
    shown = [signed(each, decimals) for each in (difference, low, high)]
    return f"{shown[0]} ({shown[1]} to {shown[2]})"


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval.

    Attributes:
      value: None where it is undefined, for the reason in `note`.
      limits: of the interval; None where that is undefined.
    """

    value: float | None
    limits: tuple[float, float] | None
    note: str = ""


def column_decimals(intervals: Iterable[tuple[float, float] | None]) -> int:
    """Decimals for a column of AUCs or their differences: what its widest interval allows."""
    known = (limits for limits in intervals if limits and not math.isnan(limits[0]))
    return min((_auc_decimals(*limits) for limits in known), default=3)


def auc_and_interval(auc: Estimate, decimals: int | None = None) -> str:
    """0.846 (0.831–0.860), 0.85 (0.72–0.95), or why there is none.

    `decimals`: those of a column, see `column_decimals`; None: as many as its interval allows.
    """
    if auc.value is None:
        return auc.note
    if decimals is None:
        decimals = _auc_decimals(*auc.limits) if auc.limits else 3
    form = f"{{:.{decimals}f}}"
    return f"{form.format(auc.value)} ({interval(auc, f'{form}–{form}')})"


def interval(estimate: Estimate, form: str) -> str:
    """The limits of an estimate in a format of two numbers, or that they are undefined."""
    return form.format(*estimate.limits) if estimate.limits else "interval undefined"


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign; minus is U+2212. What rounds to zero has none."""
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text if any(digit in text for digit in "123456789") else text[1:]
