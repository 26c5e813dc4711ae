"""The results of a reader study: as files, as a page, and as a section of the report."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cgan_tf.pages import html
from cgan_tf.pages.html import Facts, Heading, Notes, Paragraph, Part, Plot, Section, Table
from cgan_tf.pages.patches import enlarge
from cgan_tf.pages.style import (
    FAINT,
    LINE_COLOURS,
    PAGE_INCHES,
    format_probability,
    house_style,
    minus,
)
from cgan_tf.reading.analysis import EFFECT, Analysis, CaseResult, Estimate, PanelResult, analyse
from cgan_tf.reading.answers import read_answers
from cgan_tf.reading.cases import LESION, TWO_ALTERNATIVES
from cgan_tf.reading.study import PAGE, PagePictures, read_key, read_pictures
from cgan_tf.runs.dataclass_json import from_json, to_json
from cgan_tf.runs.directory import (
    csv_bytes,
    locked,
    read_json,
    read_manifest,
    write_bytes,
    write_json,
)
from cgan_tf.statistics.readers import BOTH, CASES

FOLDER, RESULTS = "analysis", "results.json"
SHOWN = 6  # cases of a kind that are shown as pictures
_VARIES = {BOTH: "other readers, other cases", CASES: "these readers, other cases"}


def write_analysis(directory: str | Path, answers: Sequence[str]) -> None:
    """Writes results.json, readers.csv, cases.csv and results.html into the study's folder
    `analysis`, anew each time.

    Raises `UserError` for a directory without a study, for answers to another one, and where no
    reader has finished.
    """
    read_manifest(directory, "reader_study")
    key = read_key(directory)
    pictures = read_pictures(directory, key.study)
    analysis = analyse(key, read_answers(answers, key))
    parts = result_parts(analysis, pictures)
    page = html.page(f"{key.title}: results", parts[:1], [Section("Results", parts[1:])])
    with locked(Path(directory) / FOLDER) as folder:
        write_json(folder / RESULTS, to_json(analysis))
        write_bytes(folder / "readers.csv", csv_bytes(_reader_rows(analysis)))
        write_bytes(folder / "cases.csv", csv_bytes(_case_rows(analysis)))
        write_bytes(folder / "results.html", page.encode())
    left_out = ", ".join(f"{code} ({count} cases)" for code, count in analysis.left_out.items())
    print(
        f"{folder}: {len(analysis.readers)} readers"
        + (f"; not finished: {left_out}" * bool(left_out))
    )
    for mean in analysis.means:
        if mean.varies == BOTH:
            print(f"  {mean.test}: {_mean_text(mean)}")


def read_results(directory: str | Path) -> Analysis | None:
    """What --analyse wrote into a study's directory; None before."""
    path = Path(directory) / FOLDER / RESULTS
    return from_json(Analysis, read_json(path), str(path)) if path.exists() else None


def study_parts(directory: str | Path) -> list[Part]:
    """The results in a study's directory for a page; empty before there are any."""
    analysis = read_results(directory)
    if analysis is None:
        return []
    return result_parts(analysis, read_pictures(directory, read_key(directory).study))


def measure_of(analysis: Analysis) -> str:
    """What the values are."""
    if analysis.question == TWO_ALTERNATIVES:
        return "Proportion correct"
    if analysis.answers == "yes_no":
        return "Mean of sensitivity and specificity"
    return "AUC"


_ASKED = {
    "real_or_synthetic": "whether a picture is synthetic",
    TWO_ALTERNATIVES: "which of two pictures is the synthetic one",
    LESION: "whether a picture shows a lesion",
}
_METHOD = (
    "Mean of the readers after Obuchowski and Rockette with Hillis' degrees of freedom; errors "
    "from cases after DeLong, clustered by patient. p: against 0.5, which is guessing; for a "
    "difference, against none, and adjusted by Holm's method in the last column.",
    "“Other readers, other cases” is what to expect of the next study; “these readers” is about "
    "this panel alone and too narrow for anyone else.",
)


def result_parts(analysis: Analysis, pictures: PagePictures) -> list[Part]:
    """Facts, readers, panel, power, pictures of the cases."""
    asked = _ASKED[analysis.question]
    parts: list[Part] = [
        Paragraph(
            f"{len(analysis.readers)} readers were asked {asked}: {len(analysis.cases)} cases of "
            f"{analysis.patients} patients. {measure_of(analysis)}: 0.5 is guessing.",
            "lead",
        ),
        Facts(_facts(analysis)),
        Plot("reader_study_readers", readers_figure(analysis), _plot_caption(analysis)),
        _reader_table(analysis),
        _habits_table(analysis),
        Notes(_reader_notes(analysis)),
        Heading("The panel"),
        _panel_table("reader_study_panel", analysis.means),
    ]
    if analysis.differences:
        parts.append(_panel_table("reader_study_differences", analysis.differences))
    parts.append(Notes(_METHOD))
    parts += _power_parts(analysis)
    figure, caption = cases_figure(analysis, pictures)
    parts += [Heading("Cases"), Plot("reader_study_cases", figure, caption)]
    return parts


