"""The package of a synthetic set: TFRecord shards, PNG with a CSV, Croissant, card.

What names a woman or an image is left out of the records: patients, sources and patches are
numbered anew. The random scalars are left out as well; the lesion that they gave is there.
"""

import collections
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from cgan_tf.assessment.measures import MEMBERSHIP
from cgan_tf.config import PackageConfig
from cgan_tf.data import tfrecords
from cgan_tf.data.patch_sets import PatchPool, PatchSet, shard_parts, whole_sets
from cgan_tf.data.records import PatchRecord, decode_record, encode_png, encode_record
from cgan_tf.labels import SPLITS
from cgan_tf.pages.contact_sheets import sheet_png, spread_over_clients
from cgan_tf.release.cards import (
    citation,
    front_matter,
    licence_fields,
    render,
    tags_of,
    write_licence,
)
from cgan_tf.release.croissant import COLUMNS, Described, croissant
from cgan_tf.release.measured import Measured, checks_of_c, measured_set, number_rows
from cgan_tf.release.origin import (
    DataSource,
    Licence,
    data_source,
    open_patches,
    released_flags,
)
from cgan_tf.runs import console
from cgan_tf.runs.directory import Json, csv_bytes, write_bytes, write_json
from cgan_tf.runs.errors import UserError

IMAGES, LESIONS, MASKS, SHARDS = "images", "lesions", "masks", "tfrecord"
TABLE, CROISSANT, SHEET = "images/metadata.csv", "croissant.json", "contact_sheet.png"
_SHARD_BYTES = 150 * 10**6
_SHOWN = 24
_CRITERIA = {
    "Congruence": "Similarity to patient data",
    "Coverage": "Diversity and novelty of the samples",
    "Constraint": "Clinical plausibility and adherence to rules",
    "Completeness": "Metadata that tasks need",
    "Compliance": "Privacy, security and standards",
    "Comprehension": "How the data came about",
    "Consistency": "Uniform quality across sub-groups and over time",
}


@dataclasses.dataclass(frozen=True)
class Numbering:
    """Women and source patches by new names, in the order in which a set first has them."""

    patients: Mapping[str, str]
    sources: Mapping[str, str]

    @classmethod
    def of(cls, pool: PatchPool) -> "Numbering":
        """The names of a set; the same set gives the same."""
        records = pool.descriptions()
        patients = dict.fromkeys(record.client_id for record in records)
        sources = dict.fromkeys(record.source_patch_id for record in records)
        return cls(
            {name: f"patient-{number:05d}" for number, name in enumerate(patients, 1)},
            {name: f"source-{number:05d}" for number, name in enumerate(sources, 1)},
        )

    def released(self, record: PatchRecord, number: int) -> PatchRecord:
        """A record without what names a woman or an image."""
        return dataclasses.replace(
            record,
            patch_id=f"{record.task}-{number:05d}",
            client_id=self.patients[record.client_id] if record.client_id else "",
            source_patch_id=self.sources[record.source_patch_id],
            study_uid="",
            sop_uid="",
            mark_id="",
            window=(0.0, 0.0, *record.window[2:]),  # its side, not its place in an image
            z=(),
        )


