"""The report: the order of its sections, its opening, and how it is written.

Beside the page is a folder with its plots as PNG and PDF, its tables as CSV and its documents.
`contents.json` in it lists what the report wrote, so that the next report removes the files that
it no longer has, and no others.
"""

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
from matplotlib.figure import Figure

from cgan_tf.classifier.metrics import SyntheticEffect
from cgan_tf.classifier.results import ScoredTest
from cgan_tf.config import ReportConfig
from cgan_tf.data.provenance import Overlap
from cgan_tf.labels import TASKS
from cgan_tf.pages import html, style
from cgan_tf.pages.html import (
    Document,
    Facts,
    Gallery,
    Links,
    Paragraph,
    Part,
    Plot,
    Section,
    Table,
)
from cgan_tf.pages.patches import decode
from cgan_tf.pages.style import (
    auc_and_interval,
    column_decimals,
    difference_and_interval,
    format_p,
    format_probability,
    signed,
)
from cgan_tf.pages.viewer import VIEWER
from cgan_tf.reporting import (
    appendix,
    arms,
    curves,
    figure_1,
    figure_2,
    figure_3,
    figure_4,
    figures_5_and_6,
    froc,
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
SHEET_GAP_PX, MARK_PX = 12, 24
GALLERY = "gallery.html"  # of a run of synthesize
FILMS_NOTICE = f"Only “{figure_1.SHOWCASE}” shows others; no number comes from them."
LEVEL = 0.05

# What answers the paper's question: open on the page. The other sections are opened by a click.
OPEN: tuple[Callable[[ReportInputs], Section | None], ...] = (
    table_1.section,
    arms.section,
    curves.roc,
    froc.section,
    figure_1.section,
    quality.section,
)
# The report in its order. To add a section, write a function of `ReportInputs` that returns a
# `Section`, or None where its inputs are missing, and name it here.
SECTIONS: tuple[Callable[[ReportInputs], Section | None], ...] = (
    *OPEN,
    readers.section,
    figure_1.before_and_after,
    figure_3.section,
    figure_1.showcase,
    figure_1.acceptance,
    figure_2.section,
    figure_4.section,
    figures_5_and_6.section,
    trust.calibration,
    trust.subgroups,
    trust.grad_cams,
    curves.effect,
    curves.training,
    appendix.cards,
    appendix.provenance,
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
    if config.heat_map_dirs and not config.froc_dir:
        raise UserError("--froc_dir is required with --heat_map_dirs")
    check_output(config.output, ".html")
    inputs = read_inputs(config)
    # Inputs are opened before anything is made: a mistyped flag must leave nothing.
    with locked(files_directory(config.output)) as files:
        remove_leftovers(files)
        remove_leftovers(files.parent, f"{Path(config.output).name}.")
        _write(inputs, files)


def _write(inputs: ReportInputs, files: Path) -> None:
    config, output = inputs.config, Path(inputs.config.output)
    sections: list[Section | None] = []
    contents: dict[str, bytes] = {}
    with console.progress_bar(len(SECTIONS), "Report", "sections") as bar:
        for section in SECTIONS:
            sections.append(_made(section, inputs))
            contents |= section_files(sections[-1:], inputs.phantom)
            bar.update()
    write_files(files, contents)
    notice = inputs.notice
    if inputs.phantom and config.showcase_dirs:
        notice += f" {FILMS_NOTICE}"
    page = html.page(config.title, _opening(inputs), sections, files.name, notice=notice)
    write_bytes(output, page.encode())
    size = output.stat().st_size / 1e6
    print(f"{output}: report written ({size:.1f} MB); its plots and tables are in {files}")


def _made(
    section: Callable[[ReportInputs], Section | None], inputs: ReportInputs
) -> Section | None:
    made = section(inputs)
    if made is None:
        return None
    drawn = inputs.phantom and section is not figure_1.showcase  # that one is of films
    parts = html.marked_as_phantom(made.parts) if drawn else made.parts
    return dataclasses.replace(made, parts=parts, closed=section not in OPEN)


def _opening(inputs: ReportInputs) -> list[Part]:
    return [
        Paragraph(answer(inputs), "answer"),
        Paragraph(
            "A reference implementation of Wu et al., “Synthesizing lesions using contextual "
            "GANs improves breast cancer classification on mammograms”.",
            "lead",
        ),
        *(Paragraph(text, "notice") for text in overlap_notices(inputs.evaluations)),
        Facts(_facts(inputs)),
        *([Links(links)] if (links := _links(inputs)) else []),
    ]


def answer(inputs: ReportInputs) -> str:
    """Whether the synthetic set helps here, by how much, how surely, and on what."""
    baseline, mixed = inputs.baseline, inputs.mixed
    data = "a phantom, which says nothing about mammograms" if inputs.phantom else "these data"
    tested = (
        f"{len(baseline.labels):,} test patches of {baseline.metrics.patients:,} women, on {data}"
    )
    if mixed is None:
        return f"One classifier, trained without synthetic patches: {tested}."
    regime = inputs.results.regime(mixed.arm)
    pooled = inputs.results.compared(regime)
    if pooled is None or math.isnan(pooled.p_value):
        return f"Whether synthetic patches help cannot be said: no test is defined. {tested}."
    p_value = pooled.p_value if math.isnan(pooled.holm) else pooled.holm
    if p_value >= LEVEL:
        verdict = "It is not shown that synthetic patches help or harm"
    else:
        verdict = f"Synthetic patches {'help' if pooled.difference > 0 else 'harm'}"
    change = difference_and_interval(pooled.difference, pooled.low, pooled.high)
    return (
        f"{verdict}: training with them ({mixed.regime}) changes the test AUC by {change} against "
        f"{inputs.original} patches alone, "
        f"p = {format_probability(p_value)} by patient. {_seeds(pooled.seeds)}; {tested}."
    )


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) > 1:
        return f"{len(seeds)} seeds"
    return "One seed, so the interval leaves out how much training varies from seed to seed"


def _links(inputs: ReportInputs) -> list[tuple[str, str]]:
    """The pages beside the report, by relative addresses, as far as they are there.

    Symbolic links stay in them, so that report and pages may be moved together.
    """
    config, beside = inputs.config, Path(inputs.config.output).absolute().parent
    pages = [(f"Images: {Path(d).name}", Path(d) / VIEWER) for d in config.insertion_dirs]
    sets = (*config.synthetic_dirs, *config.showcase_dirs)
    pages += [(f"Gallery: {'/'.join(Path(d).parts[-2:])}", Path(d) / GALLERY) for d in sets]
    shown = [
        (text, quote(os.path.relpath(path.absolute(), beside)))
        for text, path in pages
        if path.exists()
    ]
    return [
        *shown,
        (
            "All plots (PNG, PDF), tables (CSV) and cards",
            quote(f"{files_directory(config.output).name}/"),
        ),
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
    aucs = [auc_of(evaluation.metrics.auc["overall"]) for evaluation in inputs.compared]
    decimals = column_decimals(auc.limits for auc in aucs)
    facts = [_auc_fact(inputs.results, evaluation, decimals) for evaluation in inputs.compared]
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
                "Score of a lesion, before and after its removal",
                f"{_score(removal.mean_logit_before)} → {_score(removal.mean_logit_after)}",
                f"0 to 1, from the baseline's mean logit on {removal.patches:,} {where} patches",
            )
        )
    return facts


