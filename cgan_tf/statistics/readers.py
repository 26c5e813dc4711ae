"""Several readers on the same cases: Obuchowski and Rockette's analysis, degrees after Hillis.

Notation of Obuchowski & Rockette (1995) and Hillis (2007). Reader j with test i, of r readers and t
tests, has the performance

    theta_ij = mean + test_i + R_j + (test R)_ij + error_ij

where the errors come from the cases and are correlated: Cov1 is that of two tests of one reader,
Cov2 that of two readers of one test, Cov3 that of both different. They are estimated from the cases
as DeLong's (1988), or Obuchowski's (1997) where a patient has several cases; the tests need not
have all their cases in common. A mean over readers has the variance (MS(R) + r Cov2) / r and

    df = (MS(R) + r Cov2)^2 / (MS(R)^2 / (r - 1))

degrees of freedom; a difference between two tests 2 (MS(T*R) + r (Cov2 - Cov3)) / r, and df alike.

A quantity that the data do not define is NaN, with the reason in words in `note`.
"""

import dataclasses
import math

import numpy as np
from scipy.special import expit, logit
from scipy.stats import binomtest, f, ncf, norm, t

from cgan_tf.statistics.auc import checked, mean_placement, outscored, patient_numbers

# What is taken to be a sample of more: other readers would read, other cases would be read.
BOTH, CASES, READERS = "readers and cases", "cases", "readers"


@dataclasses.dataclass(frozen=True, eq=False)
class Performance:
    """How well each reader did with each test.

    Attributes:
      values: float64 [t, r], AUCs or proportions. covariance: float64 [t, r, t, r], from cases.
      cases: of a test, the mean over the tests. note: empty, or "undefined: ..." in words.
    """

    values: np.ndarray
    covariance: np.ndarray
    cases: float
    note: str = ""

    def of_tests(self, *tests: int) -> "Performance":
        """Some tests alone."""
        chosen = list(tests)
        covariance = self.covariance[chosen][:, :, chosen]
        return dataclasses.replace(self, values=self.values[chosen], covariance=covariance)


