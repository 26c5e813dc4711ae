"""--init_from: the weights of another training, what does not fit, what the card says of it.

The step is a script and the export a card: what is tested is where weights come from and go.
"""

import dataclasses
import json
import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.config import SynthesisConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.data.provenance import check_origins, client_ids, manifest_sha256, patient_digest
from cgan_tf.gan import export
from cgan_tf.gan import training as gan_training
from cgan_tf.gan.card import GENERATOR, GeneratorCard, directory_checksum, read_card, write_card
from cgan_tf.gan.export import export_generator
from cgan_tf.gan.fine_tuning import open_start
from cgan_tf.gan.training import Training, train_gan
from cgan_tf.runs.directory import finish_run, open_run, read_json, write_json
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import config_to_dict
from cgan_tf.synthesis.candidates import origin_of
from tests.toys.patches import write_toy_patches
from tests.toys.small_gan import small_config

FLAGS = {"spectral_norm": "discriminator", "attention_size": -1, "task": "mass"}


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    return write_toy_patches(tmp_path_factory.mktemp("patches") / "p", size=32, per_class=5)


@pytest.fixture(scope="module")
def base(patches, tmp_path_factory):
    """A finished training with weights that no initialiser draws."""
    directory = tmp_path_factory.mktemp("base") / "run"
    config = small_config(patches_dir=str(patches), output_dir=str(directory), seed=5, **FLAGS)
    with open_run(directory, "train_gan", config):
        training = Training(config, PatchSet(patches), directory)
        for number, weight in enumerate(training.model.weights):
            count = np.prod(weight.shape, dtype=int)
            weight.assign(number + 0.01 * np.arange(count).reshape(weight.shape))
        training.model.step.assign(8)
        training.checkpoints.save(8, {})
        write_generator(directory / GENERATOR, config, PatchSet(patches))
        finish_run(directory, "train_gan", {})
    return directory


def write_generator(directory, config, patches, women=("0" * 16,), **values):
    directory.mkdir(parents=True)
    write_json(directory / "saved_model.pb", {})
    card = GeneratorCard(
        config.model_name(),
        32,
        6,
        directory_checksum(directory),
        step=8,
        patches_manifest_sha256=manifest_sha256(patches),
        patients=list(women),
        flags=config_to_dict(config),
    )
    write_card(directory, dataclasses.replace(card, **values))


@pytest.fixture
def config(patches, base, tmp_path):
    return small_config(
        patches_dir=str(patches), output_dir=str(tmp_path / "new"), init_from=str(base), **FLAGS
    )


@pytest.fixture
def scripted(monkeypatch):
    """Steps that add one to a weight of the generator; `at` holds what else happens at a step."""
    script = {"at": {}, "first": []}

    def compile_step(self):
        def step(batch):
            model = self.model
            if not script["first"]:
                script["first"] = [weight.numpy() for weight in model.weights]
            number = int(model.step.assign_add(1))
            model.generator.embedding.bias.assign_add(tf.ones(4))
            if number in script["at"]:
                script["at"][number]()
            return {"loss_d": tf.constant(1.0), "lesion_range": tf.constant(0.1)}

        return step

    monkeypatch.setattr(Training, "_compile_step", compile_step)
    monkeypatch.setattr(Training, "_export", lambda self: script.update(model=self.model))
    return script


def weights_of(base, *networks):
    reader = tf.train.load_checkpoint(str(base / "checkpoints/step-0000008/variables"))
    end = "/.ATTRIBUTES/VARIABLE_VALUE"
    values = {
        name.removeprefix("variables/").removesuffix(end).replace(".S", "/"): name
        for name in reader.get_variable_to_shape_map()
    }
    return {path: reader.get_tensor(values[path]) for path in values if path.startswith(networks)}


def test_the_first_weights_are_the_others(config, base, scripted, capsys):
    train_gan(config)
    model = scripted["model"]
    found = dict(zip((w.path for w in model.weights), scripted["first"], strict=True))
    expected = weights_of(base, "generator/", "discriminator/")
    assert len(expected) > 40
    for path, value in expected.items():
        np.testing.assert_array_equal(found[path], value, err_msg=path)
        if path.startswith("generator/"):
            averaged = found[path.replace("generator/", "averaged/", 1)]
            np.testing.assert_array_equal(averaged, value, err_msg=path)
    assert int(model.step) == 8
    assert all(int(one.iterations) == 0 for one in model.optimizers.values())
    assert f"starting from the generator and discriminator of {base} (mass, step 8)" in (
        capsys.readouterr().out
    )
    run = read_json(os.path.join(config.output_dir, "run.json"))
    assert run["flags"]["init_from"] == str(base)
    assert run["inputs"]["init_from"][0]["sha256"]


def test_a_run_that_was_stopped_goes_on_from_its_own_weights(config, base, scripted, monkeypatch):
    before = weights_of(base, "generator/embedding/bias")["generator/embedding/bias"]
    scripted["at"][3] = lambda: os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        train_gan(config)

    def never(*_):
        raise AssertionError("loaded again")

    monkeypatch.setattr(gan_training, "load_networks", never)
    scripted["at"].clear()
    train_gan(config)
    bias = scripted["model"].generator.embedding.bias
    np.testing.assert_array_equal(bias, before + 8)  # once from the other, then eight steps