def pack_set(config: PackageConfig, directory: Path) -> str:
    """Writes the package of `config.synthetic_dir` into an empty directory; returns what it
    holds."""
    made = PatchSet(config.synthetic_dir)
    manifest = made.manifest
    if manifest["program"] != "synthesize":
        raise UserError(
            f"{config.synthetic_dir}: expected an output directory of synthesize, found one of "
            f"{manifest['program']}"
        )
    patches = open_patches(
        config,
        str(manifest["flags"].get("patches_dir", "")),
        str(manifest.get("patches_manifest_sha256", "")),
        config.synthetic_dir,
    )
    source = data_source(patches)
    measured = (
        measured_set(config.quality_dir, config.synthetic_dir) if config.quality_dir else None
    )
    pool, splits = whole_sets([made])
    if not splits:
        raise UserError(f"{config.synthetic_dir}: expected synthetic patches, found none")
    rows = write_patches(directory, pool, splits)
    licence = Licence(config.licence)
    write_licence(directory, licence)
    write_json(directory / "flags.json", released_flags(manifest["flags"]))
    if config.contact_sheet:
        write_bytes(directory / SHEET, contact_sheet(directory, source, config.seed))
    title = config.title or title_of(manifest, source)
    described = Described(title, _abstract(manifest, source), licence, config.authors, source)
    write_json(directory / CROISSANT, croissant(directory, described))
    write_bytes(
        directory / "README.md",
        readme(config, title, manifest, rows, source, measured),
    )
    cff = citation(title, config.authors, licence, "dataset", described.description)
    write_bytes(directory / "CITATION.cff", cff)
    return f"{len(rows):,} {manifest['task']} patches as TFRecord and PNG, with Croissant metadata"


def write_patches(directory: Path, pool: PatchPool, splits: list[str]) -> list[dict[str, object]]:
    """Writes shards, pictures and the table; returns the table's rows."""
    numbering = Numbering.of(pool)
    rows: list[dict[str, object]] = []
    for folder in (IMAGES, LESIONS, MASKS):
        (directory / folder).mkdir()
    groups: dict[tuple[str, str], list[int]] = collections.defaultdict(list)
    for number, (split, record) in enumerate(zip(splits, pool.descriptions(), strict=True)):
        groups[split, record.patch_class].append(number)
    with console.progress_bar(len(pool), "Package", "patches") as bar:
        for (split, name), numbers in sorted(groups.items(), key=lambda each: _order(each[0])):

            def payloads(members, split=split) -> Iterator[bytes]:  # type: ignore[no-untyped-def]
                for number in members:
                    record = numbering.released(pool.record(number), number + 1)
                    rows.append(write_pictures(directory, record, split))
                    bar.update()
                    yield encode_record(record)

            total = sum(len(index.payload(0)) * len(index) for index in pool.indices)
            for file, members in shard_parts(split, name, numbers, total, _SHARD_BYTES):
                path = directory / SHARDS / file
                path.parent.mkdir(parents=True, exist_ok=True)
                tfrecords.write_shard(path, payloads(members))
    table = ([row[name] for name in COLUMNS] for row in rows)
    write_bytes(directory / TABLE, csv_bytes([list(COLUMNS), *table]))
    return rows


def _order(group: tuple[str, str]) -> tuple[int, str]:
    split, name = group
    return SPLITS.index(split), name


def write_pictures(directory: Path, record: PatchRecord, split: str) -> dict[str, object]:
    """Writes a patch, its lesion channel and its mask as 16-bit PNG; returns its row."""
    file, extra = f"{record.patch_id}.png", {}
    (directory / IMAGES / file).write_bytes(encode_png(record.patch, "patch"))
    for folder, name in ((LESIONS, "lesion"), (MASKS, "mask")):
        picture = getattr(record, name)
        if picture is not None:
            (directory / folder / file).write_bytes(encode_png(picture, name))
        extra[f"{name}_file"] = "" if picture is None else f"{folder}/{file}"
    box = record.box or ("", "", "", "")
    return {
        "file_name": file,
        **extra,
        "split": split,
        "patch_class": record.patch_class,
        "task": record.task,
        "patient": record.client_id,
        "source_patch": record.source_patch_id,
        **dict(zip(("x0", "y0", "x1", "y1"), box, strict=True)),
        "lesion_area_px": record.lesion_area_px,
        "laterality": record.laterality,
        "view": record.view,
        "manufacturer": record.manufacturer,
        "breast_density": record.breast_density,
        "pixel_spacing_mm": round(record.pixel_spacing_mm, 6) or "",
        "tissue_fraction": round(record.tissue_fraction, 4),
    }


