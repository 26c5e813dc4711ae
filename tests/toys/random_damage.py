"""Ways in which files are damaged: bytes, as Hypothesis draws them, and values of JSON."""

import dataclasses
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies


@dataclasses.dataclass(frozen=True)
class Damage:
    """One damage to a file's bytes: what happens, where (0 to 1), to how many bytes."""

    kind: str
    place: float
    length: int
    seed: int

    def apply(self, content: bytes) -> bytes:
        """The damaged content."""
        start = int(self.place * len(content))
        end = min(len(content), start + self.length)
        before, part, after = content[:start], content[start:end], content[end:]
        noise = random.Random(self.seed)
        if self.kind == "flip":
            bit = 1 << noise.randrange(8)
            part = bytes(byte ^ bit for byte in part[:1]) + part[1:]
        elif self.kind == "noise":
            part = noise.randbytes(len(part))
        elif self.kind == "zeros":
            part = bytes(len(part))
        elif self.kind == "ones":
            part = b"\xff" * len(part)
        elif self.kind == "delete":
            part = b""
        elif self.kind == "insert":
            part = noise.randbytes(self.length) + part
        elif self.kind == "repeat":
            part = part * 2
        elif self.kind == "cut":
            part = after = b""
        return before + part + after


KINDS = ("flip", "noise", "zeros", "ones", "delete", "insert", "repeat", "cut")
_ONE = strategies.builds(
    Damage,
    kind=strategies.sampled_from(KINDS),
    place=strategies.floats(0, 1, exclude_max=True),
    length=strategies.sampled_from((1, 2, 4, 8, 32, 256)),
    seed=strategies.integers(0, 2**16),
)
DAMAGES = strategies.lists(_ONE, min_size=1, max_size=4)


def damaged(content: bytes, damages: list[Damage]) -> bytes:
    """The content after all of the damages."""
    for damage in damages:
        content = damage.apply(content)
    return content


# Values that readers trip over, in any place of a JSON document.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**63, 10**400, 1e308, -0.5, float("nan"), float("inf")),
    *("", "0", "1", "-3", "1e999", "NaN", "200", "2012-03-01", "01/03/2012", "20120301", "L", "R"),
    *("../../etc/passwd", "/dev/zero", "a\x00b", "\ud800", "\u202e", "x" * 5000, "H5", "B2", "1,2"),
    *("1 OR 1", [], {}, [[]], {"": None}, [None, "1"], {"L": {}, "R": {}}),
)


def change_value(content: Any, rng: random.Random) -> None:
    """Changes one place of a JSON document."""
    places = list(_places(content))
    if not places:
        return
    container, key = rng.choice(places)
    change = rng.choice(_CHANGES)
    change(container, key, rng.choice(places), rng)


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    keys = content if isinstance(content, dict) else range(len(content))
    for key in list(keys):
        yield content, key
        if isinstance(content[key], dict | list):
            yield from _places(content[key])


def _replace(container, key, _other, rng: random.Random) -> None:
    container[key] = rng.choice(VALUES)


def _copy(container, key, other, _rng) -> None:
    text = json.dumps(other[0][other[1]])
    container[key] = json.loads(text) if len(text) < 2000 else None


def _delete(container, key, _other, _rng) -> None:
    del container[key]


def _rename(container, key, other, rng: random.Random) -> None:
    if isinstance(container, dict):
        name = rng.choice([str(other[1]), *(v for v in VALUES if isinstance(v, str))])
        container[name] = container.pop(key)


_CHANGES: tuple[Callable, ...] = (_replace, _replace, _copy, _delete, _rename)
