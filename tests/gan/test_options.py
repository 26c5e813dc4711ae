"""Options that the paper does not have: off they change no bit, on they do what their flag says."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.gan import model as gan_model
from cgan_tf.gan.augmentation import augmented, turned
from cgan_tf.gan.model import ContextualGan
from cgan_tf.gan.training import check_config
from cgan_tf.models import discriminator
from cgan_tf.runs.errors import UserError
from tests.toys.small_gan import random_images, randomise, small_config

ROLES = ("real", "source", "benign", "normal")


def batch(count=2):
    images = {role: random_images(count, 32, 32, 1, seed=i) for i, role in enumerate(ROLES)}
    return images | {"task": tf.zeros([count], tf.int64)}


def gan_of(**changes):
    changes = {"spectral_norm": "none", "attention_size": -1, "grow": False} | changes
    keras.utils.set_random_seed(3)
    gan = ContextualGan(small_config(**changes))
    randomise(gan.generator, 1)
    randomise(gan.discriminator, 2)
    return gan


@pytest.fixture(scope="module")
def plain():
    return gan_of()


def updates(gan, monkeypatch, **changes):
    """The metrics of an update of the discriminator and its gradients, with some flags changed."""
    found = []

    def apply(_network, gradients):
        found.append([value.numpy() for value in gradients.values()])
        return tf.constant(0.0)

    monkeypatch.setattr(gan, "_apply", apply)
    flags = {"spectral_norm": "none", "attention_size": -1, "grow": False} | changes
    monkeypatch.setattr(gan, "config", small_config(**flags))
    metrics = gan._update_discriminator(batch(), gan.alpha())
    return metrics, found[0]


def test_what_is_off_has_no_part_in_a_step(plain, monkeypatch):
    def never(*_):
        raise AssertionError("called although it is off")

    for name in ("augmented", "turned"):
        monkeypatch.setattr(gan_model, name, never)
    monkeypatch.setattr(discriminator, "minibatch_deviation", never)
    monkeypatch.setattr(tf, "cond", never)
    monkeypatch.setattr(plain, "_apply", lambda *_: tf.constant(0.0))
    plain.train_step(batch())


class TestLazyPenalty:
    def test_when_due_it_weighs_as_much_as_the_iterations_left_out(self, plain, monkeypatch):
        plain.step.assign(6)
        metrics, lazy = updates(plain, monkeypatch, penalty_every=3, penalty_weight=2.0)
        other, heavy = updates(plain, monkeypatch, penalty_weight=6.0)
        for one, two in zip(lazy, heavy, strict=True):
            np.testing.assert_array_equal(one, two)
        assert float(metrics["penalty"]) == pytest.approx(3 * float(other["penalty"]), rel=1e-6)
        assert float(metrics["loss_d"]) == float(other["loss_d"])

    @pytest.mark.parametrize("step", [7, 8])
    def test_between_there_is_none(self, plain, monkeypatch, step):
        plain.step.assign(step)
        metrics, lazy = updates(plain, monkeypatch, penalty_every=3)
        _, without = updates(plain, monkeypatch, penalty_weight=0.0)
        for one, two in zip(lazy, without, strict=True):
            np.testing.assert_array_equal(one, two)
        assert float(metrics["penalty"]) == 0


class TestAugment:
    def test_the_discriminator_sees_every_class_changed(self, plain, monkeypatch):
        """Each sample of each class by a draw of its own, the same whoever holds the sample."""
        names = ("translation", "contrast", "cutout")
        monkeypatch.setattr(plain, "config", small_config(augment=names))
        seen = []

        def discriminate(_self, images, _condition, **_):
            seen.append(images)
            return tf.zeros([len(images), 4])

        monkeypatch.setattr(discriminator.Discriminator, "__call__", discriminate)
        images = random_images(6, 32, 32, 1)
        plain._discriminate(images, tf.zeros([6], tf.int64), None, 0, 3)
        draws = plain._uniform(gan_model._AUGMENT, 0, images[:2], 3, 6).numpy()  # [sample, class]
        expected = augmented(images, names, tf.concat([draws[:, i] for i in range(3)], axis=0))
        np.testing.assert_array_equal(seen[0], expected)
        assert len(np.unique(draws.reshape(6, 6), axis=0)) == 6
        assert np.abs(seen[0] - images).max(axis=(1, 2, 3)).min() > 0.01
        plain._discriminate(images, tf.zeros([6], tf.int64), None, 1, 3)
        assert np.abs(seen[1] - seen[0]).max() > 0.01  # the penalty has draws of its own

    def test_the_generators_gradient_passes_through(self, plain, monkeypatch):
        names = ("translation", "contrast", "cutout")
        monkeypatch.setattr(plain, "config", small_config(augment=names, grow=False))
        norms = []
        monkeypatch.setattr(
            plain, "_apply", lambda _, found: norms.append(tf.linalg.global_norm([*found.values()]))
        )
        plain._update_generator(batch(), plain.alpha(), 0)
        assert float(norms[0]) > 1e-6

    def test_patches_are_turned_before_both_networks(self, plain, monkeypatch):
        monkeypatch.setattr(plain, "config", small_config(augment=("dihedral",), grow=False))
        given = {}
        monkeypatch.setattr(plain, "_update_discriminator", lambda d, _: given.update(d) or {})
        monkeypatch.setattr(plain, "_update_generator", lambda d, *_: given.update(g=d) or {})
        data = batch(16)
        plain.step.assign(4)
        plain.train_step(data)
        plain.step.assign(4)
        for number, role in enumerate(ROLES):
            draws = plain._uniform(gan_model._TURN, number, data[role], 3)
            np.testing.assert_array_equal(given[role], turned(data[role], draws))
            assert len(np.unique(draws.numpy() >= 0, axis=0)) > 3
            assert given["g"][role] is given[role]


def test_deviation_is_that_of_each_class(monkeypatch):
    """A class whose patches are alike shows none, whatever stands beside it."""
    gan = gan_of(minibatch_deviation=True)
    assert gan.discriminator.logits.kernel.shape == (16 * (32 + 1), 4)
    image = random_images(1, 32, 32, 1)
    stacked = tf.concat([image, image, random_images(2, 32, 32, 1, seed=5)], axis=0)
    told = tf.zeros([4, 0])
    found = gan.discriminator(stacked, told, groups=2)
    alone = gan.discriminator(stacked[:2], told)
    np.testing.assert_allclose(found[:2], alone, rtol=1e-5, atol=1e-6)
    together = gan.discriminator(stacked, told)
    assert np.abs(together[:2] - alone).max() > 1e-4
    metrics = gan.train_step(batch())
    assert all(np.isfinite(float(value)) for value in metrics.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augment": ("dihedral", "colour")}, "--augment: expected some of dihedral, .* colour"),
        ({"minibatch_deviation": True, "batch_size": 1}, "--minibatch_deviation: .* 2 or more"),
        ({"penalty_every": 0}, "--penalty_every: expected 1 or more, found 0"),
    ],
)
def test_refused_in_a_line(changes, message):
    with pytest.raises(UserError, match=message):
        check_config(small_config(**changes))