def auc_performance(scores: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> Performance:
    """The AUC of every reader and test.

    Args:
      scores: float [t, r, n], higher is more positive; NaN for a case that is not in the test.
      labels: [n], 1 for positive. patients: [n], the patient of each case.
    """
    patient = patient_numbers(patients, scores.shape[2])
    rows = [
        _auc_row(*checked(labels[there], row[there]), patient[there], int(patient.max()) + 1)
        for row in scores.reshape(-1, scores.shape[2])
        for there in [~np.isnan(row)]
    ]
    return _performance(scores, rows)


def proportion_performance(correct: np.ndarray, patients: np.ndarray) -> Performance:
    """The proportion of right answers of every reader and test.

    Args:
      correct: float [t, r, n], 0 or 1; NaN for a case that is not in the test.
      patients: [n], the patient of each case, or a group of patients who share cases.
    """
    patient = patient_numbers(patients, correct.shape[2])
    rows = []
    for row in correct.reshape(-1, correct.shape[2]):
        there = ~np.isnan(row)
        value = float(row[there].mean()) if there.any() else math.nan
        deviations = np.bincount(
            patient[there], (row[there] - value) / max(1, there.sum()), int(patient.max()) + 1
        )
        rows.append((value, *_scaled([(deviations, len(np.unique(patient[there])))])))
    return _performance(correct, rows)


def _auc_row(
    positive: np.ndarray, scores: np.ndarray, patient: np.ndarray, patients: int
) -> tuple[float, np.ndarray, str]:
    """(AUC, what each patient adds to its error, note); see `auc.mean_variance` for the terms."""
    counts, m, n = outscored(positive, scores), int(positive.sum()), int((~positive).sum())
    value = mean_placement(positive, counts)
    if not m or not n:
        return math.nan, np.zeros((3, patients)), f"undefined: {m} positive and {n} negative cases"
    a = np.bincount(patient[positive], (counts[positive] / (2 * n) - value) / m, patients)
    b = np.bincount(patient[~positive], (counts[~positive] / (2 * m) - value) / n, patients)
    sides = [len(np.unique(patient[chosen])) for chosen in (positive, ~positive)]
    both = len(np.unique(patient))
    return value, *_scaled([(a + b, both), (a, sides[0]), (b, sides[1])])


def _scaled(terms: list[tuple[np.ndarray, int]]) -> tuple[np.ndarray, str]:
    """Deviations float64 [terms, patients] whose products sum to covariances, and a note.

    The factor I / (I - 1) of all patients is in the first term; the others have what the fewer
    patients of their side need beyond it.
    """
    few = min(count for _, count in terms)
    if few < 2:
        return np.zeros((len(terms), len(terms[0][0]))), f"undefined: {few} patients"
    factors = [count / (count - 1) for _, count in terms]
    extra = [factors[0], *(max(0.0, factor - factors[0]) for factor in factors[1:])]
    return np.stack([math.sqrt(x) * d for x, (d, _) in zip(extra, terms, strict=True)]), ""


def _performance(scores: np.ndarray, rows: list[tuple[float, np.ndarray, str]]) -> Performance:
    tests, readers, _ = scores.shape
    values = np.array([value for value, _, _ in rows]).reshape(tests, readers)
    deviations = np.stack([each for _, each, _ in rows])  # [t r, terms, patients]
    covariance = np.einsum("iap,jap->ij", deviations, deviations)
    note = next((note for _, _, note in rows if note), "")
    shape = (tests, readers, tests, readers)
    cases = float((~np.isnan(scores)).sum(axis=2).mean())
    return Performance(values, covariance.reshape(shape), cases, note)


@dataclasses.dataclass(frozen=True)
class ErrorTerms:
    """Variance of the error from cases, and its three covariances; NaN without such pairs."""

    variance: float
    cov1: float
    cov2: float
    cov3: float


def error_terms(performance: Performance) -> ErrorTerms:
    """The means of the covariance by what its two sides have in common."""
    tests, readers = performance.values.shape
    test, reader = (np.ravel(each) for each in np.indices((tests, readers)))
    matrix = performance.covariance.reshape(tests * readers, tests * readers)
    same_test, same_reader = test[:, None] == test, reader[:, None] == reader

    def mean(chosen: np.ndarray) -> float:
        return float(matrix[chosen].mean()) if chosen.any() else math.nan

    return ErrorTerms(
        variance=mean(same_test & same_reader),
        cov1=mean(~same_test & same_reader),
        cov2=mean(same_test & ~same_reader),
        cov3=mean(~same_test & ~same_reader),
    )


@dataclasses.dataclass(frozen=True)
class PanelEstimate:
    """A mean over readers, or a difference of two such means.

    Attributes:
      value: of it. error: standard error. degrees: of freedom, infinite for a normal distribution.
      low, high: 95% interval. p_value: two-sided, against `null`. null: the value of no ability.
      varies: what is taken to be a sample, one of `BOTH`, `CASES`, `READERS`.
      note: empty, or "undefined: ..." in words.
    """

    value: float
    null: float
    varies: str
    error: float = math.nan
    degrees: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p_value: float = math.nan
    note: str = ""


def panel_mean(
    performance: Performance, varies: str = BOTH, null: float = 0.5, level: float = 0.95
) -> PanelEstimate:
    """The mean of the readers with the only test of `performance`."""
    (values,) = performance.values
    readers, terms = len(values), error_terms(performance)
    square = float(np.var(values, ddof=1)) if readers > 1 else math.nan  # MS(R)
    shared = max(0.0, terms.cov2) if readers > 1 else 0.0
    estimate = PanelEstimate(float(values.mean()), null, varies, note=performance.note)
    if varies == CASES:
        variance = (terms.variance + (readers - 1) * shared) / readers
        return _tested(estimate, variance, math.inf, level, (0.0, 1.0))
    if readers < 2:
        return _one_reader(estimate)
    error = square + (readers * shared if varies == BOTH else 0.0)
    degrees = _satterthwaite(error, square, readers - 1)
    return _tested(estimate, error / readers, degrees, level, (0.0, 1.0))


def panel_difference(
    performance: Performance, first: int, second: int, varies: str = BOTH, level: float = 0.95
) -> PanelEstimate:
    """Test `first` minus test `second`; the error is that of all tests of `performance`."""
    values, terms = performance.values, error_terms(performance)
    tests, readers = values.shape
    value = float(values[first].mean() - values[second].mean())
    estimate = PanelEstimate(value, 0.0, varies, note=performance.note)
    shared = max(0.0, terms.cov2 - terms.cov3) if readers > 1 else 0.0
    if varies == CASES:
        error = terms.variance - terms.cov1 + (readers - 1) * shared
        return _tested(estimate, 2 * error / readers, math.inf, level, (-1.0, 1.0))
    if readers < 2:
        return _one_reader(estimate)
    freedom = (tests - 1) * (readers - 1)
    square = test_reader_square(values)
    error = square + (readers * shared if varies == BOTH else 0.0)
    degrees = _satterthwaite(error, square, freedom)
    return _tested(estimate, 2 * error / readers, degrees, level, (-1.0, 1.0))


def test_reader_square(values: np.ndarray) -> float:
    """MS(T*R) of float64 [t, r]: how differently the readers take the tests."""
    tests, readers = values.shape
    rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    return float((rest**2).sum() / ((tests - 1) * (readers - 1)))


test_reader_square.__test__ = False  # type: ignore[attr-defined]


def _one_reader(estimate: PanelEstimate) -> PanelEstimate:
    note = "undefined: one reader does not show how readers differ"
    return dataclasses.replace(estimate, note=estimate.note or note)


def _satterthwaite(error: float, square: float, freedom: float) -> float:
    return math.inf if square == 0 else freedom * (error / square) ** 2


def _tested(
    estimate: PanelEstimate,
    variance: float,
    degrees: float,
    level: float,
    bounds: tuple[float, float],
) -> PanelEstimate:
    if not estimate.note and not variance > 0:
        note = "undefined: neither readers nor cases differ"
        estimate = dataclasses.replace(estimate, note=note)
    if estimate.note:
        return estimate
    error = math.sqrt(variance)
    reach = float(t.ppf((1 + level) / 2, degrees)) * error
    return dataclasses.replace(
        estimate,
        error=error,
        degrees=degrees,
        low=max(bounds[0], estimate.value - reach),
        high=min(bounds[1], estimate.value + reach),
        p_value=float(2 * t.sf(abs(estimate.value - estimate.null) / error, degrees)),
    )


@dataclasses.dataclass(frozen=True)
class Components:
    """What a panel says of other panels.

    Attributes:
      of_readers: variance of the readers, or of how differently they take two tests.
      own, shared: parts of the error from cases that a reader has alone, and that all share; of a
        difference, of one of its two sides.
      cases: number behind them. sides: 1 for a mean, 2 for a difference of two tests.
    """

    of_readers: float
    own: float
    shared: float
    cases: float
    sides: int


def components(performance: Performance) -> Components:
    """Of the only test, for its mean; of two tests, for their difference. NaN for one reader."""
    values, terms = performance.values, error_terms(performance)
    tests, readers = values.shape
    if readers < 2:
        return Components(math.nan, math.nan, math.nan, performance.cases, tests)
    if tests == 1:
        square, shared = float(np.var(values, ddof=1)), max(0.0, terms.cov2)
        own = terms.variance - terms.cov2
    else:
        square, shared = test_reader_square(values), max(0.0, terms.cov2 - terms.cov3)
        own = terms.variance - terms.cov1 - (terms.cov2 - terms.cov3)
    own = max(0.0, own)
    return Components(max(0.0, square - own), own, shared, performance.cases, tests)


def power(parts: Components, effect: float, readers: int, cases: int, alpha: float = 0.05) -> float:
    """Chance that a panel of so many readers and cases finds `effect`, for other readers and cases.

    The error from cases shrinks with their number; cases are of the same kinds, in the same
    proportions, and as many to a patient (Hillis, Obuchowski & Berbaum 2011).
    """
    scale = parts.cases / cases
    square = parts.of_readers + scale * parts.own
    error = square + readers * scale * parts.shared
    if math.isnan(error) or readers < 2:
        return math.nan
    if error == 0:
        return 1.0
    degrees = _satterthwaite(error, square, readers - 1)
    shift = effect**2 / (parts.sides * error / readers)
    if shift == 0:  # scipy's noncentral F knows no shift of nothing
        return alpha
    if math.isinf(degrees) or degrees > 1e6:
        reach = float(norm.ppf(1 - alpha / 2))
        return float(norm.sf(reach - math.sqrt(shift)) + norm.cdf(-reach - math.sqrt(shift)))
    return float(ncf.sf(f.ppf(1 - alpha, 1, degrees), 1, degrees, shift))


@dataclasses.dataclass(frozen=True)
class ProportionEstimate:
    """A proportion of right answers with its 95% interval; note: why there is none, or empty."""

    value: float
    low: float
    high: float
    note: str = ""


def proportion_interval(
    correct: np.ndarray, patients: np.ndarray, level: float = 0.95
) -> ProportionEstimate:
    """One reader's proportion with a logit interval by patient; at 0 and 1, where that is empty,
    Clopper and Pearson's with each patient counted once.

    Args:
      correct: [n], 0 or 1. patients: [n], the patient of each case.
    """
    found = proportion_performance(np.asarray(correct, np.float64).reshape(1, 1, -1), patients)
    value, variance = float(found.values[0, 0]), float(found.covariance.item())
    if value in (0.0, 1.0):
        count = len(np.unique(patients))
        limits = binomtest(round(value * count), count).proportion_ci(level, method="exact")
        return ProportionEstimate(value, float(limits.low), float(limits.high))
    note = found.note or ("" if variance > 0 else "undefined: all patients are alike")
    if note:
        return ProportionEstimate(value, math.nan, math.nan, note)
    reach = float(norm.ppf((1 + level) / 2)) * math.sqrt(variance) / (value * (1 - value))
    low, high = (float(expit(logit(value) + side * reach)) for side in (-1, 1))
    return ProportionEstimate(value, low, high)
