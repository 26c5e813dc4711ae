"""Models against the baseline: each run, and with several seeds their means, as in Table 1.

A run is compared with the baseline of its own seed, or with the only one there is. Measures of FROC
are tested by a bootstrap of patients, AUCs by DeLong's test with clusters (Obuchowski 1997), means
over seeds after Obuchowski and Rockette (1995). Holm's method covers, for each measure, the models
that are compared with the same baseline.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from cgan_tf.detection.models import Model
from cgan_tf.detection.results import MEASURES, Comparison, known
from cgan_tf.statistics.auc import AucComparison, delong_test, holm
from cgan_tf.statistics.froc import FrocDifference, FrocDraws, froc_differences, pooled_froc
from cgan_tf.statistics.seeds import PooledDifference, pool_seeds


@dataclasses.dataclass(frozen=True, eq=False)
class _Scores:
    """A run on one level, as `statistics.seeds` reads it."""

    arm: str
    seed: int
    logits: np.ndarray


def compare_models(
    models: Sequence[Model], draws: FrocDraws
) -> tuple[list[Comparison], list[Comparison]]:
    """(comparisons of single runs, those of several seeds); the first model is the baseline.

    Args:
      draws: of all lesions, a classifier for each model.
    """
    baselines = [number for number, m in enumerate(models) if m.model == models[0].model]
    single = [
        row
        for baseline in baselines
        if (others := _compared_with(models, baselines, baseline))
        for row in (
            *_froc_rows(models, draws, baseline, others),
            *_auc_rows(models, baseline, others),
        )
    ]
    order = [model.name for model in models]
    single.sort(key=lambda row: order.index(row.model))
    pooled = _pooled(models, draws, baselines) if len(baselines) > 1 else []
    return single, pooled


def _compared_with(models: Sequence[Model], baselines: Sequence[int], baseline: int) -> list[int]:
    """The runs that a baseline is compared with."""
    only = len(baselines) == 1
    return [
        number
        for number, model in enumerate(models)
        if number not in baselines and (only or model.seed == models[baseline].seed)
    ]


def _froc_rows(
    models: Sequence[Model], draws: FrocDraws, baseline: int, others: Sequence[int]
) -> list[Comparison]:
    differences = froc_differences(draws, baseline, others)
    return [
        _single(models[number], models[baseline], measure, each, each.holm)
        for number in others
        for measure, each in zip(MEASURES, differences[number], strict=True)
    ]


def _auc_rows(models: Sequence[Model], baseline: int, others: Sequence[int]) -> list[Comparison]:
    rows = []
    for level, base in models[baseline].levels.items():
        tests = [
            delong_test(base.labels, models[n].levels[level].scores, base.scores, base.patients)
            for n in others
        ]
        adjusted = holm(np.array([test.p_value for test in tests]))
        for number, test, p in zip(others, tests, adjusted, strict=True):
            rows.append(_single(models[number], models[baseline], f"auc_{level}", test, float(p)))
    return rows


def _single(
    model: Model,
    baseline: Model,
    measure: str,
    each: FrocDifference | AucComparison,
    adjusted: float,
) -> Comparison:
    return Comparison(
        model=model.name,
        against=baseline.name,
        measure=measure,
        seeds=(),
        mean=None,
        spread=None,
        difference=known(each.difference),
        low=known(each.low),
        high=known(each.high),
        p_value=known(each.p_value),
        holm=known(adjusted),
        note=each.note,
    )


def _pooled(
    models: Sequence[Model], draws: FrocDraws, baselines: Sequence[int]
) -> list[Comparison]:
    """A row for each model and measure, the baseline's with its means alone."""
    seeded = [(number, model, model.seed) for number, model in enumerate(models)]
    runs: dict[str, dict[int, int]] = {}  # by model and seed the number of the run
    for number, model, seed in seeded:
        if seed is not None:
            runs.setdefault(model.model, {})[seed] = number
    baseline = models[baselines[0]].model
    base = runs[baseline]
    by_model = {
        name: pooled_froc(draws, {s: (own[s], base[s]) for s in own if s in base})
        for name, own in runs.items()
        if name != baseline
    }
    rows = []
    for place, measure in enumerate(MEASURES):
        values = {
            name: {seed: float(draws.values[number, place]) for seed, number in own.items()}
            for name, own in runs.items()
        }
        pooled = {name: each[place] for name, each in by_model.items()}
        rows += _of_seeds(baseline, measure, values, pooled)
    for level, scores in models[0].levels.items():
        scored = [
            _Scores(model.model, seed, model.levels[level].scores)
            for _, model, seed in seeded
            if seed is not None
        ]
        regimes = pool_seeds(scores.labels, scored, scores.patients, baseline)
        values = {r.arm: dict(zip(r.seeds, r.aucs, strict=True)) for r in regimes}
        pooled = {r.arm: r.pooled for r in regimes if r.pooled}
        rows += _of_seeds(
            baseline,
            f"auc_{level}",
            {name: values[name] for name in runs},
            {name: pooled[name] for name in by_model},
        )
    return rows


def _of_seeds(
    baseline: str,
    measure: str,
    values: Mapping[str, Mapping[int, float]],
    pooled: Mapping[str, PooledDifference],
) -> list[Comparison]:
    """Values by model and seed, and the differences of the models but the baseline."""
    adjusted = dict(
        zip(pooled, holm(np.array([each.p_value for each in pooled.values()])), strict=True)
    )
    rows = []
    for name, own in values.items():
        each = pooled.get(name)
        means = list(own.values())
        row = Comparison(
            model=name,
            against="",
            measure=measure,
            seeds=tuple(own),
            mean=known(float(np.mean(means))),
            spread=known(float(np.std(means, ddof=1))) if len(means) > 1 else None,
            difference=None,
            low=None,
            high=None,
            p_value=None,
            holm=None,
            note="",
        )
        if each:
            row = dataclasses.replace(
                row,
                against=baseline,
                difference=known(each.difference),
                low=known(each.low),
                high=known(each.high),
                p_value=known(each.p_value),
                holm=known(float(adjusted[name])),
                note=each.note,
            )
        rows.append(row)
    return rows
