"""How real and synthetic samples are drawn: the schedule of the share, the order of each stream.

Paper, "Patch Classifier Training": positives and negatives are drawn with equal probability, and
"an initial proportion is chosen, and then decayed by 10% every 5000 training samples". The share
applies to positives and negatives alike.

Every sample is drawn in two steps: its class, then its source, real or synthetic. Both draws and
the patch depend on the seed alone, and the share only moves the limit between the sources. Runs of
one seed with different shares therefore see the same classes in the same order, and the same patch
wherever they take the same source.

The samples of the second source are slots that something else than synthetic patches can fill
(`FILLS`). Whatever fills them, the slots are the same, and so are the real samples around them; a
slot that takes a real patch again takes the one that the baseline has there.
"""

import dataclasses
import hashlib

import numpy as np

# How the slots of a class are filled.
REAL = "real"  # with the real patch that the baseline has there
CHANGED = "changed"  # with that patch, changed
OWN = "own"  # with patches of a stream of their own
FILLS = {  # by filling: negatives, positives
    "oversampled": (OWN, OWN),
    "augmented": (CHANGED, CHANGED),
    "pasted": (REAL, OWN),
    "lesions": (REAL, OWN),
    "removal": (OWN, REAL),
    "both": (OWN, OWN),
    "oracle": (REAL, OWN),
}
# A stream's number is its class (0 negative, 1 positive) + 2 * its source (0 real, 1 synthetic).
STREAM_NAMES = ("real negative", "real positive", "synthetic negative", "synthetic positive")
STREAM_LABELS = (0, 1, 0, 1)
SYNTHETIC = ("both", "lesions", "removal")  # fillings of synthetic patches
CLASS_WEIGHTS = (0.5, 0.5)  # "positive and negative examples are sampled with equal probability"


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The synthetic share over a run.

    Attributes:
      initial: share at the start, 0 to 1. decay: multiplicative ("by 10%" of what it was),
        subtractive (by 10 points) or constant (none). rate: 0.1 for 10%. every: samples between
        decays.
    """

    initial: float
    decay: str = "multiplicative"
    rate: float = 0.1
    every: int = 5_000

    def share(self, sample: int | np.ndarray) -> np.ndarray:
        """Synthetic share at sample numbers counted from 0: float64 of the shape of `sample`."""
        decays = np.asarray(sample) // self.every
        if self.decay == "constant":
            return np.full(decays.shape, self.initial)
        if self.decay == "multiplicative":
            return self.initial * (1 - self.rate) ** decays
        return np.maximum(0.0, self.initial - self.rate * decays)

    def intervals(self, samples: int) -> np.ndarray:
        """Share in each interval of `every` samples of a run: float64 [ceil(samples / every)]."""
        return np.asarray(self.share(np.arange(0, samples, self.every)))

    def expected_synthetic(self, samples: int) -> float:
        """Synthetic samples that a run of this length is expected to draw."""
        return float(self.share(np.arange(samples)).sum())


def source_weights(share: np.ndarray) -> np.ndarray:
    """Probabilities of real and synthetic at synthetic shares [k]: float64 [k, 2]."""
    return np.stack([1 - np.asarray(share), np.asarray(share)], axis=-1)


def stream_weights(share: np.ndarray, filling: str = "both") -> np.ndarray:
    """Probabilities of the four streams at synthetic shares [k]: float64 [k, 4]."""
    sources = source_weights(share)[..., :, None]  # [k, 2, 1]
    weights = (sources * np.array(CLASS_WEIGHTS)).reshape(*np.shape(share), 4)
    for label, fill in enumerate(FILLS[filling]):
        if fill == REAL:
            weights[..., label] += weights[..., label + 2]
            weights[..., label + 2] = 0
    return weights


def stream_names(filling: str) -> tuple[str, ...]:
    """`STREAM_NAMES`, with the filling's own word for what is not real patches as they are."""
    word = "synthetic" if filling in SYNTHETIC else filling
    return tuple(name.replace("synthetic", word) for name in STREAM_NAMES)


def patch_numbers(seed: int, stream: int, count: int, draws: np.ndarray) -> np.ndarray:
    """The patch that a stream has for each draw of its class: int64 [len(draws)] in [0, count).

    Every epoch is its own permutation, keyed by (seed, stream, epoch): no patch comes twice in
    `count` draws of the class. Draws that take the other source pass their patch over.
    """
    draws = np.asarray(draws, np.int64)
    numbers = np.empty_like(draws)
    order = np.argsort(draws, kind="stable")
    epochs, starts = np.unique(draws[order] // count, return_index=True)
    for epoch, members in zip(epochs, np.split(order, starts[1:]), strict=True):
        generator = np.random.Generator(np.random.Philox([seed, stream, int(epoch)]))
        numbers[members] = generator.permutation(count)[draws[members] % count]
    return numbers


def plan_checksum(plan: np.ndarray) -> str:
    """SHA-256 of a sampling plan [samples, 2] of (stream, patch)."""
    return hashlib.sha256(np.ascontiguousarray(plan, "<i4").tobytes()).hexdigest()
