"""From rows to shards: the choice, the order, the files."""

import random

import numpy as np
import pytest

from beam_pipelines.patches.cutting import Cut, Outcome
from beam_pipelines.patches.ledger import rejections_csv
from beam_pipelines.patches.plan import Draw, Quota
from beam_pipelines.patches.shards import (
    Row,
    Spilled,
    WriteShard,
    chosen_rows,
    read_payloads,
    read_trailer,
    shard_plan,
    spilled_from,
    splits_of,
    write_spill,
    written_from,
)
from beam_pipelines.rejections import Reason, Rejection, ledger
from beam_pipelines.storage import files
from cgan_tf.config import PatchesConfig
from cgan_tf.data import tfrecords
from cgan_tf.data.records import PatchRecord, decode_record


def _row(index, key, group="train/normal", length=100):
    split, name = group.split("/")
    return Row(index, key, group, split, name, "1.2", "demd1", "", "x.spill", 0, length)


def _spilled(directory, count):
    cuts = []
    for index in range(count):
        draw = Draw("train/normal", "train", "normal", index, f"{index * 37 % 101:032x}", index)
        patch = np.random.default_rng(index).uniform(-1, 1, (32, 32))
        cuts.append(Cut(draw, PatchRecord(f"1.2/normal/{index}", patch, "normal", sop_uid="1.2")))
    write_spill(str(directory), "x.spill", Outcome(tuple(cuts)))
    return list(spilled_from(read_trailer(str(directory), "x.spill")).rows)


def test_spills_give_back_what_was_cut(tmp_path):
    rows = _spilled(tmp_path, 5)
    for index, payload in enumerate(read_payloads(str(tmp_path), rows)):
        record = decode_record(payload, "spill")
        assert record.patch_id == f"1.2/normal/{index}"
    assert [path.name for path in tmp_path.iterdir()] == ["x.spill"]


def test_a_spill_carries_rejections(tmp_path):
    rejection = Rejection("images", "/a.dcm", Reason.NO_VALID_WINDOW, "213 px")
    write_spill(str(tmp_path), "y.spill", Outcome((), (rejection,)))
    found = spilled_from(read_trailer(str(tmp_path), "y.spill"))
    assert found == Spilled((), (rejection,))


def test_the_choice_is_by_round_then_key_whatever_the_order():
    rows = [_row(index, f"{key}{index}") for index in range(4) for key in "dacb"]
    rows = [row for row in rows if row.key != "b1"]  # one that could not be cut
    rows.append(_row(0, "z", "test/normal"))
    random.Random(0).shuffle(rows)
    chosen = chosen_rows(rows, Quota("train", "normal", 6, ()))
    assert [row.key for row in chosen] == ["a0", "b0", "c0", "d0", "a1", "c1"]


def test_shards_stay_below_four_thirds_of_the_target():
    rows = [_row(0, f"{number:032x}") for number in range(50)]
    items = shard_plan(rows, 1500)
    assert [item.file for item in items] == [
        f"train/normal-{number:05d}-of-00003.tfrecord" for number in range(3)
    ]
    assert [len(item.rows) for item in items] == [16, 17, 17]
    assert len(shard_plan(rows[:20], 1500)) == 1


@pytest.mark.parametrize("patches", [1, 1249, 2500, 2501, 3749, 5001, 40_000])
def test_shards_have_100_to_200_megabytes_by_default(patches):
    rows = [_row(0, f"{number:032x}", length=80_000) for number in range(patches)]
    items = shard_plan(rows, PatchesConfig().shard_megabytes * 1_000_000)
    sizes = [sum(row.length for row in item.rows) / 1e6 for item in items]
    assert sum(len(item.rows) for item in items) == patches
    assert max(sizes) <= 200
    assert len(items) == 1 or min(sizes) >= 100


def test_shards_are_tfrecords_in_the_order_of_the_keys(tmp_path):
    rows = _spilled(tmp_path / "spill", 40)
    random.Random(1).shuffle(rows)
    items = shard_plan(rows, 60_000)
    assert len(items) > 1
    write = WriteShard(str(tmp_path), str(tmp_path / "spill"))
    splits = splits_of([written_from(write(item.as_item())) for item in reversed(items)])
    entry = splits["train"]["normal"]
    assert entry.count == 40
    found = [
        decode_record(payload, "shard").patch_id
        for shard in entry.shards
        for payload in tfrecords.Payloads(tmp_path / shard.file)
    ]
    expected = sorted(range(40), key=lambda index: index * 37 % 101)
    assert found == [f"1.2/normal/{index}" for index in expected]
    assert not list((tmp_path / "train").glob(".*"))


def test_nothing_is_left_under_a_final_name_when_writing_fails(tmp_path):
    def parts():
        yield b"half"
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.write_atomically_from(str(tmp_path / "shard"), parts())
    assert not list(tmp_path.iterdir())


def test_the_ledger_adds_up_or_raises():
    rejected = [
        Rejection("images", "a", Reason.WRONG_VIEW),
        Rejection("files", "b", Reason.BROKEN_JSON),
    ]
    read = {"images": 5, "files": 1}
    account = ledger(read, {"images": 3}, {"images": 1}, rejected)
    assert account["images"].as_json() == {
        "read": 5, "used": 3, "not_needed": 1, "rejected": {"wrong_view": 1}
    }  # fmt: skip
    with pytest.raises(AssertionError):
        ledger({**read, "images": 6}, {"images": 3}, {"images": 1}, rejected)


def test_rejections_as_a_table():
    rows = [
        Rejection("marks", "b,c", Reason.EMPTY_BOX),
        Rejection("images", "/in/a", Reason.WRONG_VIEW, "ML"),
    ]
    assert b"".join(rejections_csv(rows, "/in")).decode().splitlines() == [
        "file,kind,reason,detail",
        "a,images,wrong_view,ML",
        '"b,c",marks,empty_box,',
    ]
