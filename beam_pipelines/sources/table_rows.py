"""The rows of a table, CSV, TSV, Parquet or words between white space: their values and files.

A row keeps the columns that the mapping reads and its number in the file, as a spreadsheet shows
it: the heading is row 1.
"""

import collections
import csv
import dataclasses
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from beam_pipelines.rejections import Reason, Rejected
from beam_pipelines.sources.table_mapping import (
    ANY_OTHER,
    Join,
    Table,
    TableMapping,
    Value,
    filled,
)
from beam_pipelines.storage import files
from cgan_tf.runs.errors import UserError

_LARGEST_TABLE = 512 << 20
_WHOLE = re.compile(r"(-?\d+)\.0+")  # a number that pandas wrote where another row had none
_SEPARATORS = (",", ";", "\t")
_SPREADSHEETS = (".xls", ".xlsx", ".ods")
_WILD = re.compile(r"\*\*/|[*?]")
_GLOB = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}

Cells = dict[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
      number: in the file of the table. cells: by column, without spaces around them.
      joined: in the file of the joined table; 0 without one.
    """

    number: int
    cells: Cells
    joined: int = 0

    @property
    def name(self) -> str:
        """Its name in the ledger."""
        return f"row {self.number}" + (f" with row {self.joined}" if self.joined else "")


def read_rows(root: str, mapping: TableMapping, table: str = "") -> list[Row]:
    """The rows of the table of a data set, `table` in place of the mapping's if it is not empty.

    Raises `UserError` for a file that is missing or no such table, and one line for each column
    that the mapping reads and the table does not have.
    """
    first = dataclasses.replace(mapping.table, path=table or mapping.table.path)
    needed = mapping.columns()
    join = mapping.join
    for column in join.on if join else ():
        needed.setdefault(column, "join.on")
    columns, rows = _read(root, first, needed)
    if join:
        keys = dict.fromkeys(join.on.values(), "join.on")
        rest = {name: key for name, key in needed.items() if name not in columns}
        others, joined = _read(root, join.table, {**rest, **keys})
        _check(f"{first.path} and {join.table.path}", needed, [*columns, *others], mapping.source)
        _check(join.table.path, keys, others, mapping.source)
        return list(_joined(rows, joined, join))
    _check(first.path, needed, columns, mapping.source)
    if not rows:
        raise UserError(f"{os.path.join(root, first.path)}: expected rows, found none")
    return rows


def _check(path: str, needed: Mapping[str, str], columns: list[str], source: str) -> None:
    lines = [
        f"{path}: no column {column!r}, which {source} reads for {key}"
        for column, key in needed.items()
        if column not in columns
    ]
    if lines:
        raise UserError("\n".join([*lines, f"columns found: {', '.join(columns)}"]))


def _read(root: str, table: Table, needed: Iterable[str]) -> tuple[list[str], list[Row]]:
    """(names of all columns, rows with those that are needed)."""
    path = os.path.join(root, table.path)
    kind = table.format or _format_of(path)
    try:
        data = files.read_bytes(path, _LARGEST_TABLE)
    except OSError as error:
        text = error.strerror or str(error)
        raise UserError(f"{path}: expected the table of the data set: {text}") from error
    try:
        parts = _parquet(data) if kind == "parquet" else _lines(data, kind, table)
        columns = next(parts)[1]
        places = [(name, place) for place, name in enumerate(columns) if name in set(needed)]
        rows = [
            Row(
                number, {name: cells[place] if place < len(cells) else "" for name, place in places}
            )
            for number, cells in parts
        ]
    except (UnicodeDecodeError, csv.Error, StopIteration) as error:
        text = str(error) or "it is empty"
        raise UserError(f"{path}: expected a {kind} table in UTF-8: {text}") from error
    return columns, rows


def _format_of(path: str) -> str:
    suffix = os.path.splitext(path)[1].lower()
    if suffix in _SPREADSHEETS:
        raise UserError(f"{path}: expected CSV, TSV or Parquet; save the spreadsheet as CSV")
    return {".parquet": "parquet", ".tsv": "tsv"}.get(suffix, "csv")


def _lines(data: bytes, kind: str, table: Table) -> Iterator[tuple[int, list[str]]]:
    """The heading, then (number, cells) of every row of a text file."""
    text = data.decode("utf-8-sig")
    cells: Iterable[list[str]]
    if kind == "words":
        cells = (line.split() for line in text.splitlines())
    else:
        heading = text[: text.find("\n")]
        separator = "\t" if kind == "tsv" else max(_SEPARATORS, key=heading.count)
        cells = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    if table.columns:
        yield 0, list(table.columns)
    for number, found in enumerate(cells, 1):
        stripped = [_cell(cell) for cell in found]
        if number == 1 and not table.columns:
            yield 0, stripped
        elif any(stripped) and re.match(table.rows, " ".join(stripped)):
            yield number, stripped


def _parquet(data: bytes) -> Iterator[tuple[int, list[str]]]:
    import pyarrow as pa  # apache-beam needs it, too; it takes a while
    from pyarrow import parquet

    try:
        content = parquet.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise csv.Error(str(error).splitlines()[0]) from error
    yield 0, list(content.column_names)
    number = 1  # of the heading that a spreadsheet would show
    for batch in content.to_batches():
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            number += 1
            yield number, [_cell("" if value is None else str(value)) for value in values]


def _cell(text: str) -> str:
    text = text.strip()
    return "" if text in ("nan", "NaN") else text


def _joined(rows: Iterable[Row], others: Iterable[Row], join: Join) -> Iterator[Row]:
    """Each row with each row of the other table that agrees with it, or with empty cells."""
    first, *rest = join.on.items()
    by_key: dict[str, list[Row]] = collections.defaultdict(list)
    empty: Cells = {}
    for other in others:
        by_key[as_id(other.cells[first[1]])].append(other)
        empty = empty or dict.fromkeys(other.cells, "")

    def agrees(row: Row, other: Row) -> bool:
        return all(
            as_id(other.cells[there]) in (as_id(row.cells[here]), *join.any) for here, there in rest
        )

    for row in rows:
        matches = [o for o in by_key[as_id(row.cells[first[0]])] if agrees(row, o)]
        for other in matches:
            yield Row(row.number, {**other.cells, **row.cells}, other.number)
        if not matches:
            yield Row(row.number, {**empty, **row.cells})


def as_id(cell: str) -> str:
    """A cell as an id: a whole number without the point that other programs give it."""
    match = _WHOLE.fullmatch(cell)
    return match[1] if match else cell


def holds(conditions: Mapping[str, tuple[str, ...]], row: Row) -> bool:
    """Whether every column of the conditions holds one of its words."""
    return all(
        as_id(row.cells[column]).casefold() in [word.casefold() for word in words]
        for column, words in conditions.items()
    )


def text_of(value: Value | None, row: Row, path: str = "") -> str:
    """A value as text, empty without one; `Rejected` for an unknown word."""
    words = words_of(value, row, path)
    return words[0] if words else ""


def words_of(value: Value | None, row: Row, path: str = "") -> list[str]:
    """The words of a value; `Rejected` where one is not known. `path`: of the row's image."""
    if value is None:
        return []
    words = [_word(value, word, row) for word in raw_words(value, row, path)]
    return [value.form.replace("{}", word) if value.form and word else word for word in words]


def raw_words(value: Value, row: Row, path: str = "") -> list[str]:
    """The words of a value as the table has them."""
    text = _origin(value, row, path)
    if value.pattern:
        text = _group(re.search(value.pattern, text))
    if value.per:
        number = re.search(r"\d+", text)
        text = str((int(number[0]) + value.per - 1) // value.per) if number else ""
    return [_group(match) for match in re.finditer(value.each, text)] if value.each else [text]


def _origin(value: Value, row: Row, path: str) -> str:
    if value.constant:
        return value.constant
    if value.from_path:
        return _group(re.search(value.from_path, path))
    if value.template:
        return filled(value.template, {name: as_id(cell) for name, cell in row.cells.items()})
    return as_id(row.cells[value.column])


def _group(match: re.Match[str] | None) -> str:
    if match is None:
        return ""
    return (match[1] or "") if match.re.groups else match[0]


def _word(value: Value, word: str, row: Row) -> str:
    if value.words is None or value.constant:
        return word
    becomes = value.words.get(word.casefold(), value.words.get(ANY_OTHER))
    if becomes is None:  # the word itself may be anything, a name too
        raise Rejected(Reason.UNKNOWN_WORD, f"{row.name}: {value.column or 'the value'}")
    return becomes


def paths_of(mapping: TableMapping, row: Row) -> list[str]:
    """The paths that the image of a row may have, from the root of the data set on."""
    return [os.path.normpath(text) for value in mapping.paths if (text := text_of(value, row))]


def is_wild(path: str) -> bool:
    """Whether a path has wildcards, and stands for all files that match it."""
    return bool(_WILD.search(path))


def files_by_pattern(
    root: str, mapping: TableMapping, rows: Sequence[Row]
) -> dict[str, tuple[str, ...]]:
    """The files of each path with wildcards; nothing is listed where no path has any."""
    wild = dict.fromkeys(text for row in rows for text in paths_of(mapping, row) if is_wild(text))
    if not wild:
        return {}
    paths = [files.relative(path, root) for path in files.walk(root)]
    by_part: dict[str, list[str]] = collections.defaultdict(list)
    for path in paths:
        for part in set(path.split("/")):
            by_part[part].append(path)
    found = {}
    for text in wild:
        literal = [part for part in text.split("/") if not is_wild(part + "/")]
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
