"""Everything that is measured of one synthetic set, beside held-out real patches.

Change outside the mask; contrast, area, number of objects, saturation and local noise of the
lesions; their spread over patches and over the random scalars; repetition within the set; copies
of training lesions; overlap with real patches in the shape of the lesion and in networks' features.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cgan_tf import memorisation, overlap, progress
from cgan_tf.candidates import RESULT_CLASS
from cgan_tf.config import DiversityConfig, QualityConfig
from cgan_tf.errors import UserError
from cgan_tf.evaluation_sources import whole_sets
from cgan_tf.lesion_figures import spread_of
from cgan_tf.lesion_table import compare_tables
from cgan_tf.memorisation import Lesions
from cgan_tf.patch_pools import PatchPool
from cgan_tf.patch_sets import PatchSet
from cgan_tf.quality_checks import checks_of
from cgan_tf.quality_features import Features, Points
from cgan_tf.quality_pictures import examples, likely_copies, nearest_real, write_pictures
from cgan_tf.quality_sets import (
    Measured,
    described_lesions,
    lesion_classes,
    measure_normals,
    measure_real,
    measure_synthetic,
    real_pool,
)
from cgan_tf.repetition import repetition

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
        with progress.progress_bar(total, self.name, "patches") as bar:
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
            "memorisation": memorisation.compare(ours, held_out, read.training),
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
        from cgan_tf.diversity import open_trials

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
    stored levels at most (`outside`), `worst` the patch; `inside`: see outside_change.Change."""
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
