"""The program reader_study: makes a study, or analyses what its readers answered."""

import dataclasses
from pathlib import Path

import numpy as np

from cgan_tf.config import ReaderStudyConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.data.provenance import manifest_sha256
from cgan_tf.labels import SPLITS
from cgan_tf.reading.cases import LESION, Cases, Picture, Sets, draw_cases, set_names
from cgan_tf.reading.leaks import Leak, border_features, file_features, leak_of
from cgan_tf.reading.study import (
    KEY,
    PAGE,
    checksum_of,
    encode_picture,
    instructions_of,
    key_json,
    key_of,
    study_data,
    study_page,
)
from cgan_tf.runs.directory import (
    Run,
    finish_run,
    run_to_the_end,
    write_bytes,
    write_json,
)
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import check_ranges

PROGRAM = "reader_study"
SURE = 0.01  # a leak with a smaller p-value is told


def run_reader_study(config: ReaderStudyConfig) -> None:
    """Writes study.html and key.json, or with `config.analyse` the folder analysis beside them."""
    check_ranges(config)
    if config.analyse:
        from cgan_tf.reading.results import write_analysis

        if config.restart:
            raise UserError(
                "--restart: not with --analyse, which writes its results anew each time"
            )
        write_analysis(config.output_dir, config.analyse)
        return
    make_study(config)


def make_study(config: ReaderStudyConfig) -> None:
    """Draws the cases and writes the page and its key."""
    check_config(config)

    def work(drawn: tuple[Cases, Sets], run: Run) -> None:
        cases, sets = drawn
        data = study_data(config, cases)
        leaks = leaks_of(config, cases)
        key = key_of(config, cases, list(sets.synthetic), checksum_of(data))
        page = study_page(config, data, instructions_of(config, cases))
        write_json(run.directory / KEY, key_json(key))
        write_bytes(run.directory / PAGE, page.encode())
        content = {
            "study": key.study,
            "question": config.question,
            "cases": len(cases.study),
            "training": len(cases.training),
            "repeated": len(cases.repeated),
            "patients": len(_patients(cases)),
            "median_sizes": median_sizes(cases),
            "leaks": {name: dataclasses.asdict(leak) for name, leak in leaks.items()},
        }
        finish_run(run.directory, PROGRAM, content)
        _tell(run.directory, cases, leaks, len(page))

    run_to_the_end(config.output_dir, PROGRAM, config, lambda: _open(config), work)


def check_config(config: ReaderStudyConfig) -> None:
    """Raises `UserError` for flags that make no study."""
    for name in ("patches_dir", "synthetic_dirs"):
        if not getattr(config, name):
            raise UserError(
                f"--{name} is required to make a study (--analyse reads answers to one)"
            )
    wrong = sorted(set(config.real_splits) - set(SPLITS))
    if wrong or not config.real_splits:
        found = wrong[0] if wrong else "nothing"
        raise UserError(f"--real_splits: expected {' or '.join(SPLITS)}, found {found}")


def _open(config: ReaderStudyConfig) -> tuple[Cases, Sets]:
    real = PatchSet(config.patches_dir)
    names = set_names(config.synthetic_dirs)
    synthetic = [PatchSet(directory) for directory in config.synthetic_dirs]
    for patches in synthetic:
        if patches.manifest["program"] == "make_patches":
            raise UserError(
                f"{patches.directory}: expected a set of synthesize or paste_lesions, found real "
                "patches of make_patches"
            )
    sets = Sets(real, dict(zip(names, synthetic, strict=True)))
    secret = "".join(manifest_sha256(patches) for patches in (real, *synthetic))
    cases = draw_cases(config, sets, secret)
    _check_sizes(cases)
    return cases, sets


def _check_sizes(cases: Cases) -> None:
    pictures = _pictures(cases)
    if not pictures:
        raise UserError("--synthetic_dirs: expected masses, calcifications or removals, found none")
    sizes = {picture.record.patch.shape for picture in pictures}
    if len(sizes) > 1:
        found = " and ".join(f"{size[0]} px" for size in sorted(sizes))
        raise UserError(f"--synthetic_dirs: expected patches of the real ones' size, found {found}")


def _pictures(cases: Cases) -> list[Picture]:
    return [picture for case in (*cases.training, *cases.study) for picture in case.pictures]


def _patients(cases: Cases) -> set[str]:
    return {picture.record.client_id for case in cases.study for picture in case.pictures}


def median_sizes(cases: Cases) -> dict[str, dict[str, float]]:
    """What pictures were matched by, by kind: the medians of real and synthetic ones."""
    sizes: dict[tuple[str, str], list[float]] = {}
    for picture in (picture for case in cases.study for picture in case.pictures):
        side = "synthetic" if picture.synthetic else "real"
        sizes.setdefault((picture.kind, side), []).append(picture.size)
    medians: dict[str, dict[str, float]] = {}
    for (kind, side), values in sorted(sizes.items()):
        medians.setdefault(kind, {})[side] = round(float(np.median(values)), 2)
    return medians


def leaks_of(config: ReaderStudyConfig, cases: Cases) -> dict[str, Leak]:
    """What the files and the borders of the study's pictures tell of the answer."""
    pictures = [picture for case in cases.study for picture in case.pictures]
    texts = [encode_picture(picture.record.patch) for picture in pictures]
    lesion = config.question == LESION
    labels = np.array([p.kind != "normal" if lesion else p.synthetic for p in pictures], int)
    patients = [picture.record.client_id or picture.record.patch_id for picture in pictures]
    features = {
        "file": file_features(texts),
        "border": border_features(texts, len(pictures[0].record.patch)),
    }
    return {name: leak_of(f, labels, patients, config.seed) for name, f in features.items()}


def _tell(directory: Path, cases: Cases, leaks: dict[str, Leak], length: int) -> None:
    print(
        f"{directory / PAGE}: {len(cases.study)} cases of {len(_patients(cases))} patients, "
        f"{len(cases.repeated)} of them twice, {len(cases.training)} for training; "
        f"{length / 1e6:.1f} MB. Hand on this file alone: {KEY} beside it has the truth."
    )
    for kind, sides in median_sizes(cases).items():
        if kind != "normal" and len(sides) == 2:
            print(
                f"  {kind}: median size {sides['synthetic']:.1f} px synthetic, "
                f"{sides['real']:.1f} px real"
            )
    for name, leak in leaks.items():
        print(
            f"  what the {name} tells without the lesion: AUC {leak.auc:.2f} "
            f"(shuffled {leak.shuffled:.2f}, p = {leak.p_value:.3f})"
        )
        if leak.p_value < SURE:
            print(
                f"  Beware: the {name} tells the answer; readers may see it there, too, and not in "
                "the lesion. docs/reader_study.md says what to do."
            )
