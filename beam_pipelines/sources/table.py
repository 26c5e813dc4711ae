"""Images with a table: DICOM, PNG, TIFF, PGM or JPEG files, a row an image or a row a lesion.

A mapping (`sources.table_mapping`) says what the columns mean. A woman with a lesion anywhere has
no healthy image, as in OMI-DB: one that is not marked may have been recalled for what a marked one
shows. Whatever a row says wrongly is rejected by the row's number, which the ledger counts.
"""

import collections
import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence

from beam_pipelines.dicom import reading
from beam_pipelines.dicom.header import is_firm, is_uid, selection_fault
from beam_pipelines.rejections import FILES, IMAGES, MARKS, Origin, Reason, Rejected, Rejection
from beam_pipelines.sources.base import (
    HEALTHY,
    LESION,
    SIDES,
    UNKNOWN,
    VIEWS,
    FileFacts,
    Image,
    Mark,
    UnitIndex,
    reject_image,
)
from beam_pipelines.sources.plain_images import is_plain, read_plain_header
from beam_pipelines.sources.table_checks import (
    FILES_TRIED,
    IMAGES_TRIED,
    bits_found,
    brightness_of,
    spread,
)
from beam_pipelines.sources.table_mapping import SPLIT_WORDS, TableMapping, read_mapping
from beam_pipelines.sources.table_marks import (
    class_of,
    evidence_of,
    gives,
    is_healthy,
    marks_of,
)
from beam_pipelines.sources.table_rows import Row, holds, read_rows, text_of
from beam_pipelines.sources.table_splits import drawn, prescribed
from beam_pipelines.storage import files
from cgan_tf.config import PatchesConfig
from cgan_tf.data.keyed import digest
from cgan_tf.labels import NORMAL, SPLITS
from cgan_tf.runs.errors import UserError

_TABLE = "the table"  # a unit: rows of no patient, and what is told of the whole set
_DENSITIES = ("1", "2", "3", "4")
_WILD = re.compile(r"\*\*/|[*?]")
_GLOB = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}


@dataclasses.dataclass(frozen=True)
class TableSource:
    """A table and its images; its units are the patients, and one for the table.

    Attributes:
      rows: of each patient. broken: rows that tell of no patient or no image, and why.
      matches: the files, from the root on, of each path with wildcards.
      splits: of each patient. remarks: what there is to say about them.
      counts: for the manifest. bits: of plain files with 16 bits a pixel; 0: as the file says.
    """

    root: str
    mapping: TableMapping
    table: str
    rows: Mapping[str, tuple[Row, ...]]
    broken: tuple[tuple[Row, Rejected], ...]
    matches: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, tuple[str, ...]]
    remarks: tuple[str, ...] = ()
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    bits: int = 0
    inverted: bool = False
    normals_from_cases: bool = False
    normals_beside: bool = False
    allow_synthetic: bool = False
    admit_special: tuple[str, ...] = ()
    labelled = True

    def units(self) -> list[str]:
        """The patients, and the table."""
        return [*sorted(self.rows), _TABLE]

    def read_unit(self, unit: str) -> UnitIndex:
        """One patient, or what belongs to none."""
        return self._of_table() if unit == _TABLE else _Patient(self, unit).index()

    def paths_of(self, row: Row) -> list[str]:
        """The files of a row, from the root on; none where there is no such file."""
        for path in _texts(self.mapping, row):
            if _WILD.search(path):
                found = list(self.matches.get(path, ()))
            else:
                found = [path] if files.exists(os.path.join(self.root, path)) else []
            if found:
                return found
        return []

    def _of_table(self) -> UnitIndex:
        rejections = [
            Rejection(
                MARKS,
                f"{os.path.join(self.root, self.table)}#{row.name}",
                fault.reason,
                fault.detail,
                Origin("", mark_id=row.name, splits=()),
            )
            for row, fault in self.broken
        ]
        read = {FILES: 2 if self.mapping.join else 1, MARKS: len(rejections)}
        dim = brightness_of(self._some_marked()).warning()
        warnings = (*self.remarks, *([dim] if dim else []))
        return UnitIndex((), tuple(rejections), read, dict(self.counts), warnings)

    def _some_marked(self) -> Iterator[Image]:
        """Some of the images with marks, from all over the table."""
        marked = [
            patient
            for patient, rows in sorted(self.rows.items())
            if any(class_of(self.mapping, row) != NORMAL for row in rows)
        ]
        if self.mapping.geometry is None:
            return
        count = 0
        for patient in spread(marked, IMAGES_TRIED):
            for image in self.read_unit(patient).images:
                if image.marks and count < IMAGES_TRIED:
                    count += 1
                    yield image


