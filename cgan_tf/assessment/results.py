"""The result of measuring a synthetic set: a dataclass, its JSON, its CSV and its Markdown."""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from cgan_tf import __version__
from cgan_tf.assessment.base import Check, Measure, Row
from cgan_tf.assessment.measures import MEASURES
from cgan_tf.assessment.pictures import Picture
from cgan_tf.pages.style import minus
from cgan_tf.runs.directory import Json, csv_bytes, read_json, write_json
from cgan_tf.runs.errors import UserError

CONTENT, PICTURES = "quality.json", "pictures"  # in the output directory
Measures = Sequence[Measure[Any]]
Values = TypeVar("Values")


@dataclasses.dataclass(frozen=True)
class SetResult:
    """All that was measured of one synthetic set.

    Attributes:
      task: mass, calcification or removal. directory: of the set.
      patches, real_patches: number of synthetic patches and of held-out real ones beside them.
      values: of every measure, by its name.
      pictures_by: the feature space that chose examples; empty without one.
      pictures: in the directory `pictures`. checks: the verdicts of all measures.
    """

    task: str
    directory: str
    patches: int
    real_patches: int
    values: Mapping[str, object]
    pictures_by: str
    pictures: Sequence[Picture]
    checks: Sequence[Check]

    def of(self, measure: Measure[Values]) -> Values:
        """The values of a measure."""
        return typing.cast(Values, self.values[measure.name])

    def rows(self, measures: Measures = MEASURES) -> Iterator[Row]:
        """All numbers."""
        for measure in by_table_rank(measures):
            yield from measure.rows(self.of(measure))


def by_table_rank(measures: Measures) -> list[Measure[Any]]:
    """In the order of tables and pictures."""
    return sorted(measures, key=lambda measure: measure.table_rank)


def checks_of(
    values: Mapping[str, object], task: str, measures: Measures = MEASURES
) -> list[Check]:
    """The verdicts of all measures on a set."""
    return [
        check
        for measure in sorted(measures, key=lambda each: each.verdict_rank)
        for check in measure.verdict(values[measure.name], task)
    ]


def write_results(path: Path, results: Mapping[str, SetResult]) -> None:
    """Writes quality.json; sets by name."""
    write_json(path, {"sets": {name: _to_json(result) for name, result in results.items()}})


def _to_json(result: SetResult) -> Json:
    """A flat object: the values of measures are beside what is said of the set."""
    content = dataclasses.asdict(result)
    values = content.pop("values")
    last = {name: content.pop(name) for name in ("pictures_by", "pictures", "checks")}
    if not result.pictures_by:
        del last["pictures_by"]
    return {**content, **values, **last}


def read_results(path: Path, measures: Measures = MEASURES) -> dict[str, SetResult]:
    """Reads quality.json; sets by name.

    Raises `UserError` that names the file and the key for what is missing or of another type.
    """
    reader = _JsonReader(path)
    sets = reader.key(read_json(path), "sets", "")
    return {
        name: _set_result(reader, content, f"sets.{name}", measures)
        for name, content in reader.mapping(sets, "sets").items()
    }


def _set_result(
    reader: "_JsonReader", content: object, where: str, measures: Measures
) -> SetResult:
    content = reader.mapping(content, where)

    def of(name: str, kind: Any) -> Any:
        return reader.read(reader.key(content, name, where), kind, f"{where}.{name}")

    kinds = {each.name: typing.get_type_hints(each.compute)["return"] for each in measures}
    return SetResult(
        task=of("task", str),
        directory=of("directory", str),
        patches=of("patches", int),
        real_patches=of("real_patches", int),
        values={name: of(name, kind) for name, kind in kinds.items()},
        pictures_by=of("pictures_by", str) if "pictures_by" in content else "",
        pictures=of("pictures", list[Picture]),
        checks=of("checks", list[Check]),
    )


