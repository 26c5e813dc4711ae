"""The exported generator: alone with TensorFlow, equal to the model, and never damaged."""

import dataclasses
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.data.provenance import patient_digest, patients_of
from cgan_tf.gan import export
from cgan_tf.gan.export import (
    directory_checksum,
    export_generator,
    float32_generator,
    load_generator,
)
from cgan_tf.gan.model import ContextualGan
from cgan_tf.gan.training import variables_of
from cgan_tf.labels import TASKS
from cgan_tf.runs.directory import read_json, read_manifest, sha256, write_json
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.training import Checkpoints
from tests.toys.small_gan import random_images, random_scalars, randomise

IMAGES, Z = random_images(5, 32, 32, 1), random_scalars(5, 6)


@pytest.fixture(scope="module")
def trained(gan_run):
    """The model of the finished run, from its last checkpoint."""
    model = ContextualGan(gan_run.config)
    checkpoints = Checkpoints(gan_run.finished / "checkpoints", variables_of(model), 10)
    checkpoints.restore()
    return model


@pytest.fixture(scope="module")
def expected(trained):
    """Lesion channels of the averaged generator."""
    return trained.averaged(IMAGES, Z, phase="full").numpy()


@pytest.fixture(scope="module")
def conditional_export(gan_run, tmp_path_factory):
    """A conditional model, untrained, and the directory of its generator."""
    config = dataclasses.replace(gan_run.config, conditional=True)
    model = ContextualGan(config)
    randomise(model.averaged)
    directory = tmp_path_factory.mktemp("conditional") / "generator"
    export_generator(model, config, directory)
    return model, directory


@pytest.fixture(scope="module")
def conditional(conditional_export):
    """The same model, and its generator loaded again: the function and the card."""
    model, directory = conditional_export
    return model, *load_generator(directory)


@pytest.fixture
def copy(gan_run, tmp_path):
    return shutil.copytree(gan_run.finished / "generator", tmp_path / "generator")


def test_the_card(gan_run):
    directory = gan_run.finished / "generator"
    card = read_json(directory / "model.json")
    assert card["task"] == "calcification"
    assert (card["size"], card["z_width"], card["step"]) == (32, 6, 10)
    assert card["checksum"] == directory_checksum(directory)
    patches_manifest = f"{gan_run.config.patches_dir}/manifest.json"
    assert card["patches_manifest_sha256"] == sha256(patches_manifest)
    assert card["flags"]["generator_filters"] == 4
    assert card["licence"] == "CC-BY-4.0"
    manifest = read_manifest(gan_run.finished, "train_gan")
    assert manifest["generator"] == {
        k: v for k, v in card.items() if k not in ("patients", "flags")
    }
    patches = PatchSet(gan_run.config.patches_dir)  # a mass is none of a calcification GAN's
    classes = ("normal", "malignant_calcification", "benign_calcification")
    assert card["patients"] == sorted(patients_of(patches, "train", classes))
    assert patient_digest("train-case-0000") in card["patients"]


def test_it_is_the_averaged_generator_at_full_resolution(gan_run, trained, expected):
    function, card = load_generator(gan_run.finished / "generator")
    assert card.size == 32
    outputs = function(image=IMAGES, z=Z)
    np.testing.assert_allclose(outputs["lesion"], expected, rtol=0, atol=1e-5)
    combined = np.clip(IMAGES + outputs["lesion"], -1, 1)
    np.testing.assert_allclose(outputs["combined"], combined, rtol=0, atol=1e-6)
    assert np.abs(expected).max() > 1e-4
    plain = trained.generator(IMAGES, Z, phase="full").numpy()
    assert np.abs(plain - expected).max() > 1e-4


@pytest.mark.parametrize("task", range(3))
def test_a_conditional_generator_takes_a_category(conditional, task):
    model, function, card = conditional
    assert (card.task, card.tasks) == ("conditional", TASKS)
    categories = tf.constant([task, task, 0, 1, 2])
    outputs = function(image=IMAGES, z=Z, category=categories)
    expected = model.averaged(
        IMAGES, tf.concat([Z, tf.one_hot(categories, 3)], axis=1), phase="full"
    )
    np.testing.assert_allclose(outputs["lesion"], expected, rtol=0, atol=1e-5)
    others = function(image=IMAGES, z=Z, category=(categories + 1) % 3)
    assert np.abs(outputs["lesion"] - others["lesion"]).max() > 1e-3
    served = function.owner.signatures["serving_default"](image=IMAGES, category=categories)
    assert served["combined"].shape == IMAGES.shape
    with pytest.raises(TypeError, match="category"):
        function(image=IMAGES, z=Z)