@pytest.mark.parametrize("task", ["calcification", "mass"])
def test_masses_and_calcifications_start_from_each_other(config, patches, task):
    start = open_start(dataclasses.replace(config, task=task), PatchSet(patches))
    assert (start.card.task, start.overlap) == ("mass", ())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator_filters": 8}, "--generator_filters is 8 here and 4 there"),
        ({"spectral_norm": "both"}, "--spectral_norm is both here and discriminator there"),
        ({"noise_maps": True}, "--noise_maps is True here and False there"),
        ({"leaky_relu_slope": 0.1}, "--leaky_relu_slope is 0.1 here and 0.2 there"),
        ({"task": "removal"}, "--task is removal here and mass there"),
        (
            {"bottleneck_filters": 8, "attention_size": 0},
            "--bottleneck_filters is 8 here and 16 there; --attention_size is 8 here and -1 there",
        ),
    ],
    ids=str,
)
def test_what_does_not_fit_is_told_in_a_line(config, base, scripted, changes, message):
    with pytest.raises(UserError) as caught:
        train_gan(dataclasses.replace(config, **changes))
    assert str(caught.value) == f"--init_from={base}: does not fit: {message}"
    assert not os.path.exists(os.path.join(config.output_dir, "run.json"))


def test_the_resolution_of_attention_may_be_said_in_two_ways(config, patches, tmp_path):
    other = dataclasses.replace(config, attention_size=0)
    _finished(tmp_path / "other", other, PatchSet(patches))
    same = dataclasses.replace(config, init_from=str(tmp_path / "other"), attention_size=8)
    assert open_start(same, PatchSet(patches)) is not None


def _finished(directory, config, patches, **values):
    with open_run(directory, "train_gan", config):
        write_generator(directory / GENERATOR, config, patches, **values)
        finish_run(directory, "train_gan", {})


def test_a_directory_that_is_no_finished_training(config, patches, tmp_path):
    for name in ("nowhere", "unfinished"):
        wrong = dataclasses.replace(config, init_from=str(tmp_path / name))
        if name == "unfinished":
            with open_run(tmp_path / name, "train_gan", config):
                pass
        with pytest.raises(UserError, match=f"{name}.* train_gan"):
            open_start(wrong, PatchSet(patches))


def test_without_a_checkpoint(config, patches, tmp_path, scripted):
    _finished(tmp_path / "bare", config, PatchSet(patches))
    with pytest.raises(UserError, match=r"bare/checkpoints: expected a checkpoint, found none"):
        train_gan(dataclasses.replace(config, init_from=str(tmp_path / "bare")))


class TestWomen:
    @pytest.fixture
    def other(self, config, tmp_path):
        """A training on patches of another set, whose women are tested on here."""
        others = write_toy_patches(
            tmp_path / "others", size=32, per_class=5, seed=1, women={"train": "test"}
        )
        tested = client_ids(PatchSet(config.patches_dir), "test")
        women = sorted(set(map(patient_digest, tested)))
        _finished(tmp_path / "other", config, PatchSet(others), women=women)
        return dataclasses.replace(config, init_from=str(tmp_path / "other"))

    def test_held_out_ones_are_refused(self, other):
        patches = PatchSet(other.patches_dir)
        with pytest.raises(UserError, match=r"made from another split .* in the test split"):
            open_start(other, patches)
        start = open_start(dataclasses.replace(other, allow_overlap=True), patches)
        assert {each.split for each in start.overlap} == {"test"}

    def test_they_stay_behind_the_new_generator(self, other, monkeypatch, tmp_path):
        """Whoever uses it compares the women, although it was trained on the very patches."""
        patches = PatchSet(other.patches_dir)
        start = open_start(dataclasses.replace(other, allow_overlap=True), patches)
        monkeypatch.setattr(export.keras.export, "ExportArchive", _Archive)
        model = type("Model", (), {"averaged": None, "step": tf.constant(3)})()
        card = export_generator(model, other, tmp_path / "generator", start)
        assert read_card(tmp_path / "generator") == card
        assert set(start.card.patients) < set(card.patients)
        assert card.init_from["checksum"] == start.card.checksum
        assert card.summary()["init_from"]["step"] == 8
        with pytest.raises(UserError, match="in the test split"):
            check_origins(
                patches, [origin_of(SynthesisConfig(generator="g"), card)], allow_overlap=False
            )

    def test_of_the_same_patches_the_card_names_them(self, config, monkeypatch, tmp_path):
        patches = PatchSet(config.patches_dir)
        monkeypatch.setattr(export.keras.export, "ExportArchive", _Archive)
        model = type("Model", (), {"averaged": None, "step": tf.constant(3)})()
        start = open_start(config, patches)
        card = export_generator(model, config, tmp_path / "generator", start)
        assert card.patches_manifest_sha256 == manifest_sha256(patches)
        text = json.loads((tmp_path / "generator" / "model.json").read_text())
        assert text["init_from"]["task"] == "mass"


class _Archive:
    """In the place of Keras' archive: a file."""

    def track(self, _network):
        pass

    def add_endpoint(self, *_):
        pass

    def write_out(self, directory, verbose):
        os.makedirs(directory)
        write_json(os.path.join(directory, "saved_model.pb"), {})
