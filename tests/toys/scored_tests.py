"""Evaluations made up on the spot, as the report reads them."""

from pathlib import Path

import numpy as np

from cgan_tf.classifier.metrics import ScoreRow, metrics_of
from cgan_tf.classifier.results import ScoredTest
from cgan_tf.labels import Arm, arm_of, arm_title

PATIENTS = 40


def scored_test(
    fraction: float, seed: int = 0, skill: float = 1.0, arm: Arm | None = None
) -> ScoredTest:
    """A classifier on 240 patches of 40 patients; `skill` sets its classes apart.

    `arm` is another than the paper's with this share.
    """
    arm = arm or arm_of("both", fraction, "multiplicative")
    labels = np.repeat([0, 1], 120)
    kinds = np.repeat(["", "mass", "calcification"], [120, 60, 60])
    patients = np.array([f"c{number % PATIENTS:02d}" for number in range(240)])
    rng = np.random.default_rng([seed, round(100 * fraction)])
    logits = skill * labels + rng.standard_normal(240)
    rows = [
        ScoreRow(
            patch_id=f"p{number}", client_id=str(patient), label=int(label), patch_class="",
            lesion_type=str(kind), logit=float(logit), manufacturer=f"M{number % 2}",
            lesion_size_mm=5.0 + number % 30 if label else None,
            conspicuity="Obvious" if label else "",
            exposure_mas=60.0 + 4.0 * (number % PATIENTS),
        )
        for number, (label, logit, patient, kind) in enumerate(
            zip(labels, logits, patients, kinds, strict=True)
        )
    ]  # fmt: skip
    validations = [
        {"samples": 5_000 * step, "auc": 0.7 + 0.01 * step + 0.001 * seed} for step in range(1, 5)
    ]
    return ScoredTest(
        directory=Path(f"seed-{seed}/fraction-{round(100 * fraction):02d}"),
        name=arm_title(arm), arm=arm, seed=seed,
        patch_ids=np.array([f"p{number}" for number in range(240)]),
        patients=patients, lesion_types=kinds, labels=labels, logits=logits,
        metrics=metrics_of("test", rows, [], (labels, logits)),
        training={
            "validations": validations, "best_samples": 20_000,
            "best_validation_auc": validations[-1]["auc"], "samples": 500_000, "patch_size": 64,
            "weights": "best.weights.h5", "weights_sha256": "0" * 64,
            "patches": {"real positive": 2_700, "synthetic positive": 500},
            "drawn": {"real positive": 910, "synthetic positive": 90},
            "flags": {"network": "resnet50", "weights": "none", "output_dir": "classifier",
                      "synthetic_dirs": ["a", "b"], "samples": 500_000,
                      "decay": "multiplicative" if arm.decayed else "constant", "decay_rate": 0.1,
                      "decay_every": 5_000, "seed": seed, "synthetic_fraction": fraction,
                      "filling": arm.filling},
        },
    )  # fmt: skip


def sweep(seeds: int = 2) -> list[ScoredTest]:
    """The paper's six proportions, with each of some seeds."""
    return [
        scored_test(fraction, seed)
        for seed in range(seeds)
        for fraction in (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
    ]
