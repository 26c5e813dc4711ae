"""The evaluation of images from predictions to files: by hand, by chance, and wrong inputs."""

import csv
import json

import numpy as np
import pytest

from cgan_tf.classifier.evaluation import evaluate
from cgan_tf.config import EvaluateConfig
from cgan_tf.detection.matching import ALL, NEITHER, Rules
from cgan_tf.detection.models import open_models
from cgan_tf.detection.predictions import trained_model
from cgan_tf.detection.results import FILES, MEASURES, read_results
from cgan_tf.runs.errors import UserError
from cgan_tf.statistics.auc import auc_interval, delong_test
from tests.toys.predictions import (
    BENIGN,
    CALCIFICATION,
    MASS,
    predicted,
    screening,
    write_directory,
)

LESION, OTHER = (10.0, 10.0, 30.0, 50.0), (60.0, 100.0, 80.0, 120.0)
HIT, AWAY = (18.0, 28.0, 22.0, 32.0), (88.0, 188.0, 92.0, 192.0)


def evaluated(tmp_path, *directories, name="evaluation", **flags):
    output = tmp_path / name
    config = EvaluateConfig(
        prediction_dirs=tuple(map(str, directories)),
        output_dir=str(output),
        **{"rounds": 50, **flags},
    )
    evaluate(config)
    return read_results(output)


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def by_hand():
    """Lesions of 20 x 40 and 20 x 20 px, of 20 and 10 mm; two healthy images, one benign lesion."""
    return [
        predicted("1", [(HIT, 0.9), (AWAY, 0.8)], [(LESION, MASS), (OTHER, CALCIFICATION)]),
        predicted("2", [(HIT, 0.6)], [(LESION, MASS)]),
        predicted("3", [(HIT, 0.7), (AWAY, 0.2)]),
        predicted("4"),
        predicted("5", [(HIT, 0.5)], [(LESION, BENIGN)]),
    ]


def test_by_hand(tmp_path):
    result = evaluated(tmp_path, write_directory(tmp_path / "p", by_hand()))
    assert (result.images, result.counted_images, result.lesions) == (5, 3, 3)
    assert (result.patients, result.lesion_patients, result.image_patients) == (5, 2, 3)
    (model,) = result.models
    assert (model.name, model.seed, model.candidates) == ("p", None, 6 / 5)
    # .9 hit, .7 false, .6 hit, .5 false, .2 false; three images count false positives.
    assert model.curve.rates == pytest.approx((0, 0, 1 / 3, 1 / 3, 1))
    assert model.curve.sensitivities == pytest.approx((0, 1 / 3, 1 / 3, 2 / 3, 2 / 3))
    measures = {name: value.value for name, value in model.overall.measures.items()}
    assert measures["sensitivity_at_0.25"] == pytest.approx(1 / 3)
    assert measures["sensitivity_at_0.5"] == measures["sensitivity_at_8"] == pytest.approx(2 / 3)
    assert measures["area"] == pytest.approx(1 / 3 * 1 / 3 + 2 / 3 * 2 / 3)
    groups = {(g.attribute, g.group): g for g in model.groups}
    assert list(groups) == [
        ("all", ""),
        ("lesion_type", "calcification"),
        ("lesion_type", "mass"),
        ("lesion_size_mm", "up to 10 mm"),
        ("lesion_size_mm", "10 to 20 mm"),
    ]
    mass = groups["lesion_type", "mass"]
    assert (mass.lesions, mass.patients) == (2, 2)
    assert mass.measures["area"].value == pytest.approx(1 / 3 * 1 / 2 + 2 / 3)
    assert mass.measures["area"].low is None
    assert mass.measures["area"].note.endswith("an interval needs 5 of each")
    assert groups["lesion_size_mm", "up to 10 mm"].measures["area"].value == 0
    # Images: .9 and .6 with a lesion; .7, 0 and .5 without: five of six pairs are in order.
    image = model.auc("image")
    assert (image.positives, image.negatives, image.auc.value) == (2, 3, pytest.approx(5 / 6))
    assert model.auc("image_calibrated") is None