@dataclasses.dataclass
class _File:
    """What an image's file says of itself."""

    size: tuple[int, int]
    plain: bool
    laterality: str = ""
    view: str = ""
    sop_uid: str = ""
    study_uid: str = ""
    synthetic: bool = False


@dataclasses.dataclass
class _Patient:
    """What is read and rejected of one patient."""

    source: TableSource
    name: str
    read: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    rejections: list[Rejection] = dataclasses.field(default_factory=list)
    # The side of every breast with something that is not healthy, and the image that says so.
    cases: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def index(self) -> UnitIndex:
        """The unit's index."""
        by_path: dict[str, list[Row]] = {}
        for row in self.source.rows[self.name]:
            paths = self.source.paths_of(row)
            for path in paths or _texts(self.source.mapping, row)[:1]:
                by_path.setdefault(path, []).append(row)
        found = [self._image(path, rows) for path, rows in sorted(by_path.items())]
        images = [self._judged(image) for image in found if image]
        kept = tuple(image for image in images if image)
        return UnitIndex(kept, tuple(self.rejections), dict(self.read))

    def _image(self, path: str, rows: list[Row]) -> Image | None:
        """An image with its marks; None where it is rejected."""
        self.read[IMAGES] += 1
        image = self._blank(path)
        try:
            file = self._file(image.path)
            image, rows = self._described(image, rows, file)
        except Rejected as fault:
            self._reject(image, rows, fault)
            return None
        lesions = [row for row in rows if not self._healthy(row)]
        if not rows:
            self.rejections += reject_image(image, Reason.NOT_NORMAL, "no row is of this side")
            return None
        if not lesions:
            evidence = evidence_of(self.source.mapping, rows[0])
            return dataclasses.replace(image, use=HEALTHY, evidence=evidence)
        self.cases.append((image.laterality, image.path))
        marks = tuple(self._marks(image, path, lesions, file.size))
        if not marks:
            self._reject_markless(image, lesions)
            return None
        beside = self.source.normals_beside and not self._rejected_on(image)
        return dataclasses.replace(image, use=LESION, marks=marks, normals_beside=beside)

    def _blank(self, path: str) -> Image:
        pseudonyms = self.source.mapping.pseudonyms
        return Image(
            path=os.path.join(self.source.root, path),
            client_id=self.name,
            study_uid="",
            sop_uid=f"image-{digest(path).hex()[:16]}" if pseudonyms else path,
            laterality="",
            view="",
            use=UNKNOWN,
            strict=False,
            splits=self.source.splits[self.name],
        )

    def _file(self, path: str) -> _File:
        """The header of a file; `Rejected` where it is missing, damaged or no mammogram."""
        if not files.exists(path):
            raise Rejected(Reason.NO_IMAGE_FILE)
        try:
            beginning = files.read_range(path, 0, 8)
        except OSError as error:
            raise Rejected(Reason.UNREADABLE_FILE, error.strerror or "") from error
        if is_plain(beginning):
            plain = read_plain_header(path)
            return _File((plain.rows, plain.columns), plain=True)
        header = reading.read_header(path)
        source = self.source
        fault = selection_fault(header, False, source.allow_synthetic, source.admit_special)
        if fault:
            raise Rejected(*fault)
        return _File(
            size=(header.rows, header.columns),
            plain=False,
            laterality=header.laterality if header.laterality in SIDES else "",
            view=header.view,
            sop_uid=header.sop_uid if is_uid(header.sop_uid) else "",
            study_uid=header.study_uid if is_uid(header.study_uid) else "",
            synthetic=header.synthetic,
        )

    def _described(self, image: Image, rows: list[Row], file: _File) -> tuple[Image, list[Row]]:
        """The image with what its rows and its file say, and the rows that are of its side."""
        mapping, first = self.source.mapping, rows[0]
        if not holds(mapping.only, first):
            raise Rejected(Reason.LEFT_OUT_BY_MAPPING, first.name)
        path = files.relative(image.path, self.source.root)
        wild = any(_WILD.search(text) for text in _texts(mapping, first))
        if wild and file.laterality and mapping.laterality:
            rows = [
                r for r in rows if text_of(mapping.laterality, r, path) in ("", file.laterality)
            ]
        side = text_of(mapping.laterality, rows[0], path) if rows else ""
        view = text_of(mapping.view, first, path).upper() or file.view
        image = dataclasses.replace(
            image,
            study_uid=self._study(first, path) or file.study_uid,
            sop_uid=file.sop_uid or image.sop_uid,
            laterality=side or file.laterality,
            view=view,
            synthetic=file.synthetic,
            breast_density=self._density(first, path),
            facts=self._facts(first, path, file),
        )
        if view and view not in VIEWS:
            raise Rejected(Reason.WRONG_VIEW, first.name)
        return image, rows

    def _study(self, row: Row, path: str) -> str:
        study = text_of(self.source.mapping.study, row, path)
        hidden = study and self.source.mapping.pseudonyms
        return f"study-{digest(study).hex()[:16]}" if hidden else study

    def _density(self, row: Row, path: str) -> str:
        density = text_of(self.source.mapping.breast_density, row, path)
        return density if density in _DENSITIES else ""

    def _facts(self, row: Row, path: str, file: _File) -> FileFacts:
        mapping = self.source.mapping
        spacing, firm = (
            text_of(value, row, path) for value in (mapping.spacing_mm, mapping.manufacturer)
        )
        try:
            spacing_mm = float(spacing or 0.0)
        except ValueError:
            spacing_mm = -1.0
        if not 0.0 <= spacing_mm < 10.0:
            raise Rejected(Reason.UNKNOWN_SPACING, row.name)
        plain = FileFacts(True, self.source.bits, self.source.inverted)
        return dataclasses.replace(
            plain if file.plain else FileFacts(),
            spacing_mm=spacing_mm,
            manufacturer=firm if is_firm(firm) else "",
        )

    def _healthy(self, row: Row) -> bool:
        try:
            return is_healthy(self.source.mapping, row)
        except Rejected:  # told as a mark's
            return False

    def _marks(
        self, image: Image, path: str, lesions: list[Row], size: tuple[int, int]
    ) -> Iterator[Mark]:
        """The usable marks of an image of that size (H, W); the others are rejected.

        The same place twice with one class is one lesion, and with two classes nobody knows.
        """
        places: dict[tuple[object, ...], list[Mark]] = {}
        for row in lesions:
            for name, mark in marks_of(self.source.mapping, row, self.source.root, path, size):
                self.read[MARKS] += 1
                if isinstance(mark, Rejected):
                    self._reject_mark(image, name, mark)
                else:
                    places.setdefault((mark.box, mark.outline, mark.mask), []).append(mark)
        for first, *rest in places.values():
            agree = len({mark.patch_class for mark in (first, *rest)}) == 1
            reason = Reason.DUPLICATE_MARK if agree else Reason.CONTRADICTING_ROWS
            for mark in rest if agree else (first, *rest):
                self._reject_mark(image, mark.mark_id, Rejected(reason, first.mark_id))
            if agree:
                yield first

    def _judged(self, image: Image) -> Image | None:
        """The image where it may be used, as a healthy one only if its woman has no lesion."""
        others = [side for side, path in self.cases if path != image.path]
        if image.use != HEALTHY or not others:
            return image
        same = image.laterality in SIDES and image.laterality in others
        if self.source.normals_from_cases and not same:
            return image
        known = image.laterality in SIDES and all(side in SIDES for side in others)
        contralateral = known and not same
        reason = Reason.CONTRALATERAL_OF_CASE if contralateral else Reason.CASE_IN_OTHER_IMAGE
        self.rejections += reject_image(image, reason)
        return None

    def _reject(self, image: Image, rows: Sequence[Row], fault: Rejected) -> None:
        """Rejects an image, and what its rows tell of lesions on it."""
        lesions = [row for row in rows if not self._healthy(row)]
        if lesions:
            self.cases.append((image.laterality, image.path))
        detail = fault.detail or rows[0].name
        self.rejections += reject_image(image, fault.reason, detail)
        for row in lesions:
            self.read[MARKS] += 1
            self._reject_mark(image, row.name, Rejected(Reason.IMAGE_REJECTED, fault.reason.value))

    def _reject_markless(self, image: Image, lesions: Sequence[Row]) -> None:
        """Rejects an image with lesions and no usable mark, with its label as far as known."""
        reasons = {item.reason for item in self.rejections if self._is_on(item, image)}
        labels = {class_of(self.source.mapping, row) for row in lesions} - {"", NORMAL}
        reason = Reason.NO_USABLE_MARK
        if reasons == {Reason.NO_PLACE}:
            reason = Reason.CASE_WITHOUT_BOX if labels else Reason.NOT_NORMAL
        self.rejections += reject_image(image, reason, " ".join(sorted(labels)))

    def _rejected_on(self, image: Image) -> bool:
        return any(
            self._is_on(item, image) and item.reason != Reason.DUPLICATE_MARK
            for item in self.rejections
        )

    def _is_on(self, item: Rejection, image: Image) -> bool:
        return item.kind == MARKS and item.name.startswith(f"{image.path}#")

    def _reject_mark(self, image: Image, name: str, fault: Rejected) -> None:
        origin, path = image.origin(name), f"{image.path}#{name}"
        self.rejections.append(Rejection(MARKS, path, fault.reason, fault.detail, origin))


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
    mapping = read_mapping(config.mapping)
    table_rows = read_rows(root, mapping, config.table)
    matches = _matches(root, mapping, table_rows)
    rows, broken = _by_patient(mapping, table_rows, matches)
    splits, remarks, counts = _splits(mapping, rows, config)
    bits = config.bits or mapping.bits
    source = TableSource(
        root=root,
        mapping=mapping,
        table=config.table or mapping.table.path,
        rows=rows,
        broken=broken,
        matches=matches,
        splits=splits,
        remarks=tuple(remarks),
        inverted=config.inverted or mapping.inverted,
        normals_from_cases=config.normals_from_cases,
        normals_beside=bool(config.normals_from_lesion_images),
        allow_synthetic=config.allow_synthetic,
        admit_special=config.admit_special,
    )
    if not bits:
        bits = bits_found(_some_files(source))
        if bits:
            counts["bits_found_in_16_bit_files"] = bits
    return dataclasses.replace(source, counts=counts, bits=bits)


