"""The report's section on what `quality` found; nothing is computed here.

The report's plot of lesions and their noise, synthetic beside real.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgan_tf.assessment.noise import BANDS
from cgan_tf.assessment.run import PICTURES
from cgan_tf.assessment.verdicts import NAMES, SPREADS, verdict_line
from cgan_tf.pages import html
from cgan_tf.pages.html import Gallery, Part, Plot, Section, Table, section_of
from cgan_tf.pages.style import LINE_COLOURS, PAGE_INCHES, format_probability, house_style
from cgan_tf.reporting.figure_4 import MEASURES
from cgan_tf.reporting.inputs import ReportInputs
from cgan_tf.runs.directory import read_json, read_manifest
from cgan_tf.runs.errors import contained, reading

SIDES = {"synthetic": LINE_COLOURS[1], "real": LINE_COLOURS[0]}
# Kind, column, what the axis says, factor.
PANELS = (
    ("lesions", "contrast", "contrast, grey levels", 1),
    ("lesions", "area", "area, % of the patch", 100),
    ("lesions", "components", "parts", 1),
    ("appearance", "saturation", "saturated, % of the box", 100),
)


@house_style
def quality_figure(sets: Mapping[str, Mapping[str, Any]]) -> Figure:
    """A row a set: quantiles of the lesions' figures, then the noise inside over that beside."""
    figure = Figure(figsize=(PAGE_INCHES, 0.6 + 1.25 * len(sets)), layout="constrained")
    rows = figure.subplots(len(sets), len(PANELS) + 1, sharex="col", squeeze=False)
    for axes, (name, found) in zip(rows, sets.items(), strict=True):
        axes[0].set_ylabel(name)
        for axis, (kind, column, _, factor) in zip(axes, PANELS, strict=False):
            _quantiles(axis, found[kind][column], factor)
        _noise(axes[-1], found["appearance"])
    for axis, (*_, label, _) in zip(rows[-1], PANELS, strict=False):
        axis.set_xlabel(label)
    rows[-1, -1].set_xlabel("cycles per pixel")
    rows[0, -1].set_title("noise inside / beside")
    for number, (side, colour) in enumerate(SIDES.items()):
        rows[0, number].set_title(side, color=colour, fontweight="bold")
    return figure


def _quantiles(axis: Axes, values: Mapping[str, Any], factor: float) -> None:
    """A thin line from 5% to 95%, a thick one over the middle half, a point at the median."""
    for place, (side, colour) in enumerate(SIDES.items()):
        if values[side] is None:
            continue
        low, quarter, middle, three_quarters, high = (factor * value for value in values[side])
        axis.plot([low, high], [place, place], color=colour, linewidth=1)
        axis.plot([quarter, three_quarters], [place, place], color=colour, linewidth=5, alpha=0.5)
        axis.plot(middle, place, "o", color=colour, markersize=4)
    axis.set(ylim=(1.6, -0.6), yticks=[])
    axis.set_xlim(left=0)


def _noise(axis: Axes, columns: Mapping[str, Any]) -> None:
    """Medians and the middle halves by band; 1 is as beside."""
    axis.axhline(1, color="#bbbbbb", linewidth=0.8)
    places = [(number + 0.5) / (2 * len(BANDS)) for number in range(len(BANDS))]
    for side, colour in SIDES.items():
        quantiles = [columns[f"noise_{number}"][side] for number in range(len(BANDS))]
        if None in quantiles:
            continue
        low, middle, high = ([2 ** value[i] for value in quantiles] for i in (1, 2, 3))
        axis.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
        axis.plot(places, middle, "o-", color=colour, markersize=3)
    axis.set_yscale("log", base=2)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axis.set(xlim=(0, 0.5), xticks=[0, 0.25, 0.5])


_SIDES = ("synthetic", "ceiling")  # each beside half of the real patches
TITLES = {
    "best": "Nearest to a real patch", "median": "In the middle", "worst": "Farthest from any",
    "copy": "Most like a training lesion",
}  # fmt: skip


def section(inputs: ReportInputs) -> Section | None:
    """The section; None without a run of quality."""
    directory = inputs.config.quality_dir
    if not directory:
        return None
    read_manifest(directory, "quality")
    sets = read_json(Path(directory) / "quality.json")["sets"]
    parts: list[Part] = [html.Paragraph(LEAD, "lead"), _figure(sets)]
    for name, found in sets.items():
        title = name.replace("_", ", ").capitalize()
        parts.append(html.Heading(f"{title}: {found['patches']:,} patches"))
        parts += _verdicts(found["checks"])
        parts += [_overlap_table(name, found["overlap"])] if found["overlap"] else []
        parts += [_lesion_table(name, found), _spread_table(name, found["spread"])]
        parts += _galleries(name, found, Path(directory) / PICTURES)
    return section_of("Quality", *parts)


