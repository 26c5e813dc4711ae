"""What a run was started with, and whether a later command asks for the same.

`run.json` holds the flags as they were typed and, for the flags that name inputs, where these lay
and a checksum. An input with a manifest is the same wherever it lies: a run goes on after its
inputs were moved, or after it was copied from a cluster together with them.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cgan_tf.runs.flags import config_to_dict, renamed

# Flags that may differ between the start of a run and its continuation: they change the pace of
# the work, or how it ends, but not what it makes.
PACE_FLAGS = frozenset(
    {"checkpoint_minutes", "collapse_steps", "workers", "beam", "parallel", "allow_shortfall"}
)
# Where a run lies is no part of it.
OWN_FLAGS = frozenset({"output_dir"})
# Flags that name files and directories which a run reads.
INPUT_FLAGS = frozenset(
    {
        *("input_dir", "normals_dir", "mapping", "patches_dir", "synthetic_dirs", "scored_dirs"),
        *("images_dir", "inserted_dirs"),
        *("pasted_dirs", "oracle_dirs", "gan_dirs", "generator", "generators", "init_from"),
        *("classifier", "critic", "weights", "imagenet_weights"),
        *("prediction_dirs", "calibration_dir"),
        *("report_flagfile", "quality_flagfile", "paste_flagfile"),
    }
)
# What says what an input directory is: a finished run's manifest, or a generator's card.
NAMES_OF_CONTENT = ("manifest.json", "model.json")


def run_inputs(config: Any) -> dict[str, list[dict[str, str]]]:
    """Path and checksum of everything that the flags name as an input, by flag."""
    found = {
        name: [_described(path) for path in _paths(value)]
        for name, value in config_to_dict(config).items()
        if name in INPUT_FLAGS
    }
    return {name: inputs for name, inputs in found.items() if inputs}


def differences(saved: Mapping[str, Any], config: Any) -> list[str]:
    """How a config differs from what `run.json` holds, a phrase for each flag."""
    now = config_to_dict(config)
    # A flag that is younger than the run had its default: off, or what the program did anyway.
    before = config_to_dict(type(config)()) | renamed(type(config), saved.get("flags", {}))
    names = sorted((set(before) | set(now)) - PACE_FLAGS - OWN_FLAGS)
    return [
        phrase
        for name in names
        if (phrase := _difference(name, before.get(name), now.get(name), saved.get("inputs", {})))
    ]


def _difference(name: str, before: Any, now: Any, inputs: Mapping[str, Any]) -> str:
    told = f"--{name} was {before!r}, is {now!r}"
    if name not in INPUT_FLAGS:
        return "" if before == now else told
    typed, paths = list(_paths(before)), list(_paths(now))
    known = inputs.get(name) or [{"path": path} for path in typed]
    if len(known) != len(paths):
        return told
    inputs_of_flag = zip(known, paths, strict=True)
    phrases = (_other_input(name, told, *pair, typed == paths) for pair in inputs_of_flag)
    return next(filter(None, phrases), "")


def _other_input(name: str, told: str, known: Mapping[str, str], path: str, typed: bool) -> str:
    """How one input differs from the `known` one; `typed`: the flag was typed the same."""
    found = _described(path)
    same_place = typed or _resolved(str(known.get("path", ""))) == found["path"]
    if not (known.get("sha256") and found["sha256"]):
        return "" if same_place else told
    if known["sha256"] == found["sha256"]:
        return ""
    if not same_place:
        return told
    return f"--{name}: {path} holds something else than when the run began"


def _paths(value: Any) -> Iterator[str]:
    values = value if isinstance(value, list) else [value]
    return (path for path in values if path)


def _described(path: str) -> dict[str, str]:
    return {"path": _resolved(path), "sha256": _checksum(path)}


def _resolved(path: str) -> str:
    """An absolute path without links; of an object store, the name without a slash at its end."""
    if "://" in path:
        return path.rstrip("/")
    try:
        return str(Path(path).expanduser().resolve())
    except (OSError, RuntimeError):  # a loop of links
        return path


def _checksum(path: str) -> str:
    """SHA-256 of a directory's manifest or card, or of a file; empty without one."""
    if "://" in path:
        return ""
    place = Path(path).expanduser()
    for candidate in (*(place / name for name in NAMES_OF_CONTENT), place):
        try:
            with candidate.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            continue
    return ""