def test_the_flags_reach_the_measures(tmp_path):
    directory = write_directory(tmp_path / "p", by_hand())
    neither = evaluated(tmp_path, directory, name="a", benign_marks=NEITHER).models[0]
    assert neither.curve.rates[-1] == pytest.approx(2 / 3)  # the benign image still counts
    image = neither.auc("image")
    assert (image.negatives, image.auc.value) == (2, pytest.approx(3 / 4))  # and is in no AUC
    assert neither.auc("breast").negatives == neither.auc("patient").negatives == 2
    everywhere = evaluated(tmp_path, directory, name="b", false_positives_on=ALL)
    assert everywhere.counted_images == 5
    assert everywhere.models[0].curve.rates[-1] == pytest.approx(4 / 5)
    overlap = evaluated(tmp_path, directory, name="c", hit="iou", least_iou=0.2)
    assert overlap.models[0].overall.measures["sensitivity_at_8"].value == 0  # 16 of 800 px


def test_files_hold_the_same_numbers(tmp_path):
    directories = [
        write_directory(tmp_path / name, screening(12, seed=n)) for n, name in enumerate("ab")
    ]
    result = evaluated(tmp_path, *directories)
    tables = {
        name: table(tmp_path / "evaluation" / name) for name in FILES if name.endswith(".csv")
    }
    assert len(tables["froc.csv"]) == sum(len(m.groups) for m in result.models) * len(MEASURES)
    row = tables["froc.csv"][len(MEASURES) - 1]
    area = result.models[0].overall.measures["area"]
    assert (row["model"], row["attribute"], row["measure"]) == ("a", "all", "area")
    assert [float(row[n]) for n in ("value", "low", "high")] == [area.value, area.low, area.high]
    assert {row["level"] for row in tables["aucs.csv"]} == {"image", "breast", "patient"}
    assert len(tables["comparisons.csv"]) == len(result.comparisons)
    hits = tables["lesions.csv"]
    assert len(hits) == 2 * result.lesions
    found = sum(float(hit["rate"] or 9) <= 1 for hit in hits[: result.lesions])
    at_one = result.models[0].overall.measures["sensitivity_at_1"].value
    assert found / result.lesions == pytest.approx(at_one)
    manifest = json.loads((tmp_path / "evaluation" / "manifest.json").read_text())
    assert manifest["program"] == "evaluate_images"
    assert set(manifest["files"]) == set(FILES)


def test_aucs_are_those_of_the_tables_by_patient(tmp_path):
    a, b = (write_directory(tmp_path / n, screening(20, 1.0, seed=s)) for s, n in enumerate("ab"))
    result = evaluated(tmp_path, a, b)
    rows = [table(d / "images.csv") for d in (a, b)]
    labels = np.array([int(row["malignant"]) for row in rows[0]])
    scores = [np.array([float(row["score"]) for row in each]) for each in rows]
    patients = np.array([row["client_id"] for row in rows[0]])
    expected = auc_interval(labels, scores[0], patients)
    image = result.models[0].auc("image").auc
    assert (image.value, image.low, image.high) == (expected.auc, expected.low, expected.high)
    test = delong_test(labels, scores[1], scores[0], patients)
    row = result.compared("b", "auc_image")
    assert (row.against, row.difference, row.p_value) == ("a", test.difference, test.p_value)
    assert result.models[0].auc("breast").patients == 20


