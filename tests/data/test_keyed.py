"""Streams and hashes by their definitions: a run must go on with the same bytes after an update."""

import hashlib

import numpy as np
import pytest

from cgan_tf.data.keyed import SampleOrder, digest, generator_of, keyed_generator, unit_hash


def _blake(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _words(first: int, second: int) -> np.ndarray:
    """Random words of Philox with a key of two words."""
    bits = np.random.Philox(key=np.array([first, second], np.uint64))
    return bits.random_raw(4)


def test_a_digest_is_blake2b_of_its_parts():
    assert digest(3, "split", "demd1") == _blake("3|split|demd1")
    assert digest() == _blake("")


def test_a_stream_is_philox_keyed_by_the_digest():
    key = _blake("7|mass|z|12")
    expected = _words(int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little"))
    stream = keyed_generator(7, "mass", "z", 12)
    assert stream.bit_generator.random_raw(4).tolist() == expected.tolist()


def test_a_key_can_be_read_from_either_end():
    key = bytes(range(16))
    expected = _words(int.from_bytes(key[8:], "big"), int.from_bytes(key[:8], "big"))
    assert generator_of(key, "big").bit_generator.random_raw(4).tolist() == expected.tolist()
    assert generator_of(key[::-1]).random() == generator_of(key, "big").random()


def test_a_hash_is_the_first_48_bits_of_the_digest():
    assert unit_hash(0, "a") == int.from_bytes(_blake("0|a")[:6], "big") / 2**48
    values = [unit_hash(0, number) for number in range(4000)]
    assert 0 <= min(values) < 0.002
    assert 0.998 < max(values) < 1
    assert np.mean(values) == pytest.approx(0.5, abs=0.02)


def test_a_sample_order_goes_through_permutations():
    order = SampleOrder(1, "mass/real", 5)
    for epoch in range(3):
        expected = keyed_generator(1, "mass/real", epoch).permutation(5).tolist()
        assert [order[5 * epoch + place] for place in range(5)] == expected
        assert sorted(expected) == list(range(5))
