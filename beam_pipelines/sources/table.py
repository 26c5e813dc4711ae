"""Images with a table: DICOM, PNG, TIFF, PGM or JPEG files, a row an image or a row a lesion.

A mapping (`sources.table_mapping`) says what the columns mean. A column says which split a patient
is in, or the splits are drawn so that each has patients of each class.
"""

import collections
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence

from beam_pipelines.rejections import FILES, MARKS, Origin, Reason, Rejected, Rejection
from beam_pipelines.sources.base import Image, UnitIndex
from beam_pipelines.sources.table_checks import (
    FILES_TRIED,
    IMAGES_TRIED,
    bits_found,
    brightness_of,
    spread,
)
from beam_pipelines.sources.table_mapping import SPLIT_WORDS, TableMapping, read_mapping
from beam_pipelines.sources.table_marks import class_of, gives
from beam_pipelines.sources.table_patients import TableOptions, read_patient
from beam_pipelines.sources.table_rows import (
    Row,
    files_by_pattern,
    is_wild,
    paths_of,
    read_rows,
    text_of,
)
from beam_pipelines.storage import files
from cgan_tf.config import PatchesConfig
from cgan_tf.data.keyed import digest, unit_hash
from cgan_tf.labels import NORMAL, SPLITS
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import shipped

_TABLE = "the table"  # a unit: rows of no patient, and what is told of the whole set


@dataclasses.dataclass(frozen=True)
class TableSource:
    """A table and its images; its units are the patients, and one for the table.

    Attributes:
      rows: of each patient. broken: rows that tell of no patient or no image, and why.
      matches: the files, from the root on, of each path with wildcards.
      splits: of each patient. remarks: what there is to say about them.
      counts: for the manifest.
    """

    options: TableOptions
    table: str
    rows: Mapping[str, tuple[Row, ...]]
    broken: tuple[tuple[Row, Rejected], ...]
    matches: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, tuple[str, ...]]
    remarks: tuple[str, ...] = ()
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    labelled = True

    def units(self) -> list[str]:
        """The patients, and the table."""
        return [*sorted(self.rows), _TABLE]

    def read_unit(self, unit: str) -> UnitIndex:
        """One patient, or what belongs to none."""
        if unit == _TABLE:
            return self._of_table()
        by_path: dict[str, list[Row]] = {}
        for row in self.rows[unit]:
            for path in self.files_of(row) or paths_of(self.options.mapping, row)[:1]:
                by_path.setdefault(path, []).append(row)
        return read_patient(self.options, unit, self.splits[unit], by_path)

    def files_of(self, row: Row) -> list[str]:
        """The files of a row, from the root on; none where there is no such file."""
        for path in paths_of(self.options.mapping, row):
            if is_wild(path):
                found = list(self.matches.get(path, ()))
            else:
                found = [path] if files.exists(os.path.join(self.options.root, path)) else []
            if found:
                return found
        return []

    def _of_table(self) -> UnitIndex:
        rejections = [
            Rejection(
                MARKS,
                f"{os.path.join(self.options.root, self.table)}#{row.name}",
                fault.reason,
                fault.detail,
                Origin("", mark_id=row.name, splits=()),
            )
            for row, fault in self.broken
        ]
        read = {FILES: 2 if self.options.mapping.join else 1, MARKS: len(rejections)}
        dim = brightness_of(self._some_marked()).warning()
        warnings = (*self.remarks, *([dim] if dim else []))
        return UnitIndex((), tuple(rejections), read, dict(self.counts), warnings)

    def _some_marked(self) -> Iterator[Image]:
        """Some of the images with marks, from all over the table."""
        marked = [
            patient
            for patient, rows in sorted(self.rows.items())
            if any(class_of(self.options.mapping, row) != NORMAL for row in rows)
        ]
        if self.options.mapping.geometry is None:
            return
        count = 0
        for patient in spread(marked, IMAGES_TRIED):
            for image in self.read_unit(patient).images:
                if image.marks and count < IMAGES_TRIED:
                    count += 1
                    yield image


def open_source(config: PatchesConfig) -> TableSource:
    """The images in `--input_dir` with their table.

    Raises `UserError` for a mapping or a table that is missing or wrong, for unknown words of a
    split, and for a patient whom the table puts into two splits.
    """
    root = config.input_dir
    if not config.mapping:
        raise UserError(
            "--source=table: expected --mapping, a file that says what the columns mean, such as "
            "configs/sources/mini_mias.toml (docs/table.md)"
        )
    if not files.is_directory(root):
        raise UserError(f"{root}: expected a directory with images and a table, found none")
    mapping = read_mapping(shipped(config.mapping))
    options = TableOptions(
        root=root,
        mapping=mapping,
        bits=config.bits or mapping.bits,
        inverted=config.inverted or mapping.inverted,
        normals_from_cases=config.normals_from_cases,
        normals_beside=bool(config.normals_from_lesion_images),
        allow_synthetic=config.allow_synthetic,
        admit_special=config.admit_special,
    )
    table_rows = read_rows(root, mapping, config.table)
    matches = files_by_pattern(root, mapping, table_rows)
    rows, broken = _by_patient(mapping, table_rows, matches)
    splits, remarks, counts = _splits(mapping, rows, config)
    table = config.table or mapping.table.path
    source = TableSource(options, table, rows, broken, matches, splits, tuple(remarks), counts)
    if options.bits or not (bits := bits_found(_some_files(source))):
        return source
    return dataclasses.replace(
        source,
        options=dataclasses.replace(options, bits=bits),
        counts={**counts, "bits_found_in_16_bit_files": bits},
    )


