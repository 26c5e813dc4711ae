"""Whether two directories hold the same payloads, and where they differ first.

A payload is a file, or the variables of a checkpoint, read into named parts: lines of a table, keys
of a JSON file, arrays of a set of weights, the whole file where it has no parts. Two payloads are
the same when all parts are, in order, byte for byte.
"""

import base64
import collections
import csv
import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

Parts = dict[str, Any]  # bytes, text, numbers or arrays by name

# What is not compared, and why. Files, and places in JSON files, by pattern.
LEFT_OUT_FILES = {
    "*.lock": "empty",
    "*.data-?????-of-?????": "read through the .index file beside it",
    "generators/*": "copies of the base's",
    "*/fingerprint.pb": "of saved_model.pb",
    "*/metrics.json": "of the pipelines: how long work took",
    "*.onnx": "two conversions of one generator differ; tests compare what it computes",
    "*/checksums.json": "of a checkpoint, whose files hold names; its arrays are compared",
}
_NO_ORDER = "of files of a generator, whose variables have no order"
LEFT_OUT_KEYS = {
    "/version": "the version of the project",
    "*seconds": "time",
    "*/checkpoint_share": "time",
    "/checksum": _NO_ORDER,
    "*/generator/checksum": _NO_ORDER,
}
LEFT_OUT_COLUMNS = {
    "*seconds": "time",
}
LEFT_OUT_TEXT: dict[str, str] = {}
LEFT_OUT_TAGS = {
    "_hparams_/*": "time and name of a run",
    "*images_per_second": "time",
}
# Event files are named after the time, the machine and the process.
_EVENT_FILE = re.compile(r"(tfevents)\.[^/]*")
_PICTURE = re.compile(rb"data:image/[\w.+-]+;base64,([A-Za-z0-9+/=]+)")


@dataclasses.dataclass(frozen=True)
class Payload:
    """What is compared as one: its kind, and a function that reads its parts."""

    kind: str
    read: Callable[[], Parts]


@dataclasses.dataclass
class Outcome:
    """The comparison of one kind: how many payloads there are and which of them differ.

    Attributes:
      differences: by payload, where it differs first.
    """

    count: int = 0
    differences: dict[str, str] = dataclasses.field(default_factory=dict)


def compare(base: Path, head: Path) -> dict[str, Outcome]:
    """Outcomes by kind."""
    before, after = dict(payloads(base)), dict(payloads(head))
    found: dict[str, Outcome] = collections.defaultdict(Outcome)
    for name in sorted(before.keys() | after.keys()):
        outcome = found[(before.get(name) or after[name]).kind]
        outcome.count += 1
        if name not in after:
            outcome.differences[name] = "missing in head"
        elif name not in before:
            outcome.differences[name] = "not in base"
        elif place := first_difference(before[name], after[name]):
            outcome.differences[name] = place
    return dict(sorted(found.items()))


def left_out() -> list[str]:
    """What is not compared and why, a line each."""
    tables = {
        "files": LEFT_OUT_FILES, "JSON keys": LEFT_OUT_KEYS, "columns": LEFT_OUT_COLUMNS,
        "text of pages": LEFT_OUT_TEXT, "TensorBoard tags": LEFT_OUT_TAGS,
    }  # fmt: skip
    return [
        f"{what} {pattern}: {why}"
        for what, table in tables.items()
        for pattern, why in table.items()
    ]


def payloads(directory: Path) -> Iterator[tuple[str, Payload]]:
    """(name, payload) of everything in a directory but what is left out."""
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        name = _EVENT_FILE.sub(r"\1", path.relative_to(directory).as_posix())
        if _matches(name, LEFT_OUT_FILES):
            continue
        for kind, reader in _kinds(path):
            yield f"{name} ({kind})", Payload(kind, functools.partial(reader, path))


def _kinds(path: Path) -> list[tuple[str, Callable[[Path], Parts]]]:
    fitting = [(kind, reader) for kind, pattern, reader in KINDS if path.match(pattern)]
    return fitting or [("other files", _whole)]


def first_difference(before: Payload, after: Payload) -> str:
    """Where two payloads differ first; empty if they are the same.

    Weights may have other names, since a variable is named after the attributes it hangs on; the
    names in an export are numbers without an order.
    """
    old, new = before.read(), after.read()
    numbered = any(name.startswith("_all_variables/") for name in old)
    if before.kind == "weights" and (numbered or list(old) != list(new)):
        return _renamed_difference(old, new)
    for name, value in old.items():
        if name not in new:
            return f"{name} missing in head"
        if how := _difference(value, new[name]):
            return f"{name}: {how}".removeprefix(": ")
    extra = [name for name in new if name not in old]
    if not extra and list(old) != list(new):
        return "other order"
    return f"{extra[0]} not in base" if extra else ""