def test_who_knows_nothing_gets_what_chance_gets(tmp_path):
    """Scattered candidates with random scores: the area is chance's, and the AUC is .5."""
    directory = write_directory(tmp_path / "p", screening(300, skill=0, marks=4.0))
    (model,) = evaluated(tmp_path, directory, rounds=200).models
    area = model.overall.measures["area"]
    expected = 1 - (1 - np.exp(-0.01)) / 0.01  # the mean of 1 - exp(-.01 r) over r from 0 to 1
    assert model.overall.chance["area"] == pytest.approx(expected, abs=0.004)
    assert area.low <= expected <= area.high
    image = model.auc("image").auc
    assert image.low < 0.5 < image.high


def test_who_knows_the_lesions_is_far_from_chance(tmp_path):
    (model,) = evaluated(tmp_path, write_directory(tmp_path / "p", screening(40, 4.0))).models
    assert model.overall.measures["area"].low > 0.8
    assert max(model.overall.chance[name] for name in MEASURES) < 0.2


def test_seeds_are_compared_with_the_baseline_of_their_own_and_pooled(tmp_path, capsys):
    directories = []
    for seed in (3, 4):
        for number, (name, skill) in enumerate((("Baseline", 0.5), ("50%", 3.0), ("25%", 0.5))):
            directories.append(
                write_directory(
                    tmp_path / f"{number}-{seed}",
                    screening(20, skill, seed=10 * seed + number),
                    model={"name": name, "seed": seed},
                )
            )
    result = evaluated(tmp_path, *directories)
    assert [m.name for m in result.models][:2] == ["Baseline, seed 3", "50%, seed 3"]
    areas = [row for row in result.comparisons if row.measure == "area"]
    assert [(row.model, row.against) for row in areas] == [
        ("50%, seed 3", "Baseline, seed 3"),
        ("25%, seed 3", "Baseline, seed 3"),
        ("50%, seed 4", "Baseline, seed 4"),
        ("25%, seed 4", "Baseline, seed 4"),
    ]
    for row in areas[::2]:
        assert row.holm == pytest.approx(2 * row.p_value)
    pooled = result.compared("50%", "area")
    assert (pooled.seeds, pooled.against) == ((3, 4), "Baseline")
    singles = [row.difference for row in areas if row.model.startswith("50%")]
    assert pooled.difference == pytest.approx(np.mean(singles))
    models = [m.overall.measures["area"].value for m in result.models if m.model == "50%"]
    assert (pooled.mean, pooled.spread) == pytest.approx((np.mean(models), np.std(models, ddof=1)))
    baseline = result.compared("Baseline", "auc_image")
    assert (baseline.difference, baseline.seeds) == (None, (3, 4))
    base = result.compared("Baseline", "area")
    told = capsys.readouterr().out.splitlines()[-3:]
    assert told[0] == f"  Baseline: mean area of 2 seeds {base.mean:.3f} (SD {base.spread:.3f})"
    assert told[1] == (
        f"  50%: mean area of 2 seeds {pooled.mean:.3f} (SD {pooled.spread:.3f}), "
        f"{pooled.difference:+.3f} against Baseline (95% {pooled.low:+.3f} to {pooled.high:+.3f}, "
        f"Holm's p {pooled.holm:.2g})"
    )


def test_one_baseline_serves_all_seeds(tmp_path):
    models = (("Baseline", 0), ("Detector", 1), ("Detector", 2))
    directories = [
        write_directory(tmp_path / str(n), screening(12, seed=n), model={"name": m, "seed": s})
        for n, (m, s) in enumerate(models)
    ]
    result = evaluated(tmp_path, *directories, rounds=5)
    assert {row.model for row in result.comparisons} == {"Detector, seed 1", "Detector, seed 2"}
    assert result.pooled == ()


