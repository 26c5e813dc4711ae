"""Report sections on how far a classifier can be trusted: calibration, sub-groups, Grad-CAM.

Nothing is computed here: the numbers are those of the evaluations' metrics.json.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cgan_tf.classifier.results import ScoredTest, by_arm, read_table
from cgan_tf.pages import html
from cgan_tf.pages.html import Gallery, Part, Plot, Section, Table, section_of
from cgan_tf.pages.patches import decode, encode
from cgan_tf.pages.style import (
    FAINT,
    PAGE_INCHES,
    Estimate,
    arm_colour,
    auc_and_interval,
    column_decimals,
    house_style,
    panels,
    signed,
)
from cgan_tf.reporting.inputs import (
    ReportInputs,
    attribute_title,
    auc_of,
    intercept_of,
    slope_of,
)
from cgan_tf.runs.dataclass_json import to_json
from cgan_tf.runs.errors import contained, reading

GRAD_CAM = "grad_cam"
MISTAKES_SHOWN = 3  # of a kind; the evaluation has them all
LEAST_PLACES = 4  # a side of a map; a coarser one colours quarters of a patch and tells no place
PANELS = 3  # of a picture: the patch, the evidence for cancer, the evidence against it
MISTAKES = {
    "false_negative": "Lesions mistaken for normal tissue",
    "false_positive": "Normal tissue mistaken for lesions",
}


def calibration(inputs: ReportInputs) -> Section | None:
    """Reliability diagrams, and the slope and intercept of every classifier."""
    evaluations = inputs.evaluations
    rows = [_calibration_row(evaluation) for evaluation in evaluations]
    headings = (
        "Classifier", "Slope (95% interval)", "Intercept (95% interval)",
        "Intercept at even odds", "Calibration error", "Brier score",
    )  # fmt: skip
    return section_of(
        "Calibration",
        Plot(
            "calibration",
            calibration_figure(evaluations),
            "Share of malignant test patches against the probability that the classifier gives "
            "them, in ten bins; larger points stand for more patches. On the dashed line the two "
            "agree.",
        ),
        Table("calibration", headings, rows),
        html.Paragraph(
            "Slope and intercept of a logistic regression of the label on the logit, with "
            "intervals by patient. A slope of 1 and an intercept of 0 are ideal; a slope below 1 "
            "means overconfidence. " + evaluations[0].metrics.calibration.prevalence_note,
            "note",
        ),
    )


@house_style
def calibration_figure(evaluations: Sequence[ScoredTest]) -> Figure:
    """Reliability diagrams: one panel per regime, one line per seed."""
    regimes = by_arm(evaluations)
    figure, axes = panels(len(regimes), "probability given", height=2.9)
    for axis, (arm, group) in zip(axes, regimes.items(), strict=True):
        axis.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle="--")
        for evaluation in group:
            bins = [b for b in evaluation.metrics.calibration.bins if b.patches]
            given = np.array([b.mean_probability for b in bins], float)
            observed = np.array([b.positive_share for b in bins], float)
            largest = max(b.patches for b in bins)
            colour = arm_colour(arm)
            axis.plot(given, observed, color=colour, linewidth=0.9)
            axis.scatter(given, observed, c=colour, s=[40 * b.patches / largest for b in bins])
        axis.set_title(group[0].regime)
        axis.set_aspect("equal")
    axes[0].set_ylabel("malignant share")
    return figure


def subgroups(inputs: ReportInputs) -> Section | None:
    """AUCs in sub-groups of one classifier, or of two side by side."""
    chosen = inputs.compared
    parts: list[Part] = []
    named: list[tuple[str, str, str]] = []
    aucs: list[list[Estimate]] = []
    records = []
    for attribute, name in _shared_groups(chosen):
        groups = [e.metrics.subgroups[attribute].groups[name] for e in chosen]
        first = groups[0]
        patches = f"{first.positives:,} / {first.negatives:,}"
        women = f"{first.positive_patients:,} / {first.negative_patients:,}"
        named.append((f"{attribute_title(attribute)}: {name}", patches, women))
        aucs.append([auc_of(group) for group in groups])
        records += [
            {"attribute": attribute, "group": name, "classifier": e.name, **to_json(group)}
            for e, group in zip(chosen, groups, strict=True)
        ]
    if named:
        decimals = column_decimals(auc.limits for row in aucs for auc in row)
        rows = [
            (*name, *(_subgroup_auc(auc, decimals) for auc in row))
            for name, row in zip(named, aucs, strict=True)
        ]
        names = (f"AUC, {evaluation.name}" for evaluation in chosen)
        headings = ("Sub-group", "Patches, malignant / normal", "Women", *names)
        caption = "AUC in sub-groups of the test patches, with 95% intervals by patient."
        parts.append(Plot("subgroups", subgroup_figure(chosen), caption))
        parts.append(Table("subgroups", headings, rows, records))
    notes = [content.note for content in chosen[0].metrics.subgroups.values()]
    text = (
        "Lesions of one type, size or conspicuity are compared with all normal patches; patches of "
        "one manufacturer, breast density, age, thickness, exposure or site with the normal "
        "patches of the same group. Groups of too few women have no interval. With so many "
        "sub-groups, a difference in one is a question, not a finding. "
        + " ".join(f"{_sentence(note)}" for note in notes if note)
    )
    return section_of("Sub-groups", *parts, html.Paragraph(text.strip(), "note"))


@house_style
def subgroup_figure(chosen: Sequence[ScoredTest]) -> Figure:
    """One row per sub-group, with a point and an interval for each classifier."""
    labels = _shared_groups(chosen)
    figure = Figure(figsize=(PAGE_INCHES * 0.75, 0.9 + 0.3 * len(labels)), layout="constrained")
    axis = figure.subplots()
    for number, evaluation in enumerate(chosen):
        colour = arm_colour(evaluation.arm)
        overall = evaluation.metrics.auc["overall"].auc
        if overall is not None:
            axis.axvline(overall, color=colour, linewidth=0.7, linestyle=":")
        for row, (attribute, name) in enumerate(labels):
            auc = auc_of(evaluation.metrics.subgroups[attribute].groups[name])
            if auc.value is None:
                continue
            y = row + 0.22 * (number - (len(chosen) - 1) / 2)
            axis.plot(auc.value, y, marker="o", markersize=4, color=colour)
            if auc.limits:
                axis.plot(auc.limits, [y, y], color=colour, linewidth=1)
        axis.plot([], [], marker="o", markersize=4, color=colour, label=evaluation.name)
    axis.set_yticks(range(len(labels)), [f"{attribute_title(a)}: {name}" for a, name in labels])
    axis.invert_yaxis()
    axis.set_xlabel("AUC (dotted: all patches)")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def grad_cams(inputs: ReportInputs) -> Section | None:
    """The most confident mistakes of each classifier, where evaluate has drawn them.

    Maps that are too coarse to tell a place are left out, and the patches are shown alone.
    """
    parts: list[Part] = []
    coarse: set[int] = set()
    for number, evaluation in enumerate(inputs.compared, 1):
        directory = evaluation.directory / GRAD_CAM
        if not (directory / "index.csv").exists():
            continue
        index = read_table(directory / "index.csv")
        for mistake, title in MISTAKES.items():
            members = [row for row in index if row["mistake"] == mistake][:MISTAKES_SHOWN]
            coarse |= {int(row["places"]) for row in members if _is_coarse(row)}
            if members:
                logits = ", ".join(signed(float(row["logit"])) for row in members)
                parts.append(html.Heading(f"{evaluation.name}: {title.lower()}"))
                name = f"{GRAD_CAM}_{number}_{mistake}"
                pictures = [_overlay(directory, row) for row in members]
                parts.append(Gallery(name, pictures, small=any(map(_is_coarse, members))))
                parts.append(html.Paragraph(f"Logits: {logits}.", "note"))
    if not parts:
        return None
    caption = (
        f"Up to {MISTAKES_SHOWN} of the most confident mistakes of each kind, one per woman; the "
        "folders of the evaluations have more. The box is the annotated lesion. "
    )
    if coarse:
        caption += (
            f"Maps by Grad-CAM are left out: the last convolutional stage has {min(coarse)}×"
            f"{min(coarse)} places in a patch of this size, too few to tell where evidence lies."
        )
    else:
        caption += (
            "Each strip shows the patch, the evidence for cancer (red) and the evidence against it "
            "(blue), by Grad-CAM (Selvaraju et al. 2017) on the last convolutional stage."
        )
    return section_of(
        "The most confident mistakes",
        html.Paragraph(f"{caption} Not in the paper.", "lead"),
        *parts,
    )


def _is_coarse(row: Mapping[str, str]) -> bool:
    return int(row.get("places", LEAST_PLACES)) < LEAST_PLACES


def _overlay(directory: Path, row: Mapping[str, str]) -> tuple[bytes, str]:
    path = contained(directory, row["file"])
    with reading(path):
        png = path.read_bytes()
    if _is_coarse(row):
        picture = decode(png, str(path))
        png = encode([picture[:, : picture.shape[1] // PANELS]])
    return png, f"{row['patch_id']}, logit {float(row['logit']):.2f}"


def _calibration_row(evaluation: ScoredTest) -> tuple[str, ...]:
    values = evaluation.metrics.calibration
    return (
        evaluation.name,
        _with_limits(slope_of(values), "{:.2f}".format),
        _with_limits(intercept_of(values), signed),
        _number(values.intercept_at_even_odds, signed),
        _number(values.expected_calibration_error, "{:.3f}".format),
        _number(values.brier_score, "{:.3f}".format),
    )


def _with_limits(estimate: Estimate, form: Callable[[float], str]) -> str:
    if estimate.value is None:
        return estimate.note or "undefined"
    limits = " to ".join(map(form, estimate.limits)) if estimate.limits else "interval undefined"
    return f"{form(estimate.value)} ({limits})"


def _number(value: float | None, form: Callable[[float], str]) -> str:
    return "undefined" if value is None else form(value)


def _subgroup_auc(auc: Estimate, decimals: int) -> str:
    if auc.value is None:
        return "undefined"  # the column of patches says which class is missing
    if auc.limits is None:
        return f"{auc.value:.{decimals}f} (too few women)"
    return auc_and_interval(auc, decimals)


def _shared_groups(chosen: Sequence[ScoredTest]) -> list[tuple[str, str]]:
    """(attribute, name) of the groups that all have: an older evaluation has fewer attributes."""
    return [
        (attribute, name)
        for attribute, content in chosen[0].metrics.subgroups.items()
        for name in content.groups
        if all(
            attribute in e.metrics.subgroups and name in e.metrics.subgroups[attribute].groups
            for e in chosen
        )
    ]


def _sentence(note: str) -> str:
    attribute, rest = note.removeprefix("undefined: ").split(" ", 1)
    text = f"{attribute_title(attribute)} {rest}"
    return f"{text[:1].upper()}{text[1:]}."
