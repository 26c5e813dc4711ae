"""The report: its opening and the order of its sections.

Report sections that account for the data and the runs: counts, ledger, flags.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cgan_tf.classifier.metrics import SyntheticEffect
from cgan_tf.classifier.results import ScoredTest, compared_with, read_evaluations
from cgan_tf.config import ReportConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.labels import PATCH_CLASSES, SPLITS, TASKS
from cgan_tf.pages import html
from cgan_tf.pages.files import files_directory, section_files, write_files
from cgan_tf.pages.html import Section, Table, section
from cgan_tf.pages.style import auc_and_interval, format_p, format_probability, signed
from cgan_tf.reporting import (
    cards,
    curves,
    figure_1,
    figure_3,
    figure_4,
    figures_5_and_6,
    quality,
    trust,
)
from cgan_tf.reporting.curves import read_losses
from cgan_tf.reporting.figure_2 import section_of_figure_2
from cgan_tf.reporting.figure_4 import overlap_parts
from cgan_tf.reporting.table_1 import Results, compare, read_failed_runs, table_1
from cgan_tf.runs.directory import locked, read_json, read_manifest, remove_leftovers, write_bytes
from cgan_tf.runs.errors import UserError


def data(patches: PatchSet) -> Section | None:
    manifest = patches.manifest
    rows = [
        [name, *(f"{patches.count(split, name):,}" for split in SPLITS)]
        for name in PATCH_CLASSES
        if any(patches.count(split, name) for split in SPLITS)
    ]
    parts = [
        Table("patches", ("Patches", *SPLITS), rows),
        html.paragraph(
            "Splits are by client: no woman is in two of them. The class source feeds the "
            "generators and nothing else.",
            "note",
        ),
        *_ledger(manifest.get("ledger", {})),
    ]
    return section("Data", *parts)


def flags(
    config: ReportConfig,
    evaluations: Sequence[ScoredTest],
    patches: PatchSet,
    sets: Sequence[tuple[str, dict[str, Any]]],
) -> Section | None:
    runs = [(f"make_patches: {patches.directory}", patches.manifest["flags"])]
    for directory in config.gan_dirs:
        runs.append((f"train_gan: {directory}", read_json(Path(directory) / "run.json")["flags"]))
    runs += [(f"synthesize: {directory}", manifest["flags"]) for directory, manifest in sets]
    for evaluation in evaluations:
        flags = evaluation.training["flags"]
        runs.append((f"train_classifier: {flags['workdir']}", flags))
    return section(
        "Flags of every run",
        *(
            html.details(name, "\n".join(f"--{key}={value}" for key, value in flags.items()))
            for name, flags in runs
        ),
    )


def _ledger(ledger: dict[str, Any]) -> list[str | Table]:
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
        if rejected:
            listed = sorted(rejected.items(), key=lambda item: -item[1])
            reasons.append(
                f"Rejected {kind}: "
                + " · ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in listed)
            )
    if not rows:
        return []
    headings = ("Ledger", "Read", "Used", "Not needed", "Rejected", "Adds up")
    return [
        Table("ledger", headings, rows),
        *(html.paragraph(reason, "note") for reason in reasons),
    ]


def write_report(config: ReportConfig) -> None:
    """Writes the report; every run writes it anew."""
    if config.showcase_dirs and not config.showcase_patches_dir:
        raise UserError("--showcase_patches_dir is required with --showcase_dirs")
    evaluations = read_evaluations(config.evaluations)
    patches = PatchSet(config.patches_dir)
    failed = read_failed_runs(config.failed_runs) if config.failed_runs else []
    results = compare(evaluations, failed)
    sets = [(name, read_manifest(name, "synthesize")) for name in config.synthetic_dirs]
    losses = read_losses(config.gan_dirs)
    # Inputs are opened before anything is made: a mistyped flag must leave nothing.
    with locked(files_directory(config.output)) as files:
        remove_leftovers(files)
        remove_leftovers(files.parent, f"{Path(config.output).name}.")
        _write(config, files, evaluations, patches, results, sets, losses)


def _write(
    config: ReportConfig,
    files: Path,
    evaluations: Sequence[ScoredTest],
    patches: PatchSet,
    results: Results,
    sets: Sequence[tuple[str, dict[str, Any]]],
    losses: dict[str, dict[str, np.ndarray]],
) -> None:
    mixed = compared_with(evaluations[0], evaluations)
    compared = [evaluations[0], *([mixed] if mixed else [])]
    sections = [
        *figure_1.examples(config, patches),
        section_of_figure_2(config.gan_dirs),
        figure_3.insertions(config.insertion_dirs),
        figure_1.showcase(config),
        figure_1.synthesis(sets),
        quality.quality(config.quality_dir),
        table_1(results),
        curves.curves(evaluations),
        *_feature_space(config, compared, patches),
        trust.calibration(evaluations),
        trust.subgroups(compared),
        trust.grad_cams(compared),
        curves.effect(evaluations[0]),
        curves.training(evaluations, losses),
        cards.cards(evaluations, config.notice),
        data(patches),
        flags(config, evaluations, patches, sets),
    ]
    output = Path(config.output)
    write_files(files, section_files(sections))
    page = html.page(config.title, _opening(config, results, compared, sets), sections, files.name)
    write_bytes(output, page.encode())
    size = output.stat().st_size / 1e6
    print(f"{output}: report written ({size:.1f} MB); its figures and tables are in {files}")


def _feature_space(
    config: ReportConfig, compared: Sequence[ScoredTest], patches: PatchSet
) -> list[Section | None]:
    """Figures 4 to 6: the baseline and, where there is one, the classifier beside it."""
    space = figure_4.baseline_space(config, compared[0])
    if space is None:
        return []
    sections = [figure_4.figure_4(space, overlap_parts(space, patches, config.seed))]
    for mixed in compared[1:]:
        sections.append(figures_5_and_6.figures_5_and_6(config, space, mixed, patches))
    return sections


def _opening(
    config: ReportConfig,
    results: Results,
    compared: Sequence[ScoredTest],
    sets: Sequence[tuple[str, dict[str, Any]]],
) -> str:
    facts = [_auc_fact(results, evaluation) for evaluation in compared]
    rates = {manifest["task"]: manifest["acceptance_rate"] for _, manifest in reversed(sets)}
    if rates:
        text = " · ".join(f"{rates[task]:.0%}" for task in TASKS if task in rates)
        names = ", ".join(task for task in TASKS if task in rates)
        facts.append(("Synthesised and accepted", text, names))
    removal = _removal_metrics(compared[0])
    if removal:
        before, after = removal.mean_logit_before, removal.mean_logit_after
        where = "held-out" if removal.split != "train" else "training"
        facts.append(
            (
                "Mean logit of a lesion, before and after its removal",
                f"{signed(before)} → {signed(after)}",
                f"baseline classifier, {removal.patches:,} {where} patches",
            )
        )
    return "\n".join(
        [
            f"<header><h1>{html.escape(config.title)}</h1>",
            html.paragraph(
                "A reference implementation of Wu et al., “Synthesizing lesions using contextual "
                "GANs improves breast cancer classification on mammograms”.",
                "lead",
            ),
            html.paragraph(config.notice, "notice") if config.notice else "",
            html.facts(facts),
            "</header>",
        ]
    )


def _auc_fact(results: Results, evaluation: ScoredTest) -> tuple[str, str, str]:
    """The test AUC of a classifier, or of its regime over several seeds."""
    if results.several_seeds:
        regime = results.regime(evaluation.fraction)
        remark = f"mean of {len(regime.seeds)} seeds"
        if regime.pooled:
            p = regime.pooled.note or f"p = {format_probability(regime.pooled.p_value)}"
            remark = f"{signed(regime.pooled.difference, 3)} against the baseline, {p}"
        return f"{evaluation.regime}: test AUC", f"{regime.mean:.3f}", remark
    auc = evaluation.metrics.auc["overall"]
    comparison = results.comparisons.get((evaluation.fraction, evaluation.seed))
    if comparison is None:
        remark = f"95% interval {auc_and_interval(auc).partition(' ')[2].strip('()')}"
    else:
        remark = (
            f"{signed(comparison.by_patient.difference, 3)} against the baseline, "
            f"p = {format_p(comparison.by_patient)} by patient"
        )
    return f"{evaluation.name}: test AUC", f"{auc.auc:.3f}", remark


def _removal_metrics(evaluation: ScoredTest) -> SyntheticEffect | None:
    """The effect of removal, on held-out patches where there are any."""
    effects = [
        effect for effect in evaluation.metrics.synthetic.values() if effect.task == "removal"
    ]
    return min(effects, key=lambda effect: effect.split == "train", default=None)