def test_names_are_those_of_table_1_or_of_the_directories(tmp_path):
    flags = {"synthetic_fraction": 0.5, "decay": "multiplicative", "seed": 0, "filling": "both"}
    classifier = {"model": trained_model({"flags": flags})}
    image = [predicted("1", [], [(LESION, MASS)]), predicted("2")]
    a = write_directory(tmp_path / "a", image, **classifier)
    b = write_directory(tmp_path / "b", image, **classifier)
    c = write_directory(tmp_path / "c", image)
    names = [m.name for m in open_models([str(a), str(c)], "test", Rules())]
    assert names == ["50% w/ decay", "c"]
    names = [m.name for m in open_models([str(a), str(b)], "test", Rules())]
    assert names == [f"50% w/ decay ({a})", f"50% w/ decay ({b})"]


def test_a_calibrated_score_is_measured_where_all_have_one(tmp_path):
    images = [
        predicted("1", [], [(LESION, MASS)], score=0.4, calibrated_score=0.9),
        predicted("2", score=0.5, calibrated_score=0.1),
        predicted("3", score=0.3, calibrated_score=0.2),
    ]
    model = evaluated(tmp_path, write_directory(tmp_path / "p", images), rounds=3).models[0]
    assert model.auc("patient").auc.value == 0.5
    assert model.auc("patient_calibrated").auc.value == 1


def test_a_level_without_any_score_is_not_measured(tmp_path):
    """Breasts have no scores where no image tells its side."""
    directory = write_directory(tmp_path / "p", [*by_hand(), predicted("6", [(HIT, 0.3)])])
    heading = (directory / "breasts.csv").read_text().splitlines()[0]
    (directory / "breasts.csv").write_text(f"{heading}\n")
    model = evaluated(tmp_path, directory, rounds=3).models[0]
    assert [each.level for each in model.aucs] == ["image", "patient"]


def test_a_model_without_any_candidate_finds_nothing(tmp_path):
    images = [predicted("1", [], [(LESION, MASS)]), predicted("2")]
    (model,) = evaluated(tmp_path, write_directory(tmp_path / "p", images), rounds=3).models
    assert set(model.overall.chance.values()) == {0}
    assert {value.value for value in model.overall.measures.values()} == {0}
    assert model.curve.rates == (0,)


def test_a_finished_evaluation_is_not_done_again(tmp_path, capsys):
    directory = write_directory(tmp_path / "p", by_hand())
    evaluated(tmp_path, directory)
    capsys.readouterr()
    evaluated(tmp_path, directory)
    assert "is finished; nothing to do" in capsys.readouterr().out
    with pytest.raises(UserError, match="--rounds was 50, is 51"):
        evaluated(tmp_path, directory, rounds=51)


def test_a_directory_is_named_once(tmp_path):
    a = write_directory(tmp_path / "a", by_hand())
    with pytest.raises(UserError, match="expected each directory once"):
        evaluated(tmp_path, a, a)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": by_hand()[:-1]}, "b/images.csv: .* found 0 others, and 1 are missing"),
        (
            {"images": [*by_hand()[:1], predicted("2", [], [(OTHER, MASS)]), *by_hand()[2:]]},
            "b/lesions.csv: expected those of .*a/lesions.csv, found 1 others, and 1 are missing",
        ),
        (
            {"images": [*by_hand()[:2], predicted("3", [(HIT, 1.5)]), *by_hand()[3:]]},
            "b/candidates.csv, line 5: score: expected 0 to 1, found 1.5",
        ),
        (
            {"images": [*by_hand()[:3], predicted("4", score=float("nan")), *by_hand()[4:]]},
            "b/images.csv, line 5: score: expected 0 to 1, found nan",
        ),
        ({"program": "make_patches"}, "found 'make_patches'"),
        ({"model": {"name": "Detector"}}, "b/manifest.json: expected the name and seed of a model"),
    ],
)
def test_other_images_and_scores_that_are_none_are_refused(tmp_path, change, message):
    a = write_directory(tmp_path / "a", by_hand())
    b = write_directory(tmp_path / "b", **{"images": by_hand(), **change})
    with pytest.raises(UserError, match=message):
        evaluated(tmp_path, a, b)
    assert not (tmp_path / "evaluation" / "run.json").exists()
