"""A removal that is more than the paper's: tissue in the lesion's place, and a test of the result.

The paper adds the lesion channel and is done. What it takes away may be a third of a lesion, and it
leaves a smooth disc; as a normal patch such a result teaches a classifier that lesions are normal.
"""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.special import expit

from cgan_tf.config import SynthesisConfig
from cgan_tf.data.lesion_layer import Box, lesion_layer
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.data.records import PatchRecord
from cgan_tf.labels import NORMAL, SOURCE
from cgan_tf.runs.directory import Json, read_manifest
from cgan_tf.runs.errors import UserError
from cgan_tf.synthesis.background import Tissue, lesion_region
from cgan_tf.synthesis.postprocess import (
    EMPTY,
    Extraction,
    Lesion,
    box_around,
    chosen_objects,
    darkened,
    expand,
)

LESION_LEFT = "lesion_left"  # too little of its bright part is gone
LITTLE_TISSUE = "little_tissue"  # for a normal patch
LOOKS_MALIGNANT = "looks_malignant"  # to the critic
FLAGS = ("texture", "min_share_removed", "min_tissue", "critic", "max_critic_score")

Critic = Callable[[np.ndarray], float]  # a patch float32 [size, size] to its score, 0 to 1


def check_flags(config: SynthesisConfig, task: str) -> None:
    """Raises `UserError` for flags of removal with another task, or without what they need."""
    given = [name for name in FLAGS if getattr(config, name) != getattr(SynthesisConfig(), name)]
    if given and task != "removal":
        raise UserError(f"--{given[0]}: is for removal, found the task {task}")
    if config.max_critic_score and not config.critic:
        raise UserError(
            f"--max_critic_score={config.max_critic_score}: expected a --critic, found none"
        )


def tissue_of(config: SynthesisConfig, patches: PatchSet) -> Tissue | None:
    """The healthy patches that --texture=tissue takes from; None without it.

    They are of class source, which has no other use. The validation and test splits have none;
    there normal patches give the tissue, which is for measuring alone.
    """
    if config.texture == "none":
        return None
    split = config.source_split
    healthy = SOURCE if split == "train" else NORMAL
    try:
        return Tissue(patches.index(split, healthy), config.seed)
    except UserError as error:
        raise UserError(f"{error}; --texture=tissue takes from them") from error


def replaced_lesion(
    patch: np.ndarray,
    channel: np.ndarray,
    box: Box,
    how: Extraction,
    tissue: Tissue,
    rng: np.random.Generator,
) -> Lesion:
    """The difference between healthy tissue and what a lesion's place shows.

    The place: the objects that --objects keeps of the lesion channel and `lesion_region`, expanded.
    The mask has no soft edge, because the tissue fits at the edge.

    Args:
      patch, channel: float32 [size, size]. box: the annotated one.
    """
    objects, _ = chosen_objects(darkened(channel, how.threshold), how, box)
    objects = objects | lesion_region(patch, box)
    area = int(objects.sum())
    place = expand(objects, how.dilation_px)
    reason = EMPTY if place.all() else how.misfit(area, patch.size)
    if reason:
        return Lesion(area, reason)
    change = tissue.filled(patch, place, rng) - patch
    # A calcification at the end of the grey scale may fall by more than a stored lesion can say.
    lesion = np.clip(change, -1, 1).astype(np.float32)
    return Lesion(area, "", place.astype(np.float32), lesion, box_around(place), place)


def share_removed(source: np.ndarray, cleaned: np.ndarray, box: Box) -> float:
    """The share of a lesion's bright part that is gone: 0 nothing, 1 all, above 1 more than it.

    The lesion is the estimate of `lesion_layer`, its bright part above half of its peak. A perfect
    removal has about 0.9, because the estimate also takes for lesion what is bright in the tissue
    behind it; NaN without an estimate.

    Args:
      source, cleaned: float [size, size]. box: the annotated one.
    """
    before, after = (lesion_layer(each, box) if box else None for each in (source, cleaned))
    if before is None or after is None or not (before > 0).any():
        return math.nan
    bright = before > np.quantile(before[before > 0], 0.99) / 2
    return float(1 - after[bright].sum() / before[bright].sum())


@dataclasses.dataclass(frozen=True)
class Acceptance:
    """The test that a cleaned patch must pass.

    Attributes:
      min_tissue: share of the patch. min_share: of `share_removed`. max_score: of the critic. Each
        is not asked for where it is 0.
    """

    min_tissue: float
    min_share: float
    max_score: float
    critic: Critic | None

    def fault(self, source: PatchRecord, cleaned: np.ndarray) -> str:
        """Empty, or why a cleaned patch [size, size] is no normal one."""
        if source.tissue_fraction < self.min_tissue:
            return LITTLE_TISSUE
        # A share that cannot be estimated is none that is large enough.
        if self.min_share and not (
            share_removed(source.patch, cleaned, source.box) >= self.min_share
        ):
            return LESION_LEFT
        if self.max_score and self.critic and self.critic(cleaned) > self.max_score:
            return LOOKS_MALIGNANT
        return ""


def acceptance_of(config: SynthesisConfig) -> Acceptance:
    """The test that the flags ask for; loads the critic where it has a say."""
    critic = load_critic(config.critic) if config.max_critic_score else None
    return Acceptance(config.min_tissue, config.min_share_removed, config.max_critic_score, critic)


def critic_manifest(directory: str) -> Json:
    """The manifest of a critic; `UserError` for a classifier that has seen synthetic patches."""
    manifest = read_manifest(directory, "train_classifier")
    share = manifest["flags"]["synthetic_fraction"]
    if share:
        raise UserError(
            f"{directory}: expected a critic trained on real patches only, found {share:.0%} "
            "synthetic ones"
        )
    return manifest


def load_critic(directory: str) -> Critic:
    """A classifier as a function from a patch to its score.

    Patches are scored one by one: the last bits of a score depend on the size of a batch.
    """
    from cgan_tf.classifier.scoring import load_classifier

    model = load_classifier(Path(directory), critic_manifest(directory))

    def score(patch: np.ndarray) -> float:
        return float(expit(float(model.infer(patch[None, ..., None])[0].numpy()[0])))

    return score
