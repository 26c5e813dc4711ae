"""Random streams and hashes keyed by what they are for."""

import hashlib

import numpy as np


def sample_order(seed: int, stream: str, epoch: int, length: int) -> np.ndarray:
    """The permutation of a stream's patches in one epoch."""
    digest = hashlib.blake2b(f"{seed}|{stream}|{epoch}".encode(), digest_size=16).digest()
    key = np.frombuffer(digest, np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).permutation(length)


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


def keyed_generator(seed: int, *names: object) -> np.random.Generator:
    """A generator that depends on the seed and the names only."""
    text = "|".join(str(name) for name in (seed, *names))
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key))


def digest(*parts: object) -> bytes:
    """16 bytes that depend on the parts alone: the key of a draw, or a place in an order."""
    return hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=16).digest()


def unit_hash(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    return int.from_bytes(digest(*parts)[:6], "big") / 2**48
