"""Image records and sets of them."""

import dataclasses

import numpy as np
import pytest

from cgan_tf.data.images import ImageSet, decode_image, encode_image
from cgan_tf.data.records import Example
from cgan_tf.runs.directory import read_json, write_json
from cgan_tf.runs.errors import UserError
from tests.toys.images import toy_image, write_toy_images

RECORD = toy_image("w1/1", [[10, 20, 40, 60], [5, 7, 9, 8]], ("benign_mass", "malignant_mass"))


def test_a_record_comes_back_as_it_was():
    found = decode_image(encode_image(RECORD), "shard")
    for field in dataclasses.fields(RECORD):
        before, after = getattr(RECORD, field.name), getattr(found, field.name)
        if field.name == "pixels":
            assert np.abs(before - after).max() < 1.1 / 65535
        else:
            assert (
                np.allclose(before, after)
                if field.name in ("boxes", "spacing_mm")
                else (before == after)
            )
    assert encode_image(RECORD) == encode_image(RECORD)


def test_boxes_move_between_the_stored_and_the_reduced_image():
    """Half the size, one column of it cut off: x / 2 - 1, y / 2."""
    reduced = RECORD.reduced(RECORD.boxes)
    assert reduced.tolist() == [[4, 10, 19, 30], [1.5, 3.5, 3.5, 4]]
    assert np.array_equal(RECORD.stored(reduced), RECORD.boxes)
    beyond = RECORD.stored(np.array([[-9, -9, 99, 99]]))
    assert beyond.tolist() == [[0, 0, 90, 120]]  # the stored image's edges


@pytest.mark.parametrize(
    ("classes", "kind"),
    [
        ((), "normal"),
        (("benign_mass",), "benign"),
        (("benign_mass", "malignant_calcification"), "malignant"),
    ],
)
def test_the_kind_is_that_of_the_worst_lesion(classes, kind):
    assert toy_image("w", [[1, 1, 9, 9]] * len(classes), classes).kind == kind


def _changed(change):
    example = Example.FromString(encode_image(RECORD))
    change(example.features.feature)
    return example.SerializeToString()


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"\xff", "serialised tf.train.Example"),
        (_changed(lambda f: f.pop("view")), r"missing features \['view'\]"),
        (_changed(lambda f: f["more"].int64_list.value.append(1)), r"unknown features \['more'\]"),
        (_changed(lambda f: f["boxes"].float_list.value.append(1)), "a record of make_images"),
        (_changed(lambda f: f["pixels"].bytes_list.value.pop()), "a record of make_images"),
        (_changed(lambda f: f["mark_ids"].bytes_list.value.pop()), "an id and one of"),
    ],
)
def test_a_damaged_record_is_named(payload, message):
    with pytest.raises(UserError, match=f"shard: .*{message}"):
        decode_image(payload, "shard")


def test_a_set_gives_its_images_by_split_and_kind(tmp_path):
    images = ImageSet(write_toy_images(tmp_path / "set", {"train": 3, "test": 2}))
    assert images.largest == (60, 44)
    assert [images.count(split) for split in ("train", "validation", "test")] == [6, 0, 4]
    index = images.index("train", ("malignant",))
    found = [index.record(number) for number in range(len(index))]
    assert [record.client_id for record in found] == ["wtrain0", "wtrain1", "wtrain2"]
    assert all(record.kind == "malignant" for record in found)
    assert len(images.index("validation")) == 0
    assert len(images.patients["test"]) == 2


def test_a_set_that_is_damaged_is_named(tmp_path):
    directory = write_toy_images(tmp_path / "set", {"train": 1})
    manifest = read_json(directory / "manifest.json")
    write_json(directory / "manifest.json", manifest | {"largest": [60]})
    with pytest.raises(UserError, match=r"manifest.json: expected the largest image's size"):
        ImageSet(directory)
    write_json(directory / "manifest.json", manifest)
    next(directory.glob("train/*")).write_bytes(b"short")
    with pytest.raises(UserError, match=r"expected .* bytes, found 5"):
        ImageSet(directory)