def _difference(old: Any, new: Any) -> str:
    if isinstance(old, np.ndarray) and isinstance(new, np.ndarray):
        return _array_difference(old, new)
    if isinstance(old, bytes) and isinstance(new, bytes):
        if old == new:
            return ""
        pairs = enumerate(zip(old, new, strict=False))
        place = next((n for n, (a, b) in pairs if a != b), min(len(old), len(new)))
        return f"byte {place} of {len(old)} (head: {len(new)})"
    same = type(old) is type(new) and repr(old) == repr(new)
    return "" if same else f"{_short(old)} became {_short(new)}"


def _array_difference(old: np.ndarray, new: np.ndarray) -> str:
    if (old.dtype, old.shape) != (new.dtype, new.shape):
        return f"{old.dtype}{old.shape} became {new.dtype}{new.shape}"
    if old.tobytes() == new.tobytes():
        return ""
    if old.dtype.kind not in "fiu":
        return "other values"
    gap = np.abs(old.astype(float) - new.astype(float))
    return f"{np.count_nonzero(gap)} of {gap.size} values, by up to {gap.max():.3g}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _renamed_difference(old: Parts, new: Parts) -> str:
    """The first array of one that has no equal in the other, whatever their names."""
    before, after = (
        collections.Counter(
            (array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).hexdigest())
            for array in weights.values()
        )
        for weights in (old, new)
    )
    for (dtype, shape, _), count in (before - after).items():
        return f"without names, {count} array {dtype}{shape} of base has no equal in head"
    for (dtype, shape, _), count in (after - before).items():
        return f"without names, {count} array {dtype}{shape} of head has no equal in base"
    return ""


def _whole(path: Path) -> Parts:
    return {"": path.read_bytes()}


def _table(path: Path) -> Parts:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    titles = rows[0] if rows else []
    kept = [n for n, title in enumerate(titles) if not _matches(title, LEFT_OUT_COLUMNS)]
    return {
        f"line {number}": [row[n] for n in kept if n < len(row)]
        for number, row in enumerate(rows, 1)
    }


def _json(path: Path) -> Parts:
    content = path.read_bytes()
    try:
        tree = json.loads(content)
    except ValueError:  # one that the phantom breaks on purpose
        return {"": content}
    return dict(_leaves(tree, ""))


def _leaves(tree: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict | list) and tree:
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            if not _matches(inner := f"{place}/{key}", LEFT_OUT_KEYS):
                yield from _leaves(value, inner)
    else:
        yield place, tree


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _npz(path: Path) -> Parts:
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _checkpoint(path: Path) -> Parts:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(path.with_suffix("")))
    names = sorted(reader.get_variable_to_shape_map())
    return {
        name: np.asarray(reader.get_tensor(name))
        for name in names
        if not name.startswith(("_CHECKPOINTABLE", "save_counter"))
    }


def _generated(path: Path) -> Parts:
    """What an exported generator makes of two images and random scalars."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path.parent))
    function = loaded.signatures["with_noise"]
    rng = np.random.default_rng(0)
    given = {
        name: tf.constant(rng.uniform(-1, 1, (2, *spec.shape[1:])), tf.float32)
        if spec.dtype == tf.float32
        else tf.constant([0, 1], spec.dtype)
        for name, spec in sorted(function.structured_input_signature[1].items())
    }
    return {name: value.numpy() for name, value in sorted(function(**given).items())}


def _h5(path: Path) -> Parts:
    import h5py

    found: Parts = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return found


def _events(path: Path) -> Parts:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    return {
        f"step {event.step} {value.tag}": value.SerializeToString(deterministic=True)
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
        if not _matches(value.tag, LEFT_OUT_TAGS)
    }


def _page(path: Path) -> Parts:
    text = _PICTURE.sub(b"(picture)", path.read_bytes()).decode()
    for pattern in LEFT_OUT_TEXT:
        text = re.sub(pattern, "(left out)", text)
    return {f"line {number}": line for number, line in enumerate(text.splitlines(), 1)}


def _page_pictures(path: Path) -> Parts:
    found = _PICTURE.findall(path.read_bytes())
    return {f"picture {number}": base64.b64decode(text) for number, text in enumerate(found, 1)}


# Kind, file name, reader.
KINDS: tuple[tuple[str, str, Callable[[Path], Parts]], ...] = (
    ("shards", "*.tfrecord", _whole),
    ("tables", "*.csv", _table),
    ("JSON", "*.json", _json),
    ("weights", "*.index", _checkpoint),
    ("weights", "*.h5", _h5),
    ("generated images", "saved_model.pb", _generated),
    ("arrays", "*.npz", _npz),
    ("DICOM", "*.dcm", _whole),
    ("pictures", "*.png", _whole),
    ("pages", "*.html", _page),
    ("page pictures", "*.html", _page_pictures),
    ("logs", "*.tfevents.*", _events),
)
