"""What the answers to a reader study say: each reader, the panel, agreement, time, single cases.

A study has one or more tests: a synthetic set against the real pictures of its kinds, or lesions of
one origin against tissue without. Tests may share cases. The measure is the AUC of the answers, of
yes and no therefore the mean of sensitivity and specificity; of a forced choice the proportion of
right ones. 0.5 is guessing in each.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.stats import norm

from cgan_tf.reading.answers import Answer, Reader
from cgan_tf.reading.cases import LESION, TWO_ALTERNATIVES
from cgan_tf.reading.study import Key, KeyCase, levels_of_answers, real
from cgan_tf.runs.errors import UserError
from cgan_tf.statistics.agreement import Agreement, agreement
from cgan_tf.statistics.auc import auc_interval, holm
from cgan_tf.statistics.readers import (
    BOTH,
    CASES,
    READERS,
    PanelEstimate,
    Performance,
    auc_performance,
    components,
    panel_difference,
    panel_mean,
    power,
    proportion_interval,
    proportion_performance,
)

ALL = "all cases"
EFFECT = 0.05
POWER_READERS, POWER_CASES = (3, 5, 8, 12, 20), (50, 100, 200, 400, 800)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval; note: why it has none, or empty."""

    value: float | None
    low: float | None
    high: float | None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class ReaderResult:
    """One reader.

    Attributes:
      reader: code. of_tests: AUC or proportion by test. d_prime: of all cases, the distance of two
        normal distributions of equal variance that gives it; None for yes and no.
      within: kappa of first and second answers. seconds: median of a case, None without times.
      quarters: the same of the first and the last quarter of the study. left: share of forced
        choices of the left picture, None without.
    """

    reader: str
    of_tests: dict[str, Estimate]
    d_prime: Estimate | None
    within: Estimate
    seconds: float | None
    first_quarter: float | None
    last_quarter: float | None
    left: float | None


@dataclasses.dataclass(frozen=True)
class PanelResult:
    """The mean of the readers with a test, or the difference of two tests.

    Attributes:
      test: its name; of a difference, both. varies: what is a sample of more. degrees: of freedom,
        None for a normal distribution. p_value: against guessing, or no difference; holm: adjusted
        for the differences.
    """

    test: str
    varies: str
    value: float
    error: float | None
    degrees: float | None
    low: float | None
    high: float | None
    p_value: float | None
    holm: float | None
    note: str


@dataclasses.dataclass(frozen=True)
class PowerTable:
    """Chance to find a difference of `EFFECT`: rows for readers, columns for cases."""

    what: str
    readers: tuple[int, ...]
    cases: tuple[int, ...]
    power: tuple[tuple[float, ...], ...]


@dataclasses.dataclass(frozen=True)
class CaseResult:
    """One case over the readers.

    Attributes:
      case: its id. origin, kind: of its picture, or of the synthetic of two. picture: its number.
      positive: whether it is what was asked after; true for all forced choices.
      answer: mean answer. right: share of right answers. seconds: median, None without times.
    """

    case: str
    origin: str
    kind: str
    picture: int
    size: float
    positive: bool
    answer: float
    right: float
    seconds: float | None


