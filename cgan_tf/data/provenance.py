"""Whose patches something was made from: nobody who is tested may be behind what is learnt.

A synthetic set rests on the women of its source patches and on those that its generator learnt
from. Made from the patch set that a classifier is tested on, they are women of its training split.
Made from another split of the same data, some of them are not; a check compares the women.
"""

import collections
import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from cgan_tf.data.keyed import digest
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.data.records import decode_text
from cgan_tf.labels import PATCH_CLASSES
from cgan_tf.runs.directory import MANIFEST_FILE, Json, read_json, sha256
from cgan_tf.runs.errors import UserError

HELD_OUT = ("validation", "test")
_NAMED = 3  # women named in a message
PHANTOM = "make_phantom"  # the program that draws mammograms
PHANTOM_NOTICE = "The data are a phantom: breasts and lesions drawn by a computer, no mammograms."
# Sets that are known by the root of their UIDs, and how they ask to be named.
_SOURCES = {
    "1.3.6.1.4.1.9590.100.1.2": (
        "CBIS-DDSM (Lee et al., Scientific Data 2017), The Cancer Imaging Archive, CC BY 3.0"
    ),
}

Patients = Mapping[str, int]  # `patient_digest` of a woman to patches of hers


@dataclasses.dataclass(frozen=True)
class Origin:
    """What a synthetic set, a generator or a further patch set was made from.

    Attributes:
      name: for messages, a directory.
      manifest_sha256: of the manifest of the patch set behind it; empty where nobody knows.
      patients: gives the women behind it; called only if the patch set is another one.
    """

    name: str
    manifest_sha256: str
    patients: Callable[[], Patients]


@dataclasses.dataclass(frozen=True)
class Overlap:
    """Women of a held-out split who are behind something that is learnt from.

    Attributes:
      name: of the set or the generator. split: validation or test.
      patients: their client ids, sorted. patches: of theirs in the set; 0 for a generator.
      of: how many women are behind it in all.
    """

    name: str
    split: str
    patients: tuple[str, ...]
    patches: int
    of: int

    def __str__(self) -> str:
        names = ", ".join(self.patients[:_NAMED])
        more = len(self.patients) - _NAMED
        rest = f" and {more} more" if more > 0 else ""
        patches = f", {self.patches} patches" if self.patches else ""
        return (
            f"{len(self.patients)} of its {self.of} women are in the {self.split} split "
            f"({names}{rest}{patches})"
        )


def is_drawn(input_dir: str) -> bool:
    """Whether images of a directory are a phantom's, or were made from a phantom's.

    The manifest of make_phantom says so, or that of insert_lesions.
    """
    manifest = manifest_of_images(input_dir)
    return manifest.get("program") == PHANTOM or bool(manifest.get("phantom"))


def manifest_of_images(input_dir: str) -> Json:
    """The manifest of the program that made the images of a directory: in it, or above the `images`
    of insert_lesions; empty without one."""
    for directory in (Path(input_dir), Path(input_dir).parent):
        if (directory / MANIFEST_FILE).is_file():
            return read_json(directory / MANIFEST_FILE)
    return {}


def are_drawn(patches: PatchSet) -> bool:
    """Whether patches were cut out of a phantom: by their manifest, or by what they were cut of."""
    manifest = patches.manifest
    input_dir = str(manifest.get("flags", {}).get("input_dir", ""))
    return bool(manifest.get("phantom")) or is_drawn(input_dir)


def attribution(uids: Iterable[str]) -> str:
    """The data sets that images come from, as far as their UIDs tell, with their licences."""
    found = {text for uid in uids for root, text in _SOURCES.items() if uid.startswith(f"{root}.")}
    return f"Films: {'; '.join(sorted(found))}." if found else ""


def patient_digest(client_id: str) -> str:
    """A woman in manifests and cards: 16 hexadecimal digits that depend on her client_id alone."""
    return digest("patient", client_id).hex()[:16]


def manifest_sha256(patches: PatchSet) -> str:
    """By which a patch set is known again: other patches, another value."""
    return sha256(patches.directory / MANIFEST_FILE)


def client_ids(patches: PatchSet, split: str, classes: Iterable[str] = PATCH_CLASSES) -> list[str]:
    """The client_id of every patch of a split; patches without one are left out."""
    found = [name for name in classes if patches.count(split, name)]
    if not found:
        return []
    index = patches.index(split, *found)
    ids = (decode_text(index.payload(n), "client_id", index.name) for n in range(len(index)))
    return [client_id for client_id in ids if client_id]


def patients_of(
    patches: PatchSet, split: str = "train", classes: Iterable[str] = PATCH_CLASSES
) -> Patients:
    """The women of a split, with the patches of each."""
    return collections.Counter(map(patient_digest, client_ids(patches, split, classes)))


def origins_of_set(patches: PatchSet) -> list[Origin]:
    """Who is behind the training patches of a set that any program made.

    Of synthesize: its source patches, and the patches that its generator learnt from; of
    paste_lesions: its healthy patches, and its lesions. A set whose manifest does not say who is
    behind the second has the first alone.
    """
    manifest, name = patches.manifest, str(patches.directory)
    if manifest["program"] == "make_patches":
        return [Origin(name, manifest_sha256(patches), lambda: patients_of(patches))]
    made_from = str(manifest.get("patches_manifest_sha256", ""))
    if manifest["program"] == "paste_lesions":
        second, learnt_from, women = "lesions", made_from, manifest.get("lesion_patients", [])
    else:
        second = "generator"
        learnt_from = str(manifest.get("generator_patches_manifest_sha256", ""))
        women = manifest.get("generator_patients", [])
    return [
        Origin(name, made_from, lambda: patients_of(patches)),
        Origin(f"the {second} of {name}", learnt_from, lambda: dict.fromkeys(women, 0)),
    ]


def check_origins(
    patches: PatchSet, origins: Iterable[Origin], allow_overlap: bool
) -> tuple[Overlap, ...]:
    """The overlaps of some origins with the held-out women of `patches`.

    Raises `UserError` naming each of them and its women, unless they are allowed.
    """
    own = manifest_sha256(patches)
    others = [origin for origin in origins if origin.manifest_sha256 != own]
    if not others:
        return ()
    held_out = {split: set(client_ids(patches, split)) for split in HELD_OUT}
    found = [overlap for origin in others for overlap in _overlaps(origin, held_out)]
    if found and not allow_overlap:
        raise UserError(_refusal(patches, found))
    return tuple(found)


def _overlaps(origin: Origin, held_out: Mapping[str, Collection[str]]) -> list[Overlap]:
    behind = origin.patients()
    overlaps = []
    for split, client_ids_of_split in held_out.items():
        digests = {patient_digest(client_id): client_id for client_id in client_ids_of_split}
        shared = digests.keys() & behind.keys()
        if shared:
            names = tuple(sorted(digests[each] for each in shared))
            patches = sum(behind[each] for each in shared)
            overlaps.append(Overlap(origin.name, split, names, patches, len(behind)))
    return overlaps


def _refusal(patches: PatchSet, found: Sequence[Overlap]) -> str:
    told: dict[str, list[str]] = {}
    for overlap in found:
        told.setdefault(overlap.name, []).append(str(overlap))
    text = "; ".join(f"{name}: {' and '.join(each)}" for name, each in told.items())
    return (
        f"made from another split than {patches.directory}: {text}. Make it anew from these "
        "patches; --allow_overlap admits it for a deliberate study"
    )
