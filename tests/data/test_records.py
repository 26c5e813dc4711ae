"""The patch record, both directions, against TensorFlow's parser and OpenCV-free PNG facts."""

import dataclasses
import struct
import zlib
from fractions import Fraction

import cv2
import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.data.records import (
    FEATURES,
    LATER,
    LEVELS,
    Example,
    PatchRecord,
    decode_pixels,
    decode_png,
    decode_record,
    decode_text,
    encode_png,
    encode_record,
)
from cgan_tf.runs.errors import UserError

RNG = np.random.default_rng(3)
# Every field differs from its default.
RECORD = PatchRecord(
    patch_id="1.2.3/lesion/7",
    patch=RNG.uniform(-1, 1, (16, 16)).astype(np.float32),
    patch_class="malignant_mass",
    has_mass=1,
    has_calcification=1,
    box=(1.5, 2.0, 9.25, 16.0),
    client_id="demd42",
    study_uid="1.2.3",
    sop_uid="1.2.3.4",
    laterality="L",
    view="MLO",
    manufacturer="Müller & Söhne",
    pixel_spacing_mm=0.07,
    tissue_fraction=0.93,
    window=(1200.0, 77.0, 213.0),
    flip=1,
    rotation=270,
    scale=1.2,
    mark_id="21",
    label_evidence="mark",
    conspicuity="Obvious",
    lesion_size_mm=11.5,
    breast_density="c",
    age_band="50 to 59 years",
    breast_thickness_mm=57.0,
    exposure_mas=84.5,
    site="adde",
    synthetic=1,
    lesion=RNG.uniform(-1, 1, (16, 16)).astype(np.float32),
    mask=RNG.uniform(0, 1, (16, 16)).astype(np.float32),
    z=(0.5, -1.0, 0.25),
    source_patch_id="1.2.3/normal/4",
    task="mass",
    lesion_area_px=6554,
    threshold=0.1,
    min_area_fraction=0.05,
    generator_checksum="ab" * 32,
)
IMAGES = ("patch", "lesion", "mask")
PLAIN = PatchRecord("id", np.zeros((4, 4), np.float32), "normal")


def test_the_example_changes_every_field():
    for field in dataclasses.fields(PatchRecord):
        if field.default is not dataclasses.MISSING:
            assert getattr(RECORD, field.name) is not field.default, field.name


def test_both_directions():
    found = decode_record(encode_record(RECORD), "shard")
    for name in FEATURES:
        expected, value = getattr(RECORD, name), getattr(found, name)
        if name in IMAGES:
            assert value.dtype == np.float32
            np.testing.assert_allclose(value, expected, rtol=0, atol=1.01 / LEVELS)
        elif isinstance(expected, float):
            assert value == pytest.approx(expected, rel=1e-7)  # stored as float32
        else:
            assert value == expected, name


def test_absent_images_stay_absent():
    found = decode_record(encode_record(PLAIN), "shard")
    assert found.lesion is None
    assert found.mask is None
    assert found.z == ()
    assert found.box == ()


def test_a_decoded_record_encodes_to_the_same_bytes():
    first = encode_record(RECORD)
    assert encode_record(decode_record(first, "shard")) == first
    assert encode_record(dataclasses.replace(RECORD)) == first


@pytest.mark.parametrize("missing", [LATER, LATER[:1], ("exposure_mas",)])
def test_a_record_of_an_older_set_is_read_with_what_it_lacks_unknown(missing):
    example = Example.FromString(encode_record(RECORD))
    for name in missing:
        del example.features.feature[name]
    older = example.SerializeToString(deterministic=True)
    found, now = decode_record(older, "shard"), decode_record(encode_record(RECORD), "shard")
    for name in FEATURES:
        expected = getattr(PLAIN if name in missing else now, name)
        np.testing.assert_array_equal(getattr(found, name), expected, err_msg=name)
    assert set(Example.FromString(encode_record(found)).features.feature) == set(FEATURES)
    np.testing.assert_array_equal(decode_pixels(older, "shard"), now.patch)
    assert decode_text(older, "age_band", "shard") == (
        "" if "age_band" in missing else now.age_band
    )


def test_features_are_written_in_one_order():
    """A map has none of its own; the same record must give the same bytes in every process."""
    serialised = encode_record(RECORD)
    theirs = tf.train.Example.FromString(serialised)
    assert theirs.SerializeToString(deterministic=True) == serialised


def test_tensorflow_parses_the_same_values():
    parsed = tf.train.Example.FromString(encode_record(RECORD)).features.feature
    assert sorted(parsed) == sorted(field.name for field in dataclasses.fields(PatchRecord))
    assert parsed["patch_class"].bytes_list.value[:] == [b"malignant_mass"]
    assert parsed["manufacturer"].bytes_list.value[0].decode() == "Müller & Söhne"
    assert parsed["rotation"].int64_list.value[:] == [270]
    assert parsed["z"].float_list.value[:] == [0.5, -1.0, 0.25]
    assert parsed["box"].float_list.value[:] == [1.5, 2.0, 9.25, 16.0]
    assert parsed["scale"].float_list.value[:] == [np.float32(1.2)]


def test_tensorflow_reads_the_pixels():
    spec = {"patch": tf.io.FixedLenFeature([], tf.string)}
    png = tf.io.parse_single_example(encode_record(RECORD), spec)["patch"]
    levels = tf.io.decode_png(png, dtype=tf.uint16).numpy()[..., 0]
    expected = np.rint((RECORD.patch.astype(np.float64) + 1) / 2 * 65535)
    np.testing.assert_array_equal(levels, expected)


