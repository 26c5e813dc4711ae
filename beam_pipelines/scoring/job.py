"""The job of predict_images: index, choose images, score them, tables, page, manifest."""

import collections
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from beam_pipelines.jobs.options import beam_options, check_paths
from beam_pipelines.jobs.work import files_bar, work_results
from beam_pipelines.patches.ledger import rejections_csv
from beam_pipelines.rejections import (
    FILES,
    IMAGES,
    MARKS,
    Rejection,
    Tally,
    ledger,
    left_out,
    rejection_from,
)
from beam_pipelines.scoring.classifier import Setup, setup_of
from beam_pipelines.scoring.images import (
    DIRECTORY,
    ScoreImages,
    result_from,
    result_path,
    work_item,
)
from beam_pipelines.sources import index as sources_index
from beam_pipelines.sources.base import Image, Source, UnitIndex, split_of
from beam_pipelines.sources.index import index_of, open_source, source_config
from beam_pipelines.storage import files
from cgan_tf.config import PatchesConfig, PredictImagesConfig
from cgan_tf.data.keyed import unit_hash
from cgan_tf.data.provenance import is_drawn
from cgan_tf.detection import predictions
from cgan_tf.detection.page import VIEWER, write_viewer
from cgan_tf.detection.predictions import (
    ImagePrediction,
    ScoredBreast,
    ScoredImage,
    ScoredPatient,
    read_rows,
    trained_model,
    write_predictions,
    write_rows,
)
from cgan_tf.detection.scores import breast_scores, patient_scores
from cgan_tf.labels import MALIGNANT_CLASSES
from cgan_tf.runs.dataclass_json import to_json
from cgan_tf.runs.directory import RUN_FILE, Json, Run, finish_run, run_to_the_end
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.machine import resolve_threads, save_threads

PROGRAM = "predict_images"
REJECTIONS_FILE = "rejections.csv"


def predict_images(config: PredictImagesConfig) -> None:
    """Scores the images that the config describes, or says that they are scored already.

    Raises `UserError` for a missing or unfit classifier, a missing or empty input, unknown Beam
    options, and when no image could be scored.
    """
    options = beam_options(config.beam)
    if files.is_remote(config.output_dir):
        raise UserError(f"--output_dir={config.output_dir}: expected a local directory")
    check_paths(options, classifier=config.classifier, output_dir=config.output_dir)

    def open_inputs() -> tuple[Setup, PatchesConfig, Source]:
        setup, patches = setup_of(config), source_config(config)
        return setup, patches, open_source(patches)

    def work(inputs: tuple[Setup, PatchesConfig, Source], run: Run) -> None:
        setup, patches, source = inputs
        scratch = str(run.directory / DIRECTORY)
        try:
            index = index_of(source, patches, str(run.directory / sources_index.DIRECTORY), options)
            images = chosen_images(index, setup)
        except UserError:
            if not files.is_directory(scratch):  # nothing was done
                (run.directory / RUN_FILE).unlink()
            raise
        threads = resolve_threads(config, run.directory)
        save_threads(run.directory, threads)
        shown = shown_images(images, config.overlays)
        items = [work_item(image, image.sop_uid in shown) for image in images]
        names = {item["image"]["sop_uid"]: item["name"] for item in items}
        scored = _Scored(names)
        with files_bar(f"{scratch}/images", set(names.values()), "Scoring images"):
            for result in work_results(
                ScoreImages(setup, threads), items, scratch, "images", options
            ):
                scored.add(result)
        _finish(run.directory, setup, index, images, scored)

    scratch = str(Path(config.output_dir) / DIRECTORY)
    run_to_the_end(
        *(config.output_dir, PROGRAM, config, open_inputs, work),
        drop_scratch=lambda: files.remove_directory(scratch),
    )


def chosen_images(index: UnitIndex, setup: Setup) -> list[Image]:
    """The images to score, in the order of the draw.

    Raises `UserError` if there are none, and for a woman whom the calibration rests on.
    """
    config, patients = setup.config, setup.patients
    images = [
        image
        for image in index.images
        if patients is None or split_of(image.client_id, patients, image.splits) == config.split
    ]
    if not images:
        wanted = f"images of the {config.split} split" if config.split else "images"
        raise UserError(
            f"{config.input_dir}: expected {wanted}, found none{left_out(index.rejections)}"
        )
    images.sort(key=lambda image: unit_hash(config.seed, "scoring", image.sop_uid))
    images = images[: config.images or None]
    women = sorted({image.client_id for image in images} & setup.calibrated_on)
    if women:
        raise UserError(
            f"--calibration_dir={config.calibration_dir}: expected other women than those scored, "
            f"found {len(women)} of them, such as {women[0]}"
        )
    return images


