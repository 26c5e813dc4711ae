"""The report: the order of its sections, its opening, and how it is written."""

from collections.abc import Callable
from pathlib import Path

from cgan_tf.classifier.metrics import SyntheticEffect
from cgan_tf.classifier.results import ScoredTest
from cgan_tf.config import ReportConfig
from cgan_tf.labels import TASKS
from cgan_tf.pages import html
from cgan_tf.pages.files import files_directory, section_files, write_files
from cgan_tf.pages.html import Facts, Paragraph, Part, Section
from cgan_tf.pages.style import auc_and_interval, format_p, format_probability, signed
from cgan_tf.reporting import (
    accounts,
    cards,
    curves,
    figure_1,
    figure_2,
    figure_3,
    figure_4,
    figures_5_and_6,
    quality,
    table_1,
    trust,
)
from cgan_tf.reporting.comparisons import Results
from cgan_tf.reporting.inputs import ReportInputs, auc_of, read_inputs
from cgan_tf.runs.directory import locked, remove_leftovers, write_bytes
from cgan_tf.runs.errors import UserError

# The report in its order. To add a section, write a function of `ReportInputs` that returns a
# `Section`, or None where its inputs are missing, and name it here.
SECTIONS: tuple[Callable[[ReportInputs], Section | None], ...] = (
    figure_1.section,
    figure_1.before_and_after,
    figure_2.section,
    figure_3.section,
    figure_1.showcase,
    figure_1.acceptance,
    quality.section,
    table_1.section,
    curves.roc,
    figure_4.section,
    figures_5_and_6.section,
    trust.calibration,
    trust.subgroups,
    trust.grad_cams,
    curves.effect,
    curves.training,
    cards.section,
    accounts.data,
    accounts.flags,
)


def write_report(config: ReportConfig) -> None:
    """Writes the page and the folder of its files; every run writes them anew.

    Raises `UserError` for inputs that are missing or do not belong together, before anything is
    written.
    """
    if config.showcase_dirs and not config.showcase_patches_dir:
        raise UserError("--showcase_patches_dir is required with --showcase_dirs")
    inputs = read_inputs(config)
    # Inputs are opened before anything is made: a mistyped flag must leave nothing.
    with locked(files_directory(config.output)) as files:
        remove_leftovers(files)
        remove_leftovers(files.parent, f"{Path(config.output).name}.")
        _write(inputs, files)


def _write(inputs: ReportInputs, files: Path) -> None:
    config, output = inputs.config, Path(inputs.config.output)
    sections = [section(inputs) for section in SECTIONS]
    write_files(files, section_files(sections))
    page = html.page(config.title, _opening(inputs), sections, files.name)
    write_bytes(output, page.encode())
    size = output.stat().st_size / 1e6
    print(f"{output}: report written ({size:.1f} MB); its plots and tables are in {files}")


def _opening(inputs: ReportInputs) -> list[Part]:
    notice = inputs.config.notice
    return [
        Paragraph(
            "A reference implementation of Wu et al., “Synthesizing lesions using contextual "
            "GANs improves breast cancer classification on mammograms”.",
            "lead",
        ),
        *([Paragraph(notice, "notice")] if notice else []),
        Facts(_facts(inputs)),
    ]


def _facts(inputs: ReportInputs) -> list[tuple[str, str, str]]:
    """(what, value, remark): test AUCs, acceptance, and what removal does to the baseline."""
    facts = [_auc_fact(inputs.results, evaluation) for evaluation in inputs.compared]
    rates = {each.task: each.acceptance_rate for each in reversed(inputs.sets)}
    if rates:
        text = " · ".join(f"{rates[task]:.0%}" for task in TASKS if task in rates)
        names = ", ".join(task for task in TASKS if task in rates)
        facts.append(("Synthesised and accepted", text, names))
    removal = _removal(inputs.baseline)
    if removal:
        where = "held-out" if removal.split != "train" else "training"
        facts.append(
            (
                "Mean logit of a lesion, before and after its removal",
                f"{signed(removal.mean_logit_before)} → {signed(removal.mean_logit_after)}",
                f"baseline classifier, {removal.patches:,} {where} patches",
            )
        )
    return facts


def _auc_fact(results: Results, evaluation: ScoredTest) -> tuple[str, str, str]:
    """The test AUC of a classifier, or of its regime over several seeds."""
    if results.several_seeds:
        regime = results.regime(evaluation.fraction)
        remark = f"mean of {len(regime.seeds)} seeds"
        if regime.pooled:
            p = regime.pooled.note or f"p = {format_probability(regime.pooled.p_value)}"
            remark = f"{signed(regime.pooled.difference, 3)} against the baseline, {p}"
        return f"{evaluation.regime}: test AUC", f"{regime.mean:.3f}", remark
    auc = auc_of(evaluation.metrics.auc["overall"])
    comparison = results.comparisons.get((evaluation.fraction, evaluation.seed))
    if comparison is None:
        remark = f"95% interval {auc_and_interval(auc).partition(' ')[2].strip('()')}"
    else:
        remark = (
            f"{signed(comparison.by_patient.difference, 3)} against the baseline, "
            f"p = {format_p(comparison.by_patient)} by patient"
        )
    return f"{evaluation.name}: test AUC", f"{auc.value:.3f}", remark


def _removal(evaluation: ScoredTest) -> SyntheticEffect | None:
    """The effect of removal, on held-out patches where there are any."""
    removals = [
        effect for effect in evaluation.metrics.synthetic.values() if effect.task == "removal"
    ]
    return min(removals, key=lambda effect: effect.split == "train", default=None)
