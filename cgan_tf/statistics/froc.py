"""FROC: how many lesions are found at how many false positives an image.

A detector marks places and gives each a score (Bunch et al. 1978). At a threshold t, of L lesions,
N images on which false positives are counted, F of them:

    sensitivity(t) = (lesions whose highest hit has a score >= t) / L
    rate(t) = (false positives with a score >= t) / N

The curve starts at (0, 0), joins the points of the distinct scores by straight lines and stays
level after the last. Without ties it is a staircase; a tie is a slope, the mean of the orders in
which its marks could come, as in an exact AUC. The area is the mean sensitivity over rates from 0
to a limit.

Images of one patient are not independent: intervals and tests draw whole patients with replacement,
the same for all classifiers. A quantity that the data do not define is NaN, with the reason in
words in `note`.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import binomtest

from cgan_tf.statistics.auc import holm, patient_numbers
from cgan_tf.statistics.bands import EXACT, PERCENTILE, drawn_weights
from cgan_tf.statistics.seeds import PooledDifference, pooled_difference

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # exact in binary: their rounding moves no step
AREA_LIMIT = 1.0
_BLOCK = 200_000  # lesions and images of drawn patients at a time


@dataclasses.dataclass(frozen=True, eq=False)
class FreeResponse:
    """The marks of one classifier, sorted into hits and false positives.

    Attributes:
      lesion_scores: float64 [lesions], the highest score that hits each; -inf where none does.
      lesion_patients: [lesions], the patient of each.
      false_scores: float64 [false positives], on counted images.
      false_images: int [false positives], the number of the image of each, from 0.
      image_patients: [images], the patient of each image on which false positives are counted.
    """

    lesion_scores: np.ndarray
    lesion_patients: np.ndarray
    false_scores: np.ndarray
    false_images: np.ndarray
    image_patients: np.ndarray

    def of_lesions(self, chosen: np.ndarray) -> "FreeResponse":
        """Some lesions alone, bool [lesions], against the same false positives."""
        return dataclasses.replace(
            self,
            lesion_scores=self.lesion_scores[chosen],
            lesion_patients=self.lesion_patients[chosen],
        )

    @property
    def patient_counts(self) -> tuple[int, int]:
        """Patients with lesions, and with images on which false positives are counted."""
        return len(np.unique(self.lesion_patients)), len(np.unique(self.image_patients))


@dataclasses.dataclass(frozen=True, eq=False)
class FrocCurve:
    """The corners of a curve, from (0, 0): float64 [points], as the threshold falls.

    Attributes:
      rates: false positives an image. sensitivities: 0 to 1. thresholds: inf at the first.
    """

    rates: np.ndarray
    sensitivities: np.ndarray
    thresholds: np.ndarray


def froc_curve(response: FreeResponse) -> FrocCurve:
    """The curve of one classifier; NaN where there are no lesions or no counted images."""
    scores, marks, last_of_tie = _in_order(response)
    lesions, images = len(response.lesion_scores), len(response.image_patients)
    hit = marks < lesions
    found, false = (
        np.insert(np.cumsum(chosen)[last_of_tie], 0, 0).astype(float) for chosen in (hit, ~hit)
    )
    return FrocCurve(
        false / images if images else np.full(len(false), math.nan),
        found / lesions if lesions else np.full(len(found), math.nan),
        np.insert(scores[last_of_tie], 0, math.inf),
    )


def _in_order(response: FreeResponse) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(scores from the highest down, marks: lesions by number, then false positives, bool: the last
    of its score)."""
    scores = np.concatenate([response.lesion_scores, response.false_scores])
    marks = np.flatnonzero(scores > -np.inf)  # a missed lesion has no mark
    marks = marks[np.argsort(-scores[marks], kind="stable")]
    scores = scores[marks]
    return scores, marks, np.append(np.diff(scores) != 0, True)[: len(marks)]


def sensitivities_at(curve: FrocCurve, rates: Sequence[float] = RATES) -> np.ndarray:
    """Sensitivity at each rate, float64 [rates]; where the curve is vertical, its upper end."""
    return np.interp(rates, curve.rates, curve.sensitivities)


def froc_area(curve: FrocCurve, limit: float = AREA_LIMIT) -> float:
    """Mean sensitivity over rates from 0 to `limit`, 0 to 1."""
    return float(_areas(curve.rates[None], curve.sensitivities[None], limit)[0])


def _areas(rates: np.ndarray, sensitivities: np.ndarray, limit: float) -> np.ndarray:
    """The areas of curves float64 [n, points], by trapezoids that end at the limit: float64 [n]."""
    starts, ends = np.minimum(rates[:, :-1], limit), np.minimum(rates[:, 1:], limit)
    widths = np.diff(rates, axis=1)
    inside = np.divide(ends - starts, widths, out=np.zeros_like(widths), where=widths > 0)
    lower = sensitivities[:, :-1]
    middles = lower + inside * np.diff(sensitivities, axis=1) / 2
    level = np.maximum(limit - rates[:, -1], 0) * sensitivities[:, -1]
    return (((ends - starts) * middles).sum(axis=1) + level) / limit