def shown_images(images: Sequence[Image], most: int) -> set[str]:
    """Uids of at most so many: half of them malignant and half not, as far as there are so many."""
    groups: dict[bool, list[str]] = {True: [], False: []}
    for image in images:
        malignant = any(mark.patch_class in MALIGNANT_CLASSES for mark in image.marks)
        groups[malignant].append(image.sop_uid)
    half = max(most - len(groups[False]), most // 2)
    chosen = groups[True][:half]
    return {*chosen, *groups[False][: most - len(chosen)]}


class _Scored:
    """What became of the images, without what is on them: that stays in files.

    Attributes:
      names: of the files of results, by the uid of the image.
      images, windows, candidates, lesions: how many. rejections: new ones.
    """

    def __init__(self, names: Mapping[str, str]):
        self.names = names
        self.images = self.windows = self.candidates = self.lesions = 0
        self.rejections: list[Rejection] = []

    def add(self, result: Json) -> None:
        """Counts a result as `ScoreImages` gives it."""
        self.rejections += map(rejection_from, result["rejections"])
        self.windows += result["windows"]
        if result["prediction"]:
            self.images += 1
            self.candidates += len(result["prediction"]["candidates"])
            self.lesions += len(result["prediction"]["lesions"])

    def predictions(self, directory: Path) -> Iterator[ImagePrediction]:
        """The predictions in the order of their images' uids, one at a time."""
        for _, name in sorted(self.names.items()):
            data = files.read_bytes(result_path(str(directory), name))
            prediction = result_from(json.loads(data)).prediction
            if prediction:
                yield prediction


def _finish(
    directory: Path, setup: Setup, index: UnitIndex, images: Sequence[Image], scored: _Scored
) -> None:
    """Writes tables, page and manifest, and prints the outcome."""
    config = setup.config
    if not scored.images:
        raise UserError(
            f"{config.input_dir}: no image could be scored{left_out(scored.rejections)}"
        )
    write_predictions(directory, scored.predictions(directory))
    rows = list(read_rows(directory / predictions.IMAGES, ScoredImage))
    breasts = breast_scores(rows, setup.calibration)
    patients = patient_scores(rows, setup.calibration)
    write_rows(directory / predictions.BREASTS, ScoredBreast, breasts)
    write_rows(directory / predictions.PATIENTS, ScoredPatient, patients)
    rejections = [*index.rejections, *scored.rejections]
    table = rejections_csv(rejections, config.input_dir)
    files.write_atomically_from(str(directory / REJECTIONS_FILE), table)
    phantom = is_drawn(config.input_dir)
    model_phantom = bool(setup.manifest.get("phantom"))
    page = write_viewer(directory, phantom, model_phantom)
    account = _ledger(index, images, scored)
    content = {
        "model": trained_model(setup.manifest),
        "weights_sha256": setup.weights_sha256,
        "patch_size": setup.size,
        "stride": setup.stride,
        "resolution": {"resample_spacing_mm": setup.spacing_mm, "reduction": setup.reduction},
        "calibration": to_json(setup.calibration) if setup.calibration else None,
        **({"phantom": True} if phantom else {}),
        **({"classifier_phantom": True} if model_phantom else {}),
        "images": scored.images,
        "breasts": len(breasts),
        "patients": len(patients),
        "windows": scored.windows,
        "candidates": scored.candidates,
        "lesions": scored.lesions,
        "ledger": {kind: tally.as_json() for kind, tally in account.items()},
    }
    finish_run(directory, PROGRAM, content)
    print(summary(scored, len(patients), account, directory, bool(page)))


def _ledger(index: UnitIndex, images: Sequence[Image], scored: _Scored) -> dict[str, Tally]:
    """See `rejections.ledger`; what is fit, and was not asked for, is not needed."""
    rejections = [*index.rejections, *scored.rejections]
    new = collections.Counter(item.kind for item in scored.rejections)
    kinds = collections.Counter(item.kind for item in rejections)
    marks = sum(len(image.marks) for image in index.images)
    return ledger(
        read=index.read,
        used={
            IMAGES: scored.images,
            MARKS: scored.lesions,
            FILES: index.read.get(FILES, 0) - kinds[FILES],
        },
        not_needed={
            IMAGES: len(index.images) - len(images),
            MARKS: marks - scored.lesions - new[MARKS],
        },
        rejected=rejections,
    )


def summary(
    scored: _Scored, patients: int, account: Mapping[str, Tally], directory: Path, page: bool
) -> str:
    """The outcome in a few lines, for the console."""
    images = account[IMAGES]
    reasons = ", ".join(f"{reason} {count}" for reason, count in images.rejected.items())
    lines = [
        f"{scored.images:,} images of {patients:,} patients scored: {scored.windows:,} windows, "
        f"{scored.candidates:,} candidates; {scored.lesions:,} known lesions",
        images.line(IMAGES) + (f" ({reasons})" if reasons else ""),
        f"{PROGRAM}: {directory} (images.csv, candidates.csv, patients.csv, heat_maps/"
        + (f", {VIEWER})" if page else ")"),
    ]
    return "\n".join(lines)
