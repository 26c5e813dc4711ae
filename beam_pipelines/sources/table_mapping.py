"""The file that says what the columns of a table mean, as one frozen dataclass.

docs/table.md explains the TOML; configs/sources/ holds ready ones. Names that are not known are
errors: a misspelt key would silently be a column less.
"""

import dataclasses
import re
import tomllib
from collections.abc import Collection, Mapping
from typing import Any

from beam_pipelines.storage import files
from cgan_tf.labels import SPLITS
from cgan_tf.runs.errors import UserError

MASS, CALCIFICATION, OTHER, NONE, UNSAID = "mass", "calcification", "other", "none", "unknown"
TYPES = (MASS, CALCIFICATION, "both", OTHER, NONE, UNSAID)
MALIGNANT, BENIGN = "malignant", "benign"
PATHOLOGIES = (MALIGNANT, BENIGN, NONE, UNSAID)
# What the words of a split may become, and the splits that the patient may then be in.
SPLIT_WORDS = {**{name: (name,) for name in SPLITS}, "development": ("train", "validation")}
ANY_OTHER = "*"  # as a word: every word that is not named
FORMATS = ("csv", "tsv", "words", "parquet")


@dataclasses.dataclass(frozen=True)
class Value:
    """Where a value of a row comes from, and what becomes of it, in this order.

    Attributes:
      column: the cell of this column; or
      template: text with {columns} in it; or
      constant: the same text for every row; or
      from_path: a regular expression, whose group is taken from the path of the row's image.
      pattern: a regular expression; its first group, or all of it, is taken.
      each: a regular expression; every match is a word of its own (a cell that holds a list).
      per: the first number in the text becomes (number + per - 1) // per.
      words: what each word becomes, in any case; others are unknown words. None: as it is.
      form: text with {} in it, which the value replaces.
    """

    column: str = ""
    template: str = ""
    constant: str = ""
    from_path: str = ""
    pattern: str = ""
    each: str = ""
    per: int = 0
    words: Mapping[str, str] | None = None
    form: str = ""

    def columns(self) -> set[str]:
        """The columns that it reads."""
        return {self.column} - {""} | set(columns_of(self.template))


@dataclasses.dataclass(frozen=True)
class Table:
    """The file with the rows.

    Attributes:
      path: from the root of the data set on. format: one of `FORMATS`, or empty: by its name.
      columns: the names of the columns of a file that has no heading.
      rows: a regular expression for the lines that are rows, in a file that has others as well.
    """

    path: str
    format: str = ""
    columns: tuple[str, ...] = ()
    rows: str = ""


@dataclasses.dataclass(frozen=True)
class Join:
    """A second table, whose rows that agree in all columns of `on` are joined to each row.

    Attributes:
      on: columns of the first table to columns of the second.
      any: cells of the second table that agree with whatever is in the first.
    """

    table: Table
    on: Mapping[str, str]
    any: tuple[str, ...] = ()


# The values that each kind of geometry reads, and those of them that must be there.
GEOMETRIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "box": (("x0", "y0", "x1", "y1", "width", "height"), ("x0", "y0")),
    "boxes": (("numbers",), ("numbers",)),
    "circle": (("x", "y", "radius"), ("x", "y", "radius")),
    "polygon": (("points",), ("points",)),
    "mask": (("path",), ("path",)),
    "plist": (("path",), ("path",)),
}


@dataclasses.dataclass(frozen=True)
class Geometry:
    """How a row says where its lesion is; lengths are pixels of the stored image.

    Attributes:
      kind: a key of `GEOMETRIES`. values: by name.
      y_from: top or bottom, where y is counted from.
      order: of the numbers of each box of `boxes`.
      nowhere: cells that say that the lesion has no place, as an empty one does.
      names: of `plist`, types of the regions by their names.
    """

    kind: str
    values: Mapping[str, Value]
    y_from: str = "top"
    order: tuple[str, ...] = ("x0", "y0", "x1", "y1")
    nowhere: tuple[str, ...] = ()
    names: Mapping[str, str] | None = None


