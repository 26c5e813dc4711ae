"""Are the women whom a generator learned from recognisable: membership attacks and their null.

An attacker has lesions of a woman and asks whether she was among the training patients. Two things
may tell him: the released patches, if her lesions have a nearer neighbour there than the lesions of
other women have; and the discriminator, if she looks more real to it than other women do (LOGAN,
Hayes et al. 2019). The first attack is open to everybody who has the set, the second only to those
who have the checkpoints of the run, which no release needs.

Members are the women of the training split, the others those of held-out splits of the same data.
A woman has one score, the mean over her lesions, so that her number of lesions does not tell.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.special import logsumexp
from scipy.stats import rankdata

from cgan_tf.assessment.base import Check, Measure, Row, number, probability
from cgan_tf.assessment.copies import nearest, without_shared
from cgan_tf.assessment.lesions import Lesions
from cgan_tf.assessment.reading import PatchScores, Readings
from cgan_tf.data.patch_sets import PatchPool, PatchSet
from cgan_tf.data.provenance import patient_digest
from cgan_tf.gan.card import GENERATOR, config_of, read_card
from cgan_tf.pages.html import Table
from cgan_tf.statistics.auc import auc_interval

P_LIMIT = 0.05
AUC_LIMIT = 0.6  # below it an attack tells too little of any woman to be called one
_SHUFFLES = 999
_SURE = 0.95  # quantile of the other women's scores, beyond which a woman is called a member
_FEWEST = 5  # women on each side
_BY = {"neighbours": "in the set", "discriminator": "by the discriminator"}


@dataclasses.dataclass(frozen=True)
class Attack:
    """How well an attack tells training patients from other women of the same data.

    Attributes:
      members, others: women.
      auc: how often a member scores higher than another woman; 0.5 if the attack tells nothing.
        low, high: its 95% interval, of independent women.
      null_low, null_high: 2.5% and 97.5% quantiles of the AUC when women are shuffled between the
        two sides. p_value: how often it is as high then; one-sided.
      recognised: share of the members who score higher than 95% of the other women do; 0.05 by
        chance.
      note: empty, or "undefined: ..." in words. What is undefined is None.
    """

    members: int
    others: int
    auc: float | None = None
    low: float | None = None
    high: float | None = None
    null_low: float | None = None
    null_high: float | None = None
    p_value: float | None = None
    recognised: float | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Membership:
    """The attacks on a set.

    Attributes:
      neighbours: by the nearest lesion of the set; None for removal, which makes none.
      discriminator: by the discriminator of its run; None without --gan_dirs.
    """

    neighbours: Attack | None
    discriminator: Attack | None


def attack(members: PatchScores, others: PatchScores, seed: int = 0) -> Attack:
    """What the scores of patches, higher for likelier members, tell of the women."""
    ours, theirs = women_of(members), women_of(others)
    m, n = len(ours), len(theirs)
    if min(m, n) < _FEWEST:
        return Attack(m, n, note=f"undefined: {m} training patients and {n} other women")
    scores, labels = np.concatenate([ours, theirs]), np.repeat([1, 0], [m, n])
    estimate = auc_interval(labels, scores, seed=seed)
    null = _shuffled_aucs(scores, m, np.random.default_rng(seed))
    low, high = (float(value) for value in np.quantile(null, (0.025, 0.975)))
    defined = not estimate.note
    return Attack(
        members=m,
        others=n,
        auc=estimate.auc,
        low=estimate.low if defined else None,
        high=estimate.high if defined else None,
        null_low=low,
        null_high=high,
        p_value=float((1 + (null >= estimate.auc - 1e-12).sum()) / (1 + _SHUFFLES)),
        recognised=float((ours > np.quantile(theirs, _SURE)).mean()),
        note=estimate.note,
    )


def women_of(scores: PatchScores) -> np.ndarray:
    """The mean score of each woman, float64 [women]."""
    _, woman = np.unique(scores.patients, return_inverse=True)
    return np.bincount(woman, scores.scores) / np.bincount(woman) if len(woman) else np.zeros(0)


def _shuffled_aucs(scores: np.ndarray, members: int, rng: np.random.Generator) -> np.ndarray:
    """AUCs of random `members` of the women against the rest, float64 [_SHUFFLES]."""
    ranks, others = rankdata(scores), len(scores) - members
    drawn = rng.permuted(np.tile(ranks, (_SHUFFLES, 1)), axis=1)[:, :members].sum(axis=1)
    return (drawn - members * (members + 1) / 2) / (members * others)


def neighbour_attack(
    synthetic: Lesions, training: Lesions, held_out: Lesions, seed: int = 0
) -> Attack:
    """The attack by similarity to the nearest lesion of the released set.

    What all lesions of the set share is subtracted first: the attacker has nothing else.
    """
    if not all(map(len, (synthetic, training, held_out))):
        return Attack(
            len(set(training.patients.tolist())),
            len(set(held_out.patients.tolist())),
            note="undefined: no lesions with a box",
        )
    mean = synthetic.vectors.mean(axis=0)
    released = without_shared(synthetic.vectors, mean)
    members, others = (
        PatchScores(nearest(without_shared(each.vectors, mean), released)[0], each.patients)
        for each in (training, held_out)
    )
    return attack(members, others, seed)


class MembershipMeasure(Measure[Membership]):
    """Are training patients recognisable by the set, or by the discriminator of its run?"""

    name = "membership"
    verdict_rank = 1

    def compute(self, readings: Readings) -> Membership:
        neighbours = discriminator = None
        if readings.training is not None:
            neighbours = neighbour_attack(
                readings.synthetic.described,
                readings.training,
                readings.lesions.described,
                readings.seed,
            )
        if readings.discriminator is not None:
            sides = readings.discriminator
            discriminator = attack(sides.members, sides.others, readings.seed)
        return Membership(neighbours, discriminator)

    def verdict(self, values: Membership, task: str) -> Sequence[Check]:
        return [
            _check(f"training patients recognisable {_BY[kind]}", a) for kind, a in _attacks(values)
        ]

    def rows(self, values: Membership) -> Iterator[Row]:
        for kind, each in _attacks(values):
            yield Row(self.name, f"{kind}_auc", each.auc, 0.5)
            yield Row(self.name, f"{kind}_recognised", each.recognised, 1 - _SURE)
            yield Row(self.name, f"{kind}_p", each.p_value, None)

    def tables(self, values: Membership, task: str) -> Sequence[Table]:
        attacks = list(_attacks(values))
        if not attacks:
            return ()
        rows = [
            ("Training patients, others", *(f"{a.members:,}, {a.others:,}" for _, a in attacks)),
            ("AUC of the attack", *(_interval(a.auc, a.low, a.high) for _, a in attacks)),
            ("Shuffled women", *(_between(a.null_low, a.null_high) for _, a in attacks)),
            ("p", *(probability(a.p_value) for _, a in attacks)),
            ("Recognised (by chance 0.05)", *(number(a.recognised) for _, a in attacks)),
        ]
        titles = {"neighbours": "Nearest in the set", "discriminator": "Discriminator"}
        return [Table("membership", ("Membership", *(titles[kind] for kind, _ in attacks)), rows)]


def _attacks(values: Membership) -> Iterator[tuple[str, Attack]]:
    for kind in _BY:
        each = getattr(values, kind)
        if each is not None:
            yield kind, each


def _check(name: str, values: Attack) -> Check:
    if values.auc is None or values.p_value is None:
        return Check(name, None, values.note)
    text = (
        f"AUC {_interval(values.auc, values.low, values.high)} of {values.members:,} training "
        f"patients against {values.others:,} other women (shuffled "
        f"{_between(values.null_low, values.null_high)}, p = {values.p_value:.2g}); "
        f"{values.recognised:.0%} score higher than 95% of the others (5% by chance)"
    )
    return Check(name, values.auc > AUC_LIMIT and values.p_value < P_LIMIT, text)


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    return number(value) if low is None else f"{number(value)}, {_between(low, high)}"


def _between(low: float | None, high: float | None) -> str:
    return "undefined" if low is None else f"{number(low)} to {number(high)}"


def discriminator_attackers(
    gan_dir: str, patches: PatchSet, others: PatchPool, task: str, batch_size: int
) -> tuple[PatchScores, PatchScores]:
    """(members, other women): log-odds of "real" that the discriminator of a run gives patches.

    Members are the women whom the card of its generator names, in the training split of `patches`;
    `others` are held-out patches of the class that is real to the discriminator.
    Raises `UserError` for a run without its checkpoints.
    """
    from cgan_tf.gan.data import CLASSES

    card = read_card(Path(gan_dir) / GENERATOR)
    learned = set(card.patients)
    classes = [name for name in CLASSES[task]["real"] if patches.count("train", name)]
    pools = (PatchPool((patches.index("train", *classes),)), others)
    sides = []
    for pool, wanted in zip(pools, (True, False), strict=True):
        women = np.array([record.client_id for record in pool.descriptions()])
        is_member = np.array([patient_digest(woman) in learned for woman in women], bool)
        kept = is_member == wanted if learned else np.ones(len(women), bool)
        sides.append((pool.subset(np.flatnonzero(kept)), women[kept]))
    score = _discriminator_of(gan_dir, config_of(card), task)
    members, rest = (PatchScores(_scored(score, pool, batch_size), women) for pool, women in sides)
    return members, rest


def _scored(score, pool: PatchPool, batch_size: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    parts = [np.zeros(0)]
    for start in range(0, len(pool), batch_size):
        numbers = range(start, min(start + batch_size, len(pool)))
        parts.append(score(np.stack([pool.pixels(number) for number in numbers])))
    return np.concatenate(parts)


def _discriminator_of(gan_dir, config, task):  # type: ignore[no-untyped-def]
    """A function of patches float32 [n, size, size]: the log-odds of "real", float64 [n]."""
    import tensorflow as tf

    from cgan_tf.gan.losses import REAL
    from cgan_tf.gan.model import real_input
    from cgan_tf.labels import TASKS
    from cgan_tf.models.discriminator import Discriminator, discriminator_scalars
    from cgan_tf.models.generator import condition_of
    from cgan_tf.runs.training import restore_finished

    network, scalars = Discriminator(config), discriminator_scalars(config)

    def logits(patches: np.ndarray, phase: str = "full", alpha=None):  # type: ignore[no-untyped-def]
        told = condition_of(
            config,
            tf.zeros([len(patches), scalars]),
            tf.fill([len(patches)], TASKS.index(task)),
        )
        images = real_input(config, tf.constant(patches[..., None], tf.float32))
        return network(images, told, phase=phase, alpha=alpha)

    one = np.zeros((1, config.size, config.size), np.float32)
    logits(one, "fade", tf.constant(0.5))  # builds every layer
    variables = {weight.path: weight.value for weight in network.weights}
    restore_finished(Path(gan_dir), variables)

    def score(patches: np.ndarray) -> np.ndarray:
        values = logits(patches).numpy().astype(np.float64)
        return values[:, REAL] - logsumexp(np.delete(values, REAL, axis=1), axis=1)

    return score
