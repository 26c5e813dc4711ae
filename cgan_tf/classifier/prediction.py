"""Scores of every patch of a set: scores.csv, one row a patch, whatever its label."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from scipy.special import expit

from cgan_tf.config import PredictConfig
from cgan_tf.data.patch_sets import PatchIndex, PatchSet
from cgan_tf.data.records import PatchRecord
from cgan_tf.detection.predictions import write_rows
from cgan_tf.labels import PATCH_CLASSES, SPLITS
from cgan_tf.runs import console
from cgan_tf.runs.directory import Json, finish_run, read_manifest, run_to_the_end, sha256
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import check_ranges

PROGRAM, TABLE = "predict", "scores.csv"


@dataclasses.dataclass(frozen=True)
class PatchScore:
    """A patch and what the classifier says of it: a row of scores.csv.

    Attributes:
      logit: positive means cancer. score: the same as a probability, 0 to 1.
      source_patch_id: of a synthetic patch, the one that it was made from; else empty.
    """

    patch_id: str
    split: str
    patch_class: str
    client_id: str
    study_uid: str
    sop_uid: str
    laterality: str
    view: str
    synthetic: int
    source_patch_id: str
    logit: float
    score: float


def predict(config: PredictConfig) -> None:
    """Scores a set, or says that it is done.

    Raises `UserError` for a classifier or a set that is none, patches of another size than the
    classifier's, and classes that there are not.
    """
    check_ranges(config)
    console.quiet_tensorflow()
    run_to_the_end(
        *(config.output_dir, PROGRAM, config, lambda: _open(config)),
        lambda inputs, run: _score(config, *inputs, run.directory),
    )


def _open(config: PredictConfig) -> tuple[Json, dict[tuple[str, str], PatchIndex]]:
    """(manifest of the classifier, the patches by split and class)."""
    manifest = read_manifest(config.classifier, "train_classifier")
    patches = PatchSet(config.patches_dir)
    wrong = [name for name in config.classes if name not in PATCH_CLASSES]
    if wrong:
        raise UserError(f"--classes={wrong[0]}: expected some of {', '.join(PATCH_CLASSES)}")
    chosen = {
        (split, name): patches.index(split, name)
        for split in ([config.split] if config.split else SPLITS)
        for name in config.classes or PATCH_CLASSES
        if patches.count(split, name)
    }
    if not chosen:
        raise UserError(
            f"{config.patches_dir}: expected patches of --split and --classes, found none"
        )
    for index in chosen.values():
        expected, found = int(manifest["patch_size"]), len(index.pixels(0))
        if expected != found:
            raise UserError(
                f"{config.patches_dir}: expected {expected} px patches, the size that "
                f"{config.classifier} was trained at, found {found} px"
            )
    return manifest, chosen


def _score(
    config: PredictConfig,
    manifest: Json,
    chosen: dict[tuple[str, str], PatchIndex],
    directory: Path,
) -> None:
    from cgan_tf.classifier.scoring import load_classifier

    model = load_classifier(config.classifier, manifest, config.precision)
    total = sum(map(len, chosen.values()))
    with console.progress_bar(total, PROGRAM, "patches") as bar:

        def rows() -> Iterator[PatchScore]:
            for (split, _), index in chosen.items():
                for row in _rows(model, split, index, config.batch_size):
                    yield row
                    bar.update()

        write_rows(directory / TABLE, PatchScore, rows())
    content = {
        "files": {TABLE: sha256(directory / TABLE)},
        "patches": {f"{split}/{name}": len(index) for (split, name), index in chosen.items()},
        "weights_sha256": manifest["weights_sha256"],
    }
    finish_run(directory, PROGRAM, content)
    print(f"{directory / TABLE}: {total:,} patches scored")


def _rows(model, split: str, index: PatchIndex, batch_size: int) -> Iterator[PatchScore]:  # type: ignore[no-untyped-def]
    """A batch at a time, so that a set of any size fits into memory."""
    from cgan_tf.classifier.pipeline import pool_batches
    from cgan_tf.data.patch_sets import PatchPool
    from cgan_tf.runs.training import reading_errors

    number = 0
    with reading_errors():
        for patches in pool_batches(PatchPool((index,)), batch_size):
            for logit in model.infer(patches)[0].numpy().tolist():
                yield patch_score(index.record(number), split, logit)
                number += 1


def patch_score(record: PatchRecord, split: str, logit: float) -> PatchScore:
    """The row of a patch."""
    names = {field.name for field in dataclasses.fields(PatchScore)} - {"split", "logit", "score"}
    values = {name: getattr(record, name) for name in names}
    return PatchScore(**values, split=split, logit=logit, score=float(expit(logit)))
