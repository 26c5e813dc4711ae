"""Random numbers and hashes that depend on what they are for, and on nothing else.

A stream is named by its parts: a seed, a purpose, a number. Neither the order of the work nor the
number of processes changes it. BLAKE2b and Philox are specified bit for bit.
"""

import hashlib
from typing import Literal

import numpy as np


def digest(*parts: object) -> bytes:
    """16 bytes that depend on the parts alone: the key of a draw, or a place in an order."""
    return hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=16).digest()


def unit_hash(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    return int.from_bytes(digest(*parts)[:6], "big") / 2**48


def keyed_generator(*parts: object) -> np.random.Generator:
    """The random stream that the parts name."""
    return generator_of(digest(*parts))


def generator_of(key: bytes, byteorder: Literal["little", "big"] = "little") -> np.random.Generator:
    """The random stream of a `digest`, read as a number in that order of bytes."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, byteorder)))


def sample_order(seed: int, stream: str, epoch: int, length: int) -> np.ndarray:
    """The permutation of a stream's patches in one epoch: int64 [length]."""
    return keyed_generator(seed, stream, epoch).permutation(length)


class SampleOrder:
    """Position of sample number n in a stream: epoch after epoch of permutations."""

    def __init__(self, seed: int, stream: str, length: int):
        self.seed, self.stream, self.length = seed, stream, length
        self._epochs: dict[int, np.ndarray] = {}

    def __getitem__(self, sample: int) -> int:
        epoch, place = divmod(sample, self.length)
        if epoch not in self._epochs:
            self._epochs = {epoch: sample_order(self.seed, self.stream, epoch, self.length)}
        return int(self._epochs[epoch][place])
