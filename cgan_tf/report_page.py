"""The report: its opening and the order of its sections."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cgan_tf import (
    classifier_card,
    report_account,
    report_corrections,
    report_examples,
    report_html,
    report_insertions,
    report_judgement,
    report_quality,
    report_results,
    report_space,
)
from cgan_tf.config import TASKS, ReportConfig
from cgan_tf.errors import UserError
from cgan_tf.failed_runs import read_failed_runs
from cgan_tf.patch_sets import PatchSet
from cgan_tf.report_architecture import section_of_figure_2
from cgan_tf.report_content import Section
from cgan_tf.report_data import ScoredTest, compared_with, read_evaluations, read_losses
from cgan_tf.report_files import files_directory, section_files, write_files
from cgan_tf.report_numbers import auc_and_interval, format_p, format_probability, signed
from cgan_tf.report_overlap import overlap_parts
from cgan_tf.report_table import Results, compare, table_1
from cgan_tf.run_directory import locked, read_manifest, remove_leftovers, write_bytes


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
        *report_examples.examples(config, patches),
        section_of_figure_2(config.gan_dirs),
        report_insertions.insertions(config.insertion_dirs),
        report_examples.showcase(config),
        report_examples.synthesis(sets),
        report_quality.quality(config.quality_dir),
        table_1(results),
        report_results.curves(evaluations),
        *_feature_space(config, compared, patches),
        report_judgement.calibration(evaluations),
        report_judgement.subgroups(compared),
        report_judgement.grad_cams(compared),
        report_results.effect(evaluations[0]),
        report_results.training(evaluations, losses),
        classifier_card.cards(evaluations, config.notice),
        report_account.data(patches),
        report_account.flags(config, evaluations, patches, sets),
    ]
    output = Path(config.output)
    write_files(files, section_files(sections))
    page = report_html.page(
        config.title, _opening(config, results, compared, sets), sections, files.name
    )
    write_bytes(output, page.encode())
    size = output.stat().st_size / 1e6
    print(f"{output}: report written ({size:.1f} MB); its figures and tables are in {files}")


def _feature_space(
    config: ReportConfig, compared: Sequence[ScoredTest], patches: PatchSet
) -> list[Section | None]:
    """Figures 4 to 6: the baseline and, where there is one, the classifier beside it."""
    space = report_space.baseline_space(config, compared[0])
    if space is None:
        return []
    sections = [report_space.figure_4(space, overlap_parts(space, patches, config.seed))]
    for mixed in compared[1:]:
        sections.append(report_corrections.figures_5_and_6(config, space, mixed, patches))
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
        before, after = removal["mean_logit_before"], removal["mean_logit_after"]
        where = "held-out" if removal["split"] != "train" else "training"
        facts.append(
            (
                "Mean logit of a lesion, before and after its removal",
                f"{signed(before)} → {signed(after)}",
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


def _auc_fact(results: Results, evaluation: ScoredTest) -> tuple[str, str, str]:
    """The test AUC of a classifier, or of its regime over several seeds."""
    if results.several_seeds:
        regime = results.regime(evaluation.fraction)
        remark = f"mean of {len(regime.seeds)} seeds"
        if regime.pooled:
            p = regime.pooled.note or f"p = {format_probability(regime.pooled.p_value)}"
            remark = f"{signed(regime.pooled.difference, 3)} against the baseline, {p}"
        return f"{evaluation.regime}: test AUC", f"{regime.mean:.3f}", remark
    auc = evaluation.metrics["auc"]["overall"]
    comparison = results.comparisons.get((evaluation.fraction, evaluation.seed))
    if comparison is None:
        remark = f"95% interval {auc_and_interval(auc).partition(' ')[2].strip('()')}"
    else:
        remark = (
            f"{signed(comparison.by_patient.difference, 3)} against the baseline, "
            f"p = {format_p(comparison.by_patient)} by patient"
        )
    return f"{evaluation.name}: test AUC", f"{auc['auc']:.3f}", remark


def _removal_metrics(evaluation: ScoredTest) -> dict[str, Any] | None:
    """The effect of removal, on held-out patches where there are any."""
    effects = [
        effect for effect in evaluation.metrics["synthetic"].values() if effect["task"] == "removal"
    ]
    return min(effects, key=lambda effect: effect["split"] == "train", default=None)
