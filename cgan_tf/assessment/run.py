"""The quality program: measures every synthetic set and says what it sees.

Everything that is measured of one synthetic set, beside held-out real patches.

Change outside the mask; contrast, area, number of objects, saturation and local noise of the
lesions; their spread over patches and over the random scalars; repetition within the set; copies
of training lesions; overlap with real patches in the shape of the lesion and in networks' features.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from cgan_tf.assessment import copies, overlap
from cgan_tf.assessment.copies import Lesions, repetition
from cgan_tf.assessment.lesions import compare_tables, spread_of
from cgan_tf.assessment.pictures import examples, likely_copies, nearest_real, write_pictures
from cgan_tf.assessment.reading import (
    Features,
    Measured,
    Points,
    described_lesions,
    feature_spaces,
    lesion_classes,
    measure_normals,
    measure_real,
    measure_synthetic,
    real_pool,
)
from cgan_tf.assessment.verdicts import checks_of, quality_csv, quality_markdown, verdict_line
from cgan_tf.config import DiversityConfig, QualityConfig
from cgan_tf.data.patch_sets import PatchPool, PatchSet, whole_sets
from cgan_tf.labels import SPLITS, TASKS
from cgan_tf.runs import console
from cgan_tf.runs.directory import (
    MANIFEST_FILE,
    finish_run,
    open_run,
    read_json,
    read_manifest,
    write_bytes,
    write_json,
)
from cgan_tf.runs.errors import UserError
from cgan_tf.synthesis.candidates import RESULT_CLASS

PICTURES = "pictures"
LESION_SPACE = "lesion shape"  # needs no network


@dataclasses.dataclass(frozen=True, eq=False)
class Readings:
    """A synthetic set and what it is set beside.

    Attributes:
      made, pool: the synthetic patches. lesions: held-out real lesions.
      real, real_pool: held-out real patches of the class that the synthetic ones claim.
      training: lesions that the generator learned from; None for removal, which makes none.
    """

    made: Measured
    pool: PatchPool
    lesions: Measured
    real: Measured
    real_pool: PatchPool
    training: Lesions | None


@dataclasses.dataclass(frozen=True, eq=False)
class SetQuality:
    """One synthetic set to be measured.

    Attributes:
      name: in quality.json. generator: its directory, or empty. manifest: of synthesize.
      spaces: networks' features, by name.
    """

    config: QualityConfig
    patches: PatchSet
    name: str
    directory: str
    generator: str
    manifest: dict[str, Any]
    spaces: Mapping[str, Features]

    def measure(self, output: Path) -> dict[str, Any]:
        """Every measure and verdict, ready for JSON; writes pictures into `output`."""
        read = self._read()
        found = self._measures(read) | self._likeness(read)
        points = self._points(read)
        found["overlap"] = {
            space: overlap.compare(
                real.features,
                ours.features,
                real.clients,
                self.config.seed,
                ours.clients,
                splits=self.config.splits,
            )
            for space, (ours, real) in points.items()
        }
        pairs = likely_copies(found["memorisation"])
        if points:
            found["pictures_by"] = next(iter(points))
            pairs = examples(nearest_real(*points[found["pictures_by"]])) + pairs
        found["pictures"] = write_pictures(
            pairs, PatchSet(self.directory), self.patches, output / PICTURES, self.name
        )
        found["checks"] = [dataclasses.asdict(check) for check in checks_of(found)]
        return found

    def _read(self) -> Readings:
        task, splits = self.manifest["task"], self.config.real_splits
        ours, _ = whole_sets([PatchSet(self.directory)])
        if not len(ours):
            raise UserError(f"{self.directory}: expected synthetic patches, found none")
        held_out = real_pool(self.patches, splits, lesion_classes(task))
        beside = real_pool(self.patches, splits, (RESULT_CLASS[task],))
        removal = task == "removal"
        third = beside if removal else real_pool(self.patches, ("train",), lesion_classes(task))
        total = len(ours) + len(held_out) + len(third)
        with console.progress_bar(total, self.name, "patches") as bar:
            made = measure_synthetic(self.patches, ours, self.manifest, bar.update)
            lesions = measure_real(held_out, made.threshold, bar.update)
            if removal:
                normals = measure_normals(beside, made, bar.update)
                return Readings(made, ours, lesions, normals, beside, None)
            training = described_lesions(third, bar.update)
        return Readings(made, ours, lesions, lesions, beside, training)

    def _measures(self, read: Readings) -> dict[str, Any]:
        keys = (self.config.seed, self.config.splits)
        return {
            "task": self.manifest["task"],
            "directory": self.directory,
            "patches": len(read.pool),
            "real_patches": len(read.real_pool),
            "change": change_summary(read.made),
            "lesions": compare_tables(read.made.lesions, read.real.lesions, *keys),
            "appearance": compare_tables(read.made.appearance, read.real.appearance, *keys),
            "spread": {
                "synthetic": spread_of(read.made.figures),
                "real": spread_of(read.lesions.figures),
                "over_z": self._over_z() if self.generator else None,
            },
        }

    def _likeness(self, read: Readings) -> dict[str, Any]:
        """Repetition and memorisation; None of removal."""
        if read.training is None:
            return {"repetition": None, "memorisation": None}
        ours, held_out = read.made.described, read.lesions.described
        return {
            "repetition": repetition(ours, held_out, self.config.seed, self.config.splits),
            "memorisation": copies.compare(ours, held_out, read.training),
        }

    def _points(self, read: Readings) -> dict[str, tuple[Points, Points]]:
        """(synthetic, real) patches in every feature space, networks' first."""
        points = {
            name: (
                read.made.points(features(read.pool, read.made.patch_ids)),
                read.real.points(features(read.real_pool, read.real.patch_ids)),
            )
            for name, features in self.spaces.items()
        }
        if read.training is not None:
            described = (read.made.described, read.lesions.described)
            if all(map(len, described)):
                ours, real = (Points(d.vectors, d.clients, d.patch_ids) for d in described)
                points[LESION_SPACE] = (ours, real)
        return points

    def _over_z(self) -> dict[str, Any]:
        from cgan_tf.assessment.diversity import open_trials

        flags = self.manifest["flags"]
        config = DiversityConfig(
            generator=self.generator,
            patches_dir=self.config.real,
            task=self.manifest["task"],
            **{name: flags[name] for name in ("threshold", "dilation", "smoothing")},
            seed=self.config.seed,
            draws=self.config.draws,
            patches=1,
        )
        return spread_of(open_trials(config, self.patches).over_z().figures)


def change_summary(made: Measured) -> dict[str, Any]:
    """Changes of a set: `patches` that have a mask; how many are `changed` outside it, by how many
    stored levels at most (`outside`), `worst` the patch; `inside`: see reading.Change."""
    known = [
        (patch_id, change)
        for patch_id, change in zip(made.patch_ids, made.changes, strict=True)
        if change is not None
    ]
    worst, outside = max(
        ((patch_id, change.outside) for patch_id, change in known),
        key=lambda pair: pair[1],
        default=(None, 0),
    )
    return {
        "patches": len(known),
        "changed": sum(change.outside > 0 for _, change in known),
        "outside": outside,
        "worst": worst if outside else None,
        "inside": max((change.inside for _, change in known), default=0),
    }


PROGRAM = "quality"
CONTENT = "quality.json"
HELD_OUT = ("validation", "test")


def measure_quality(config: QualityConfig) -> None:
    """Writes quality.json, quality.md, quality.csv and pictures/; prints the verdicts."""
    check_config(config)
    console.quiet_tensorflow()
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