def _facts(analysis: Analysis) -> list[tuple[str, str, str]]:
    first = analysis.means[0]
    facts = [
        (f"{measure_of(analysis)}, mean", _number(first.value), _interval(first.low, first.high)),
        ("Between readers", _number(analysis.between.value), _agreement_remark(analysis.between)),
    ]
    within = [r.within.value for r in analysis.readers if r.within.value is not None]
    if within:
        facts.append(("Within readers", f"{np.mean(within):.2f}", "kappa, mean of the readers"))
    seconds = [reader.seconds for reader in analysis.readers if reader.seconds is not None]
    if seconds:
        facts.append(("Time per case", f"{np.median(seconds):.1f} s", "median of the medians"))
    return facts


def _agreement_remark(of: Estimate) -> str:
    return f"kappa, {_interval(of.low, of.high)}" if of.value is not None else of.note


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else minus(f"{value:.{digits}f}")


def _interval(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "no interval"
    return minus(f"{low:.2f} to {high:.2f}")


def _with_interval(of: Estimate | None) -> str:
    if of is None or of.value is None:
        return "–"
    return f"{_number(of.value, 2)} ({_interval(of.low, of.high)})"


def _mean_text(mean: PanelResult) -> str:
    p = "" if mean.p_value is None else f", p = {format_probability(mean.p_value)}"
    return f"{mean.value:.3f} ({mean.note or _interval(mean.low, mean.high)}{p})"


def _plot_caption(analysis: Analysis) -> str:
    return (
        f"{measure_of(analysis)} of each reader, with its 95% interval by patient, and below the "
        "line the mean with that for other readers and other cases. Grey: guessing."
    )


@house_style
def readers_figure(analysis: Analysis) -> Figure:
    """A panel for each test: a row for each reader, the mean below."""
    tests = list(analysis.tests)
    count = len(analysis.readers)
    size = (min(PAGE_INCHES, 2.2 + 2.4 * len(tests)), 1.1 + 0.24 * (count + 1))
    figure = Figure(figsize=size, layout="constrained")
    row = figure.subplots(1, len(tests), sharex=True, sharey=True, squeeze=False)[0]
    means = {mean.test: mean for mean in analysis.means if mean.varies == BOTH}
    for axes, test in zip(row, tests, strict=True):
        axes.axvline(0.5, color=FAINT, linewidth=1)
        axes.axhline(count - 0.5, color=FAINT, linewidth=0.8)
        for place, reader in enumerate(analysis.readers):
            _bar(axes, place, reader.of_tests[test], LINE_COLOURS[0])
        mean = means[test]
        _bar(axes, count, Estimate(mean.value, mean.low, mean.high), LINE_COLOURS[1])
        axes.set_title(f"{test} ({analysis.tests[test]})")
        axes.set_xlim(-0.02, 1.02)
    row[0].set_yticks(range(count + 1), [*(reader.reader for reader in analysis.readers), "mean"])
    row[0].set_ylim(count + 0.6, -0.6)
    figure.supxlabel(measure_of(analysis), fontsize=9)
    return figure


def _bar(axes, place: int, of: Estimate, colour: str) -> None:  # type: ignore[no-untyped-def]
    if of.low is not None and of.high is not None:
        axes.plot([of.low, of.high], [place, place], color=colour, linewidth=1.4)
    if of.value is not None:
        axes.plot(of.value, place, "o", color=colour, markersize=4.5)


def _reader_table(analysis: Analysis) -> Table:
    rows = [
        [reader.reader, *(_with_interval(reader.of_tests[test]) for test in analysis.tests)]
        for reader in analysis.readers
    ]
    return Table("reader_study_readers", ["Reader", *analysis.tests], rows)


def _habits_table(analysis: Analysis) -> Table:
    """What each reader has whatever the test."""
    two = analysis.question == TWO_ALTERNATIVES
    headings = ["Reader", "d′", "Kappa within", "Seconds", "First quarter", "Last quarter"]
    rows = [
        [
            reader.reader,
            _with_interval(reader.d_prime),
            _with_interval(reader.within),
            *(
                _number(value, 1)
                for value in (reader.seconds, reader.first_quarter, reader.last_quarter)
            ),
            *([f"{reader.left:.0%}"] if reader.left is not None else []),
        ]
        for reader in analysis.readers
    ]
    return Table("reader_study_habits", headings + ["Left chosen"] * two, rows)


def _reader_notes(analysis: Analysis) -> list[str]:
    notes = [
        "d′: the distance of two normal distributions of equal variance that would give this value."
        if analysis.readers[0].d_prime
        else "Yes and no give no d′: it would need to be assumed that readers have no bias.",
        "Kappa within: first against second answers to the cases that came twice, weighted by the "
        "square of the difference where answers are ratings. Seconds: the median of a case.",
    ]
    if analysis.left_out:
        far = ", ".join(f"{code} ({count} cases)" for code, count in analysis.left_out.items())
        notes.append(f"Left out, as they have not finished: {far}.")
    return notes


def _panel_table(name: str, results: Sequence[PanelResult]) -> Table:
    differences = any(result.holm is not None for result in results)
    what = "Difference" if differences else "Test"
    headings = [what, "For", "Value", "95% interval", "Degrees", "p"] + ["Holm"] * differences
    rows = [
        [
            result.test,
            _VARIES.get(result.varies, "other readers, these cases"),
            _number(result.value),
            result.note or _interval(result.low, result.high),
            _number(result.degrees, 1) if result.degrees is not None else "–",
            "–" if result.p_value is None else format_probability(result.p_value),
            *(
                ["–" if result.holm is None else format_probability(result.holm)]
                if differences
                else []
            ),
        ]
        for result in results
    ]
    records = [dataclasses.asdict(result) for result in results]
    return Table(name, headings, rows, records)


def _power_parts(analysis: Analysis) -> list[Part]:
    parts: list[Part] = []
    for number, table in enumerate(analysis.power, 1):
        parts += [
            Heading(f"Power: a difference of {EFFECT:g} between {table.what}"),
            Table(
                f"reader_study_power_{number}",
                ["Readers", *(f"{cases} cases" for cases in table.cases)],
                [
                    [readers, *(f"{value:.0%}" for value in row)]
                    for readers, row in zip(table.readers, table.power, strict=True)
                ],
            ),
        ]
    if parts:
        text = (
            "Chance to find it at 5%, for readers and cases that vary as in this panel (Hillis, "
            "Obuchowski & Berbaum 2011); cases are those of a test. The variances of few readers "
            "are themselves uncertain."
        )
        parts.append(Notes([text]))
    return parts


def groups_of(analysis: Analysis) -> list[tuple[str, list[CaseResult]]]:
    """(title, cases) of the rows of pictures: those that fooled most readers, and fewest."""
    cases = analysis.cases
    if analysis.question == TWO_ALTERNATIVES:
        order = sorted(cases, key=lambda case: case.right)
        return [("taken for real", order), ("found", order[::-1])]
    positives = sorted((case for case in cases if case.positive), key=lambda case: case.answer)
    negatives = sorted((case for case in cases if not case.positive), key=lambda case: -case.answer)
    if analysis.question == LESION:
        titles = ("lesions missed", "lesions found", "lesions seen in normals", "normals known")
    else:
        titles = ("synthetic, taken for real", "synthetic, found", "real, suspected", "real, known")
    rows = (positives, positives[::-1], negatives, negatives[::-1])
    return list(zip(titles, rows, strict=True))


@house_style
def cases_figure(analysis: Analysis, pictures: PagePictures) -> tuple[Figure, str]:
    """The cases that fooled readers most and least, as the page first shows them; its caption."""
    groups = [(title, cases[:SHOWN]) for title, cases in groups_of(analysis) if cases]
    two = analysis.question == TWO_ALTERNATIVES
    height = (0.85 if two else 1.75) * len(groups)
    figure = Figure(figsize=(PAGE_INCHES, height + 0.2), layout="constrained")
    grid = figure.subplots(len(groups), SHOWN, squeeze=False)
    for row, (title, cases) in zip(grid, groups, strict=True):
        for axes in row:
            axes.set_axis_off()
        for axes, case in zip(row, cases, strict=False):
            order = [case.picture, 1 - case.picture] if two else [0]
            shown = [enlarge(pictures.levels(case.case, number)) for number in order]
            axes.imshow(np.hstack(shown), cmap="gray", vmin=0, vmax=255)
            axes.set_title(_case_title(analysis, case), fontsize=6.5, pad=3)
        row[0].set_axis_on()
        row[0].set(xticks=[], yticks=[])
        row[0].set_frame_on(False)
        row[0].set_ylabel(title, fontsize=7.5)
    told = "share of readers who were right" if two else "mean answer"
    sides = " The synthetic picture is on the left of each." if two else ""
    return figure, (
        "Cases that fooled the readers most and least: what the picture is, "
        f"and the {told}.{sides} They are the extremes of few answers: chance chose them, too."
    )


def _case_title(analysis: Analysis, case: CaseResult) -> str:
    if analysis.question == TWO_ALTERNATIVES:
        return f"{case.origin}: {case.right:.0%}"
    origin = case.kind if case.origin == "real" else case.origin
    return f"{origin}: {case.answer:.1f}"


def _reader_rows(analysis: Analysis) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = [
        (
            *("reader", "test", "cases", "value", "low", "high", "kappa_within"),
            *("median_seconds", "left_share"),
        )
    ]
    for reader in analysis.readers:
        for test, of in reader.of_tests.items():
            rows.append(
                (
                    *(reader.reader, test, analysis.tests[test], of.value, of.low, of.high),
                    *(reader.within.value, reader.seconds, reader.left),
                )
            )
    return rows


def _case_rows(analysis: Analysis) -> list[Sequence[object]]:
    names = [field.name for field in dataclasses.fields(CaseResult)]
    return [names, *(dataclasses.astuple(case) for case in analysis.cases)]


def page_of(directory: str | Path) -> Path:
    """The page of a study."""
    return Path(directory) / PAGE
