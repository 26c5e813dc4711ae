"""Croissant metadata of a packaged set (MLCommons, Croissant Format Specification 1.0)."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from cgan_tf.release.origin import PAPER, DataSource, Licence
from cgan_tf.runs.directory import Json, sha256

_TEXT, _INTEGER, _FLOAT = "sc:Text", "sc:Integer", "sc:Float"
# The columns of images/metadata.csv: type and meaning.
COLUMNS: dict[str, tuple[str, str]] = {
    "file_name": (_TEXT, "The patch, a file in images/; the same name in lesions/ and masks/."),
    "lesion_file": (_TEXT, "The lesion channel: what was added to the source patch."),
    "mask_file": (_TEXT, "The soft mask of what was changed."),
    "split": (_TEXT, "The split of the source patch; do not test on patches of train."),
    "patch_class": (_TEXT, "malignant_mass, malignant_calcification or normal."),
    "task": (_TEXT, "What the generator did: mass, calcification or removal."),
    "patient": (_TEXT, "Whose tissue it is, by a number of this package. Never split a patient."),
    "source_patch": (_TEXT, "The patch it was made from, by a number of this package."),
    "x0": (_FLOAT, "Left edge of the lesion's box, pixels; empty without one."),
    "y0": (_FLOAT, "Upper edge of the box."),
    "x1": (_FLOAT, "Right edge of the box, exclusive."),
    "y1": (_FLOAT, "Lower edge of the box, exclusive."),
    "lesion_area_px": (_INTEGER, "Pixels of the object that the generator drew."),
    "laterality": (_TEXT, "L or R, of the source image."),
    "view": (_TEXT, "CC or MLO, of the source image."),
    "manufacturer": (_TEXT, "Of the source image."),
    "breast_density": (_TEXT, "As the source data have it, or empty."),
    "pixel_spacing_mm": (_FLOAT, "Of the source image; empty where unknown."),
    "tissue_fraction": (_FLOAT, "Breast tissue in the patch, 0 to 1."),
}
_PICTURES = {
    "images": "The patches, 16-bit grey PNG: 0 is −1, 65,535 is 1.",
    "lesions": "The lesion channels, 16-bit grey PNG: 0 is −1, 65,535 is 1.",
    "masks": "The soft masks, 16-bit grey PNG: 0 is 0, 65,535 is 1.",
}
_CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


@dataclasses.dataclass(frozen=True)
class Described:
    """What is said of a set as a whole."""

    title: str
    description: str
    licence: Licence
    authors: Sequence[str]
    source: DataSource


def croissant(directory: Path, described: Described) -> Json:
    """The metadata of the files of a package."""
    shards = sorted((directory / "tfrecord").rglob("*.tfrecord"))
    content: Json = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": described.title,
        "description": described.description,
        "license": described.licence.name or "not stated",
        "url": PAPER,
        "version": "1.0.0",
        "citeAs": f"{described.title}. See CITATION.cff.",
        "creator": [
            {"@type": "sc:Person" if "," in name else "sc:Organization", "name": name}
            for name in described.authors
        ]
        or [{"@type": "sc:Organization", "name": "Authors not stated"}],
        "keywords": ["mammography", "synthetic data", "GAN", "research only"]
        + (["phantom"] if described.source.phantom else []),
        "rai:dataCollection": "Lesions made by a generative adversarial network on tissue of "
        + described.source.name,
        "rai:dataLimitations": "See README.md: patches only, one kind of lesion, research only.",
        "rai:personalSensitiveInformation": "None: a drawn phantom"
        if described.source.phantom
        else "Health data: outside the mask, patches are tissue of patients, unchanged. "
        "Identifiers were taken out.",
        "distribution": [
            _file(directory, directory / "images" / "metadata.csv", "metadata", "text/csv"),
            *(_pictures(name, text) for name, text in _PICTURES.items()),
            *(
                _file(directory, path, f"shard-{number}", "application/x-tfrecord")
                for number, path in enumerate(shards)
            ),
        ],
        "recordSet": [_records()],
    }
    return content


def _file(directory: Path, path: Path, name: str, kind: str) -> Json:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": path.name,
        "contentUrl": path.relative_to(directory).as_posix(),
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": kind,
        "sha256": sha256(path),
    }


def _pictures(name: str, text: str) -> Json:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "description": text,
        "encodingFormat": "image/png",
        "includes": f"{name}/*.png",
    }


def _records() -> Json:
    columns: list[Json] = [
        {
            "@type": "cr:Field",
            "@id": f"patches/{name}",
            "name": name,
            "description": text,
            "dataType": kind,
            "source": {"fileObject": {"@id": "metadata"}, "extract": {"column": name}},
        }
        for name, (kind, text) in COLUMNS.items()
    ]
    picture = {
        "@type": "cr:Field",
        "@id": "patches/image",
        "name": "image",
        "description": _PICTURES["images"],
        "dataType": "sc:ImageObject",
        "source": {"fileSet": {"@id": "images"}, "extract": {"fileProperty": "content"}},
    }
    columns[0]["references"] = {
        "fileSet": {"@id": "images"},
        "extract": {"fileProperty": "filename"},
    }
    return {
        "@type": "cr:RecordSet",
        "@id": "patches",
        "name": "patches",
        "description": "One record a patch.",
        "key": {"@id": "patches/file_name"},
        "field": [*columns, picture],
    }
