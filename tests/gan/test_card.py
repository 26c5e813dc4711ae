"""The card of a generator is written in one form and checked when it is read."""

import dataclasses
import json

import pytest

from cgan_tf.config import LesionsConfig
from cgan_tf.gan.card import CARD, GeneratorCard, directory_checksum, read_card, task_of, write_card
from cgan_tf.labels import TASKS
from cgan_tf.runs.directory import read_json
from cgan_tf.runs.errors import UserError


@pytest.fixture(params=["mass", "conditional"])
def written(request, tmp_path):
    """(directory, card) of one file that stands for a SavedModel."""
    (tmp_path / "saved_model.pb").write_bytes(b"network")
    card = GeneratorCard(
        task=request.param,
        size=64,
        z_width=8,
        checksum=directory_checksum(tmp_path),
        step=12,
        patches_manifest_sha256="a" * 64,
        patients=["0123456789abcdef"],
        resolution={"resample_spacing_mm": 0.07, "reduction": 2},
        licence="CC-BY-4.0",
        flags={"border": 10},
    )
    write_card(tmp_path, card)
    return tmp_path, card


def test_what_is_written_is_read(written):
    directory, card = written
    assert read_card(directory) == card


def test_a_generator_of_a_phantom_says_so(written):
    directory, card = written
    drawn = dataclasses.replace(card, phantom=True)
    write_card(directory, drawn)
    assert read_json(directory / CARD)["phantom"] is True
    assert read_card(directory) == drawn


def test_the_names_in_the_file_and_their_order(written):
    directory, card = written
    names = [
        "format", "task", "categories", "size", "z_width", "step", "checksum",
        "patches_manifest_sha256", "resolution", "licence", "patients", "flags",
    ]  # fmt: skip
    if not card.conditional:
        names.remove("categories")
    content = read_json(directory / CARD)
    assert list(content) == names
    assert content["format"] == 1
    assert content.get("categories", list(TASKS)) == list(TASKS)
    assert card.summary() == {name: content[name] for name in names[:-2]}


def test_what_came_later_may_be_missing(written):
    directory, card = written
    content = read_json(directory / CARD)
    for name in ("step", "patches_manifest_sha256", "patients", "resolution", "licence", "flags"):
        del content[name]
    (directory / CARD).write_text(json.dumps(content))
    assert read_card(directory) == GeneratorCard(card.task, 64, z_width=8, checksum=card.checksum)


@pytest.mark.parametrize("name", ["task", "size", "z_width"])
def test_what_every_user_reads_must_be_there(written, name):
    directory, _ = written
    content = read_json(directory / CARD)
    del content[name]
    (directory / CARD).write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"{name}: expected (str|int), found None"):
        read_card(directory)


def test_a_task_is_asked_of_a_conditional_generator_alone():
    plain = GeneratorCard("mass", 64, z_width=8, checksum="")
    conditional = dataclasses.replace(plain, task="conditional")
    assert task_of(LesionsConfig(), plain) == "mass"
    assert task_of(LesionsConfig(task="removal"), conditional) == "removal"
    with pytest.raises(UserError, match=r"expected mass or calcification or removal .* nothing"):
        task_of(LesionsConfig(), conditional)
    with pytest.raises(UserError, match=r"--task: expected mass .* found removal"):
        task_of(LesionsConfig(task="removal"), plain)
