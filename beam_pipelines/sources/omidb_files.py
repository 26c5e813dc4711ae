"""Where things are in a copy of OMI-DB: every layout variant, one set of paths.

    <root>/[FFDM/]DATA/<client>/IMAGEDB_<client>.json, NBSS_<client>.json
    <root>/[FFDM/]DATA/<client>/<study>/<sop>.dcm.json or <sop>.json
    <root>/[FFDM/]IMAGES/<client>/<study>/<sop>.dcm

Older copies are lower case; FFDM may be above or below DATA and IMAGES.
"""

import dataclasses
import os

from beam_pipelines.storage import files
from cgan_tf.runs.errors import UserError

SYNTHETIC_FILE = "SYNTHETIC.json"  # marks a tree that insert_lesions has written
_LEVEL = "ffdm"


@dataclasses.dataclass(frozen=True)
class PatientFiles:
    """The files of one patient.

    Attributes:
      imagedb, nbss: paths, empty when missing.
      side_cars, images: path by (study, SOP instance uid).
      others: files that are none of these.
      folder: where images are.
    """

    imagedb: str
    nbss: str
    side_cars: dict[tuple[str, str], str]
    images: dict[tuple[str, str], str]
    others: tuple[str, ...]
    folder: str


@dataclasses.dataclass(frozen=True)
class Tree:
    """The two roots of a copy; either may be empty, not both."""

    data: str
    images: str

    def patients(self) -> list[str]:
        """The client id of every patient with data or with images."""
        return sorted({*files.directories(self.data), *files.directories(self.images)})

    def files_of(self, patient: str) -> PatientFiles:
        """The files of a patient."""
        data = os.path.join(self.data, patient)
        inside = files.listing(data)
        documents = {name.lower(): os.path.join(data, name) for name in inside.file_names(data)}
        imagedb = documents.pop(f"imagedb_{patient.lower()}.json", "")
        nbss = documents.pop(f"nbss_{patient.lower()}.json", "")
        others = sorted(documents.values())
        side_cars = _by_study(inside, (".dcm.json", ".json"), others)
        folder = os.path.join(self.images or self.data, patient)
        images = _by_study(files.listing(folder), (".dcm",), others) if self.images else {}
        return PatientFiles(imagedb, nbss, side_cars, images, tuple(others), folder)


def find_tree(root: str, allow_synthetic: bool = False) -> Tree:
    """The tree under `root`.

    Raises `UserError` when there is no DATA directory with patients, or when the tree is marked as
    synthetic and not allowed.
    """
    if not files.is_directory(root):
        raise UserError(f"{root}: expected a directory with DATA and IMAGES, found none")
    if not allow_synthetic and files.exists(os.path.join(root, SYNTHETIC_FILE)):
        raise UserError(f"{root}: synthetic data ({SYNTHETIC_FILE}); --allow_synthetic reads it")
    for base in (root, files.directory_named(root, _LEVEL)):
        data = _descend(base, "data")
        if data:
            tree = Tree(data, _descend(base, "images"))
            if not any(files.has_directories(part) for part in (tree.data, tree.images) if part):
                raise UserError(f"{data}: expected a directory for each patient, found none")
            return tree
    images = any(_descend(base, "images") for base in (root, files.directory_named(root, _LEVEL)))
    raise UserError(
        f"{root}: expected OMI-DB's directories DATA and IMAGES, found "
        f"{'no DATA' if images else 'neither'}; other data is read "
        "by --source=folder (DICOM files without labels), --source=table (images with a table) or "
        "--source=cbis_ddsm, see docs/data.md"
    )


def _descend(base: str, name: str) -> str:
    path = files.directory_named(base, name) if base else ""
    return (files.directory_named(path, _LEVEL) or path) if path else ""


def _by_study(
    inside: files.Listing, endings: tuple[str, ...], others: list[str]
) -> dict[tuple[str, str], str]:
    by_study: dict[tuple[str, str], str] = {}
    for study in inside.directories(inside.root):
        folder = os.path.join(inside.root, study)
        for name in inside.file_names(folder):
            path = os.path.join(folder, name)
            ending = next((e for e in endings if name.lower().endswith(e)), "")
            key = study, name[: -len(ending)] if ending else ""
            if not ending or key in by_study:
                others.append(path)
            else:
                by_study[key] = path
        others += [
            path
            for sub in inside.directories(folder)
            for path in files.walk(os.path.join(folder, sub))
        ]
    return by_study