def contact_sheet(directory: Path, source: DataSource, seed: int) -> bytes:
    """Random patches of the package, of as many women as possible."""
    paths = sorted((directory / SHARDS).rglob("*.tfrecord"))
    places = [(path, *place) for path in paths for place in tfrecords.shard_index(path)]
    drawn = np.random.default_rng(seed).permutation(len(places))[: 8 * _SHOWN]
    records = [
        decode_record(tfrecords.read_payload(*places[int(number)]), str(places[int(number)][0]))
        for number in drawn
    ]
    chosen = [records[n] for n in spread_over_clients([r.client_id for r in records], _SHOWN)]
    kind = "phantom: drawn tissue, drawn lesions, no patient's" if source.phantom else "synthetic"
    subtitle = f"{len(chosen):,} of {len(places):,} patches, drawn at random (seed {seed})"
    return sheet_png(f"{chosen[0].task} ({kind})", subtitle, chosen)


def title_of(manifest: Json, source: DataSource) -> str:
    """The title of a card that was given none."""
    what = "removed lesions" if manifest["task"] == "removal" else f"{manifest['task']} lesions"
    return f"Synthetic mammogram patches: {what}" + (" (phantom)" if source.phantom else "")


def _abstract(manifest: Json, source: DataSource) -> str:
    what = "with lesions taken out" if manifest["task"] == "removal" else "with synthetic lesions"
    return (
        f"{manifest['accepted']:,} patches of mammograms {what} by a contextual GAN "
        f"({manifest['task']}), on tissue of {source.name}. For research only."
    )


def readme(
    config: PackageConfig,
    title: str,
    manifest: Json,
    rows: list[dict[str, object]],
    source: DataSource,
    measured: Measured | None,
) -> bytes:
    """README.md."""
    licence = Licence(config.licence)
    splits = sorted({str(row["split"]) for row in rows}, key=SPLITS.index)
    fields: dict[str, object] = {
        **licence_fields(licence),
        "pretty_name": title,
        "task_categories": ["image-classification", "image-segmentation", "object-detection"],
        "tags": tags_of(source, manifest["task"], "croissant"),
        "annotations_creators": ["machine-generated"],
        "source_datasets": [source.slug],
        "size_categories": [size_category(len(rows))],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"{IMAGES}/*"} for split in splits[:1]],
            }
        ],
    }
    filled = {name: sum(row[name] not in ("", None) for row in rows) for name in COLUMNS}
    text = render(
        "dataset.md.j2",
        title=title,
        notice=config.notice,
        manifest=manifest,
        flags=released_flags(manifest["flags"]),
        source=source,
        licence=licence,
        measured=measured,
        numbers=number_rows(measured, source.real) if measured else [],
        criteria=_CRITERIA,
        asked_discriminator=bool(
            measured and measured.result.of(MEMBERSHIP).discriminator is not None
        ),
        checks={name: checks_of_c(measured, name) for name in _CRITERIA},
        count=len(rows),
        size=_size_of(config.synthetic_dir),
        splits=splits,
        shards=SHARDS,
        patch_class=rows[0]["patch_class"],
        women=len({row["patient"] for row in rows}),
        sources=len({row["source_patch"] for row in rows}),
        groups=groups_of(rows),
        filled={name: count / len(rows) for name, count in filled.items()},
        sheet=config.contact_sheet,
    )
    return f"{front_matter(fields)}\n\n{text}".encode()


def _size_of(directory: str) -> int:
    pool, _ = whole_sets([PatchSet(directory)])
    return len(pool.pixels(0))


def size_category(count: int) -> str:
    """How model hubs call the size of a data set."""
    limits = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))
    return next((name for limit, name in limits if count < limit), "n>1M")


def groups_of(rows: list[dict[str, object]]) -> dict[str, dict[str, int]]:
    """Patches by view, side, vendor and density; what nobody recorded is "not recorded"."""
    names = ("view", "laterality", "manufacturer", "breast_density")
    return {
        name: dict(
            sorted(collections.Counter(str(row[name]) or "not recorded" for row in rows).items())
        )
        for name in names
    }
