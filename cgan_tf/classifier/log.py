"""What a training shows: metrics.csv, TensorBoard and the scores of every validation."""

import io
from pathlib import Path

import numpy as np
import tensorflow as tf

from cgan_tf.classifier.inputs import schedule_of
from cgan_tf.config import ClassifierConfig
from cgan_tf.runs.directory import write_bytes
from cgan_tf.runs.training import MetricsTable, summary_writer

COLUMNS = ("samples", "loss", "synthetic_share", "validation_auc", "best_auc")


class ClassifierLog:
    """One row and one file of scores per validation."""

    def __init__(self, directory: Path, config: ClassifierConfig, start: int):
        """Forgets what was logged after the checkpoint at sample `start`."""
        self.scores = directory / "validation"
        self.schedule = schedule_of(config)
        self.scores.mkdir(exist_ok=True)
        self.table = MetricsTable(directory / "metrics.csv", start)
        self.writer = summary_writer(directory, start, config)

    def add_validation(
        self,
        samples: int,
        loss: float,
        auc: float,
        best_auc: float,
        logits: np.ndarray,
        labels: np.ndarray,
    ) -> None:
        """Writes a row of metrics, and validation/<samples>.npz.

        Args:
          samples: seen so far. loss: mean since the last validation. logits: float32 [n].
          labels: int [n], 1 for malignant.
        """
        buffer = io.BytesIO()
        np.savez_compressed(buffer, logits=logits, labels=labels.astype(np.int8))
        write_bytes(self.scores / f"{samples:08d}.npz", buffer.getvalue())
        share = float(self.schedule.share(samples - 1))
        values = dict(zip(COLUMNS[1:], (loss, share, auc, best_auc), strict=True))
        shown = {name: f"{value:.8g}" for name, value in values.items()}
        self.table.add({"samples": str(samples), **shown})
        with self.writer.as_default(step=samples):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self.writer.flush()

    def validations(self) -> list[dict[str, float]]:
        """Every validation of the run: samples and AUC."""
        return [
            {"samples": int(row["samples"]), "auc": float(row["validation_auc"])}
            for row in self.table.rows
        ]