def test_a_conditional_generator_is_no_onnx_file(conditional_export):
    with pytest.raises(UserError, match="expected a generator of one task"):
        float32_generator(conditional_export[1])


def test_an_older_card_had_the_defaults(copy, expected):
    """A card from before a flag existed; one with a flag that is gone is refused."""
    card = read_json(copy / "model.json")
    del card["flags"]["licence"], card["flags"]["conditional"]
    write_json(copy / "model.json", card)
    generator, _ = float32_generator(copy)
    np.testing.assert_allclose(generator(IMAGES, Z, phase="full"), expected, rtol=0, atol=1e-5)
    card["flags"]["of_long_ago"] = 1
    write_json(copy / "model.json", card)
    with pytest.raises(UserError, match="of_long_ago"):
        float32_generator(copy)


ALONE = textwrap.dedent("""
    import sys

    class NotInstalled:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in ("cgan_tf", "beam_pipelines"):
                raise ModuleNotFoundError(f"{name} is not installed here")

    sys.meta_path.insert(0, NotInstalled())
    try:
        import cgan_tf
        sys.exit("cgan_tf can be imported")
    except ModuleNotFoundError:
        pass
    import numpy as np, tensorflow as tf
    inputs = np.load("in.npz")
    image, z = tf.constant(inputs["image"]), tf.constant(inputs["z"])
    for number, generator in enumerate(sys.argv[1:]):
        loaded = tf.saved_model.load(generator)
        with_noise, serve = (loaded.signatures[n] for n in ("with_noise", "serving_default"))
        parts = [with_noise(image=image[a:b], z=z[a:b]) for a, b in ((0, 1), (1, 3), (3, 5))]
        drawn = [serve(image=image[:3]) for _ in range(2)]
        np.savez(
            f"{number}.npz",
            lesion=np.concatenate([part["lesion"] for part in parts]),
            combined=np.concatenate([part["combined"] for part in parts]),
            first=drawn[0]["lesion"], second=drawn[1]["lesion"],
        )
""")


@pytest.fixture(scope="module")
def bfloat16(gan_run, tmp_path_factory):
    """An untrained model that computes in bfloat16, and the directory of its generator."""
    config = dataclasses.replace(gan_run.config, precision="mixed_bfloat16", licence="")
    keras.utils.set_random_seed(11)  # kernels of a strong lesion; most give a faint one
    model = ContextualGan(config)
    randomise(model.averaged)
    directory = tmp_path_factory.mktemp("bfloat16") / "generator"
    assert export_generator(model, config, directory).licence == ""
    return model, directory


@pytest.fixture(scope="module")
def alone(gan_run, bfloat16, tmp_path_factory):
    """What a process without this package makes of IMAGES and Z, by either generator."""
    directory = tmp_path_factory.mktemp("alone")
    np.savez(directory / "in.npz", image=IMAGES, z=Z)
    generators = (gan_run.finished / "generator", bfloat16[1])
    command = [sys.executable, "-I", "-c", ALONE, *map(str, generators)]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [np.load(directory / f"{number}.npz") for number in range(2)]


@pytest.mark.slow
def test_tensorflow_alone_runs_it_with_any_batch(alone, expected):
    found = alone[0]
    np.testing.assert_allclose(found["lesion"], expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        found["combined"], np.clip(IMAGES + expected, -1, 1), rtol=0, atol=1e-5
    )
    assert found["first"].shape == (3, 32, 32, 1)
    assert np.abs(found["first"] - found["second"]).max() > 0  # scalars are drawn inside
    assert (found["first"][:, :1] == 0).all()  # the frame: 10 px at 256 are 1 at 32
    assert (found["first"][:, 1] != 0).any()


@pytest.mark.slow
def test_tensorflow_alone_runs_one_in_bfloat16(alone, bfloat16):
    model, directory = bfloat16
    found = alone[1]["lesion"]
    function, _ = load_generator(directory)
    here = function(image=IMAGES, z=Z)["lesion"]
    np.testing.assert_allclose(found, here, rtol=0, atol=1e-5)
    eager = model.averaged(IMAGES, Z, phase="full").numpy()
    assert np.abs(eager).max() > 0.3
    # A graph rounds less often than single operations do: bfloat16 has 8 bits.
    np.testing.assert_allclose(found, eager, rtol=0, atol=0.01)