class _Levels:
    """The marks of one classifier by their scores, sorted only once.

    A level is a score with all of its marks. Neighbours that are false positives alone, or hits
    alone, are one level: the curve is straight there, whoever is drawn.
    """

    def __init__(self, response: FreeResponse):
        _, marks, last_of_tie = _in_order(response)
        level = np.cumsum(last_of_tie) - last_of_tie
        lesions = len(response.lesion_scores)
        hit = marks < lesions
        kinds = np.zeros((2, int(last_of_tie.sum())), bool)  # holds false positives, holds hits
        kinds[hit.astype(int), level] = True
        changes = (np.diff(kinds, axis=1, prepend=~kinds[:, :1]) != 0).any(axis=0)
        level = (np.cumsum(changes | kinds.all(axis=0)) - 1)[level]
        # A column for each lesion, then one for each counted image.
        columns = np.concatenate([np.arange(lesions), lesions + response.false_images])[marks]
        shape = (int(level.max(initial=-1)) + 1, lesions + len(response.image_patients))
        self.found, self.false = (
            csr_array((np.ones(chosen.sum()), (level[chosen], columns[chosen])), shape)
            for chosen in (hit, ~hit)
        )
        self.lesions = lesions

    def counts(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(lesions found, false positives) down to every level, from 0: float64 [n, levels + 1].

        Args:
          weights: [n, lesions + counted images], how often each is drawn.
        """
        found, false = (
            np.pad(np.cumsum(matrix @ weights.T, axis=0).T, ((0, 0), (1, 0)))
            for matrix in (self.found, self.false)
        )
        return found, false

    def measures(self, weights: np.ndarray, rates: Sequence[float], limit: float) -> np.ndarray:
        """The sensitivity at each rate, then the area: float64 [n, rates + 1]."""
        found, false = self.counts(weights)
        up = found / weights[:, : self.lesions].sum(axis=1, keepdims=True)
        across = false / weights[:, self.lesions :].sum(axis=1, keepdims=True)
        at_rates = [np.interp(rates, *curve) for curve in zip(across, up, strict=True)]
        return np.column_stack([at_rates, _areas(across, up, limit)])


@dataclasses.dataclass(frozen=True, eq=False)
class FrocDraws:
    """Measures of k classifiers on the same images, and of the same drawn patients.

    Measures are the sensitivities at `rates`, then the area.

    Attributes:
      rates: false positives an image. values: float64 [k, rates + 1].
      draws: float64 [rounds, k, rates + 1]; empty where `note` says why.
      lesion_patients, image_patients: how many patients have lesions, and counted images.
      note: empty, or "undefined: ..." in words.
    """

    rates: tuple[float, ...]
    values: np.ndarray
    draws: np.ndarray
    lesion_patients: int
    image_patients: int
    note: str = ""


def froc_draws(
    responses: Sequence[FreeResponse],
    rates: Sequence[float] = RATES,
    limit: float = AREA_LIMIT,
    rounds: int = 2000,
    seed: int = 0,
    fewest_patients: int = 2,
) -> FrocDraws:
    """The measures of classifiers, and the same of drawn patients.

    Args:
      responses: of one set of lesions and images in one order; `ValueError` for others.
      rounds: of the bootstrap. fewest_patients: with lesions, and with counted images, for draws.
    """
    first = responses[0]
    for other in responses[1:]:
        same = np.array_equal(first.lesion_patients, other.lesion_patients)
        if not same or not np.array_equal(first.image_patients, other.image_patients):
            raise ValueError("expected classifiers on the same lesions and images")
    lesions, images = len(first.lesion_patients), len(first.image_patients)
    with_lesions, with_images = counts = first.patient_counts
    shape = (len(responses), len(rates) + 1)
    note = "" if lesions and images else f"undefined: {lesions} lesions and {images} images"
    if note:
        nothing = np.full(shape, math.nan)
        return FrocDraws(tuple(rates), nothing, np.empty((0, *shape)), *counts, note)
    levels = [_Levels(response) for response in responses]

    def measured(weights: np.ndarray) -> np.ndarray:  # to [n, classifiers, rates + 1]
        return np.stack([each.measures(weights, rates, limit) for each in levels], axis=1)

    (values,) = measured(np.ones((1, lesions + images)))
    if min(counts) < max(2, fewest_patients):
        note = (
            f"undefined: {with_lesions} patients with lesions and {with_images} with images on "
            f"which false positives count; an interval needs {max(2, fewest_patients)} of each"
        )
        return FrocDraws(tuple(rates), values, np.empty((0, *shape)), *counts, note)
    patients = np.concatenate([first.lesion_patients, first.image_patients])
    is_lesion = np.arange(lesions + images) < lesions
    patient = patient_numbers(patients, lesions + images)
    drawn = drawn_weights(is_lesion, patient, rounds, seed)
    at_a_time = max(1, _BLOCK // (lesions + images))
    blocks = [
        measured(np.stack(list(itertools.islice(drawn, at_a_time))))
        for _ in range(0, rounds, at_a_time)
    ]
    return FrocDraws(tuple(rates), values, np.concatenate(blocks), *counts)


@dataclasses.dataclass(frozen=True)
class FrocEstimate:
    """A sensitivity or an area with its interval.

    Attributes:
      value: 0 to 1. low, high: limits of the interval.
      method: `PERCENTILE`, `EXACT`, or empty. note: empty, or "undefined: ..." in words.
    """

    value: float
    low: float
    high: float
    method: str
    note: str = ""


def froc_estimates(draws: FrocDraws, classifier: int, level: float = 0.95) -> list[FrocEstimate]:
    """The measures of one classifier with percentile intervals.

    Where a measure is 0 or 1 every round may agree; its interval is then Clopper and Pearson's with
    each patient with lesions counted once.
    """
    tails = ((1 - level) / 2, (1 + level) / 2)
    estimates = []
    for measure, value in enumerate(draws.values[classifier].tolist()):
        if draws.note:
            estimates.append(FrocEstimate(value, math.nan, math.nan, "", draws.note))
        elif value in (0.0, 1.0):
            patients = draws.lesion_patients
            exact = binomtest(patients if value else 0, patients)
            limits = exact.proportion_ci(level, method="exact")
            estimates.append(FrocEstimate(value, float(limits.low), float(limits.high), EXACT))
        else:
            low, high = np.quantile(draws.draws[:, classifier, measure], tails).tolist()
            estimates.append(FrocEstimate(value, low, high, PERCENTILE))
    return estimates


@dataclasses.dataclass(frozen=True)
class FrocDifference:
    """A measure of one classifier minus that of another.

    Attributes:
      difference: -1 to 1. low, high: percentile interval of drawn patients.
      p_value: two-sided: twice the smaller share of rounds on one side of 0, or on it.
      holm: adjusted for the classifiers that are compared with the same one.
      note: empty, or "undefined: ..." in words.
    """

    difference: float
    low: float
    high: float
    p_value: float
    holm: float = math.nan
    note: str = ""


def froc_differences(
    draws: FrocDraws, baseline: int, others: Sequence[int], level: float = 0.95
) -> dict[int, list[FrocDifference]]:
    """Each of the others minus the baseline, by its number: the measures in their order.

    Holm's method covers, for each measure, all of the others.
    """
    table = [
        [_difference(draws, number, baseline, measure, level) for number in others]
        for measure in range(draws.values.shape[1])
    ]  # [measures][others]
    adjusted = [holm(np.array([each.p_value for each in row])) for row in table]
    return {
        number: [
            dataclasses.replace(row[place], holm=float(p[place]))
            for row, p in zip(table, adjusted, strict=True)
        ]
        for place, number in enumerate(others)
    }


def _difference(
    draws: FrocDraws, number: int, baseline: int, measure: int, level: float
) -> FrocDifference:
    difference = float(draws.values[number, measure] - draws.values[baseline, measure])
    if draws.note:
        return FrocDifference(difference, math.nan, math.nan, math.nan, note=draws.note)
    drawn = draws.draws[:, number, measure] - draws.draws[:, baseline, measure]
    low, high = np.quantile(drawn, ((1 - level) / 2, (1 + level) / 2)).tolist()
    # Of rounds + 1, as the classifiers' own patients are one draw, too: p is never 0.
    beyond = 1 + min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return FrocDifference(difference, low, high, min(1.0, 2 * beyond / (len(drawn) + 1)))


def pooled_froc(
    draws: FrocDraws, pairs: Mapping[int, tuple[int, int]], level: float = 0.95
) -> list[PooledDifference]:
    """The mean difference over seeds of each measure, for other patients and other seeds.

    Args:
      pairs: by seed, the numbers of a classifier and of the baseline.
    """
    pooled = []
    for measure in range(draws.values.shape[1]):
        differences = {
            seed: float(draws.values[own, measure] - draws.values[base, measure])
            for seed, (own, base) in pairs.items()
        }
        drawn = [draws.draws[:, a, measure] - draws.draws[:, b, measure] for a, b in pairs.values()]
        covariance, note = math.nan, draws.note
        if not note and len(pairs) > 1:
            table = np.cov(drawn)
            covariance = float(table[~np.eye(len(table), dtype=bool)].mean())
        pooled.append(pooled_difference(differences, covariance, note, level))
    return pooled


def chance_sensitivities(covered: np.ndarray, rates: Sequence[float] = RATES) -> np.ndarray:
    """What marks find that lie anywhere, independently of the lesions: float64 [rates].

    At a rate r a lesion's image has a Poisson number of marks with mean r, each on the lesion with
    probability a, so that the lesion is found with probability 1 - exp(-r a).

    Args:
      covered: [lesions], the share a of the marked area (the breast) in which a mark hits.
    """
    covered = np.asarray(covered, np.float64)
    return 1 - np.exp(-np.multiply.outer(np.asarray(rates, np.float64), covered)).mean(axis=-1)
