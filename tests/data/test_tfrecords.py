"""TFRecord framing against TensorFlow's own, and what it says of damage."""

import errno
import struct

import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.data.tfrecords import Payloads, frame, read_payload, shard_index, write_shard
from cgan_tf.runs.errors import UserError

PAYLOADS = [b"", b"a", bytes(range(256)), np.random.default_rng(0).bytes(100_000), b"\x00" * 12]


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "normal-00000-of-00001.tfrecord"
    write_shard(path, PAYLOADS)
    return path


def test_same_bytes_as_tensorflow(shard, tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "reference")) as writer:
        for payload in PAYLOADS:
            writer.write(payload)
    assert shard.read_bytes() == (tmp_path / "reference").read_bytes()


def test_tensorflow_reads_it(shard):
    dataset = tf.data.TFRecordDataset(str(shard))
    assert list(dataset.as_numpy_iterator()) == PAYLOADS


def test_both_directions(shard):
    assert list(Payloads(shard)) == PAYLOADS
    places = shard_index(shard)
    assert [read_payload(shard, *place) for place in places] == PAYLOADS
    # 12 bytes before the payload, 4 after it.
    assert places[:3] == [(12, 0), (28, 1), (45, 256)]


def test_an_empty_file_holds_no_records(tmp_path):
    write_shard(tmp_path / "empty", [])
    assert shard_index(tmp_path / "empty") == []


def flip(path, position):
    damaged = bytearray(path.read_bytes())
    damaged[position] ^= 0x10
    path.write_bytes(damaged)


@pytest.mark.parametrize("position", [16, 17, 24], ids=["length", "length", "checksum"])
def test_a_damaged_header_is_named(shard, position):
    flip(shard, position)
    with pytest.raises(UserError, match=r"tfrecord: damaged TFRecord frame at byte 16$"):
        shard_index(shard)


@pytest.mark.parametrize("position", [45, 300, 301], ids=["first", "last", "checksum"])
def test_a_damaged_payload_is_named(shard, position):
    flip(shard, position)
    assert len(shard_index(shard)) == 5  # headers alone do not show it
    with pytest.raises(UserError, match=r"tfrecord: damaged record at byte 45"):
        list(Payloads(shard))
    with pytest.raises(UserError, match="its checksum does not match"):
        read_payload(shard, 45, 256)
    assert read_payload(shard, 28, 1) == b"a"


@pytest.mark.parametrize("missing", range(1, 17))
def test_a_truncated_file_is_named(shard, missing):
    content = shard.read_bytes()
    shard.write_bytes(content[:-missing])  # the last frame has 12 + 12 + 4 bytes
    with pytest.raises(UserError, match=f"frame at byte {len(content) - 28}$"):
        shard_index(shard)


def test_a_file_that_ends_inside_a_header_is_named(shard):
    shard.write_bytes(shard.read_bytes() + b"\x01\x02")
    with pytest.raises(UserError, match="expected a TFRecord frame at byte"):
        shard_index(shard)


def test_something_else_is_not_taken_for_records(tmp_path):
    (tmp_path / "x").write_text("patient,age\n1,50\n")
    with pytest.raises(UserError, match="at byte 0"):
        shard_index(tmp_path / "x")


def test_an_absurd_length_allocates_nothing(tmp_path):
    header = struct.pack("<Q", 1 << 60)
    crc = frame(header)[-4:]  # the masked checksum of these eight bytes
    (tmp_path / "x").write_bytes(header + crc + b"payload")
    with pytest.raises(UserError, match="damaged TFRecord frame at byte 0"):
        shard_index(tmp_path / "x")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="gone: cannot be read: No such file"):
        list(Payloads(tmp_path / "gone"))


def test_a_shard_that_has_gone_since_its_index_was_read_is_named(shard):
    place = shard_index(shard)[0]
    shard.unlink()
    with pytest.raises(UserError, match=f"{shard}: cannot be read: No such file or directory"):
        read_payload(shard, *place)


def test_a_failure_while_writing_leaves_the_old_file(shard):
    before = shard.read_bytes()

    def failing():
        yield b"one"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match="cannot be written: No space left on device"):
        write_shard(shard, failing())
    assert shard.read_bytes() == before
    assert [path.name for path in shard.parent.iterdir()] == [shard.name]