@pytest.mark.slow
def test_saved_model_cli_shows_the_signatures(gan_run):
    program = Path(sys.executable).with_name("saved_model_cli")
    command = [program, "show", "--dir", str(gan_run.finished / "generator"), "--all"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    parts = re.split(r"signature_def\['(\w+)'\]:|Concrete Functions", shown)
    text = {name: parts[place + 1] for place, name in enumerate(parts) if place % 2}
    tensors = {
        name: set(re.findall(r"((?:in|out)puts)\['(\w+)'\].*?shape: \((.*?)\)", part, re.DOTALL))
        for name, part in text.items()
        if name in ("serving_default", "with_noise")
    }
    image = "-1, 32, 32, 1"
    served = {("inputs", "image", image), ("outputs", "lesion", image)}
    served |= {("outputs", "combined", image)}
    assert tensors == {
        "serving_default": served,
        "with_noise": served | {("inputs", "z", "-1, 6")},
    }


class TestDamage:
    @pytest.fixture(autouse=True)
    def unopened(self, monkeypatch):
        def opened(*_):
            raise AssertionError("TensorFlow opened a damaged SavedModel")

        monkeypatch.setattr(export.tf.saved_model, "load", opened)

    def refused(self, directory, message="expected checksum [0-9a-f]{64}, found [0-9a-f]{64}"):
        with pytest.raises(UserError, match=message):
            load_generator(directory)

    @pytest.mark.parametrize(
        "file", ["saved_model.pb", "variables/variables.index", "variables/*.data-*"]
    )
    def test_a_flipped_bit(self, copy, file):
        path = next(copy.glob(file))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        self.refused(copy)

    def test_a_missing_file(self, copy):
        (copy / "fingerprint.pb").unlink()
        self.refused(copy)

    def test_a_file_too_many(self, copy):
        (copy / "assets" / "other.txt").write_text("")
        self.refused(copy)

    def test_two_files_exchanged(self, copy):
        one, two = copy / "saved_model.pb", copy / "fingerprint.pb"
        first, second = one.read_bytes(), two.read_bytes()
        one.write_bytes(second)
        two.write_bytes(first)
        self.refused(copy)

    def test_a_damaged_card(self, copy):
        (copy / "model.json").write_text('{"task": "mass"')
        self.refused(copy, r"model\.json: expected a JSON object")

    def test_no_generator_at_all(self, tmp_path):
        self.refused(
            tmp_path / "nowhere", r"nowhere: expected a generator directory .*no such directory"
        )


def test_a_copy_with_another_card_of_the_same_files_is_fine(copy):
    card = read_json(copy / "model.json")
    assert directory_checksum(copy) == card["checksum"]
    (copy / "model.json").write_text("{}")
    assert directory_checksum(copy) == card["checksum"]


@pytest.mark.slow
def test_an_old_export_is_replaced_whole(gan_run, trained, tmp_path, expected):
    directory = tmp_path / "generator"
    directory.mkdir()
    (directory / "left-over").write_text("of an older export")
    trained.averaged.full_head.bias.assign_add([0.25])
    card = export_generator(trained, gan_run.config, directory)
    trained.averaged.full_head.bias.assign_add([-0.25])
    assert not (directory / "left-over").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["generator"]
    function, found = load_generator(directory)
    assert (
        found.checksum
        == card.checksum
        != read_json(gan_run.finished / "generator" / "model.json")["checksum"]
    )
    lesion = function(image=IMAGES, z=Z)["lesion"].numpy()
    inner = (slice(None), slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(lesion[inner], expected[inner] + 0.25, rtol=0, atol=1e-5)


def test_a_disk_that_tensorflow_finds_full_is_a_line(gan_run, trained, tmp_path, monkeypatch):
    archive = mock.Mock()
    words = "model.pb; No space left on device"
    archive.write_out.side_effect = tf.errors.ResourceExhaustedError(None, None, words)
    monkeypatch.setattr(keras.export, "ExportArchive", lambda: archive)
    with pytest.raises(UserError, match=f"generator: cannot be written: {words}"):
        export_generator(trained, gan_run.config, tmp_path / "generator")
    assert not (tmp_path / "generator").exists()