def test_the_patch_alone_and_the_id_alone():
    serialised = encode_record(RECORD)
    np.testing.assert_array_equal(
        decode_pixels(serialised, "shard"), decode_record(serialised, "shard").patch
    )
    assert decode_text(serialised, "patch_id", "shard") == "1.2.3/lesion/7"


class TestLevels:
    def test_ends_are_exact_and_zero_within_a_level(self):
        image = np.array([[-1.0, 1.0, 0.0]], np.float32)
        found = decode_png(encode_png(image), "patch", "shard")
        assert found[0, 0] == -1.0
        assert found[0, 1] == 1.0
        assert abs(found[0, 2]) <= 1.01 / LEVELS

    def test_a_mask_has_exact_ends_and_zero(self):
        found = decode_png(encode_png(np.array([[0.0, 1.0]]), "mask"), "mask", "shard")
        np.testing.assert_array_equal(found, [[0.0, 1.0]])

    @pytest.mark.parametrize(("name", "lowest", "bound"), [("patch", -1, 1.0), ("mask", 0, 0.5)])
    def test_error_is_half_a_level(self, name, lowest, bound):
        image = np.linspace(lowest, 1, 99_999).reshape(1, -1)
        error = np.abs(decode_png(encode_png(image, name), name, "shard") - image).max()
        assert 0.9 * bound / LEVELS < error < 1.01 * bound / LEVELS

    def test_every_level_comes_back(self):
        levels = np.arange(65536).reshape(256, 256)
        image = (levels / 65535 * 2 - 1).astype(np.float32)
        decoded = decode_png(encode_png(image), "patch", "shard")
        np.testing.assert_array_equal(np.rint((decoded.astype(np.float64) + 1) / 2 * 65535), levels)

    @pytest.mark.parametrize(("name", "lowest", "span"), [("lesion", -1, 2), ("mask", 0, 1)])
    def test_the_nearest_level_is_stored_however_near_the_middle_of_two(self, name, lowest, span):
        middles = lowest + (np.arange(7, 65535, 37) + 0.5) * span / 65535
        below = middles.astype(np.float32)
        image = np.stack([below, np.nextafter(below, np.float32(2))])
        stored = cv2.imdecode(np.frombuffer(encode_png(image, name), np.uint8), -1)
        exact = [round((Fraction(float(x)) - lowest) / span * 65535) for x in image.ravel()]
        np.testing.assert_array_equal(stored.ravel(), exact)
        assert (stored[0] != stored[1]).mean() > 0.3  # that is how near they are

    def test_values_beyond_the_range_are_clipped(self):
        found = decode_png(encode_png(np.array([[-1.2, 1.7]])), "patch", "shard")
        np.testing.assert_array_equal(found, [[-1.0, 1.0]])


def grey_png(depth, colour=0):
    """A valid 2x2 PNG written by hand."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    channels = 3 if colour == 2 else 1
    rows = (b"\0" + b"\x12" * (2 * channels * depth // 8)) * 2
    header = struct.pack(">IIBBBBB", 2, 2, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_the_hand_written_png_is_read():
    found = decode_png(grey_png(16), "mask", "shard")
    np.testing.assert_allclose(found, np.full((2, 2), 0x1212 / 65535), rtol=1e-6)


def edited(change):
    example = Example.FromString(encode_record(PLAIN))
    change(example.features.feature)
    return example.SerializeToString()


def set_bytes(name, value):
    def change(feature):
        feature[name].bytes_list.value[:] = [value]

    return change


@pytest.mark.parametrize(
    ("serialised", "complaint"),
    [
        (b"\xff\xff\xff", "expected a serialised tf.train.Example"),
        (b"", "missing features"),
        (edited(lambda feature: feature.pop("view")), r"missing features \['view'\], unknown"),
        (
            edited(lambda feature: feature["age"].int64_list.value.append(50)),
            r"unknown features \['age'\]",
        ),
        (edited(lambda feature: feature["flip"].Clear()), "feature 'flip' is empty"),
        (
            edited(lambda feature: feature["view"].int64_list.value.append(1)),
            "feature 'view' is empty",
        ),
        (edited(set_bytes("patch", grey_png(8))), "'patch': expected a 16-bit grey PNG"),
        (edited(set_bytes("lesion", grey_png(16, colour=2))), "'lesion': expected a 16-bit"),
        (edited(set_bytes("mask", b"not a picture")), "'mask': expected a 16-bit"),
        (edited(set_bytes("patch", b"")), "expected a patch"),
        (edited(set_bytes("patch_class", b"cyst")), "found 'cyst'"),
        (edited(set_bytes("view", b"\xff\xfe")), "feature 'view'"),
    ],
)
def test_a_foreign_or_outdated_record_is_named_with_its_shard(serialised, complaint):
    with pytest.raises(UserError, match=f"train/normal-00003.tfrecord: .*{complaint}"):
        decode_record(serialised, "train/normal-00003.tfrecord")


def test_an_empty_patch_is_named_when_only_pixels_are_read():
    with pytest.raises(UserError, match=r"shard: .*'patch'"):
        decode_pixels(edited(set_bytes("patch", b"")), "shard")


def test_an_unknown_class_is_not_written():
    with pytest.raises(ValueError, match=r"patch_class: expected one of .*, found 'cyst'"):
        encode_record(dataclasses.replace(PLAIN, patch_class="cyst"))


def test_pixels_that_are_no_numbers_are_not_written():
    patch = np.array([[0.0, np.nan]], np.float32)
    with pytest.raises(ValueError, match="patch: expected finite values"):
        encode_record(dataclasses.replace(PLAIN, patch=patch))