@dataclasses.dataclass(frozen=True)
class Analysis:
    """All of it.

    Attributes:
      question, answers: of the study. patients: whose pictures were read. tests: with their number
        of cases. left_out: readers who have not finished, with how far they came.
      between: kappa of every two readers, their mean.
    """

    question: str
    answers: str
    patients: int
    tests: dict[str, int]
    readers: tuple[ReaderResult, ...]
    left_out: dict[str, int]
    means: tuple[PanelResult, ...]
    differences: tuple[PanelResult, ...]
    between: Estimate
    power: tuple[PowerTable, ...]
    cases: tuple[CaseResult, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class _Test:
    """A comparison: bool [n], which cases are in it."""

    name: str
    there: np.ndarray


def analyse(key: Key, readers: Sequence[Reader]) -> Analysis:
    """The analysis of the readers who have finished.

    Raises `UserError` when there is none.
    """
    finished = [reader for reader in readers if reader.finished]
    left_out = {r.code: len(r.answers) for r in readers if not r.finished}
    if not finished:
        far = ", ".join(f"{code} {count} of {len(key.cases)}" for code, count in left_out.items())
        raise UserError(f"expected the answers of a reader who has finished, found {far or 'none'}")
    table = _Table(key, finished)
    tests = table.tests()
    performance = table.performance(tests)
    whole = table.performance([_Test(ALL, np.ones(len(key.cases), bool))])
    named = [_Test(ALL, np.ones(len(key.cases), bool)), *tests] if len(tests) > 1 else tests
    return Analysis(
        question=key.question,
        answers=key.answers,
        patients=len(set(_patients(key.cases))),
        tests={test.name: int(test.there.sum()) for test in named},
        readers=tuple(table.reader_result(row, named) for row in range(len(finished))),
        left_out=left_out,
        means=tuple(_means(named, [whole] if len(tests) > 1 else [], performance)),
        differences=tuple(_differences(tests, performance)),
        between=_agreed(table.between()),
        power=tuple(_power_tables(whole, performance, tests)),
        cases=tuple(table.case_results()),
    )


class _Table:
    """The answers of all readers: [readers, cases] in the order of the key."""

    def __init__(self, key: Key, readers: Sequence[Reader]):
        self.key, self.readers = key, readers
        self.levels = levels_of_answers(key.question, key.answers)
        self.two = key.question == TWO_ALTERNATIVES
        self.truth = np.array([_truth(key.question, case) for case in key.cases])
        self.patients = np.array(_clusters(key.cases))
        ids = [case.case for case in key.cases]
        self.values = np.array(
            [[reader.answers[i].value for i in ids] for reader in readers], float
        )
        self.right = (
            self.values == self.truth
            if self.two
            else (self.values > np.mean(self.levels)) == self.truth
        )

    def tests(self) -> list[_Test]:
        """The comparisons of the study: every set, and with lesions the real ones."""
        if self.two:
            return [self._of(name, {name}, None) for name in self.key.sets]
        if self.key.question == LESION:
            return self._lesion_tests()
        return [self._of(name, {name, "real"}, self._kinds(name)) for name in self.key.sets]

    def _lesion_tests(self) -> list[_Test]:
        normals = {"normal"}
        tests = [self._of("real lesions", {"real"}, None)]
        for name in self.key.sets:
            removal = self._kinds(name) == normals
            origins = [
                {"real"} if (case.pictures[0].kind != "normal") == removal else {name}
                for case in self.key.cases
            ]
            there = [
                case.pictures[0].origin in allowed
                for case, allowed in zip(self.key.cases, origins, strict=True)
            ]
            tests.append(_Test(name, np.array(there)))
        return [test for test in tests if len(set(self.truth[test.there])) == 2]

    def _kinds(self, name: str) -> set[str]:
        return {p.kind for case in self.key.cases for p in case.pictures if p.origin == name}

    def _of(self, name: str, origins: set[str], kinds: set[str] | None) -> _Test:
        there = [
            (
                case.pictures[0].origin in origins
                or (self.two and case.pictures[1].origin in origins)
            )
            and (kinds is None or case.pictures[0].kind in kinds)
            for case in self.key.cases
        ]
        return _Test(name, np.array(there))

    def performance(self, tests: Sequence[_Test]) -> Performance:
        """AUCs or proportions of all readers with the tests."""
        chosen = self.right if self.two else self.values
        scores = np.stack([np.where(test.there, chosen.astype(float), np.nan) for test in tests])
        if self.two:
            return proportion_performance(scores, self.patients)
        return auc_performance(scores, self.truth, self.patients)

    def reader_result(self, row: int, tests: Sequence[_Test]) -> ReaderResult:
        """What one reader did."""
        reader = self.readers[row]
        of_tests = {test.name: self._estimate(row, test.there) for test in tests}
        overall = self._estimate(row, np.ones(len(self.truth), bool))
        yes_no = self.key.answers == "yes_no" and not self.two
        sides = [a.value == a.left for a in reader.answers.values()]  # the picture on the left
        quarter = max(1, len(reader.answers) // 4)
        answers = list(reader.answers.values())
        return ReaderResult(
            reader=reader.code,
            of_tests=of_tests,
            d_prime=None if yes_no else _d_prime(overall),
            within=_agreed(agreement([self._again(reader)], len(self.levels))),
            seconds=_median_seconds(answers),
            first_quarter=_median_seconds(answers[:quarter]),
            last_quarter=_median_seconds(answers[-quarter:]),
            left=float(np.mean(sides)) if self.two else None,
        )

    def _estimate(self, row: int, there: np.ndarray) -> Estimate:
        patients = self.patients[there]
        if self.two:
            found = proportion_interval(self.right[row, there], patients)
            return _estimate(found.value, found.low, found.high, found.note)
        auc = auc_interval(self.truth[there], self.values[row, there], patients)
        return _estimate(auc.auc, auc.low, auc.high, auc.note)

    def _codes(self, values: Iterable[float]) -> np.ndarray:
        return np.searchsorted(self.levels, list(values)).astype(int)

    def _again(self, reader: Reader) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First and second answers to what came twice, and whose cases they are."""
        place = {case.case: number for number, case in enumerate(self.key.cases)}
        both = [case for case in reader.again if case in reader.answers]
        first = self._codes(reader.answers[case].value for case in both)
        second = self._codes(reader.again[case].value for case in both)
        return first, second, np.array([str(self.patients[place[case]]) for case in both])

    def between(self) -> Agreement:
        """Every two readers on all cases."""
        rows = [self._codes(row) for row in self.values]
        names = np.array([str(patient) for patient in self.patients])
        pairs = [(a, b, names) for a, b in itertools.combinations(rows, 2)]
        return agreement(pairs, len(self.levels))

    def case_results(self) -> list[CaseResult]:
        """Every case over the readers."""
        results = []
        for number, case in enumerate(self.key.cases):
            place = int(self.truth[number]) if self.two else 0
            picture = case.pictures[place]
            answers = [reader.answers[case.case] for reader in self.readers]
            results.append(
                CaseResult(
                    case=case.case,
                    origin=picture.origin,
                    kind=picture.kind,
                    picture=place,
                    size=picture.size,
                    positive=True if self.two else bool(self.truth[number]),
                    answer=float(self.values[:, number].mean()),
                    right=float(self.right[:, number].mean()),
                    seconds=_median_seconds(answers),
                )
            )
        return results


def _truth(question: str, case: KeyCase) -> int:
    if question == TWO_ALTERNATIVES:
        return [not real(picture) for picture in case.pictures].index(True)
    (picture,) = case.pictures
    return int(picture.kind != "normal" if question == LESION else not real(picture))


def _patients(cases: Iterable[KeyCase]) -> list[str]:
    return [p.client_id or p.patch_id for case in cases for p in case.pictures]


def _clusters(cases: Sequence[KeyCase]) -> list[str]:
    """Whose case each is; patients who share a pair are one, and so on with their other pairs."""
    first: dict[str, str] = {}

    def root(patient: str) -> str:
        while first.setdefault(patient, patient) != patient:
            patient = first[patient]
        return patient

    for case in cases:
        roots = [root(patient) for patient in _patients([case])]
        for other in roots[1:]:
            first[root(other)] = roots[0]
    return [root(_patients([case])[0]) for case in cases]


def _median_seconds(answers: Iterable[Answer]) -> float | None:
    times = [answer.seconds for answer in answers if answer.timed]
    return float(np.median(times)) if times else None


def _estimate(value: float, low: float, high: float, note: str = "") -> Estimate:
    return Estimate(_known(value), _known(low), _known(high), note)


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _agreed(found: Agreement) -> Estimate:
    return _estimate(found.kappa, found.low, found.high, found.note)


def _d_prime(of: Estimate) -> Estimate:
    """sqrt(2) z(AUC), of a forced choice sqrt(2) z(proportion) (Green & Swets 1966)."""

    def distance(value: float | None) -> float | None:
        return None if value in (None, 0.0, 1.0) else math.sqrt(2) * float(norm.ppf(value))

    return Estimate(distance(of.value), distance(of.low), distance(of.high), of.note)


def _means(
    named: Sequence[_Test], whole: Sequence[Performance], performance: Performance
) -> Iterable[PanelResult]:
    each = [*whole, *(performance.of_tests(n) for n in range(len(performance.values)))]
    for test, found in zip(named, each, strict=True):
        for varies in (BOTH, CASES, READERS):
            yield _panel_result(test.name, panel_mean(found, varies))


def _differences(tests: Sequence[_Test], performance: Performance) -> list[PanelResult]:
    pairs = list(itertools.combinations(range(len(tests)), 2))
    found = []
    for varies in (BOTH, CASES, READERS):
        estimates = [panel_difference(performance, *pair, varies) for pair in pairs]
        adjusted = holm(np.array([estimate.p_value for estimate in estimates]))
        for (a, b), estimate, p in zip(pairs, estimates, adjusted, strict=True):
            name = f"{tests[a].name} − {tests[b].name}"
            found.append(_panel_result(name, estimate, float(p)))
    return found


def _panel_result(name: str, estimate: PanelEstimate, holm_p: float = math.nan) -> PanelResult:
    return PanelResult(
        test=name,
        varies=estimate.varies,
        value=float(estimate.value),
        error=_known(estimate.error),
        degrees=_known(estimate.degrees),
        low=_known(estimate.low),
        high=_known(estimate.high),
        p_value=_known(estimate.p_value),
        holm=_known(holm_p),
        note=estimate.note,
    )


def _power_tables(
    whole: Performance, performance: Performance, tests: Sequence[_Test]
) -> Iterable[PowerTable]:
    """For a mean that differs from guessing, and for the first two tests that differ."""
    if len(whole.values[0]) < 2:
        return
    which: Mapping[str, Performance] = {"the mean of all cases and 0.5": whole}
    if len(tests) > 1:
        which = {**which, f"{tests[0].name} and {tests[1].name}": performance.of_tests(0, 1)}
    for what, found in which.items():
        parts = components(found)
        rows = tuple(
            tuple(power(parts, EFFECT, readers, cases) for cases in POWER_CASES)
            for readers in POWER_READERS
        )
        yield PowerTable(what, POWER_READERS, POWER_CASES, rows)
