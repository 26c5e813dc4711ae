"""The clustered comparison of two AUCs against what a user would write instead.

python -m benchmarks.auc_statistics [--rounds=5] [--scores=1000000]

In processor seconds. The alternatives: DeLong's placements from all pairs, as in the paper of 1988;
and scikit-learn's roc_auc_score inside a bootstrap of patients, whose rounds are measured one at a
time. The bound: sorting the two columns of scores. A million scores take at most 2 seconds.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks import frame
from cgan_tf.statistics.auc import auc_interval, delong_test

OPTIONS = {"rounds": 5, "scores": 1_000_000}
QUICK = {"rounds": 2, "scores": 100_000}
BOOTSTRAP_ROUNDS = 1000  # as in statistics.auc
MOST_SECONDS = 2.0  # for a million scores
BOUND = "sorting the scores"
PAIRS, BOOTSTRAP = "all pairs, without patients", "scikit-learn, bootstrap of 1,000 (scaled)"
LOOP, AUCS = "a loop of 1,000 rounds (scaled)", "scikit-learn, the two AUCs alone"


def cases(options: frame.Options) -> Iterator[frame.Case]:
    """Three sizes of a comparison, and the interval of a perfect AUC."""
    for count, others in (
        (3_000, {PAIRS: _delong_by_pairs, BOOTSTRAP: _bootstrap_round}),
        (30_000, {BOOTSTRAP: _bootstrap_round}),
        (options.scores, {AUCS: _two_aucs}),
    ):
        data = made_up_scores(count)
        works: dict[str, Callable] = {frame.OURS: delong_test, **others, BOUND: _sort}
        yield frame.Case(
            f"delong_test by patient, {count:,} scores",
            _seconds({name: partial(work, *data) for name, work in works.items()}, options),
            BOUND,
            {name: 1.0 for name in others if name != AUCS},  # two AUCs are no comparison
            at_most_seconds=MOST_SECONDS,
        )
    labels, a, _, patients = made_up_scores(3_000)
    perfect, rng = a + 100 * labels, np.random.default_rng(0)
    works = {
        frame.OURS: partial(auc_interval, labels, perfect, patients),
        LOOP: partial(_drawn_by_lists, labels, perfect, patients, rng),
        BOUND: lambda: np.argsort(perfect),
    }
    name = "auc_interval of an AUC of 1, 3,000 scores"
    yield frame.Case(name, _seconds(works, options), BOUND, {LOOP: 1.0})


def _seconds(works: dict[str, Callable], options: frame.Options) -> dict[str, list[float]]:
    """Of a bootstrap one round is timed and counted BOOTSTRAP_ROUNDS times."""
    seconds = frame.take_turns(works, options.rounds, clock=time.process_time)
    scaled = {BOOTSTRAP, LOOP}
    return {
        name: [BOOTSTRAP_ROUNDS * value if name in scaled else value for value in values]
        for name, values in seconds.items()
    }


def made_up_scores(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels, two scores and the patients' names as text, five patches each."""
    rng = np.random.default_rng(count)
    labels = rng.integers(0, 2, count)
    number = np.arange(count) // 5
    shared = rng.standard_normal(number.max() + 1)[number]
    a, b = (labels + shared + rng.standard_normal(count) for _ in range(2))
    return labels, a, b, np.array([f"client-{n:07}" for n in number])


def _sort(_labels: np.ndarray, a: np.ndarray, b: np.ndarray, _patients: np.ndarray) -> None:
    np.argsort(a)
    np.argsort(b)


def _two_aucs(
    labels: np.ndarray, a: np.ndarray, b: np.ndarray, _patients: np.ndarray
) -> tuple[float, float]:
    return roc_auc_score(labels, a), roc_auc_score(labels, b)


def _delong_by_pairs(
    labels: np.ndarray, a: np.ndarray, b: np.ndarray, _patients: np.ndarray
) -> float:
    """z of DeLong et al. (1988) from m x n comparisons."""
    v10, v01 = [], []
    for scores in (a, b):
        positive, negative = scores[labels == 1][:, None], scores[labels == 0]
        right = (positive > negative) + 0.5 * (positive == negative)
        v10.append(right.mean(axis=1))
        v01.append(right.mean(axis=0))
    d10, d01 = v10[0] - v10[1], v01[0] - v01[1]
    variance = d10.var(ddof=1) / len(d10) + d01.var(ddof=1) / len(d01)
    return float(d10.mean() / np.sqrt(variance))


def _bootstrap_round(
    labels: np.ndarray, a: np.ndarray, b: np.ndarray, patients: np.ndarray
) -> float:
    """One round of five patches a patient, drawn as a block, which is the cheapest way."""
    rng = np.random.default_rng(0)
    drawn = 5 * rng.integers(0, len(patients) // 5, len(patients) // 5)
    drawn = (drawn[:, None] + np.arange(5)).ravel()
    return float(roc_auc_score(labels[drawn], a[drawn]) - roc_auc_score(labels[drawn], b[drawn]))


def _drawn_by_lists(
    labels: np.ndarray, scores: np.ndarray, patients: np.ndarray, rng: np.random.Generator
) -> float:
    """One round of a smoothed bootstrap that joins the patches of each patient drawn."""
    members = np.split(np.arange(len(labels)), len(labels) // 5)
    drawn = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
    jittered = scores[drawn] + 0.1 * rng.standard_normal(len(drawn))
    return float(roc_auc_score(labels[drawn], jittered))


if __name__ == "__main__":
    frame.main(__doc__, cases, OPTIONS, QUICK)