LEAD = (
    "Synthetic sets beside real patches of women whom no network has trained on. “Seen” says where "
    "to look, by limits that docs/synthesis.md explains; a fault that is not seen may still be "
    "there. The ceiling compares real patches with real ones."
)


def _figure(sets: Mapping[str, Any]) -> Plot:
    caption = (
        "Figures of the lesions, of removal those of what it leaves: 5% to 95% (thin), the middle "
        "half (thick), the median. Right: noise power in the lesion's place over that beside it "
        "in the same patch, median and middle half."
    )
    return Plot("quality_lesions", quality_figure(sets), caption)


def _verdicts(checks: Sequence[Mapping[str, Any]]) -> list[Part]:
    """What was seen and could not be measured, line by line; the rest by name."""
    told = [verdict_line(dict(check)) for check in checks if check["seen"] is not False]
    passed = ", ".join(check["name"] for check in checks if check["seen"] is False)
    parts: list[Part] = [html.Notes([f"{line[:1].upper()}{line[1:]}." for line in told])]
    unseen = f"Looked for and not seen: {passed or 'nothing'}."
    return [*parts, html.Paragraph(unseen, "note")]


def _overlap_table(name: str, spaces: Mapping[str, Any]) -> Table:
    rows = []
    for measure, (title, form, _) in MEASURES.items():
        rows.append((title, *_cells(spaces, measure, lambda v, form=form: f"{v:{form}}")))
    p_values = [values["kid_p"] for values in spaces.values()]
    rows.append(("p of the KID", *(_p(p[side]) for p in p_values for side in _SIDES)))
    headings = [f"{space}: {side}" for space in spaces for side in _SIDES]
    return Table(f"quality_{name}_overlap", ("Overlap, features of", *headings), rows)


def _cells(spaces: Mapping[str, Any], measure: str, form: Any) -> list[str]:
    values = [space["measures"][measure][side] for space in spaces.values() for side in _SIDES]
    return ["undefined" if v is None else form(v).replace("-", "−") for v in values]


def _p(value: float | None) -> str:
    return "undefined" if value is None else format_probability(value)


def _lesion_table(name: str, found: Mapping[str, Any]) -> Table:
    columns = {**found["lesions"], "saturation": found["appearance"]["saturation"]}
    rows = [
        (
            NAMES[column].capitalize(),
            *(_median(column, values[side]) for side in ("synthetic", "real")),
            *(_number(values[side]) for side in ("distance", "ceiling")),
        )
        for column, values in columns.items()
    ]
    what = "Left of the lesion" if found["task"] == "removal" else "Lesion"
    headings = (what, "Synthetic, 5% to 95%", "Real, 5% to 95%", "Distance", "Ceiling")
    return Table(f"quality_{name}_lesions", headings, rows)


def _median(column: str, quantiles: Sequence[float] | None) -> str:
    if quantiles is None:
        return "undefined"
    form = {"contrast": ".2f", "components": ".0f"}.get(column, ".1%")
    low, middle, high = (format(quantiles[i], form) for i in (0, 2, 4))
    return f"{middle} ({low} to {high})"


def _spread_table(name: str, spread: Mapping[str, Any]) -> Table:
    sides = [("Over patches", "synthetic"), ("Over z, one patch", "over_z"), ("Real", "real")]
    sides = [(title, side) for title, side in sides if spread[side]]
    rows = [
        (f"Spread of {word}", *(_number(spread[side][key], 3) for _, side in sides))
        for key, word in SPREADS.items()
    ]
    return Table(f"quality_{name}_spread", ("Variety", *(title for title, _ in sides)), rows)


def _number(value: float | None, digits: int = 2) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"


def _galleries(name: str, found: Mapping[str, Any], directory: Path) -> list[Part]:
    """Synthetic patches on the left, real ones on the right."""
    parts: list[Part] = []
    for kind, title in TITLES.items():
        pairs = [pair for pair in found["pictures"] if pair["kind"] == kind]
        if pairs:
            parts.append(html.Paragraph(f"{title}: {_values(found, pairs)}", "note"))
            pictures = [
                (_read(contained(directory, pair["file"])), _alternative(pair)) for pair in pairs
            ]
            parts.append(Gallery(f"quality_{name}_{kind}", pictures))
    return parts


def _values(found: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]]) -> str:
    values = ", ".join(f"{pair['value']:.2f}" for pair in pairs)
    if pairs[0]["kind"] == "copy":
        return f"synthetic (left) and training patch (right); similarity of the lesions {values}."
    space = f"distance in {found['pictures_by']} features"
    return f"synthetic (left) and its nearest real patch (right); {space} {values}."


def _alternative(pair: Mapping[str, Any]) -> str:
    return f"{pair['synthetic']} and {pair['real']}"


def _read(path: Path) -> bytes:
    with reading(path):
        return path.read_bytes()