def _score(logit: float) -> str:
    return f"{1 / (1 + math.exp(-logit)):.2f}"


def _auc_fact(results: Results, evaluation: ScoredTest, decimals: int) -> tuple[str, str, str]:
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
        shown = auc_and_interval(auc, decimals)
        remark = f"95% interval {shown.partition(' ')[2].strip('()')}"
    else:
        remark = (
            f"{signed(comparison.by_patient.difference, 3)} against the baseline, "
            f"p = {format_p(comparison.by_patient)} by patient"
        )
    return f"{evaluation.name}: test AUC", f"{auc.value:.{decimals}f}", remark


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


def section_files(sections: Iterable[Section | None], phantom: bool = False) -> dict[str, bytes]:
    """Files by name: plots and galleries as PNG and PDF, tables as CSV, documents as Markdown."""
    files: dict[str, bytes] = {}
    for part in (part for each in sections if each for part in html.unfolded(each.parts)):
        if isinstance(part, Plot):
            files[f"{part.name}.png"] = part.png
            files[f"{part.name}.pdf"] = style.pdf(part.figure)
        elif isinstance(part, Table):
            files[f"{part.name}.csv"] = table_csv(part)
        elif isinstance(part, Gallery):
            figure = sheet_figure(part.pictures, marked=phantom)
            files[f"{part.name}.png"] = style.png(figure)
            files[f"{part.name}.pdf"] = style.pdf(figure)
        elif isinstance(part, Document):
            files[f"{part.name}.md"] = part.text.encode()
    return files


def sheet_figure(pictures: Sequence[tuple[bytes, str]], marked: bool = False) -> Figure:
    """(PNG, what it shows) each, two in a row, pixel for pixel at the resolution of PNG files.

    `marked`: says below them that the data are drawn. Raises `UserError` for a damaged PNG.
    """
    views = [decode(png, what) for png, what in pictures]
    height, width = np.max([view.shape[:2] for view in views], axis=0) + SHEET_GAP_PX
    foot = MARK_PX if marked else 0
    sheet = np.full((height * -(-len(views) // 2) + foot, width * 2, 3), 255, np.uint8)
    for number, view in enumerate(views):
        row, column = divmod(number, 2)
        place = sheet[row * height :, column * width :]
        place[: view.shape[0], : view.shape[1]] = view
    figure = Figure(figsize=(sheet.shape[1] / style.DPI, sheet.shape[0] / style.DPI))
    figure.figimage(cv2.cvtColor(sheet, cv2.COLOR_BGR2RGB))
    if marked:
        figure.text(1, 0, style.PHANTOM_MARK, ha="right", va="bottom", fontsize=6)
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
