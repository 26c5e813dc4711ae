"""The report, section by section."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cgan_tf import report_figures, report_html, report_map
from cgan_tf.config import PATCH_CLASSES, SPLITS, TASKS, ReportConfig
from cgan_tf.errors import UserError
from cgan_tf.patch_sets import PatchSet
from cgan_tf.report_data import (
    ScoredTest,
    read_evaluations,
    read_features,
    read_losses,
    read_table,
)
from cgan_tf.report_pictures import example_pairs, pair_png
from cgan_tf.report_table import (
    PAPER_NOTES,
    TableRow,
    format_p,
    format_probability,
    table_rows,
)
from cgan_tf.run_directory import read_json, read_manifest, write_bytes

PAIRS_OF_A_TASK = 6
PAIRS_OF_THE_SHOWCASE = 9
TASK_TITLES = {
    "mass": "Masses synthesised",
    "calcification": "Calcifications synthesised",
    "removal": "Lesions removed",
}


def write_report(config: ReportConfig) -> None:
    """Writes the report; every run writes it anew."""
    if config.showcase_dirs and not config.showcase_patches_dir:
        raise UserError("--showcase_patches_dir is required with --showcase_dirs")
    evaluations = read_evaluations(config.evaluations)
    patches = PatchSet(config.patches_dir)
    rows = table_rows(evaluations)
    sets = [(name, read_manifest(name, "synthesize")) for name in config.synthetic_dirs]
    sections = [
        _opening(config, rows, sets),
        _examples(config, patches),
        _showcase(config),
        _synthesis(sets),
        _table_1(rows),
        _curves(evaluations),
        _map(config, evaluations[0]),
        _effect(evaluations[0]),
        _training(config, evaluations),
        _data(patches),
        _flags(config, evaluations, patches, sets),
    ]
    output = Path(config.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(output, report_html.page(config.title, sections).encode())
    print(f"{output}: report written ({output.stat().st_size / 1e6:.1f} MB)")


def _opening(
    config: ReportConfig, rows: Sequence[TableRow], sets: Sequence[tuple[str, dict[str, Any]]]
) -> str:
    facts = [_auc_fact(row) for row in rows[:3]]
    rates = {manifest["task"]: manifest["acceptance_rate"] for _, manifest in reversed(sets)}
    if rates:
        text = " · ".join(f"{rates[task]:.0%}" for task in TASKS if task in rates)
        names = ", ".join(task for task in TASKS if task in rates)
        facts.append(("Synthesised and accepted", text, names))
    removal = _removal_metrics(rows[0].evaluation)
    if removal:
        before, after = removal["mean_logit_before"], removal["mean_logit_after"]
        where = "held-out" if removal["split"] != "train" else "training"
        facts.append(
            (
                "Mean logit of a lesion, before and after its removal",
                f"{_signed(before)} → {_signed(after)}",
                f"baseline classifier, {removal['patches']:,} {where} patches",
            )
        )
    return "\n".join(
        [
            f"<header><h1>{report_html.escape(config.title)}</h1>",
            report_html.paragraph(
                "A reference implementation of Wu et al., “Synthesizing lesions using contextual "
                "GANs improves breast cancer classification on mammograms”.",
                "lead",
            ),
            report_html.paragraph(config.notice, "notice") if config.notice else "",
            report_html.facts(facts),
            "</header>",
        ]
    )


def _auc_fact(row: TableRow) -> tuple[str, str, str]:
    auc = row.evaluation.metrics["auc"]["overall"]
    if row.by_patient is None:
        remark = f"95% interval {_interval(auc['low_by_patient'], auc['high_by_patient'])}"
    else:
        remark = (
            f"{_signed(row.by_patient.difference, 3)} against the baseline, "
            f"p = {format_p(row.by_patient)} by patient"
        )
    return f"{row.evaluation.name}: test AUC", f"{auc['auc']:.3f}", remark


def _removal_metrics(evaluation: ScoredTest) -> dict[str, Any] | None:
    """The effect of removal, on held-out patches where there are any."""
    effects = [
        effect for effect in evaluation.metrics["synthetic"].values() if effect["task"] == "removal"
    ]
    return min(effects, key=lambda effect: effect["split"] == "train", default=None)


def _examples(config: ReportConfig, patches: PatchSet) -> str:
    parts = []
    for directory in config.synthetic_dirs:
        manifest = read_manifest(directory, "synthesize")
        held_out = [split for split in manifest["splits"] if split != "train"]
        title = TASK_TITLES.get(manifest["task"], manifest["task"])
        parts.append(report_html.heading(f"{title} ({held_out[0]} split)" if held_out else title))
        parts.append(_pair_gallery(directory, patches, PAIRS_OF_A_TASK, config.seed))
    if not parts:
        return ""
    caption = (
        "Each strip: the real patch (left), its synthetic counterpart (middle), and the lesion "
        "channel alone (right; mid-grey is zero, scaled to its own range). Real and synthetic "
        "share one grey scale. Drawn at random from the accepted patches, not chosen."
    )
    return report_html.section(
        "Figure 1. Synthesised and removed lesions", report_html.paragraph(caption, "lead"), *parts
    )


def _showcase(config: ReportConfig) -> str:
    if not config.showcase_dirs:
        return ""
    patches = PatchSet(config.showcase_patches_dir)
    parts = []
    for directory in config.showcase_dirs:
        manifest = read_manifest(directory, "synthesize")
        parts.append(report_html.heading(TASK_TITLES.get(manifest["task"], manifest["task"])))
        parts.append(_pair_gallery(directory, patches, PAIRS_OF_THE_SHOWCASE, config.seed))
    caption = (
        "The same generators on patches of real mammograms, which they were not trained on and "
        "whose diagnosis is not used. Before, after, and the lesion channel, as above."
    )
    return report_html.section(
        "The generators on real mammograms", report_html.paragraph(caption, "lead"), *parts
    )


def _pair_gallery(directory: str, patches: PatchSet, count: int, seed: int) -> str:
    return report_html.gallery(
        [
            (pair_png(pair), f"{pair.source.patch_id} and {pair.synthetic.patch_id}")
            for pair in example_pairs(directory, patches, count, seed)
        ]
    )


def _synthesis(sets: Sequence[tuple[str, dict[str, Any]]]) -> str:
    if not sets:
        return ""
    rows = []
    for _, manifest in sets:
        rejected = manifest.get("rejected", {})
        rows.append(
            (
                manifest["task"],
                ", ".join(manifest["splits"]),
                f"{manifest['candidates']:,}",
                f"{manifest['accepted']:,}",
                f"{manifest['acceptance_rate']:.1%}",
                f"{rejected.get('too_small', 0):,}",
                f"{rejected.get('empty', 0):,}",
                f"{manifest['flags']['min_area_fraction']:.1%}",
            )
        )
    headings = (
        "Task",
        "Split",
        "Candidates",
        "Accepted",
        "Rate",
        "Too small",
        "Empty",
        "Min. area",
    )
    return report_html.section(
        "Acceptance by the post-processing",
        report_html.table(headings, rows),
        report_html.paragraph(
            "A candidate is rejected when the largest object above the threshold in its lesion "
            "channel covers less than the minimum area of the patch; the paper discards objects "
            "under 10%.",
            "note",
        ),
    )


def _table_1(rows: Sequence[TableRow]) -> str:
    headings = (
        "Training regime", "AUC", "95% interval", "Difference", "95% interval", "p", "p by patient",
        "Holm", "Holm by patient", "Paper: AUC", "Paper: p",
    )  # fmt: skip
    return report_html.section(
        "Table 1. Classification of real test patches",
        report_html.table(headings, [_table_1_cells(row) for row in rows]),
        _by_lesion(rows),
        report_html.notes(
            [
                *PAPER_NOTES,
                "Intervals of the AUC and of the difference are by patient. Benign patches are in "
                "no test set. Our figures and the paper's can be compared only where the data are "
                "the paper's.",
            ]
        ),
    )


def _table_1_cells(row: TableRow) -> list[str]:
    auc = row.evaluation.metrics["auc"]["overall"]
    cells = [
        row.evaluation.name,
        f"{auc['auc']:.3f}",
        _interval(auc["low_by_patient"], auc["high_by_patient"]),
    ]
    if row.plain is None or row.by_patient is None:
        cells += ["–"] * 6
    else:
        cells += [
            _signed(row.by_patient.difference, 3),
            _interval(row.by_patient.low, row.by_patient.high, signed=True),
            format_p(row.plain),
            format_p(row.by_patient),
            format_probability(row.plain_holm),
            format_probability(row.by_patient_holm),
        ]
    paper = "–" if row.paper_auc is None else f"{row.paper_auc:.3f}"
    return [*cells, paper, row.paper_p or "–"]


def _by_lesion(rows: Sequence[TableRow]) -> str:
    cells = []
    for row in rows:
        metrics = row.evaluation.metrics
        line = [row.evaluation.name]
        for kind in ("mass", "calcification"):
            auc = metrics["auc"][kind]
            line.append(auc["note"] if auc["auc"] is None else f"{auc['auc']:.3f}")
            line.append(_interval(auc["low_by_patient"], auc["high_by_patient"]))
        sensitivity = metrics["sensitivity"]
        line.append("undefined" if sensitivity is None else f"{sensitivity:.1%}")
        cells.append(line)
    headings = (
        "Training regime", "AUC, masses", "95% interval", "AUC, calcifications", "95% interval",
        "Sensitivity at 90% specificity",
    )  # fmt: skip
    return report_html.table(headings, cells)


def _curves(evaluations: Sequence[ScoredTest]) -> str:
    patches = evaluations[0].metrics["patches"]
    return report_html.section(
        "ROC curves",
        report_html.figure(
            report_figures.roc_figure(evaluations),
            f"ROC curves on {patches['malignant']:,} malignant and {patches['normal']:,} normal "
            f"real patches of {evaluations[0].metrics['clients']:,} women; the AUC in brackets.",
        ),
    )


def _map(config: ReportConfig, baseline: ScoredTest) -> str:
    features, groups, topped_up = report_map.map_groups(
        read_features(baseline), baseline.classes, config.tsne_per_class, config.seed
    )
    if len(features) < 10:
        return ""
    extra = (
        "Validation had too few patches; from the test split come "
        + ", ".join(f"{count:,} {group}" for group, count in topped_up.items())
        + ". "
        if topped_up
        else ""
    )
    caption = (
        "t-SNE of the last feature layer of the baseline classifier, trained on real patches only, "
        "in the paper's colours. Real patches are drawn from the validation split. "
        f"{extra}Distances between groups in such a map are no measure of overlap. (The paper's "
        "map shows 2,000 normal patches of a validation set that it says has 1,000.)"
    )
    points = report_map.tsne(features, config.seed)
    return report_html.section(
        "Figure 4. Real and synthetic patches in feature space",
        report_html.figure(report_figures.tsne_figure(points, groups), caption),
    )


def _effect(baseline: ScoredTest) -> str:
    effects = baseline.metrics["synthetic"]
    if not effects:
        return ""
    scores = read_table(baseline.directory / "synthetic_scores.csv")
    shifts, rows = {}, []
    for effect in effects.values():
        members = [
            r for r in scores if (r["task"], r["split"]) == (effect["task"], effect["split"])
        ]
        name = f"{effect['task']} ({effect['split']})"
        shifts[name] = (
            np.array([float(row["source_logit"]) for row in members]),
            np.array([float(row["logit"]) for row in members]),
        )
        rows.append(
            (
                name,
                f"{effect['patches']:,}",
                _signed(effect["mean_logit_before"]),
                _signed(effect["mean_logit_after"]),
                _signed(effect["mean_change"]),
                f"{effect['as_intended']:.0%}",
            )
        )
    headings = ("Set", "Patches", "Mean logit before", "After", "Change", "Moved as intended")
    return report_html.section(
        "What the baseline classifier makes of it",
        report_html.table(headings, rows),
        report_html.figure(
            report_figures.shift_figure(shifts),
            "Logits of the source patches and of the synthetic ones under the baseline, which has "
            "seen no synthetic patch; vertical lines are means. Removal should lower the logit, "
            "synthesis raise it. Sets of the training split start from patches that the baseline "
            "was trained on.",
        ),
    )


def _training(config: ReportConfig, evaluations: Sequence[ScoredTest]) -> str:
    parts = [
        report_html.figure(
            report_figures.training_figure(evaluations),
            "Classifiers: exact AUC on the validation split (a ring marks the weights that were "
            "kept) and the share of synthetic samples.",
        )
    ]
    curves = {}
    for directory in config.gan_dirs:
        task = read_json(Path(directory) / "run.json").get("flags", {}).get("task", directory)
        losses = read_losses(Path(directory))
        if "step" in losses:
            curves[str(task)] = losses
    if curves:
        parts.append(
            report_html.figure(
                report_figures.loss_figure(curves),
                "GAN losses; the shaded band is the fade-in of the full resolution.",
            )
        )
    return report_html.section("Training", *parts)


def _data(patches: PatchSet) -> str:
    manifest = patches.manifest
    rows = [
        [name, *(f"{patches.count(split, name):,}" for split in SPLITS)]
        for name in PATCH_CLASSES
        if any(patches.count(split, name) for split in SPLITS)
    ]
    parts = [
        report_html.table(("Patches", *SPLITS), rows),
        report_html.paragraph(
            "Splits are by client: no woman is in two of them. The class source feeds the "
            "generators and nothing else.",
            "note",
        ),
        *_ledger(manifest.get("ledger", {})),
    ]
    return report_html.section("Data", *parts)


def _ledger(ledger: dict[str, Any]) -> list[str]:
    """Every image and mark read is used, not needed, or rejected for a named reason."""
    rows, reasons = [], []
    for kind, account in ledger.items():
        if not isinstance(account, dict) or not account.get("read"):
            continue
        rejected = account.get("rejected", {})
        total = sum(rejected.values())
        known = account.get("used", 0) + account.get("not_needed", 0) + total
        rows.append(
            (
                kind,
                f"{account['read']:,}",
                f"{account.get('used', 0):,}",
                f"{account.get('not_needed', 0):,}",
                f"{total:,}",
                "yes" if known == account["read"] else f"no: {known:,}",
            )
        )
        reasons += [
            (kind, reason.replace("_", " "), f"{count:,}") for reason, count in rejected.items()
        ]
    if not rows:
        return []
    headings = ("Ledger", "Read", "Used", "Not needed", "Rejected", "Adds up")
    parts = [report_html.table(headings, rows)]
    if reasons:
        parts.append(report_html.table(("Rejected", "Reason", "Count"), reasons))
    return parts


def _flags(
    config: ReportConfig,
    evaluations: Sequence[ScoredTest],
    patches: PatchSet,
    sets: Sequence[tuple[str, dict[str, Any]]],
) -> str:
    runs = [(f"make_patches: {patches.directory}", patches.manifest["flags"])]
    for directory in config.gan_dirs:
        runs.append((f"train_gan: {directory}", read_json(Path(directory) / "run.json")["flags"]))
    runs += [(f"synthesize: {directory}", manifest["flags"]) for directory, manifest in sets]
    for evaluation in evaluations:
        flags = evaluation.training["flags"]
        runs.append((f"train_classifier: {flags['workdir']}", flags))
    return report_html.section(
        "Flags of every run",
        *(
            report_html.details(name, "\n".join(f"--{key}={value}" for key, value in flags.items()))
            for name, flags in runs
        ),
    )


def _interval(low: float | None, high: float | None, signed: bool = False) -> str:
    if low is None or high is None or np.isnan(low) or np.isnan(high):
        return "undefined"
    return f"{_signed(low, 3)} to {_signed(high, 3)}" if signed else f"{low:.3f} to {high:.3f}"


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")
