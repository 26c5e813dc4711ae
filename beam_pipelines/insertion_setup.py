"""What every worker of insert_lesions is told: the flags, the generator's card, what follows."""

import dataclasses
import json
from typing import Any

from beam_pipelines.sources import digest
from cgan_tf.config import InsertionConfig, scaled_length
from cgan_tf.errors import UserError
from cgan_tf.flag_config import config_to_dict
from cgan_tf.generator_card import task_of, training_resolution

# Flags that decide neither the pixels of an image nor its header.
_OTHER_FLAGS = frozenset(
    {"generator", "input_dir", "output_dir", "images", "previews", "beam", "normals_from_cases",
     "normal_follow_up", "allow_synthetic", "source"}
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Setup:
    """Flags and card, resolved.

    Attributes:
      card: of the generator, without the flags of its training.
      border: pixels at the edge of a patch where the generator changes nothing.
      reduction, spacing_mm: arguments of `dicom.reduce` that make what the generator is shown.
      fingerprint: stands for all that decides the pixels of an image besides its source.
    """

    config: InsertionConfig
    card: dict[str, Any]
    task: str
    border: int
    reduction: int
    spacing_mm: float
    fingerprint: str

    @property
    def size(self) -> int:
        """Of the generator's patches."""
        return self.card["size"]

    @property
    def removal(self) -> bool:
        """Whether lesions are removed."""
        return self.task == "removal"


def setup_of(config: InsertionConfig, card: dict[str, Any]) -> Setup:
    """Checks the flags and resolves those that follow the generator; `UserError` otherwise."""
    task = task_of(config, card)
    for name in ("lesions_per_image", "draws"):
        if getattr(config, name) < 1:
            raise UserError(f"--{name}: expected 1 or more, found {getattr(config, name)}")
    if min(config.images, config.previews, config.reduction) < 0:
        raise UserError("--images, --previews, --reduction: expected 0 or more")
    if not 0 < config.min_tissue <= 1:
        raise UserError(f"--min_tissue: expected above 0 and at most 1, found {config.min_tissue}")
    if task == "removal" and config.source == "folder":
        raise UserError(
            "--source=folder names no lesions that could be removed; removal needs annotated "
            "images (--source=optimam)"
        )
    reduction, spacing = _resolution(config, card)
    border = card.get("flags", {}).get("border", 0)
    flags = {k: v for k, v in config_to_dict(config).items() if k not in _OTHER_FLAGS}
    decides = json.dumps([card["checksum"], task, reduction, spacing, flags], sort_keys=True)
    return Setup(
        config=config,
        card={name: value for name, value in card.items() if name != "flags"},
        task=task,
        border=scaled_length(border, card["size"]),
        reduction=reduction,
        spacing_mm=spacing,
        fingerprint=digest(decides).hex(),
    )


def _resolution(config: InsertionConfig, card: dict[str, Any]) -> tuple[int, float]:
    """(reduction, spacing in mm): those of the flags, else those of the generator's patches."""
    trained = training_resolution(card)
    if config.reduction == 0 and config.resample_spacing_mm < 0 and not trained:
        raise UserError(
            f"{config.generator}: does not say at which resolution its training patches were; "
            "give --resample_spacing_mm (0: native) and --reduction"
        )
    spacing = config.resample_spacing_mm
    if spacing < 0:
        spacing = trained.get("resample_spacing_mm", 0.0)
    return config.reduction or int(trained.get("reduction", 1)), spacing