def _some_files(source: TableSource) -> Iterator[str]:
    for patient in spread(sorted(source.rows), FILES_TRIED):
        for path in source.files_of(source.rows[patient][0])[:1]:
            yield os.path.join(source.options.root, path)


def _by_patient(
    mapping: TableMapping, rows: Sequence[Row], matches: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, tuple[Row, ...]], tuple[tuple[Row, Rejected], ...]]:
    """(the rows of each patient, rows without a patient or a path)."""
    found: dict[str, list[Row]] = collections.defaultdict(list)
    broken: list[tuple[Row, Rejected]] = []
    for row in rows:
        try:
            paths = paths_of(mapping, row)
            if not paths:
                raise Rejected(Reason.BROKEN_ROW, f"{row.name}: no path")
            path = next((matches[text][0] for text in paths if matches.get(text)), paths[0])
            patient = text_of(mapping.patient, row, path)
            if not patient:
                raise Rejected(Reason.BROKEN_ROW, f"{row.name}: no patient")
            name = f"patient-{digest(patient).hex()[:16]}" if mapping.pseudonyms else patient
            found[name].append(row)
        except Rejected as fault:
            broken.append((row, fault))
    return {name: tuple(items) for name, items in found.items()}, tuple(broken)


def _splits(
    mapping: TableMapping, rows: Mapping[str, tuple[Row, ...]], config: PatchesConfig
) -> tuple[dict[str, tuple[str, ...]], list[str], dict[str, int]]:
    """(the splits of each patient, what there is to say, counts)."""
    if config.split_by == "column" and not mapping.split:
        raise UserError(f"--split_by=column: {mapping.source} names no column (image.split)")
    if config.all_in_split:
        return dict.fromkeys(rows, SPLITS), [], {}
    if mapping.split and config.split_by != "hash":
        splits = {name: _of_column(mapping, name, found) for name, found in rows.items()}
        return splits, [], {"patients_split_by_column": len(rows)}
    classes = {
        name: frozenset(gives(mapping, row) for row in found) - {""} for name, found in rows.items()
    }
    lesions = {
        name: found - {NORMAL} if len(found) > 1 and not config.normals_from_cases else found
        for name, found in classes.items()
    }
    drawn_splits, remarks = draw_by_class(lesions, config)
    splits = {name: (split,) for name, split in drawn_splits.items()}
    return splits, remarks, {"patients_split_by_class": len(rows)}


def _of_column(mapping: TableMapping, patient: str, rows: Sequence[Row]) -> tuple[str, ...]:
    found = []
    for row in rows:
        try:
            word = text_of(mapping.split, row)
        except Rejected as fault:
            raise UserError(
                f"{mapping.source}: unknown word for a split, {fault.detail}; "
                "name it in the words of image.split"
            ) from fault
        found.append(SPLIT_WORDS[word])
    return _prescribed(patient, found)


def _prescribed(patient: str, found: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The splits that all rows of a patient allow; `UserError` with her id where there is none."""
    allowed = tuple(name for name in SPLITS if all(name in splits for splits in found))
    if not allowed:
        named = sorted({" or ".join(splits) for splits in found})
        raise UserError(
            f"patient {patient}: expected one split, found {' and '.join(named)}; "
            "--split_by=hash draws the splits by patient"
        )
    return allowed


def draw_by_class(
    classes: Mapping[str, frozenset[str]], config: PatchesConfig
) -> tuple[dict[str, str], list[str]]:
    """A split for each patient, and what there is to say about it.

    Every patient counts for the rarest of her classes. The patients of a class, in the order of
    keyed hashes, are dealt out by the fractions; each split gets one of them where there are as
    many as splits. Another patient may move others: this is the price of a draw by class.

    Args:
      classes: of each patient, what she can give patches of.
    """
    train, validation = config.train_fraction, config.validation_fraction
    shares = dict(zip(SPLITS, (train, validation, 1.0 - train - validation), strict=True))
    wanted = {name: share for name, share in shares.items() if share > 1e-9}
    common = collections.Counter(name for found in classes.values() for name in found)
    groups: dict[str, list[str]] = collections.defaultdict(list)
    for patient, found in classes.items():
        rarest = min(found, key=lambda name: (common[name], name), default="")
        groups[rarest].append(patient)
    splits: dict[str, str] = {}
    for _, patients in sorted(groups.items()):
        patients.sort(key=lambda patient: (unit_hash(config.seed, "split", patient), patient))
        places = [name for name, n in _counts(len(patients), wanted).items() for _ in range(n)]
        splits.update(zip(patients, places, strict=True))
    return splits, _remarks(splits, classes, wanted)


def _counts(patients: int, shares: Mapping[str, float]) -> dict[str, int]:
    """How many of some patients each split gets: by its share, one at least where that can be."""
    least = 1 if patients >= len(shares) else 0
    counts = {name: max(least, int(patients * share)) for name, share in shares.items()}

    def surplus(name: str) -> float:
        return counts[name] - patients * shares[name]

    while sum(counts.values()) > patients:
        counts[max((name for name in counts if counts[name] > least), key=surplus)] -= 1
    while sum(counts.values()) < patients:
        counts[min(counts, key=surplus)] += 1
    return counts


def _remarks(
    splits: Mapping[str, str], classes: Mapping[str, frozenset[str]], wanted: Mapping[str, float]
) -> list[str]:
    there = {(splits[patient], name) for patient, found in classes.items() for name in found}
    names = sorted({name for found in classes.values() for name in found})
    return [
        f"too few patients with {name}: none for {split}"
        for name in names
        for split in wanted
        if (split, name) not in there
    ]
