"""The quality program: measures every synthetic set and says what it sees."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from cgan_tf import progress
from cgan_tf.config import SPLITS, TASKS, QualityConfig
from cgan_tf.errors import UserError
from cgan_tf.patch_sets import PatchSet
from cgan_tf.quality_features import feature_spaces
from cgan_tf.quality_measures import SetQuality
from cgan_tf.quality_tables import quality_csv, quality_markdown, verdict_line
from cgan_tf.run_directory import (
    MANIFEST_FILE,
    finish_run,
    open_run,
    read_json,
    read_manifest,
    write_bytes,
    write_json,
)

PROGRAM = "quality"
CONTENT = "quality.json"
HELD_OUT = ("validation", "test")


def measure_quality(config: QualityConfig) -> None:
    """Writes quality.json, quality.md, quality.csv and pictures/; prints the verdicts."""
    check_config(config)
    progress.quiet_tensorflow()
    # Inputs are opened before the run is: a mistyped flag must not stay in a run directory.
    finished = (Path(config.output_dir) / MANIFEST_FILE).exists()
    qualities = {} if finished else set_qualities(config)
    with open_run(config.output_dir, PROGRAM, config) as run:
        if not run.finished:
            sets = measure_sets(qualities, run.directory)
            write_bytes(run.directory / "quality.csv", quality_csv(sets))
            write_bytes(run.directory / "quality.md", quality_markdown(sets).encode())
            finish_run(run.directory, PROGRAM, {"sets": list(sets)})
        sets = read_json(run.directory / CONTENT)["sets"]
    for name, found in sets.items():
        print(f"{name}: {found['patches']:,} patches of {found['directory']}")
        print("\n".join(f"  {verdict_line(check)}" for check in found["checks"]))


def measure_sets(qualities: Mapping[str, SetQuality], directory: Path) -> dict[str, Any]:
    """What was found of every set, by name; sets that `quality.json` has already are kept.

    The file grows by a set at a time, so that an interrupted run goes on with the next one.
    """
    path = directory / CONTENT
    sets = read_json(path)["sets"] if path.exists() else {}
    # Numbers must not depend on the cores, nor a run beside others wait for them.
    with threadpool_limits(limits=1):
        for name, quality in qualities.items():
            if name not in sets:
                sets[name] = quality.measure(directory)
                write_json(path, {"sets": sets})
    return sets


def check_config(config: QualityConfig) -> None:
    """Raises `UserError` for values that measure nothing, or what a generator has learned."""
    wrong = [split for split in config.real_splits if split not in HELD_OUT]
    if wrong or not config.real_splits:
        found = wrong[0] if wrong else "nothing"
        raise UserError(f"--real_splits: expected {' or '.join(HELD_OUT)}, found {found}")
    for name, least in (("splits", 1), ("draws", 2), ("batch_size", 1)):
        if getattr(config, name) < least:
            raise UserError(f"--{name}: expected {least} or more, found {getattr(config, name)}")


def set_qualities(config: QualityConfig) -> dict[str, SetQuality]:
    """What is to be measured, by name."""
    patches = PatchSet(config.real)
    manifests = [read_manifest(directory, "synthesize") for directory in config.synthetic]
    generators = match_generators(config.generators, manifests)
    spaces = feature_spaces(config)
    qualities: dict[str, SetQuality] = {}
    for directory, manifest, generator in zip(config.synthetic, manifests, generators, strict=True):
        name = set_name(manifest, qualities)
        qualities[name] = SetQuality(config, patches, name, directory, generator, manifest, spaces)
    return qualities


def match_generators(
    directories: Sequence[str], manifests: Sequence[Mapping[str, Any]]
) -> list[str]:
    """The generator of each synthetic set, or ""; `UserError` for one that made none of them."""
    made = [manifest["generator_checksum"] for manifest in manifests]
    known = {}
    for directory in directories:
        checksum = read_json(Path(directory) / "model.json").get("checksum")
        if checksum not in made:
            raise UserError(f"{directory}: expected a generator that made one of --synthetic")
        known[checksum] = directory
    return [known.get(checksum, "") for checksum in made]


def set_name(manifest: Mapping[str, Any], taken: Mapping[str, Any]) -> str:
    """mass, removal_test, mass-2: the task, the split unless it is train, a number if need be.

    It becomes a part of file names: `UserError` for a task or a split that there is not.
    """
    for found, known in (([manifest["task"]], TASKS), (manifest["splits"], SPLITS)):
        strange = sorted(set(found) - set(known))
        if strange:
            raise UserError(
                f"a synthetic set's manifest: expected {' or '.join(known)}, found {strange[0]!r}"
            )
    held_out = [split for split in manifest["splits"] if split != "train"]
    name = "_".join([manifest["task"], *held_out])
    number = 1 + sum(other.partition("-")[0] == name for other in taken)
    return name if number == 1 else f"{name}-{number}"