@dataclasses.dataclass(frozen=True)
class _JsonReader:
    """Reads JSON values as dataclasses, by their annotations; `path` is named in errors."""

    path: Path

    def key(self, content: Mapping[str, object], name: str, where: str) -> object:
        if name not in content:
            key = f"{where}.{name}" if where else name
            raise UserError(
                f"{self.path}: expected the key '{key}', found none; run quality again into "
                "another directory"
            )
        return content[name]

    def mapping(self, content: object, where: str) -> dict[str, object]:
        return self._checked(content, dict, where)

    def read(self, content: object, kind: Any, where: str) -> Any:
        """`content` as a `kind`: a dataclass, dict[str, X], list[X], tuple, X | None or scalar."""
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin in (types.UnionType, typing.Union):
            (present,) = (each for each in arguments if each is not types.NoneType)
            return None if content is None else self.read(content, present, where)
        if dataclasses.is_dataclass(kind):
            own, hints = self.mapping(content, where), typing.get_type_hints(kind)
            names = [field.name for field in dataclasses.fields(kind)]
            values = (
                self.read(self.key(own, name, where), hints[name], f"{where}.{name}")
                for name in names
            )
            return typing.cast(Any, kind)(*values)
        if origin is dict:
            items = self.mapping(content, where).items()
            return {name: self.read(item, arguments[1], f"{where}.{name}") for name, item in items}
        if origin in (list, tuple):
            entries = self._checked(content, list, where)
            kinds = arguments if origin is tuple else arguments * len(entries)
            if len(kinds) != len(entries):
                raise self._wrong(f"a list of {len(kinds)}", content, where)
            return origin(
                self.read(entry, kinds[place], f"{where}.{place}")
                for place, entry in enumerate(entries)
            )
        return self._checked(content, (int, float) if kind is float else kind, where)

    def _checked(self, content: object, kind: Any, where: str) -> Any:
        # True is an int in Python, and no number in JSON.
        if not isinstance(content, kind) or (isinstance(content, bool) and kind is not bool):
            words = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
            raise self._wrong(words.get(kind, "a number"), content, where)
        return content

    def _wrong(self, expected: str, content: object, where: str) -> UserError:
        return UserError(f"{self.path}: expected {expected} at '{where}', found {content!r:.80}")


def quality_csv(results: Mapping[str, SetResult], measures: Measures = MEASURES) -> bytes:
    """One row a number."""
    rows = ((name, *row) for name, result in results.items() for row in result.rows(measures))
    return csv_bytes([("set", *Row._fields), *rows])


def quality_markdown(results: Mapping[str, SetResult], measures: Measures = MEASURES) -> str:
    """The verdicts of every set, then its numbers and the pictures of its pairs."""
    lines = ["# Quality of synthetic sets", "", MARKDOWN_LEAD, ""]
    for name, result in results.items():
        lines += _set_lines(name, result, measures)
    return "\n".join(lines)


MARKDOWN_LEAD = (
    f"By cgan_tf.quality {__version__}. Synthetic sets beside real patches of women whom no "
    "network has trained on; “real” is the reference, real patches beside real ones, where two "
    "sets are compared. For research only, not for diagnosis."
)


def _set_lines(name: str, result: SetResult, measures: Measures) -> list[str]:
    lines = [f"## {name}: {result.patches:,} patches, {result.directory}", ""]
    lines += [f"- {check.line}" for check in result.checks]
    lines += ["", "| | measure | synthetic | real |", "|---|---|---|---|"]
    for kind, measure, synthetic, real in result.rows(measures):
        lines.append(f"| {kind} | {measure} | {_cell(synthetic)} | {_cell(real)} |")
    lines += ["", *(_picture_line(picture) for picture in result.pictures)]
    return [*lines, ""]


def _picture_line(picture: Picture) -> str:
    address = quote(f"{PICTURES}/{picture.file}")
    pair = f"{picture.synthetic} and {picture.real}"
    return f"- {picture.kind}: [{pair}]({address}), {minus(f'{picture.value:.2f}')}"


def _cell(value: float | None) -> str:
    return "undefined" if value is None else minus(f"{value:.4g}")
