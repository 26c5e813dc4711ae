"""The card of an exported generator (model.json): what it is, and the checksum of its files."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cgan_tf.config import GanConfig, LesionsConfig
from cgan_tf.labels import TASKS
from cgan_tf.runs.directory import Json, read_json, sha256, write_json
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import config_from_dict, config_to_dict, renamed

CARD = "model.json"
GENERATOR = "generator"  # in the output directory of train_gan
CONDITIONAL = "conditional"
_KINDS: dict[str, type] = {"size": int, "z_width": int, "task": str, "checksum": str}
_OPTIONAL: dict[str, type] = {
    "step": int, "patches_manifest_sha256": str, "patients": list, "resolution": dict,
    "licence": str, "flags": dict, "init_from": dict, "phantom": bool,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class GeneratorCard:
    """What an exported generator is; model.json holds it.

    Attributes:
      task: one of `TASKS`, or `CONDITIONAL`.
      size: side of a patch in pixels. z_width: of z, see `models.generator.z_width`.
      checksum: of the SavedModel's files, see `directory_checksum`.
      step: of the training. patches_manifest_sha256: of the patches it was trained on; empty for
        those of several sets (see `init_from`).
      patients: of these, as `provenance.patient_digest` names them; empty where nobody knows.
      resolution: how these were resampled, see `data.patch_sets.resolution_of`; empty where nobody
        knows.
      licence: of the generator. flags: of its training.
      init_from: the generator that the training started from, see `fine_tuning.Start.summary`;
        empty for one that started from random weights.
      phantom: whether its patches were drawn by a computer: it has seen no mammogram.
    """

    task: str
    size: int
    z_width: int
    checksum: str
    step: int = 0
    patches_manifest_sha256: str = ""
    patients: list[str] = dataclasses.field(default_factory=list)
    resolution: Mapping[str, float] = dataclasses.field(default_factory=dict)
    licence: str = ""
    flags: Json = dataclasses.field(default_factory=dict)
    init_from: Json = dataclasses.field(default_factory=dict)
    phantom: bool = False

    @property
    def conditional(self) -> bool:
        """Whether it takes a category beside the image."""
        return self.task == CONDITIONAL

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it can do; a category is a place in here."""
        return TASKS if self.conditional else (self.task,)

    def summary(self) -> Json:
        """The card without the flags and the patients, as the manifest of the training holds it."""
        return {
            "format": 1,
            "task": self.task,
            **({"categories": list(TASKS)} if self.conditional else {}),
            "size": self.size,
            "z_width": self.z_width,
            "step": self.step,
            "checksum": self.checksum,
            "patches_manifest_sha256": self.patches_manifest_sha256,
            "resolution": dict(self.resolution),
            "licence": self.licence,
            **({"init_from": self.init_from} if self.init_from else {}),
            **({"phantom": True} if self.phantom else {}),
        }


def write_card(directory: Path, card: GeneratorCard) -> None:
    """Writes model.json."""
    content = card.summary() | {"patients": card.patients, "flags": card.flags}
    write_json(directory / CARD, content)


def read_card(directory: str | Path) -> GeneratorCard:
    """The card of a generator directory.

    Raises `UserError` when it is missing or damaged or the files are not those it was written for:
    damaged SavedModels can abort inside TensorFlow, so the checksum comes first.
    """
    directory = Path(directory)
    values = read_json(card_path(directory))
    found = directory_checksum(directory)
    if found != values.get("checksum"):
        raise UserError(f"{directory}: expected checksum {values.get('checksum')}, found {found}")
    return card_from(values, directory)


def card_path(directory: str | Path) -> Path:
    """The path of a card; `UserError`, which says where else there is one, when it is missing."""
    path = Path(directory) / CARD
    if not path.exists():
        raise UserError(
            f"{directory}: expected a generator directory of train_gan, found "
            + _instead_of_card(path.parent)
        )
    return path


def _instead_of_card(directory: Path) -> str:
    for place in (directory / GENERATOR, directory.parent / GENERATOR):
        if (place / CARD).exists():
            return f"none; it is in {place}"
    if directory.is_dir():
        return f"no {CARD} in it"
    return "a file" if directory.exists() else "no such directory"


def card_from(values: Json, directory: str | Path) -> GeneratorCard:
    """The card that model.json of `directory` holds.

    Raises `UserError` for one without what every user of a generator reads. What came to cards
    later may be missing.
    """
    known = {name: values[name] for name in (*_KINDS, *_OPTIONAL) if name in values}
    for name, kind in (_KINDS | _OPTIONAL).items():
        if (name in known or name in _KINDS) and not isinstance(known.get(name), kind):
            raise wrong_card(directory, name, kind.__name__, known.get(name))
    card = GeneratorCard(**known)
    if card.task not in (*TASKS, CONDITIONAL):
        raise wrong_card(directory, "task", " or ".join(TASKS), card.task)
    categories = list(TASKS) if card.conditional else None
    if values.get("categories") != categories:
        expected = str(categories or "nothing")
        raise wrong_card(directory, "categories", expected, values.get("categories"))
    return card


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


def task_of(config: LesionsConfig, card: GeneratorCard) -> str:
    """The generator's task, or the category that --task names of a conditional one's."""
    task = config.task or card.task
    if task not in card.tasks:
        raise UserError(
            f"--task: expected {' or '.join(card.tasks)} for {config.generator}, "
            f"found {config.task or 'nothing'}"
        )
    return task


def config_of(card: GeneratorCard) -> GanConfig:
    """The flags of its training; one that is younger than the card had its default.

    Raises `UserError` for flags that there are no more.
    """
    return config_from_dict(GanConfig, config_to_dict(GanConfig()) | renamed(GanConfig, card.flags))
