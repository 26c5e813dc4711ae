"""Starting weights: Keras' own ResNet-50 in the three forms of its files, and what is refused."""

import hashlib

import h5py
import keras
import numpy as np
import pytest

from cgan_tf.models import weights_file
from cgan_tf.models.networks import load_weights
from cgan_tf.models.resnet import ResNetClassifier
from cgan_tf.runs.errors import UserError
from tests.toys.tiny_resnet import tiny_resnet

FORMS = ("resnet.weights.h5", "resnet.keras", "resnet_notop.h5")


@pytest.fixture(scope="module")
def donor():
    """keras.applications' ResNet-50 with a random number in every weight."""
    model = keras.applications.ResNet50(include_top=False, weights=None)
    rng = np.random.default_rng(0)
    model.set_weights([rng.standard_normal(w.shape, np.float32) for w in model.weights])
    return model


@pytest.fixture(scope="module")
def model():
    """One classifier for every form: its weights are made zero before each."""
    return ResNetClassifier()


def save_notop(backbone, path):
    """The layout of keras.applications' published files: a group and a list of names per layer."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in backbone.layers]
        file.attrs["keras_version"], file.attrs["backend"] = b"2.1.6", b"tensorflow"
        for layer in backbone.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0".encode() for weight in layer.weights]
            group.attrs["weight_names"] = names
            for name, weight in zip(names, layer.weights, strict=True):
                group.create_dataset(name.decode(), data=weight.numpy())


def save(backbone, path):
    """Writes a backbone in the form that the name stands for."""
    if path.name.endswith(".keras"):
        backbone.save(path)
    elif path.name.endswith(".weights.h5"):
        backbone.save_weights(path)
    else:
        save_notop(backbone, path)


def bits(model):
    """Every weight's bytes by layer and name, the layer's class left out."""
    return {
        f"{layer.name}/{weight.name}": weight.numpy().tobytes()
        for layer in model.layers
        for weight in layer.weights
    }


@pytest.mark.parametrize("form", FORMS)
def test_every_form_loads_bit_for_bit(tmp_path, tiny, form):
    donor, model = tiny_resnet(False, None, (None, None, 3)), ResNetClassifier()
    save(donor, tmp_path / form)
    assert bits(model.backbone) != bits(donor)
    load_weights(model, str(tmp_path / form))
    assert bits(model.backbone) == bits(donor)


# The whole network in the layout of the published file; in the others, slowly.
@pytest.mark.parametrize(
    "form", [*(pytest.param(form, marks=pytest.mark.slow) for form in FORMS[:2]), FORMS[2]]
)
def test_keras_resnet_50_loads_bit_for_bit(tmp_path, donor, model, form):
    save(donor, tmp_path / form)
    model.backbone.set_weights([np.zeros(weight.shape) for weight in model.backbone.weights])
    load_weights(model, str(tmp_path / form))
    assert len(bits(donor)) == 318  # 53 convolutions with bias, 53 normalisations
    assert bits(model.backbone) == bits(donor)


def test_weights_of_a_whole_classifier(tmp_path, tiny):
    donor, model = ResNetClassifier(), ResNetClassifier()
    donor.save_weights(tmp_path / "best.weights.h5")
    assert bits(model.backbone) != bits(donor.backbone)
    load_weights(model, str(tmp_path / "best.weights.h5"))
    assert bits(model.backbone) == bits(donor.backbone)
    assert np.array_equal(model.head.kernel, donor.head.kernel)


def test_none_leaves_the_model_alone(tiny):
    model = ResNetClassifier()
    before = bits(model.backbone)
    load_weights(model, "none")
    assert bits(model.backbone) == before


def test_imagenet_without_the_file_says_where_to_put_it(tmp_path, monkeypatch, tiny):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(UserError) as caught:
        load_weights(ResNetClassifier(), "imagenet")
    message = str(caught.value)
    assert str(tmp_path / "models" / weights_file.IMAGENET_FILE) in message
    assert "4d473c1dd8becc155b73f8504c6f6626" in message
    assert "\n" not in message


def test_imagenet_with_a_wrong_or_the_right_file(tmp_path, monkeypatch, tiny):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    path = tmp_path / "models" / weights_file.IMAGENET_FILE
    path.parent.mkdir()
    donor, model = tiny_resnet(False, None, (None, None, 3)), ResNetClassifier()
    save_notop(donor, path)
    with pytest.raises(UserError, match="expected md5 4d47"):
        load_weights(model, "imagenet")
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(weights_file, "IMAGENET_MD5", digest)
    assert bits(model.backbone) != bits(donor)
    load_weights(model, "imagenet")
    assert bits(model.backbone) == bits(donor)


@pytest.mark.parametrize("name", ["a.weights.h5", "a.keras", "a_notop.h5", "a.npz"])
def test_damaged_weights_are_named(tmp_path, tiny, name):
    path = tmp_path / name
    with pytest.raises(UserError, match="no such file"):
        load_weights(ResNetClassifier(), str(path))
    path.write_bytes(b"not a file of weights")
    with pytest.raises(UserError, match=name) as caught:
        load_weights(ResNetClassifier(), str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_another_networks_weights_are_refused(tmp_path, tiny, form):
    inputs = keras.Input((3,))
    other = keras.Model(inputs, keras.layers.Dense(2, name="conv")(inputs))
    save(other, tmp_path / form)
    with pytest.raises(UserError, match="ResNet-50"):
        load_weights(ResNetClassifier(), str(tmp_path / form))