@dataclasses.dataclass(frozen=True)
class TableMapping:
    """What the columns of a table mean.

    Attributes:
      source: the TOML file.
      paths: of the image, the first that exists; `*`, `**` and `?` stand for what they do in a
        shell, and the row then speaks of every file that matches and is of its side.
      pseudonyms: whether ids and paths are recorded as digests, as may be necessary where they
        name persons.
      only: what columns must hold in a row that is not left out.
      healthy: what columns must all hold in a row that says that there is no lesion.
      evidence: what the labels rest on, in words.
      bits: of files with 16 bits a pixel. inverted: whether the breast is dark in plain images.
    """

    source: str
    table: Table
    paths: tuple[Value, ...]
    patient: Value
    join: Join | None = None
    study: Value | None = None
    laterality: Value | None = None
    view: Value | None = None
    split: Value | None = None
    spacing_mm: Value | None = None
    manufacturer: Value | None = None
    breast_density: Value | None = None
    age: Value | None = None
    thickness_mm: Value | None = None
    exposure_mas: Value | None = None
    site: Value | None = None
    type: Value | None = None
    pathology: Value | None = None
    conspicuity: Value | None = None
    geometry: Geometry | None = None
    pseudonyms: bool = True
    only: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    healthy: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    evidence: str = ""
    bits: int = 0
    inverted: bool = False

    def columns(self) -> dict[str, str]:
        """The columns that are read, with the key of the mapping that reads each first."""
        found: dict[str, str] = {}
        named: list[tuple[str, Value | None]] = [("image.path", value) for value in self.paths]
        named += [(f"image.{name}", getattr(self, name)) for name in _IMAGE_VALUES]
        named += [(f"lesion.{name}", getattr(self, name)) for name in _LESION_VALUES]
        if self.geometry:
            kind = self.geometry.kind
            named += [(f"{kind}.{name}", value) for name, value in self.geometry.values.items()]
        for key, value in named:
            for column in sorted(value.columns() if value else ()):
                found.setdefault(column, key)
        for key, conditions in (("image.only", self.only), ("lesion.healthy", self.healthy)):
            for column in conditions:
                found.setdefault(column, key)
        return found


_IMAGE_VALUES = (
    "patient", "study", "laterality", "view", "split", "spacing_mm", "manufacturer",
    "breast_density", "age", "thickness_mm", "exposure_mas", "site",
)  # fmt: skip
_LESION_VALUES = ("type", "pathology", "conspicuity")
_BRACES = re.compile(r"\{([^{}]+)\}")
_SIDE_WORDS = {"l": "L", "left": "L", "r": "R", "right": "R", "": ""}


def columns_of(template: str) -> list[str]:
    """The names in the braces of a template."""
    return _BRACES.findall(template)


def filled(template: str, cells: Mapping[str, str]) -> str:
    """A template with the cells in the place of their columns."""
    return _BRACES.sub(lambda match: cells[match[1]], template)


