"""The card of an exported generator (model.json): what it is, and the checksum of its files."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cgan_tf.config import LesionsConfig
from cgan_tf.labels import TASKS
from cgan_tf.runs.directory import MANIFEST_FILE, read_json, sha256
from cgan_tf.runs.errors import UserError

CARD = "model.json"
_KINDS: dict[str, type] = {"size": int, "z_width": int, "task": str, "checksum": str}


def read_card(directory: str | Path) -> dict[str, Any]:
    """The card of a generator directory.

    Raises `UserError` when it is missing or damaged or the files are not those it was written for:
    damaged SavedModels can abort inside TensorFlow, so the checksum comes first.
    """
    directory = Path(directory)
    card = read_json(directory / CARD)
    found = directory_checksum(directory)
    if found != card.get("checksum"):
        raise UserError(f"{directory}: expected checksum {card.get('checksum')}, found {found}")
    _check_card(directory, card)
    return card


def _check_card(directory: Path, card: Mapping[str, Any]) -> None:
    """Raises `UserError` for a card without what every user of a generator reads."""
    for name, kind in _KINDS.items():
        if not isinstance(card.get(name), kind):
            raise wrong_card(directory, name, kind.__name__, card.get(name))
    if card["task"] not in (*TASKS, "conditional"):
        raise wrong_card(directory, "task", " or ".join(TASKS), card["task"])
    if card.get("categories", list(TASKS)) != list(TASKS):
        raise wrong_card(directory, "categories", str(list(TASKS)), card["categories"])


def wrong_card(directory: str | Path, name: str, expected: str, found: Any) -> UserError:
    """What is said of a value of a card that cannot be right."""
    path = Path(directory) / CARD
    return UserError(f"{path}: {name}: expected {expected}, found {found!r:.80}")


def directory_checksum(directory: Path) -> str:
    """SHA-256 over the names and contents of a SavedModel's files, the card left out."""
    digest = hashlib.sha256()
    for path in sorted(p for p in directory.rglob("*") if p.is_file() and p.name != CARD):
        digest.update(f"{path.relative_to(directory).as_posix()} {sha256(path)}\n".encode())
    return digest.hexdigest()


def task_of(config: LesionsConfig, card: Mapping[str, Any]) -> str:
    """The generator's task, or the category that --task names of a conditional one's."""
    known = card.get("categories", [card["task"]])
    task = config.task or card["task"]
    if task not in known:
        raise UserError(
            f"--task: expected {' or '.join(known)} for {config.generator}, "
            f"found {config.task or 'nothing'}"
        )
    return task


def resolution_of(patches_dir: str | Path) -> dict[str, float]:
    """How make_patches resampled the images of a patch set: for the card of its generator."""
    flags = read_json(Path(patches_dir) / MANIFEST_FILE).get("flags", {})
    return {name: flags[name] for name in ("resample_spacing_mm", "reduction") if name in flags}
