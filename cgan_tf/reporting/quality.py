"""The report's section on what quality found: verdicts, tables, a plot of the lesions, pictures."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cgan_tf.assessment.appearance import BANDS
from cgan_tf.assessment.base import Check, PairKind
from cgan_tf.assessment.distributions import Distribution
from cgan_tf.assessment.measures import APPEARANCE, LESIONS, MEASURES
from cgan_tf.assessment.pictures import Picture
from cgan_tf.assessment.results import (
    PICTURES,
    Measures,
    SetResult,
    by_table_rank,
)
from cgan_tf.pages import html
from cgan_tf.pages.html import Gallery, Part, Plot, Section, Table, section_of
from cgan_tf.pages.style import LINE_COLOURS, PAGE_INCHES, house_style, minus
from cgan_tf.reporting.inputs import ReportInputs
from cgan_tf.runs.errors import contained, reading

SIDES = {"synthetic": LINE_COLOURS[1], "real": LINE_COLOURS[0]}
PANELS = tuple((measure, column) for measure in (LESIONS, APPEARANCE) for column in measure.columns)
TABLES = {  # captions, by name
    "overlap": "overlap with real patches, and the reference",
    "lesions": "what was changed, beside real patches",
    "spread": "how much lesions vary",
}
LEAD = (
    "Synthetic sets beside real patches of women whom no network has trained on. “Seen” tells you "
    "where to look; docs/synthesis.md explains the limits, and a fault that is not seen may still "
    "be there. The reference compares real patches with other real patches, in groups of the same "
    "size: it shows what chance alone does. A set can beat it by luck."
)


def section(inputs: ReportInputs) -> Section | None:
    """The section; None without a run of quality."""
    if not inputs.quality:
        return None
    return quality(inputs.quality, inputs.config.quality_dir)


def quality(
    results: Mapping[str, SetResult], directory: str, measures: Measures = MEASURES
) -> Section | None:
    """The section; `directory` of the run has its pictures."""
    parts: list[Part] = [html.Paragraph(LEAD, "lead"), _plot(results)]
    for name, result in results.items():
        title = _title(name)
        parts.append(html.Heading(f"{title}: {result.patches:,} patches"))
        parts += _checks(result.checks)
        details = [
            *_tables(name, result, measures),
            *_galleries(name, result, measures, Path(directory) / PICTURES),
        ]
        parts.append(html.Fold(f"{title}: all numbers, and pairs of patches", details))
    return section_of("Quality", *parts)


def _plot(results: Mapping[str, SetResult]) -> Plot:
    caption = (
        "Measures of the lesions, or of what removal leaves of them: 5% to 95% (thin), the middle "
        "half (thick), the median. Right: noise power in the lesion's place over that beside it "
        "in the same patch, median and middle half."
    )
    return Plot("quality_lesions", quality_figure(results), caption)


@house_style
def quality_figure(results: Mapping[str, SetResult]) -> Figure:
    """A row for each set: quantiles of the lesions' values, and noise inside over that beside."""
    figure = Figure(figsize=(PAGE_INCHES, 0.9 + 1.25 * len(results)), layout="constrained")
    rows = figure.subplots(len(results), len(PANELS) + 1, sharex="col", squeeze=False)
    for axes, (name, result) in zip(rows, results.items(), strict=True):
        axes[0].set_ylabel(name)
        for axis, (measure, column) in zip(axes, PANELS, strict=False):
            _quantiles(axis, column.of(result.values[measure.name]), column.factor)
        _noise(axes[-1], APPEARANCE.noise(result.of(APPEARANCE)))
    for axis, (_, column) in zip(rows[-1], PANELS, strict=False):
        axis.set_xlabel(column.axis)
    rows[-1, -1].set_xlabel("cycles per pixel")
    rows[0, -1].set_title("noise inside / beside")
    handles = [Line2D([], [], color=colour, marker="o", markersize=4) for colour in SIDES.values()]
    figure.legend(handles, list(SIDES), loc="outside upper left", ncols=len(SIDES))
    return figure