def read_mapping(path: str) -> TableMapping:
    """The mapping in a TOML file; `UserError` for what is wrong with it, by its key."""
    try:
        content = tomllib.loads(files.read_bytes(path).decode("utf-8"))
    except OSError as error:
        text = error.strerror or str(error)
        raise UserError(f"{path}: expected a mapping of columns (TOML): {text}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path}: expected TOML: {error}") from error
    return _Reader(path).mapping(content)


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Reads the parts of a mapping; every complaint names the file and the key."""

    path: str

    def mapping(self, content: dict[str, Any]) -> TableMapping:
        geometries = [name for name in GEOMETRIES if name in content]
        self._keys("", content, ("table", "join", "image", "lesion", *GEOMETRIES), ("table",))
        if len(geometries) > 1:
            raise self._fault("", f"one of {', '.join(GEOMETRIES)}", " and ".join(geometries))
        image = self._table(content, "image")
        options = ("path", "pseudonyms", "only", "bits", "inverted")
        self._keys("image", image, (*_IMAGE_VALUES, *options), ("path", "patient"))
        lesion = self._table(content, "lesion")
        self._keys("lesion", lesion, (*_LESION_VALUES, "healthy", "evidence"), ())
        values = {
            name: self._value(f"{part}.{name}", found[name])
            for part, found, names in (
                ("image", image, _IMAGE_VALUES),
                ("lesion", lesion, _LESION_VALUES),
            )
            for name in names
            if name in found
        }
        mapping = TableMapping(
            source=self.path,
            table=self._file("table", self._table(content, "table")),
            paths=tuple(self._value("image.path", item) for item in _listed(image["path"])),
            join=self._join(self._table(content, "join")) if "join" in content else None,
            geometry=self._geometry(geometries[0], content) if geometries else None,
            pseudonyms=self._of(bool, "image.pseudonyms", image.get("pseudonyms", True)),
            only=self._conditions("image.only", image.get("only", {})),
            healthy=self._conditions("lesion.healthy", lesion.get("healthy", {})),
            evidence=self._of(str, "lesion.evidence", lesion.get("evidence", "")),
            bits=self._of(int, "image.bits", image.get("bits", 0)),
            inverted=self._of(bool, "image.inverted", image.get("inverted", False)),
            **values,
        )
        return self._checked(mapping)

    def _checked(self, mapping: TableMapping) -> TableMapping:
        """With the usual words of a side; the words of other labels must be known."""
        if mapping.bits and not 9 <= mapping.bits <= 16:
            raise self._fault("image.bits", "9 to 16", mapping.bits)
        for name, known in (("split", SPLIT_WORDS), ("type", TYPES), ("pathology", PATHOLOGIES)):
            self._known(f"words of {name}", getattr(mapping, name), known)
        told = mapping.conspicuity
        if told and told.words is None:
            raise self._fault("lesion.conspicuity", "words, each with what becomes of it", "none")
        if mapping.geometry and mapping.geometry.names is not None:
            self._only_known("plist.names", mapping.geometry.names, TYPES)
        if (mapping.pathology or mapping.geometry) and not (
            mapping.type or (mapping.geometry and mapping.geometry.names)
        ):
            raise self._fault("lesion", "type, which says mass or calcification", "none")
        side = mapping.laterality
        if side and side.words is None:
            side = dataclasses.replace(side, words=_SIDE_WORDS)
        if side and side.words is not None:
            self._only_known("words of laterality", side.words, ("L", "R", ""))
        return dataclasses.replace(mapping, laterality=side)

    def _known(self, key: str, value: Value | None, known: Collection[str]) -> None:
        if value is None:
            return
        if value.words is None and not value.constant:
            raise self._fault(key, f"words that become {', '.join(known)}", "none")
        words = value.words if value.words is not None else {"constant": value.constant}
        self._only_known(key, words, known)

    def _only_known(self, key: str, words: Mapping[str, str], known: Collection[str]) -> None:
        unknown = [word for word in words.values() if word not in known]
        if unknown:
            raise self._fault(key, f"one of {', '.join(known)}", unknown[0])

    def _file(self, key: str, content: dict[str, Any]) -> Table:
        self._keys(key, content, ("path", "format", "columns", "rows"), ("path",))
        kind = content.get("format", "")
        if kind and kind not in FORMATS:
            raise self._fault(f"{key}.format", " or ".join(FORMATS), kind)
        path, rows = content["path"], content.get("rows", "")
        for name, text in (("path", path), ("rows", rows)):
            self._of(str, f"{key}.{name}", text)
        self._compiled(f"{key}.rows", rows)
        return Table(path, kind, self._texts(f"{key}.columns", content.get("columns", [])), rows)

    def _join(self, content: dict[str, Any]) -> Join:
        self._keys(
            "join", content, ("path", "format", "columns", "rows", "on", "any"), ("path", "on")
        )
        table = {name: item for name, item in content.items() if name not in ("on", "any")}
        on = self._words("join.on", content["on"])
        return Join(self._file("join", table), on, self._texts("join.any", content.get("any", [])))

    def _geometry(self, kind: str, content: dict[str, Any]) -> Geometry:
        found = self._table(content, kind)
        names, needed = GEOMETRIES[kind]
        options = {"box": ("y_from",), "boxes": ("y_from", "order"), "plist": ("names",)}
        allowed = ("nowhere", *names, *options.get(kind, () if kind == "mask" else ("y_from",)))
        self._keys(kind, found, allowed, (*needed, *(("names",) if kind == "plist" else ())))
        if kind == "box" and not (
            {"x1", "y1"} <= found.keys() or {"width", "height"} <= found.keys()
        ):
            raise self._fault(kind, "x1 and y1, or width and height", "neither")
        order = self._texts(f"{kind}.order", found.get("order", ["x0", "y0", "x1", "y1"]))
        if sorted(order) != ["x0", "x1", "y0", "y1"]:
            raise self._fault(f"{kind}.order", "x0, y0, x1 and y1 in some order", list(order))
        y_from = found.get("y_from", "top")
        if y_from not in ("top", "bottom"):
            raise self._fault(f"{kind}.y_from", "top or bottom", y_from)
        return Geometry(
            kind=kind,
            values={n: self._value(f"{kind}.{n}", found[n]) for n in names if n in found},
            y_from=y_from,
            order=order,
            nowhere=self._texts(f"{kind}.nowhere", found.get("nowhere", [])),
            names=self._words(f"{kind}.names", found["names"]) if "names" in found else None,
        )

    def _value(self, key: str, content: Any) -> Value:
        if isinstance(content, str):
            content = {"template" if "{" in content else "column": content}
        if not isinstance(content, dict):
            raise self._fault(key, "the name of a column, or a table of keys", content)
        known = [field.name for field in dataclasses.fields(Value)]
        self._keys(key, content, ("number_of", *known), ())
        if "number_of" in content:
            content = {"column": content["number_of"], "per": 1, **content}
            del content["number_of"]
        origins = [name for name in known[:4] if name in content]
        if len(origins) != 1:
            found = " and ".join(origins) or "none"
            raise self._fault(key, f"one of {', '.join([*known[:4], 'number_of'])}", found)
        values = dict(content)
        for name in known:
            if name in values and name not in ("per", "words"):
                self._of(str, f"{key}.{name}", values[name])
        for name in ("from_path", "pattern", "each"):
            self._compiled(f"{key}.{name}", values.get(name, ""))
        if self._of(int, f"{key}.per", values.get("per", 0)) < 0:
            raise self._fault(f"{key}.per", "a number of 1 or more", values["per"])
        if "words" in values:
            words = self._words(f"{key}.words", values["words"])
            values["words"] = {word.casefold(): becomes for word, becomes in words.items()}
        return Value(**values)

    def _conditions(self, key: str, content: Any) -> dict[str, tuple[str, ...]]:
        found = self._of(dict, key, content)
        return {name: self._texts(f"{key}.{name}", item) for name, item in found.items()}

    def _words(self, key: str, content: Any) -> dict[str, str]:
        found = self._of(dict, key, content)
        return {word: self._of(str, f"{key}.{word}", item) for word, item in found.items()}

    def _texts(self, key: str, content: Any) -> tuple[str, ...]:
        return tuple(self._of(str, key, item) for item in self._of(list, key, content))

    def _table(self, content: dict[str, Any], key: str) -> dict[str, Any]:
        found: dict[str, Any] = self._of(dict, key, content.get(key, {}))
        return found

    def _of(self, kind: type, key: str, value: Any) -> Any:
        if type(value) is not kind:
            raise self._fault(key, _KINDS[kind], value)
        return value

    def _keys(
        self, key: str, content: Mapping[str, Any], known: Collection[str], needed: Collection[str]
    ) -> None:
        where = f"[{key}]: " if key else ""
        unknown = [name for name in content if name not in known]
        if unknown:
            raise UserError(
                f"{self.path}: {where}unknown key {unknown[0]!r}; known are {', '.join(known)}"
            )
        missing = [name for name in needed if name not in content]
        if missing:
            raise UserError(f"{self.path}: {where}missing key {missing[0]!r}")

    def _compiled(self, key: str, pattern: str) -> None:
        try:
            re.compile(pattern)
        except re.error as error:
            raise self._fault(key, f"a regular expression ({error})", pattern) from error

    def _fault(self, key: str, expected: str, found: object) -> UserError:
        where = f"{key}: " if key else ""
        return UserError(f"{self.path}: {where}expected {expected}, found {found!r:.80}")


_KINDS = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
