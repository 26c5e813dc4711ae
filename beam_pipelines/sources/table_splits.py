"""Splits of a table's patients: as a column prescribes, or drawn so that each has each class."""

import collections
from collections.abc import Mapping, Sequence

from cgan_tf.config import PatchesConfig
from cgan_tf.data.keyed import unit_hash
from cgan_tf.labels import SPLITS
from cgan_tf.runs.errors import UserError


def prescribed(patient: str, found: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The splits that all rows of a patient allow; `UserError` with her id where there is none."""
    allowed = tuple(name for name in SPLITS if all(name in splits for splits in found))
    if not allowed:
        named = sorted({" or ".join(splits) for splits in found})
        raise UserError(
            f"patient {patient}: expected one split, found {' and '.join(named)}; "
            "--split_by=hash draws the splits by patient"
        )
    return allowed


def drawn(
    classes: Mapping[str, frozenset[str]], config: PatchesConfig
) -> tuple[dict[str, str], list[str]]:
    """A split for each patient, and what there is to say about it.

    Every patient counts for the rarest of her classes. The patients of a class, in the order of
    keyed hashes, are dealt out by the fractions; each split gets one of them where there are as
    many as splits. Another patient may move others: this is the price of a draw by class.

    Args:
      classes: of each patient, what she can give patches of.
    """
    train, validation = config.train_fraction, config.validation_fraction
    shares = dict(zip(SPLITS, (train, validation, 1.0 - train - validation), strict=True))
    wanted = {name: share for name, share in shares.items() if share > 1e-9}
    common = collections.Counter(name for found in classes.values() for name in found)
    groups: dict[str, list[str]] = collections.defaultdict(list)
    for patient, found in classes.items():
        rarest = min(found, key=lambda name: (common[name], name), default="")
        groups[rarest].append(patient)
    splits: dict[str, str] = {}
    for _, patients in sorted(groups.items()):
        patients.sort(key=lambda patient: (unit_hash(config.seed, "split", patient), patient))
        places = [name for name, n in _counts(len(patients), wanted).items() for _ in range(n)]
        splits.update(zip(patients, places, strict=True))
    return splits, _remarks(splits, classes, wanted)


def _counts(patients: int, shares: Mapping[str, float]) -> dict[str, int]:
    """How many of some patients each split gets: by its share, one at least where that can be."""
    least = 1 if patients >= len(shares) else 0
    counts = {name: max(least, int(patients * share)) for name, share in shares.items()}

    def surplus(name: str) -> float:
        return counts[name] - patients * shares[name]

    while sum(counts.values()) > patients:
        counts[max((name for name in counts if counts[name] > least), key=surplus)] -= 1
    while sum(counts.values()) < patients:
        counts[min(counts, key=surplus)] += 1
    return counts


def _remarks(
    splits: Mapping[str, str], classes: Mapping[str, frozenset[str]], wanted: Mapping[str, float]
) -> list[str]:
    there = {(splits[patient], name) for patient, found in classes.items() for name in found}
    names = sorted({name for found in classes.values() for name in found})
    return [
        f"too few patients with {name}: none for {split}"
        for name in names
        for split in wanted
        if (split, name) not in there
    ]
