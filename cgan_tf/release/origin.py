"""What a package was made from: the data behind it, its licence, and what may be said of both."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cgan_tf.config import PackageConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.data.provenance import are_drawn, attribution, is_drawn, manifest_sha256
from cgan_tf.data.records import decode_text
from cgan_tf.labels import PATCH_CLASSES
from cgan_tf.runs.directory import MANIFEST_FILE, Json
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.identity import INPUT_FLAGS, OWN_FLAGS

SOFTWARE = "contextual-gan-mammography"
PAPER = "https://arxiv.org/abs/2006.00086"
_SOURCES = {
    "optimam": "OMI-DB (OPTIMAM Mammography Image Database)",
    "cbis_ddsm": "CBIS-DDSM",
    "folder": "a folder of mammograms without annotations",
}
# What model hubs call licences, beside "other" and "unknown": SPDX names in lower case.
_HUB_LICENCES = frozenset(
    {
        *("apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "pddl", "odbl", "etalab-2.0"),
        *("cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"),
        *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0"),
        *("cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
    }
)


@dataclasses.dataclass(frozen=True)
class DataSource:
    """The images behind a package.

    Attributes:
      name: in words. phantom: whether they are drawn and no patient's; None where nobody knows.
      patches_manifest_sha256: of the patch set cut from them.
      attribution: of a public set that is known by its UIDs, with its licence; or empty.
      women, images: of the training split by class, as the patch set's manifest counts them.
    """

    name: str
    phantom: bool | None
    patches_manifest_sha256: str
    attribution: str
    women: Mapping[str, int]
    images: Mapping[str, int]

    @property
    def slug(self) -> str:
        """A name for front matter."""
        return slug_of("phantom" if self.phantom else self.name.partition(" (")[0])

    @property
    def real(self) -> str:
        """What the package's readers must call the real side of a comparison."""
        return "phantom" if self.phantom else "real"


@dataclasses.dataclass(frozen=True)
class Licence:
    """A licence, and what a hub is told.

    Attributes:
      name: as it was given; empty where nobody said. hub: its identifier in front matter.
    """

    name: str

    @property
    def hub(self) -> str:
        if not self.name:
            return "unknown"
        return self.name.lower() if self.name.lower() in _HUB_LICENCES else "other"


def slug_of(text: str) -> str:
    """Lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def open_patches(config: PackageConfig, recorded: str, sha256: str, owner: str) -> PatchSet:
    """The patch set behind a generator or a synthetic set.

    Args:
      recorded: where it lay. sha256: of its manifest; empty where several sets are behind it.

    Raises `UserError` when it is not there, or another one.
    """
    directory = config.patches_dir or recorded
    if not (Path(directory) / MANIFEST_FILE).exists():
        raise UserError(
            f"{directory}: expected the patches that {owner} was made from, which say what the "
            "data are; found none: name their directory with --patches_dir"
        )
    patches = PatchSet(directory)
    found = manifest_sha256(patches)
    if sha256 and found != sha256:
        raise UserError(
            f"{directory}: expected the patches that {owner} was made from (manifest {sha256[:12]}"
            f"), found others ({found[:12]})"
        )
    return patches


def data_source(patches: PatchSet) -> DataSource:
    """What a patch set was cut from."""
    manifest = patches.manifest
    flags = manifest.get("flags", {})
    phantom = _is_phantom(patches)
    origins = manifest.get("origins", {}).get("train", {})
    return DataSource(
        name=_name_of(flags, phantom),
        phantom=phantom,
        patches_manifest_sha256=manifest_sha256(patches),
        attribution=_attribution(patches),
        women={name: int(each.get("clients", 0)) for name, each in origins.items()},
        images={name: int(each.get("images", 0)) for name, each in origins.items()},
    )


def _attribution(patches: PatchSet) -> str:
    """As the first training patch of each class tells it."""
    classes = [name for name in PATCH_CLASSES if patches.count("train", name)]
    indices = [patches.index("train", name) for name in classes]
    return attribution(decode_text(index.payload(0), "sop_uid", index.name) for index in indices)


def _is_phantom(patches: PatchSet) -> bool | None:
    """Whether the patches are drawn; None for a set in OMI-DB's layout whose images are gone."""
    if are_drawn(patches):
        return True
    flags = patches.manifest.get("flags", {})
    tree = Path(str(flags.get("input_dir", "")))
    if is_drawn(str(patches.directory.parent / tree.name)):  # moved together
        return True
    return None if flags.get("source") == "optimam" and not tree.is_dir() else False


def _name_of(flags: Mapping[str, Any], phantom: bool | None) -> str:
    source = str(flags.get("source", ""))
    if phantom:
        return f"a phantom drawn by {SOFTWARE}, in the layout of OMI-DB"
    if phantom is None:
        return "OMI-DB, or a phantom in its layout (the patch set does not say which)"
    if source == "table":
        return Path(str(flags.get("mapping", ""))).stem.replace("_", "-") or "a table of images"
    return _SOURCES.get(source, f"images read by {source}" if source else "unnamed images")


def released_flags(flags: Mapping[str, Any]) -> Json:
    """Flags without the paths of the machine that they were given on."""
    return {name: value for name, value in flags.items() if name not in INPUT_FLAGS | OWN_FLAGS}
