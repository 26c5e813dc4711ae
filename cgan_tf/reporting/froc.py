"""The report's section on whole mammograms: FROC, AUCs of images, breasts and patients.

Nothing is computed here: the numbers are those that evaluate wrote into --froc_dir.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgan_tf.detection.matching import FALSE_POSITIVE, HEALTHY, IOU, Rules
from cgan_tf.detection.results import (
    AREA,
    Comparison,
    FrocResult,
    GroupResult,
    ModelResult,
    Value,
    sensitivity_name,
)
from cgan_tf.labels import arm_title
from cgan_tf.pages.html import Fold, Notes, Paragraph, Part, Plot, Section, Table, section_of
from cgan_tf.pages.style import (
    FAINT,
    LINE_COLOURS,
    PAGE_INCHES,
    Estimate,
    arm_colour,
    auc_and_interval,
    column_decimals,
    difference_and_interval,
    format_probability,
    house_style,
    interval,
)
from cgan_tf.reporting.heat_maps import heat_maps
from cgan_tf.reporting.inputs import ReportInputs, attribute_title
from cgan_tf.runs.dataclass_json import to_json
from cgan_tf.statistics.froc import RATES

TITLE = "FROC on whole mammograms"
LINE_STYLES = ("-", "--", "-.", ":")
SHOWN_RATES = (0.1, 10.0)
AT_ONE = sensitivity_name(1)
COMPARED = {
    AREA: "Area up to 1",
    AT_ONE: "Sensitivity at 1",
    "auc_image": "AUC of images",
    "auc_breast": "AUC of breasts",
    "auc_patient": "AUC of patients",
}
CAPTION = (
    "Share of malignant lesions found against the mean number of false positives an image, for "
    "every threshold of the score. Bars: 95% intervals by patient. Dotted grey: the same "
    "candidates on other women's images, which is what chance finds."
)
SEEDS_CAPTION = (
    "Share of malignant lesions found against the mean number of false positives an image, for "
    "every threshold of the score. Thick: the mean over the seeds; thin: each seed. Dotted grey: "
    "the same candidates on other women's images, which is what chance finds."
)
METHOD = (
    "Intervals and p of sensitivities and areas are from a bootstrap of patients, who are drawn "
    "whole and the same for all models; those of AUCs are by patient (Obuchowski 1997). Holm's "
    "method adjusts each measure for the number of models that are compared.",
    "Chance: the candidates of every image are put onto another woman's image of the same side and "
    "view, with their scores and places. It depends on the size of the lesions, and of the breast.",
)

POOLED = (
    "Differences over several seeds allow for variation between patients and between seeds "
    "(Obuchowski and Rockette 1995), as in Table 1."
)
GROUPS = (
    "Lesions of one type or size against all false positives. Size is the longer side of the box. "
    "Groups of few patients have no interval, and with several groups a difference in one is a "
    "question, not a finding."
)


def section(inputs: ReportInputs) -> Section | None:
    """The section; None without an evaluation of images."""
    result = inputs.froc
    if result is None:
        return None
    colours = {arm_title(e.arm): arm_colour(e.arm) for e in inputs.evaluations}
    seeds = bool(result.pooled)
    parts: list[Part] = [
        Paragraph(_lead(result), "lead"),
        Plot("froc", froc_figure(result, colours), SEEDS_CAPTION if seeds else CAPTION),
    ]
    if seeds:
        parts += [_seeds_table(result), _auc_seeds_table(result)]
    else:
        parts += [_table(result), _auc_table(result)]
    if result.comparisons or result.pooled:
        parts.append(_difference_table(result))
    if seeds:
        parts.append(Fold("Seed by seed", [_table(result), _auc_table(result)]))
    shown = heat_maps(inputs.config.heat_map_dirs)
    parts += [shown] if shown else []
    parts.append(Fold("By type and size of the lesions", [_group_table(result), Notes([GROUPS])]))
    notes = [_rules(result), *METHOD, *([POOLED] if seeds else [])]
    return section_of(TITLE, *parts, Notes(notes))


def _lead(result: FrocResult) -> str:
    first = result.models[0]
    name, area = first.name, _value(first.overall.measures[AREA])
    at_one = _percent(first.overall.measures[AT_ONE])
    if result.pooled:
        name = first.model
        area, at_one = (_mean(result.compared(name, measure)) for measure in (AREA, AT_ONE))
    chance = first.overall.chance
    return (
        f"{result.lesions:,} malignant lesions of {result.lesion_patients:,} patients; false "
        f"positives count on {result.counted_images:,} of {result.images:,} images. At one false "
        f"positive an image, {name} finds {at_one}, where chance finds {chance[AT_ONE]:.0%}; its "
        f"mean sensitivity up to there is {area}, by chance {chance[AREA]:.3f}."
    )


def _rules(result: FrocResult) -> str:
    rules: Rules = result.rules
    hit = (
        f"its box and the lesion's overlap by an intersection over union of {rules.least_iou:g}"
        if rules.hit == IOU
        else "its centre is in the lesion's box"
    )
    where = (
        "images without a malignant lesion"
        if rules.false_positives_on == HEALTHY
        else "all images, beside lesions, too"
    )
    benign = (
        "Candidates on benign lesions are false positives"
        if rules.benign_marks == FALSE_POSITIVE
        else "Candidates on benign lesions count as neither, and images with benign lesions alone "
        "are in no AUC"
    )
    return (
        f"A candidate hits a lesion when {hit}; several hits on one lesion count once. False "
        f"positives count on {where}. {benign}."
    )


@house_style
def froc_figure(result: FrocResult, colours: Mapping[str, str]) -> Figure:
    """A line for every model, the rates on a logarithmic scale.

    Args:
      colours: of models that other plots show, by their name; others get those that are left.
    """
    figure = Figure(figsize=(PAGE_INCHES * 0.65, 4.1), layout="constrained")
    axis = figure.subplots()
    by_model: dict[str, list[ModelResult]] = {}
    for model in result.models:
        by_model.setdefault(model.model, []).append(model)
    spare = [colour for colour in LINE_COLOURS if colour not in colours.values()]
    for number, (name, runs) in enumerate(by_model.items()):
        colour = colours.get(name) or (spare or LINE_COLOURS)[number % len(spare or LINE_COLOURS)]
        _draw(axis, name, runs, colour, number, bars=not result.pooled)
    chance = result.models[0].overall.chance
    axis.plot(
        RATES, [chance[sensitivity_name(rate)] for rate in RATES], color="#808080",
        linestyle=":", linewidth=1.3, label="chance",
    )  # fmt: skip
    axis.axvline(1, color=FAINT, linewidth=0.7, zorder=0)
    axis.set_xscale("log")
    axis.set_xticks(RATES, [f"{rate:g}" for rate in RATES])
    axis.minorticks_off()
    axis.set(xlim=SHOWN_RATES, ylim=(-0.02, 1.02))
    axis.set(xlabel="false positives an image", ylabel="sensitivity")
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def _draw(
    axis: Axes, name: str, runs: Sequence[ModelResult], colour: str, number: int, bars: bool
) -> None:
    rates = np.geomspace(*SHOWN_RATES, 800)
    curves = [np.interp(rates, run.curve.rates, run.curve.sensitivities) for run in runs]
    if len(curves) > 1:
        for curve in curves:
            axis.plot(rates, curve, color=colour, linewidth=0.6, alpha=0.6)
    style = LINE_STYLES[number % len(LINE_STYLES)]
    axis.plot(rates, np.mean(curves, axis=0), color=colour, linestyle=style, label=name)
    if bars and len(runs) == 1:
        shifted = 1.03**number  # so that bars of two models stand side by side
        for rate in RATES:
            value = runs[0].overall.measures[sensitivity_name(rate)]
            if value.low is not None and value.high is not None:
                place = [rate * shifted] * 2
                axis.plot(place, [value.low, value.high], color=colour, linewidth=1, alpha=0.8)


def _table(result: FrocResult) -> Table:
    """A row for every run, and one for chance."""
    headings = (
        "Model", "Area up to 1 (95% interval)",
        *(f"at {rate:g}" + " (95% interval)" * (rate == 1) for rate in RATES),
    )  # fmt: skip
    decimals = column_decimals(_estimate(m.overall.measures[AREA]).limits for m in result.models)
    rows: list[Sequence[object]] = [
        (
            model.name,
            _value(model.overall.measures[AREA], decimals),
            *(_sensitivity(model.overall.measures, rate) for rate in RATES),
        )
        for model in result.models
    ]
    chance = result.models[0].overall.chance
    by_chance = (f"{chance[sensitivity_name(rate)]:.1%}" for rate in RATES)
    rows.append(("Chance", f"{chance[AREA]:.{decimals}f}", *by_chance))
    return Table(
        "froc", headings, rows, _records(result),
        caption="Sensitivity at so many false positives an image, and its mean from 0 to 1.",
    )  # fmt: skip


def _records(result: FrocResult) -> list[dict[str, object]]:
    """Plain numbers: a row for every model, group and measure."""
    return [
        {
            "model": model.name, "attribute": group.attribute, "group": group.group,
            "lesions": group.lesions, "patients": group.patients, "measure": name,
            "value": value.value, "low": value.low, "high": value.high, "note": value.note,
            "chance": group.chance[name],
        }
        for model in result.models
        for group in model.groups
        for name, value in group.measures.items()
    ]  # fmt: skip


def _auc_table(result: FrocResult) -> Table:
    levels = [each.level for each in result.models[0].aucs]
    aucs = [[_estimate(auc.auc) for auc in model.aucs] for model in result.models]
    decimals = [column_decimals(row[n].limits for row in aucs) for n in range(len(levels))]
    rows = [
        (model.name, *(auc_and_interval(*cell) for cell in zip(row, decimals, strict=True)))
        for model, row in zip(result.models, aucs, strict=True)
    ]
    counts = [f"{each.positives:,} / {each.negatives:,}" for each in result.models[0].aucs]
    rows.append(("With / without a malignant lesion", *counts))
    records: list[Mapping[str, object]] = [
        {
            "model": model.name, "level": each.level, "auc": each.auc.value, "low": each.auc.low,
            "high": each.auc.high, "positives": each.positives, "negatives": each.negatives,
            "patients": each.patients, "note": each.auc.note,
        }
        for model in result.models
        for each in model.aucs
    ]  # fmt: skip
    headings = ("Model", *(_level_title(level) for level in levels))
    caption = "AUC of the scores of images, breasts and patients (95% interval by patient)."
    return Table("froc_aucs", headings, rows, records, caption=caption)


def _level_title(level: str) -> str:
    """Images; images, calibrated."""
    name, _, calibrated = level.partition("_")
    plural = {"image": "Images", "breast": "Breasts", "patient": "Patients"}[name]
    return f"{plural}, calibrated" if calibrated else plural


def _seeds_table(result: FrocResult) -> Table:
    """A row for every model over its seeds, and one for chance."""
    columns = (AREA, *map(sensitivity_name, RATES))
    rows = [_over_seeds(result, name, columns) for name in _models(result)]
    chance = result.models[0].overall.chance
    rows.append(("Chance", "", f"{chance[AREA]:.2f}", *(f"{chance[m]:.1%}" for m in columns[1:])))
    headings = ("Model", "Seeds", "Area up to 1", *(f"at {rate:g}" for rate in RATES))
    caption = (
        "Sensitivity at so many false positives an image, and its mean from 0 to 1: mean ± sd over "
        "the seeds."
    )
    records = [_plain(row) for row in result.pooled]
    return Table("froc_seeds", headings, rows, records, caption=caption)


def _auc_seeds_table(result: FrocResult) -> Table:
    levels = [each.level for each in result.models[0].aucs]
    columns = [f"auc_{level}" for level in levels]
    rows = [_over_seeds(result, name, columns) for name in _models(result)]
    headings = ("Model", "Seeds", *map(_level_title, levels))
    caption = "AUC of the scores of images, breasts and patients: mean ± sd over the seeds."
    return Table("froc_aucs_seeds", headings, rows, caption=caption)


def _models(result: FrocResult) -> list[str]:
    """What was trained over several seeds."""
    return list(dict.fromkeys(row.model for row in result.pooled))


def _over_seeds(result: FrocResult, name: str, measures: Sequence[str]) -> tuple[str, ...]:
    cells = [result.compared(name, measure) for measure in measures]
    return name, f"{len(cells[0].seeds) if cells[0] else 0}", *map(_mean, cells)


def _mean(row: Comparison | None) -> str:
    """0.35 ± 0.06; a sensitivity as 54% ± 10."""
    if row is None or row.mean is None:
        return "–"
    if row.measure.startswith("sensitivity"):
        return f"{row.mean:.0%}" + ("" if row.spread is None else f" ± {100 * row.spread:.0f}")
    return f"{row.mean:.2f}" + ("" if row.spread is None else f" ± {row.spread:.2f}")


def _difference_table(result: FrocResult) -> Table:
    """Every model against the baseline: over its seeds where there are several."""
    compared = [r for r in result.pooled or result.comparisons if r.measure in COMPARED]
    compared = [row for row in compared if row.against]
    rows = [
        (
            f"{row.model} − {row.against}",
            COMPARED[row.measure],
            _difference(row),
            "–" if row.p_value is None else format_probability(row.p_value),
            "–" if row.holm is None else format_probability(row.holm),
        )
        for row in sorted(compared, key=lambda row: list(COMPARED).index(row.measure))
    ]
    records = [_plain(row) for row in (*result.pooled, *result.comparisons) if row.against]
    over = " Over the seeds, for other patients and other seeds." if result.pooled else ""
    return Table(
        "froc_differences",
        ("Models", "Measure", "Difference (95% interval)", "p", "Holm"),
        rows,
        records,
        caption=f"Differences from the baseline.{over}",
    )


def _plain(row: Comparison) -> dict[str, object]:
    """Its numbers for a CSV file."""
    return to_json(row) | {"seeds": " ".join(map(str, row.seeds))}


def _difference(row: Comparison) -> str:
    if row.difference is None:
        return row.note or "undefined"
    nan = float("nan")
    low, high = (nan if limit is None else limit for limit in (row.low, row.high))
    return difference_and_interval(row.difference, low, high)


def _group_table(result: FrocResult) -> Table:
    rows: list[Sequence[object]] = []
    for number, group in enumerate(result.models[0].groups):
        if not group.group:
            continue
        of_models = [model.groups[number] for model in result.models]
        title = f"{attribute_title(group.attribute)}: {group.group}"
        counts = f"{group.lesions:,} / {group.patients:,}"
        rows += [
            (title, counts, model.name, *_group_cells(each))
            for model, each in zip(result.models, of_models, strict=True)
        ]
    headings = ("Lesions", "Lesions / patients", "Model", "Area up to 1", "Chance", "at 1")
    return Table("froc_groups", headings, rows, caption="By type and size, with 95% intervals.")


def _group_cells(group: GroupResult) -> tuple[str, str, str]:
    area, at_one = group.measures[AREA], group.measures[AT_ONE]
    return _value(area), f"{group.chance[AREA]:.3f}", _percent(at_one)


def _estimate(value: Value) -> Estimate:
    limits = None if value.low is None or value.high is None else (value.low, value.high)
    return Estimate(value.value, limits, value.note)


def _value(value: Value, decimals: int | None = None) -> str:
    return auc_and_interval(_estimate(value), decimals)


def _percent(value: Value) -> str:
    """60% (50–78%)."""
    if value.value is None:
        return value.note
    return f"{value.value:.0%} ({interval(_estimate(value), '{:.0%}–{:.0%}')})"


def _sensitivity(measures: Mapping[str, Value], rate: float) -> str:
    value = measures[sensitivity_name(rate)]
    if rate == 1:
        return _percent(value)
    return "–" if value.value is None else f"{value.value:.0%}"
