"""What a measure is, and what it gives to verdicts, tables, pictures and the report."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from cgan_tf.assessment.reading import PatchView, Readings
from cgan_tf.pages.html import Table
from cgan_tf.pages.style import format_probability, minus

LAST = 100  # rank of a measure that does not ask for another place

Values = TypeVar("Values")


@dataclasses.dataclass(frozen=True)
class Check:
    """One verdict.

    Attributes:
      name: of the fault that was looked for. seen: None where it cannot be looked for.
      text: the numbers behind it.
    """

    name: str
    seen: bool | None
    text: str

    @property
    def line(self) -> str:
        """The verdict in one line."""
        verdict = {True: "seen", False: "not seen", None: "not measured"}[self.seen]
        return minus(f"{verdict}: {self.name}: {self.text}")


class Row(NamedTuple):
    """A number of quality.csv and quality.md.

    `real` is the reference of a comparison (real against real), the value of real lesions, or what
    is expected by chance.
    """

    kind: str
    measure: str
    synthetic: float | None
    real: float | None


@dataclasses.dataclass(frozen=True)
class Pair:
    """A synthetic patch and a real one to look at beside it.

    Attributes:
      kind: name of its `PairKind`. synthetic, real: ids of the patches.
      value: a distance or a similarity.
    """

    kind: str
    synthetic: str
    real: str
    value: float


@dataclasses.dataclass(frozen=True)
class PairKind:
    """Pairs that are shown together.

    Attributes:
      name: in file names. title: of the gallery. caption: what the pairs are, in which {space}
        stands for the feature space that chose them; their values follow it.
    """

    name: str
    title: str
    caption: str


class Measure(Protocol[Values]):
    """All that there is to say about one measure of a synthetic set.

    To add one, derive a class, give it at least the first four members, and add an instance to
    `measures.MEASURES`. The values are a dataclass, or a dict or list of dataclasses; the return
    annotation of `compute` says how to read them back from JSON.

    Attributes:
      name: key in quality.json.
      verdict_rank, table_rank: places among the verdicts and in tables and pictures; equal ranks
        keep the order of `MEASURES`.
      pair_kinds: the kinds of pairs that `pairs` gives.
    """

    name: str
    verdict_rank: int = LAST
    table_rank: int = LAST
    pair_kinds: tuple[PairKind, ...] = ()

    def compute(self, readings: Readings) -> Values:
        """The values of a set."""
        ...

    def verdict(self, values: Values, task: str) -> Sequence[Check]:
        """The verdicts on the values of a set; `task`: mass, calcification or removal."""
        ...

    def rows(self, values: Values) -> Iterable[Row]:
        """The numbers for quality.csv and quality.md."""
        ...

    def patch_values(self, view: PatchView) -> Mapping[str, float]:
        """Values of one patch, which `PatchReadings.values` collects under these names.

        What is undefined is left out.
        """
        return {}

    def pairs(self, readings: Readings, values: Values) -> Sequence[Pair]:
        """Patches worth a look."""
        return ()

    def tables(self, values: Values, task: str) -> Sequence[Table]:
        """Tables for the report; tables of one name are joined, in the order of the measures."""
        return ()


def number(value: float | None, digits: int = 2) -> str:
    """A number as the report's tables show it."""
    return "undefined" if value is None else minus(f"{value:.{digits}f}")


def probability(value: float | None) -> str:
    """A p-value as the report's tables show it."""
    return "undefined" if value is None else format_probability(value)
