"""Five hundred damaged files: each is read as something sound or refused in one line.

What a file may cost is stated here: `SECONDS` and `MEGABYTES`. DICOM and JSON files are fuzzed too,
see tests/fuzz; whole trees of damaged files go through make_patches in test_make_patches.
"""

import dataclasses
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings, strategies

from beam_pipelines.patches.ledger import index_ledger_json
from beam_pipelines.rejections import FILES, IMAGES
from beam_pipelines.sources.base import merge
from beam_pipelines.sources.folder import Folder
from cgan_tf.config import EvaluateConfig, GanConfig, PatchesConfig, ReportConfig, SynthesisConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.data.records import PatchRecord
from cgan_tf.gan import export
from cgan_tf.gan.card import directory_checksum
from cgan_tf.runs import flags
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import config_from_file, flags_text
from cgan_tf.runs.training import Checkpoints
from tests.fuzz import targets
from tests.fuzz.seeds import SEPARATOR, client_documents, dicom_files
from tests.toys.memory import memory_peak
from tests.toys.patches import write_toy_patches
from tests.toys.random_damage import DAMAGES, change_value, damaged

# 120 + 120 + 80 + 60 + 60 + 60 files.
DICOM, JSON, TFRECORD, FLAGS, CHECKPOINT, SAVED_MODEL = 120, 120, 80, 60, 60, 60
SECONDS = 10  # that a damaged file may take
MEGABYTES = 512  # that it may cost


def each(count: int):
    """`count` damaged files, the same in every run."""
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=1000 * SECONDS,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def refused(call) -> UserError | None:
    """The one line with which a file is refused; None when it is read."""
    error = None
    with memory_peak() as peak:
        try:
            call()
        except UserError as found:
            error = found
    assert error is None or "\n" not in str(error)
    assert peak.megabytes < MEGABYTES
    return error


def test_there_are_five_hundred():
    assert DICOM + JSON + TFRECORD + FLAGS + CHECKPOINT + SAVED_MODEL == 500


# DICOM


@each(DICOM)
@given(name=strategies.sampled_from(sorted(dicom_files())), damages=DAMAGES)
def test_a_damaged_dicom_file_is_a_picture_or_a_reason(name, damages):
    with memory_peak() as peak:
        targets.read_dicom(damaged(dicom_files()[name], damages))
    assert peak.megabytes < MEGABYTES


@settings(parent=each(20), max_examples=20)
@given(damages=strategies.lists(DAMAGES, min_size=1, max_size=5))
def test_every_damaged_file_of_a_folder_is_accounted_for(tmp_path_factory, damages):
    root = tmp_path_factory.mktemp("damaged")
    sound = list(dicom_files().values())
    for number, damage in enumerate(damages):
        content = damaged(sound[number % len(sound)], damage)
        (root / f"{number}.dcm").write_bytes(content)
    paths = tuple(sorted(map(str, root.iterdir())))
    source = Folder(str(root), paths)
    units = [source.read_unit(path) for path in paths]
    assert all(sum(unit.read.values()) == 1 for unit in units)
    account = index_ledger_json(merge(units))
    assert account[IMAGES]["read"] + account[FILES]["read"] == len(damages)
    for row in account.values():
        assert row["read"] == row["usable"] + sum(row["rejected"].values())


# JSON


@each(JSON)
@given(document=strategies.integers(0, 2), damages=DAMAGES)
def test_damaged_json_of_a_woman_is_accounted_for(document, damages):
    documents = list(client_documents())
    documents[document] = damaged(documents[document], damages).replace(b"\0", b" ")
    with memory_peak() as peak:
        targets.read_client(SEPARATOR.join(documents))
    assert peak.megabytes < MEGABYTES


# TFRecords


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    """A patch set, and the records of one of its shards."""
    directory = write_toy_patches(tmp_path_factory.mktemp("sound") / "p", size=32, per_class=3)
    index = PatchSet(directory).index("train", "malignant_mass")
    return directory, [index.record(number) for number in range(len(index))]


def shard_of(directory: Path) -> Path:
    return next((directory / "train").glob("malignant_mass-*"))


