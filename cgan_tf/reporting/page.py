"""The report: the order of its sections, its opening, and how it is written.

Beside the page is a folder with its plots as PNG and PDF, its tables as CSV and its documents.
`contents.json` in it lists what the report wrote, so that the next report removes the files that
it no longer has, and no others.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from cgan_tf.classifier.metrics import SyntheticEffect
from cgan_tf.classifier.results import ScoredTest
from cgan_tf.config import ReportConfig
from cgan_tf.data.provenance import Overlap
from cgan_tf.labels import TASKS
from cgan_tf.pages import html, style
from cgan_tf.pages.html import Document, Facts, Gallery, Paragraph, Part, Plot, Section, Table
from cgan_tf.pages.patches import decode
from cgan_tf.pages.style import auc_and_interval, format_p, format_probability, signed
from cgan_tf.reporting import (
    appendix,
    arms,
    curves,
    figure_1,
    figure_2,
    figure_3,
    figure_4,
    figures_5_and_6,
    quality,
    readers,
    table_1,
    trust,
)
from cgan_tf.reporting.comparisons import Results
from cgan_tf.reporting.inputs import ReportInputs, auc_of, read_inputs
from cgan_tf.runs import console
from cgan_tf.runs.directory import (
    csv_bytes,
    locked,
    read_json,
    remove_leftovers,
    write_bytes,
    write_json,
)
from cgan_tf.runs.errors import UserError, check_output, contained

CONTENTS = "contents.json"
SHEET_GAP_PX = 12

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
    readers.section,
    table_1.section,
    arms.section,
    curves.roc,
    figure_4.section,
    figures_5_and_6.section,
    trust.calibration,
    trust.subgroups,
    trust.grad_cams,
    curves.effect,
    curves.training,
    appendix.cards,
    appendix.data,
    appendix.flags,
)


def write_report(config: ReportConfig) -> None:
    """Writes the page and the folder of its files; every run writes them anew.

    Raises `UserError` for inputs that are missing or do not belong together, before anything is
    written.
    """
    if config.showcase_dirs and not config.showcase_patches_dir:
        raise UserError("--showcase_patches_dir is required with --showcase_dirs")
    check_output(config.output, ".html")
    inputs = read_inputs(config)
    # Inputs are opened before anything is made: a mistyped flag must leave nothing.
    with locked(files_directory(config.output)) as files:
        remove_leftovers(files)
        remove_leftovers(files.parent, f"{Path(config.output).name}.")
        _write(inputs, files)


def _write(inputs: ReportInputs, files: Path) -> None:
    config, output = inputs.config, Path(inputs.config.output)
    sections = []
    with console.progress_bar(len(SECTIONS), "Report", "sections") as bar:
        for section in SECTIONS:
            sections.append(section(inputs))
            bar.update()
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
        *(Paragraph(text, "notice") for text in overlap_notices(inputs.evaluations)),
        Facts(_facts(inputs)),
    ]


def overlap_notices(evaluations: Sequence[ScoredTest]) -> list[str]:
    """What is said of women who are in the test and behind the training, which a flag allowed."""
    told: dict[str, None] = {}
    for evaluation in evaluations:
        for each in evaluation.training.get("overlap", []):
            overlap = Overlap(**each | {"patients": tuple(each["patients"])})
            told[f"{overlap.name}: {overlap}"] = None
    start = "Training overlaps with evaluation, as --allow_overlap permitted. "
    return [f"{start}{'; '.join(told)}. The AUCs may be too high."] if told else []


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
        regime = results.regime(evaluation.arm)
        remark = f"mean of {len(regime.seeds)} seeds"
        if regime.pooled:
            p = regime.pooled.note or f"p = {format_probability(regime.pooled.p_value)}"
            remark = f"{signed(regime.pooled.difference, 3)} against the baseline, {p}"
        return f"{evaluation.regime}: test AUC", f"{regime.mean:.3f}", remark
    auc = auc_of(evaluation.metrics.auc["overall"])
    comparison = results.comparisons.get((evaluation.arm, evaluation.seed))
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


def files_directory(output: str | Path) -> Path:
    """report.html → report_files, beside it."""
    output = Path(output)
    return output.with_name(f"{output.stem}_files")


def section_files(sections: Iterable[Section | None]) -> dict[str, bytes]:
    """Files by name: plots and galleries as PNG and PDF, tables as CSV, documents as Markdown."""
    files: dict[str, bytes] = {}
    for part in (part for section in sections if section for part in section.parts):
        if isinstance(part, Plot):
            files[f"{part.name}.png"] = part.png
            files[f"{part.name}.pdf"] = style.pdf(part.figure)
        elif isinstance(part, Table):
            files[f"{part.name}.csv"] = table_csv(part)
        elif isinstance(part, Gallery):
            figure = sheet_figure(part.pictures)
            files[f"{part.name}.png"] = style.png(figure)
            files[f"{part.name}.pdf"] = style.pdf(figure)
        elif isinstance(part, Document):
            files[f"{part.name}.md"] = part.text.encode()
    return files


def sheet_figure(pictures: Sequence[tuple[bytes, str]]) -> Figure:
    """(PNG, what it shows) each, two in a row, pixel for pixel at the resolution of PNG files.

    Raises `UserError` for a damaged PNG.
    """
    views = [decode(png, what) for png, what in pictures]
    height, width = np.max([view.shape[:2] for view in views], axis=0) + SHEET_GAP_PX
    sheet = np.full((height * -(-len(views) // 2), width * 2, 3), 255, np.uint8)
    for number, view in enumerate(views):
        row, column = divmod(number, 2)
        place = sheet[row * height :, column * width :]
        place[: view.shape[0], : view.shape[1]] = view
    figure = Figure(figsize=(sheet.shape[1] / style.DPI, sheet.shape[0] / style.DPI))
    figure.figimage(cv2.cvtColor(sheet, cv2.COLOR_BGR2RGB))
    return figure


def table_csv(table: Table) -> bytes:
    """A table as CSV in UTF-8; the minus signs of the page become plain ones."""
    if table.records:
        return csv_bytes([table.records[0], *(record.values() for record in table.records)])
    rows = ([str(cell).replace("−", "-") for cell in row] for row in table.rows)
    return csv_bytes([table.headings, *rows])


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Writes the files, each whole or not at all, and removes old ones of the report before."""
    contents = directory / CONTENTS
    paths = {contained(directory, name): content for name, content in files.items()}
    before = read_json(contents).get("files", []) if contents.exists() else []
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{directory}: cannot be written: {error.strerror}") from error
    # First a list that holds old and new: whatever interrupts, no file is left unaccounted for.
    write_json(contents, {"files": sorted({*before, *files})})
    for path, content in paths.items():
        write_bytes(path, content)
    for name in set(before) - set(files):
        (directory / Path(name).name).unlink(missing_ok=True)
    write_json(contents, {"files": sorted(files)})