def _texts(mapping: TableMapping, row: Row) -> list[str]:
    """The paths that a row may have."""
    return [os.path.normpath(text) for value in mapping.paths if (text := text_of(value, row))]


def _some_files(source: TableSource) -> Iterator[str]:
    for patient in spread(sorted(source.rows), FILES_TRIED):
        for path in source.paths_of(source.rows[patient][0])[:1]:
            yield os.path.join(source.root, path)


def _by_patient(
    mapping: TableMapping, rows: Sequence[Row], matches: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, tuple[Row, ...]], tuple[tuple[Row, Rejected], ...]]:
    """(the rows of each patient, rows without a patient or a path)."""
    found: dict[str, list[Row]] = collections.defaultdict(list)
    broken: list[tuple[Row, Rejected]] = []
    for row in rows:
        try:
            paths = _texts(mapping, row)
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


def _matches(root: str, mapping: TableMapping, rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """The files of each path with wildcards; nothing is listed where no path has any."""
    wild = dict.fromkeys(
        text for row in rows for text in _texts(mapping, row) if _WILD.search(text)
    )
    if not wild:
        return {}
    paths = [files.relative(path, root) for path in files.walk(root)]
    by_part: dict[str, list[str]] = collections.defaultdict(list)
    for path in paths:
        for part in set(path.split("/")):
            by_part[part].append(path)
    found = {}
    for text in wild:
        literal = [part for part in text.split("/") if not _WILD.search(part + "/")]
        candidates = min((by_part.get(part, []) for part in literal), key=len, default=paths)
        pattern = re.compile(_regular(text))
        found[text] = tuple(path for path in candidates if pattern.fullmatch(path))
    return found


def _regular(text: str) -> str:
    """The regular expression of a path with wildcards."""
    parts, end = [], 0
    for match in _WILD.finditer(text):
        parts += [re.escape(text[end : match.start()]), _GLOB[match[0]]]
        end = match.end()
    return "".join([*parts, re.escape(text[end:])])


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
    drawn_splits, remarks = drawn(lesions, config)
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
    return prescribed(patient, found)
