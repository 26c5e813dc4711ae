"""Evaluates predictions of whole mammograms: FROC, AUCs, comparisons; `detection.results` has what.

Classifiers and detectors are compared on the same images, and every bootstrap round draws the same
patients for all of them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cgan_tf.config import EvaluateConfig
from cgan_tf.data.acquisition import LESION_SIZE_BANDS
from cgan_tf.detection.comparisons import compare_models
from cgan_tf.detection.matching import Rules, Truth, elsewhere, free_response
from cgan_tf.detection.models import LevelScores, Model, open_models
from cgan_tf.detection.results import (
    ALL_LESIONS,
    AREA,
    FILES,
    LESION_SIZE,
    LESION_TYPE,
    MEASURES,
    PROGRAM,
    AucResult,
    Comparison,
    CurveResult,
    FrocResult,
    GroupResult,
    Hit,
    ModelResult,
    Value,
    known,
    sensitivity_name,
    write_results,
)
from cgan_tf.runs import console
from cgan_tf.runs.directory import Run, finish_run, run_to_the_end, sha256
from cgan_tf.statistics.auc import AucEstimate, auc_interval
from cgan_tf.statistics.froc import (
    FreeResponse,
    FrocDraws,
    FrocEstimate,
    froc_area,
    froc_curve,
    froc_draws,
    froc_estimates,
    sensitivities_at,
)

CHANCES = 20  # times that the candidates are moved to other images
FEWEST_PATIENTS = 5  # with lesions of a group, and with counted images: fewer say too little
UNKNOWN = "unknown"


def evaluate_images(config: EvaluateConfig) -> None:
    """Runs an evaluation of images, or says that it is done.

    Raises `UserError` as `open_models` does.
    """
    rules = Rules(config.hit, config.least_iou, config.false_positives_on, config.benign_marks)

    def open_inputs() -> list[Model]:
        return open_models(config.prediction_dirs, config.split, rules)

    def work(models: list[Model], run: Run) -> None:
        result, hits = froc_result(models, config.split, rules, config.rounds, config.seed)
        write_results(run.directory, result, hits)
        files = {name: sha256(run.directory / name) for name in FILES}
        drawn = any(model.predictions.manifest.get("phantom") for model in models)
        content = {"files": files, **({"phantom": True} if drawn else {})}
        finish_run(run.directory, PROGRAM, content)
        _tell(run.directory, result)

    run_to_the_end(config.output_dir, PROGRAM, config, open_inputs, work)


def _tell(directory: Path, result: FrocResult) -> None:
    print(
        f"{directory}: {result.images:,} images, {result.lesions:,} malignant lesions of "
        f"{result.lesion_patients:,} patients"
    )
    for model in result.models:
        found = model.overall
        print(
            f"  {model.name}: area under the FROC up to 1 false positive an image "
            f"{found.measures[AREA].value:.3f} (chance {found.chance[AREA]:.3f}), sensitivity "
            f"there {found.measures[sensitivity_name(1)].value:.0%}"
        )
    for row in result.pooled:
        if row.measure == AREA:
            print(f"  {_pooled_area(row)}")


def _pooled_area(row: Comparison) -> str:
    """A model's area over its seeds, and how far it is from the baseline's."""
    told = f"{row.model}: mean area of {len(row.seeds)} seeds {row.mean:.3f}"
    if row.spread is not None:
        told += f" (SD {row.spread:.3f})"
    if row.low is not None:
        told += (
            f", {row.difference:+.3f} against {row.against} (95% {row.low:+.3f} to "
            f"{row.high:+.3f}, Holm's p {row.holm:.2g})"
        )
    return told


def froc_result(
    models: Sequence[Model], split: str, rules: Rules, rounds: int, seed: int
) -> tuple[FrocResult, list[Hit]]:
    """All measures of all models, and what each finds of every malignant lesion."""
    truth = models[0].marks.truth
    responses = [free_response(model.marks, rules) for model in models]
    moved = [
        [free_response(elsewhere(model.marks, seed, n), rules) for n in range(CHANCES)]
        for model in models
    ]
    groups, draws = [], []
    with console.progress_bar(len(_groups_of(truth)), "FROC", "groups of lesions") as bar:
        for attribute, name, chosen in _groups_of(truth):
            some = [response.of_lesions(chosen) for response in responses]
            fewest = 2 if attribute == ALL_LESIONS else FEWEST_PATIENTS
            draws.append(froc_draws(some, rounds=rounds, seed=seed, fewest_patients=fewest))
            chance = [_chance([each.of_lesions(chosen) for each in own]) for own in moved]
            groups.append(_group_results(attribute, name, int(chosen.sum()), draws[-1], chance))
            bar.update()
    comparisons, pooled = compare_models(models, draws[0])
    first = responses[0]
    result = FrocResult(
        split=split if any(image.split for image in truth.images) else "",
        rules=rules,
        rounds=rounds,
        images=len(truth.images),
        counted_images=len(first.image_patients),
        lesions=len(truth.malignant),
        patients=len({image.client_id for image in truth.images}),
        lesion_patients=draws[0].lesion_patients,
        image_patients=draws[0].image_patients,
        models=tuple(
            _model_result(model, response, [group[number] for group in groups])
            for number, (model, response) in enumerate(zip(models, responses, strict=True))
        ),
        comparisons=tuple(comparisons),
        pooled=tuple(pooled),
    )
    return result, [h for m, r in zip(models, responses, strict=True) for h in _hits(m, r)]


def _groups_of(truth: Truth) -> list[tuple[str, str, np.ndarray]]:
    """(attribute, group, which malignant lesions, bool [lesions]), all of them first."""
    types = np.array([lesion.lesion_type for lesion in truth.malignant])
    sizes_mm = [lesion.size_mm for lesion in truth.malignant]
    sizes = np.array([LESION_SIZE_BANDS.of(size) if size else UNKNOWN for size in sizes_mm])
    groups = [(ALL_LESIONS, "", np.ones(len(types), bool))]
    for attribute, names, order in (
        (LESION_TYPE, types, sorted(set(types.tolist()))),
        (LESION_SIZE, sizes, [*LESION_SIZE_BANDS.names, UNKNOWN]),
    ):
        groups += [(attribute, name, names == name) for name in order if (names == name).any()]
    return groups


def _group_results(
    attribute: str, name: str, lesions: int, draws: FrocDraws, chance: Sequence[dict[str, float]]
) -> list[GroupResult]:
    """One for each model."""
    results = []
    for number, by_chance in enumerate(chance):
        estimates = froc_estimates(draws, number)
        measures = {name: value_of(e) for name, e in zip(MEASURES, estimates, strict=True)}
        results.append(
            GroupResult(attribute, name, lesions, draws.lesion_patients, measures, by_chance)
        )
    return results


def value_of(estimate: FrocEstimate | AucEstimate, note: str = "") -> Value:
    """An estimate with None in the place of NaN."""
    value = estimate.value if isinstance(estimate, FrocEstimate) else estimate.auc
    return Value(
        known(value), known(estimate.low), known(estimate.high), estimate.method,
        note or estimate.note,
    )  # fmt: skip


def _chance(moved: Sequence[FreeResponse]) -> dict[str, float]:
    """The mean measures of candidates that are on other images."""
    curves = [froc_curve(response) for response in moved]
    rows = [(*sensitivities_at(curve), froc_area(curve)) for curve in curves]
    return dict(zip(MEASURES, np.mean(rows, axis=0).tolist(), strict=True))


def _model_result(
    model: Model, response: FreeResponse, groups: Sequence[GroupResult]
) -> ModelResult:
    images = model.marks.truth.images
    return ModelResult(
        name=model.name,
        model=model.model,
        seed=model.seed,
        directory=str(model.predictions.directory),
        candidates=len(model.marks.scores) / len(images),
        curve=_curve(response),
        groups=tuple(groups),
        aucs=tuple(_auc_result(level, scores) for level, scores in model.levels.items()),
    )


def _curve(response: FreeResponse) -> CurveResult:
    """The corners between which the curve is not straight."""
    curve = froc_curve(response)
    steps = np.stack([np.diff(curve.rates), np.diff(curve.sensitivities)])
    flat, steep = steps == 0
    straight = (flat[:-1] & flat[1:]) | (steep[:-1] & steep[1:])
    kept = np.concatenate([[True], ~straight, [True]])[: len(curve.rates)]
    return CurveResult(tuple(curve.rates[kept].tolist()), tuple(curve.sensitivities[kept].tolist()))


def _auc_result(level: str, scores: LevelScores) -> AucResult:
    estimate = auc_interval(scores.labels, scores.scores, scores.patients)
    note = estimate.note.replace("patches", level.partition("_")[0] + "s")
    positives = int(scores.labels.sum())
    return AucResult(
        level=level,
        auc=value_of(estimate, note),
        positives=positives,
        negatives=len(scores.labels) - positives,
        patients=len(np.unique(scores.patients)),
    )


def _hits(model: Model, response: FreeResponse) -> list[Hit]:
    """The malignant lesions in their order."""
    ordered, images = np.sort(response.false_scores), len(response.image_patients)
    hits = []
    for lesion, score in zip(model.marks.truth.malignant, response.lesion_scores, strict=True):
        found = score > -np.inf
        above = len(ordered) - np.searchsorted(ordered, score)
        hits.append(
            Hit(
                model=model.name,
                sop_uid=lesion.sop_uid,
                client_id=lesion.client_id,
                mark_id=lesion.mark_id,
                patch_class=lesion.patch_class,
                size_mm=lesion.size_mm,
                score=float(score) if found else None,
                rate=float(above / images) if found else None,
            )
        )
    return hits
