"""Evaluates a classifier: scores.csv, synthetic_scores.csv, features.npz, metrics.json, grad_cam/.

scores.csv has one row per test patch (normal or malignant), synthetic_scores.csv one per synthetic
patch with its own logit and that of the patch it was made from. features.npz holds the last
feature layer: `test` and `synthetic` in the order of the two tables, and `validation` with
`validation_class`, from which the paper draws its t-SNE map, `validation_patch_id` and
`validation_logit`. grad_cam/ shows what the classifier's most confident mistakes rest on.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np

from cgan_tf.classifier.metrics import (
    ScoreRow,
    SyntheticRow,
    metrics_of,
    score_row,
    synthetic_row,
)
from cgan_tf.classifier.results import write_table
from cgan_tf.config import EvaluateConfig
from cgan_tf.detection.evaluation import evaluate_images
from cgan_tf.labels import NORMAL
from cgan_tf.runs import console
from cgan_tf.runs.dataclass_json import to_json
from cgan_tf.runs.directory import (
    finish_run,
    read_manifest,
    run_to_the_end,
    sha256,
    write_bytes,
    write_json,
)
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import check_ranges, require

FILES = ("scores.csv", "synthetic_scores.csv", "features.npz", "metrics.json")


def evaluate(config: EvaluateConfig) -> None:
    """Runs an evaluation of patches, or of images, or says that it is done."""
    check_ranges(config)
    if config.prediction_dirs:
        _refuse_patches(config)
        evaluate_images(config)
        return
    require(config, ("classifier", "patches_dir"))
    console.quiet_tensorflow()
    run_to_the_end(
        config.output_dir,
        "evaluate",
        config,
        lambda: Evaluation(config),
        lambda evaluation, run: evaluation.run(run.directory),
    )


def _refuse_patches(config: EvaluateConfig) -> None:
    for name in ("classifier", "patches_dir", "synthetic_dirs"):
        if getattr(config, name):
            raise UserError(f"--{name}: not with --prediction_dirs, which are scored already")


class Evaluation:
    """One classifier and the sets that it scores."""

    def __init__(self, config: EvaluateConfig):
        from cgan_tf.classifier.scoring import load_classifier
        from cgan_tf.data.patch_sets import (
            PatchPool,
            PatchSet,
            check_sizes,
            evaluation_pool,
            find_sources,
            whole_sets,
        )

        self.config = config
        manifest = read_manifest(config.classifier, "train_classifier")
        patches = PatchSet(config.patches_dir)
        synthetic, self.synthetic_splits = whole_sets(
            [PatchSet(name) for name in config.synthetic_dirs]
        )
        self.pools = {
            "test": evaluation_pool(patches, config.split)[0],
            "validation": evaluation_pool(patches, "validation")[0],
            "synthetic": synthetic,
        }
        check_sizes(list(self.pools.values()))
        expected, found = manifest["patch_size"], len(self.pools["test"].pixels(0))
        if expected != found:
            raise UserError(
                f"{config.patches_dir}: expected {expected} px patches, the size that "
                f"{config.classifier} was trained at, found {found} px"
            )
        self.records = {name: pool.descriptions() for name, pool in self.pools.items()}
        index, self.source_numbers = find_sources(
            patches, [record.source_patch_id for record in self.records["synthetic"]]
        )
        self.pools["source"] = PatchPool(index)
        self.records["source"] = self.pools["source"].descriptions()
        self.model = load_classifier(config.classifier, manifest, config.precision)

    def run(self, directory: Path) -> None:
        """Scores everything and writes the files and the manifest."""
        logits, features = self._score()
        test, synthetic = self._test_rows(logits), self._synthetic_rows(logits)
        write_table(directory / "scores.csv", ScoreRow, test)
        write_table(directory / "synthetic_scores.csv", SyntheticRow, synthetic)
        self._write_features(directory / "features.npz", features, logits["validation"])
        classes = [record.patch_class for record in self.records["validation"]]
        validation = np.array([name != NORMAL for name in classes], int), logits["validation"]
        metrics = metrics_of(self.config.split, test, synthetic, validation)
        write_json(directory / "metrics.json", to_json(metrics))
        files = [*FILES, *self._write_grad_cams(directory, test)]
        content = {
            "files": {name: sha256(directory / name) for name in files},
            "classifier": read_manifest(self.config.classifier, "train_classifier"),
        }
        finish_run(directory, "evaluate", content)
        print(
            f"{directory}: AUC {metrics.auc['overall'].auc:.3f} on {len(test):,} "
            f"{self.config.split} patches, {len(synthetic):,} synthetic patches scored"
        )

    def _score(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        from cgan_tf.classifier.scoring import score

        logits, features = {}, {}
        total = sum(map(len, self.pools.values()))
        with console.progress_bar(total, "evaluation", "patches") as bar:
            for name, pool in self.pools.items():
                logits[name], features[name] = score(
                    self.model, pool, self.config.batch_size, bar.update
                )
        return logits, features

    def _test_rows(self, logits: dict[str, np.ndarray]) -> list[ScoreRow]:
        return [
            score_row(record, logit)
            for record, logit in zip(self.records["test"], logits["test"], strict=True)
        ]

    def _synthetic_rows(self, logits: dict[str, np.ndarray]) -> list[SyntheticRow]:
        rows = zip(
            self.records["synthetic"],
            self.synthetic_splits,
            logits["synthetic"],
            self.source_numbers,
            strict=True,
        )
        sources, source_logits = self.records["source"], logits["source"]
        return [
            synthetic_row(record, split, logit, sources[number], source_logits[number])
            for record, split, logit, number in rows
        ]

    def _write_grad_cams(self, directory: Path, rows: list[ScoreRow]) -> list[str]:
        if not self.config.grad_cams:
            return []
        from cgan_tf.classifier.grad_cam import write_grad_cams

        return write_grad_cams(
            directory, self.model, self.pools["test"], rows, self.config.grad_cams
        )

    def _write_features(
        self, path: Path, features: dict[str, np.ndarray], validation_logits: np.ndarray
    ) -> None:
        records, buffer = self.records["validation"], io.BytesIO()
        sets = ("test", "validation", "synthetic")
        arrays: dict[str, Any] = {name: features[name] for name in sets}
        arrays["validation_class"] = np.array([record.patch_class for record in records])
        arrays["validation_patch_id"] = np.array([record.patch_id for record in records])
        arrays["validation_logit"] = validation_logits
        np.savez(buffer, **arrays)
        write_bytes(path, buffer.getvalue())
