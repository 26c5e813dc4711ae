"""The clustered comparison of two AUCs against what a user would write instead.

python -m benchmarks.auc_statistics

Prints medians of several runs in processor seconds, which a busy machine does not change much, and
ratios within this run. The alternatives: DeLong's placements from all pairs, as in the paper of
1988; and scikit-learn's roc_auc_score inside a bootstrap of patients, whose rounds are measured one
at a time.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.metrics import roc_auc_score

from cgan_tf.statistics import auc_interval, delong_test

ROUNDS = 1000  # of a bootstrap, as in smoothed_bootstrap
MOST_SECONDS = 2  # for a million scores


def main() -> None:
    """Prints the table; exit code 1 when a million scores take too long."""
    print(f"{'':44}{'median':>10}{'times ours':>12}")
    small, middle, large = (_test_set(count) for count in (3_000, 30_000, 1_000_000))
    for labels, a, b, patients in (small, middle):
        ours = _median(partial(delong_test, labels, a, b, patients), 9)
        _show(f"{len(labels):,} scores: delong_test by patient", ours, ours)
        if len(labels) <= 3_000:
            pairs = _median(partial(_delong_by_pairs, labels, a, b), 3)
            _show("    all pairs, without patients", pairs, ours)
        once = _median(partial(_bootstrap_round, labels, a, b, patients), 9)
        _show(f"    scikit-learn, bootstrap of {ROUNDS:,} (scaled)", ROUNDS * once, ours)
    labels, a, b, patients = large
    million = _median(partial(delong_test, labels, a, b, patients), 5)
    _show(f"{len(labels):,} scores: delong_test by patient", million, million)
    aucs = _median(lambda: (roc_auc_score(labels, a), roc_auc_score(labels, b)), 3)
    _show("    scikit-learn, the two AUCs alone", aucs, million)
    labels, a, _, patients = small
    perfect = a + 100 * labels
    ours = _median(partial(auc_interval, labels, perfect, patients), 3)
    _show(f"{len(labels):,} scores: interval of an AUC of 1", ours, ours)
    rng = np.random.default_rng(0)
    loop = _median(partial(_drawn_by_lists, labels, perfect, patients, rng), 9)
    _show(f"    a loop of {ROUNDS:,} rounds (scaled)", ROUNDS * loop, ours)
    raise SystemExit(million > MOST_SECONDS)


def _test_set(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels, two scores and the patients' names as text, five patches each."""
    rng = np.random.default_rng(count)
    labels = rng.integers(0, 2, count)
    number = np.arange(count) // 5
    shared = rng.standard_normal(number.max() + 1)[number]
    a, b = (labels + shared + rng.standard_normal(count) for _ in range(2))
    return labels, a, b, np.array([f"client-{n:07}" for n in number])


def _delong_by_pairs(labels: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
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


def _median(work: Callable[[], object], runs: int) -> float:
    """Median processor seconds of a run, after one to warm up."""
    work()
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return float(np.median(seconds))


def _show(name: str, seconds: float, ours: float) -> None:
    print(f"{name:44}{seconds:>8.3f} s{seconds / ours:>12.1f}", flush=True)


if __name__ == "__main__":
    main()