@each(TFRECORD)
@given(damages=DAMAGES, same_size=strategies.booleans())
def test_a_damaged_shard_is_named_or_its_records_are_whole(
    patches, tmp_path_factory, damages, same_size
):
    sound, records = patches
    directory = tmp_path_factory.mktemp("shards") / "p"
    shutil.copytree(sound, directory)
    shard = shard_of(directory)
    content = shard.read_bytes()
    # Of another size it is refused by that alone: half of the files are made to be of this one.
    broken = damaged(content, damages)
    shard.write_bytes((broken + bytes(len(content)))[: len(content)] if same_size else broken)
    found: list[PatchRecord] = []

    def read() -> None:
        index = PatchSet(directory).index("train", "malignant_mass")
        found.extend(index.record(number) for number in range(len(index)))

    error = refused(read)
    assert error is None or shard.name in str(error)
    # What was read before the damage is what was written.
    for read_record, record in zip(found, records, strict=error is None):
        assert read_record.patch_id == record.patch_id
        assert (read_record.patch == record.patch).all()
    assert (error is None) == (shard.read_bytes() == content)


@each(120)
@given(seed=strategies.integers(0, 2**32))
def test_a_changed_manifest_of_patches_is_refused_in_one_line(patches, tmp_path_factory, seed):
    sound, _ = patches
    directory = tmp_path_factory.mktemp("manifests") / "p"
    shutil.copytree(sound, directory)
    path = directory / "manifest.json"
    content = json.loads(path.read_text())
    change_value(content, random.Random(seed))
    path.write_text(json.dumps(content))

    def read() -> None:
        found = PatchSet(directory)
        for split, classes in found.splits.items():
            for name in classes:
                if found.count(split, name):
                    found.index(split, name)

    refused(read)


# Flag files

CONFIGS = (PatchesConfig, GanConfig, SynthesisConfig, EvaluateConfig, ReportConfig)


@each(FLAGS)
@given(kind=strategies.sampled_from(CONFIGS), damages=DAMAGES)
def test_a_damaged_flag_file_is_refused_or_gives_flags(tmp_path_factory, kind, damages):
    path = tmp_path_factory.mktemp("flags") / "damaged.cfg"
    path.write_bytes(damaged(flags_text(kind()).encode(), damages))
    found: list[Any] = []
    error = refused(lambda: found.append(config_from_file(kind, path)))
    assert error is None or "damaged.cfg" in str(error) or "--" in str(error)
    for config in found:
        assert isinstance(config, kind)
        json.dumps(flags.config_to_dict(config), ensure_ascii=False).encode()


