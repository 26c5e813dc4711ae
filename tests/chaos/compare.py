"""Whether two runs of a program left the same, where that does not tell the time."""

import hashlib
import json
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

# Logs of a run: they hold times, names of processes, or one more line for every attempt.
LOGS = ("*tensorboard/*", "*logs/*", "*.lock")
# Files that grow, or come and go, while a run is unfinished.
GROWING = (
    *(*LOGS, "*metrics.csv", "*progress.json", "*accepted.tfrecord", "*.spill/*", "*checkpoints"),
    *(
        "*generator",
        "*validation/*",
        "*best.weights.h5",
        "*contents.json",
        "*failed.json",
        "*run.json",
    ),
)
_TIMES = ("seconds", "checkpoint_share")
_CHECKPOINT = "checkpoints"
_GENERATOR = "saved_model.pb"


def differences(expected: Path, found: Path, ignored: tuple[str, ...] = ()) -> list[str]:
    """What is different, missing or too many in a finished run, but for the files `ignored`."""
    whole, other = contents(expected), contents(found)
    for name in ignored:
        whole.pop(name, None)
        other.pop(name, None)
    return sorted(_differences(whole, other))


def torn(expected: Path, found: Path, ignored: tuple[str, ...] = ()) -> list[str]:
    """Files of an unfinished run that have their final names and not their final contents, but for
    the files `ignored`."""
    whole, part = (
        {name: read for name, read in contents(path).items() if not _matches(name, GROWING)}
        for path in (expected, found)
    )
    named = (part.keys() & whole.keys()) - set(ignored)
    final = (name for name in named if not Path(name).name.startswith("."))
    return sorted(name for name in final if whole[name]() != part[name]())


def contents(directory: Path) -> dict[str, Callable[[], Any]]:
    """What can be compared, by name: files, and the weights of checkpoints and generators."""
    found: dict[str, Callable[[], Any]] = {}
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        name = path.relative_to(directory).as_posix()
        if _matches(name, LOGS) or path.parent.name == "logs":
            continue
        unit = _unit(path, directory)
        if unit:
            found[unit.relative_to(directory).as_posix()] = lambda unit=unit: weights(unit)
        elif path.suffix == ".json":
            found[name] = lambda path=path: _json(path)
        else:
            found[name] = lambda path=path: hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def weights(directory: Path) -> Any:
    """The values in the checkpoints under a work directory's `checkpoints`, or in a SavedModel.

    Which checkpoints a run keeps depends on when it was stopped; the last one is the run's end.
    Keras numbers the variables of an export in any order.
    """
    if directory.name == _CHECKPOINT:
        last = max(directory.glob("step-*"))
        return last.name, _values(last / "variables")
    card = _timeless(json.loads((directory / "model.json").read_text()))
    return card, sorted(_values(directory / "variables" / "variables").values())


def _values(prefix: Path) -> dict[str, tuple]:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(prefix))
    names = [n for n in reader.get_variable_to_shape_map() if not n.startswith("_CHECKPOINTABLE")]
    return {
        name: (value.shape, value.tobytes())
        for name in names
        if not name.startswith("save_counter")
        for value in [reader.get_tensor(name)]
    }


def _differences(expected: dict[str, Callable], found: dict[str, Callable]) -> list[str]:
    return [
        *(f"{name}: missing" for name in expected.keys() - found.keys()),
        *(f"{name}: too many" for name in found.keys() - expected.keys()),
        *(
            f"{name}: other content"
            for name in expected.keys() & found.keys()
            if expected[name]() != found[name]()
        ),
    ]


def _unit(path: Path, root: Path) -> Path | None:
    """The directory that is compared as a whole and that `path` is in."""
    for folder in path.relative_to(root).parents:
        place = root / folder
        if place.name == _CHECKPOINT or (place / _GENERATOR).exists():
            return place
    return None


def _json(path: Path) -> Any:
    content = path.read_bytes()
    try:
        return _timeless(json.loads(content))
    except ValueError:  # half of a file, or one that the phantom breaks on purpose
        return content


def _timeless(content: Any) -> Any:
    """JSON without what no two runs share.

    That is times, the checksum of a generator, which has no order, and where an input lay: a
    disturbed run may have a copy of its own.
    """
    if isinstance(content, list):
        return [_timeless(each) for each in content]
    if not isinstance(content, dict):
        return content
    dropped = [*_TIMES]
    if "z_width" in content:
        dropped.append("checksum")
    if content.keys() == {"path", "sha256"}:  # of run.json's inputs
        dropped.append("path")
    return {key: _timeless(value) for key, value in content.items() if key not in dropped}


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)