def _quantiles(axis: Axes, values: Distribution, factor: float) -> None:
    """A thin line from 5% to 95%, a thick one over the middle half, a point at the median."""
    for place, (side, colour) in enumerate(SIDES.items()):
        quantiles = getattr(values, side)
        if quantiles is None:
            continue
        low, quarter, middle, three_quarters, high = (factor * value for value in quantiles)
        # With other caps a thick line would reach beyond its quantiles.
        bar: dict[str, Any] = {"color": colour, "solid_capstyle": "butt"}
        axis.plot([low, high], [place, place], linewidth=1, **bar)
        axis.plot([quarter, three_quarters], [place, place], linewidth=5, alpha=0.5, **bar)
        axis.plot(middle, place, "o", color=colour, markersize=4)
    axis.set(ylim=(1.6, -0.6), yticks=[])
    axis.set_xlim(left=0)


def _noise(axis: Axes, bands: Sequence[Distribution]) -> None:
    """Medians and the middle halves by band; 1 is as beside."""
    axis.axhline(1, color="#bbbbbb", linewidth=0.8)
    places = [(number + 0.5) / (2 * len(BANDS)) for number in range(len(BANDS))]
    for side, colour in SIDES.items():
        quantiles = [getattr(band, side) for band in bands]
        if None in quantiles:
            continue
        low, middle, high = ([2 ** value[i] for value in quantiles] for i in (1, 2, 3))
        axis.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
        axis.plot(places, middle, "o-", color=colour, markersize=3)
    axis.set_yscale("log", base=2)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axis.set(xlim=(0, 0.5), xticks=[0, 0.25, 0.5])


def _checks(checks: Sequence[Check]) -> list[Part]:
    """The faults that are seen; those that are not, and what could not be measured, folded."""
    seen, others = (
        [(each.seen, each.name, minus(each.text)) for each in checks if bool(each.seen) is failed]
        for failed in (True, False)
    )
    unknown = sum(state is None for state, *_ in others)
    counts = f"{len(others) - unknown} faults not seen, {unknown} not measured"
    parts: list[Part] = [html.Checks(seen)] if seen else [html.Paragraph("No fault is seen.")]
    return [*parts, html.Fold(counts, [html.Checks(others)])] if others else parts


def _tables(name: str, result: SetResult, measures: Measures) -> list[Table]:
    """Tables of all measures; those of one name are joined."""
    joined: dict[str, Table] = {}
    for measure in by_table_rank(measures):
        for table in measure.tables(result.of(measure), result.task):
            first = joined.get(table.name)
            rows = [*(first.rows if first else ()), *table.rows]
            joined[table.name] = dataclasses.replace(first or table, rows=rows)
    return [
        dataclasses.replace(
            table,
            name=f"quality_{name}_{table.name}",
            caption=f"{_title(name)}: {TABLES.get(table.name, table.name)}.",
        )
        for table in joined.values()
    ]


def _title(name: str) -> str:
    return name.replace("_", ", ").capitalize()


def _galleries(name: str, result: SetResult, measures: Measures, directory: Path) -> list[Part]:
    """Synthetic patches on the left, real ones on the right."""
    parts: list[Part] = []
    for kind in (kind for measure in by_table_rank(measures) for kind in measure.pair_kinds):
        pictures = [picture for picture in result.pictures if picture.kind == kind.name]
        if pictures:
            parts.append(html.Paragraph(_gallery_title(kind, pictures, result.pictures_by), "note"))
            shown = [
                (_read(contained(directory, each.file)), f"{each.synthetic} and {each.real}")
                for each in pictures
            ]
            parts.append(Gallery(f"quality_{name}_{kind.name}", shown))
    return parts


def _gallery_title(kind: PairKind, pictures: Sequence[Picture], space: str) -> str:
    values = ", ".join(f"{picture.value:.2f}" for picture in pictures)
    return f"{kind.title}: {kind.caption.replace('{space}', space)} {values}."


def _read(path: Path) -> bytes:
    with reading(path):
        return path.read_bytes()