# Checkpoints and SavedModels: TensorFlow can abort on a damaged file, so it never sees one.


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The directory of two checkpoints, of steps 1 and 2."""
    directory = tmp_path_factory.mktemp("checkpoints") / "sound"
    variable = tf.Variable(tf.zeros([64]))
    checkpoints = Checkpoints(directory, {"w": variable}, 10)
    for step in (1, 2):
        variable.assign(tf.fill([64], float(step)))
        checkpoints.save(step, {"at": step})
    return directory


@each(CHECKPOINT)
@given(data=strategies.data(), damages=DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_unopened(
    saved, tmp_path_factory, monkeypatch, capsys, data, damages
):
    directory = tmp_path_factory.mktemp("restored") / "c"
    shutil.copytree(saved, directory)
    names = sorted(path.name for path in (directory / "step-0000002").iterdir())
    path = directory / "step-0000002" / data.draw(strategies.sampled_from(names))
    content = path.read_bytes()
    path.write_bytes(damaged(content, damages))
    variable = tf.Variable(tf.zeros([64]))
    checkpoints = Checkpoints(directory, {"w": variable}, 10)
    opened = []
    read = checkpoints.checkpoint.read
    monkeypatch.setattr(checkpoints.checkpoint, "read", lambda p: (opened.append(p), read(p))[1])
    state = checkpoints.restore()
    step = 2 if path.read_bytes() == content else 1
    assert state == {"at": step}
    assert variable.numpy().tolist() == [step] * 64
    assert opened == [str(directory / f"step-{step:07d}" / "variables")]
    assert ("step-0000002" in capsys.readouterr().err) == (step == 1)


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    """A SavedModel with its card, as train_gan exports one, of a network that is nearly nothing."""
    directory = tmp_path_factory.mktemp("generator") / "sound"
    write_small_generator(directory)
    return directory


def write_small_generator(directory: Path) -> None:
    class Nothing(tf.Module):
        def __init__(self):
            self.gain = tf.Variable(0.5)

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, 32, 32, 1], tf.float32, name="image"),
                tf.TensorSpec([None, 6], tf.float32, name="z"),
            ]
        )
        def with_noise(self, image, z):
            lesion = self.gain * image + tf.reduce_sum(z)
            return {"lesion": lesion, "combined": image + lesion}

    module = Nothing()
    tf.saved_model.save(module, str(directory), signatures={"with_noise": module.with_noise})
    card = {
        "format": 1,
        "task": "mass",
        "size": 32,
        "z_width": 6,
        "step": 1,
        "checksum": directory_checksum(directory),
        "patches_manifest_sha256": "0" * 64,
        "licence": "",
        "flags": flags.config_to_dict(GanConfig(size=32)),
    }
    (directory / "model.json").write_text(json.dumps(card, indent=1))


@each(SAVED_MODEL)
@given(data=strategies.data(), damages=DAMAGES)
def test_a_damaged_generator_is_refused_unopened(
    generator, tmp_path_factory, monkeypatch, data, damages
):
    directory = tmp_path_factory.mktemp("damaged") / "generator"
    shutil.copytree(generator, directory)
    names = sorted(p.relative_to(directory) for p in directory.rglob("*") if p.is_file())
    path = directory / data.draw(strategies.sampled_from(names))
    content = path.read_bytes()
    path.write_bytes(damaged(content, damages))
    opened = []
    load = tf.saved_model.load
    monkeypatch.setattr(tf.saved_model, "load", lambda p: (opened.append(p), load(p))[1])
    error = refused(lambda: export.load_generator(directory))
    if path.read_bytes() == content:
        assert error is None
    elif path.name != "model.json":
        assert "expected checksum" in str(error)
        assert not opened


def test_the_sound_files_are_read(patches, generator):
    function, card = export.load_generator(generator)
    image, z = tf.ones([2, 32, 32, 1]), tf.zeros([2, 6])
    assert (function(image=image, z=z)["lesion"].numpy() == 0.5).all()
    assert card.size == 32
    index = PatchSet(patches[0]).index("train", "malignant_mass")
    assert [index.record(n).patch_id for n in range(3)] == [r.patch_id for r in patches[1]]


@dataclasses.dataclass(frozen=True)
class _Wrong:
    """What is wrong with a card, and the word that says so."""

    change: dict[str, Any]
    words: str


WRONG_CARDS = (
    _Wrong({"size": 64}, "size"),
    _Wrong({"size": "32"}, "size"),
    _Wrong({"z_width": 8}, "z_width"),
    _Wrong({"z_width": None}, "z_width"),
    _Wrong({"task": "cyst"}, "task"),
    _Wrong({"task": ["mass"]}, "task"),
    _Wrong({"checksum": None}, "checksum"),
    _Wrong({"categories": ["mass", "calcification", "removal"]}, "categories: expected nothing"),
    _Wrong({"task": "conditional"}, "categories: expected .*'removal'"),
    _Wrong({"resolution": 0.07}, "resolution: expected dict"),
    _Wrong({"flags": None}, "flags: expected dict"),
)


@pytest.mark.parametrize("wrong", WRONG_CARDS, ids=lambda wrong: str(wrong.change))
def test_a_card_that_does_not_fit_its_generator_is_refused(generator, tmp_path, wrong):
    directory = tmp_path / "generator"
    shutil.copytree(generator, directory)
    card = json.loads((directory / "model.json").read_text())
    (directory / "model.json").write_text(json.dumps({**card, **wrong.change}))
    with pytest.raises(UserError, match=wrong.words):
        export.load_generator(directory)
