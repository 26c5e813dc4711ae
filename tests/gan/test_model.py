"""One training step: what it changes, what it must not, and every switch."""

import functools
import json
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.config import GanConfig
from cgan_tf.gan import losses
from cgan_tf.gan.model import ContextualGan, _fake_input, ema_decay, fade_in_alpha, real_input
from cgan_tf.labels import TASKS
from cgan_tf.models.layers import halve, spectral_layers
from tests.toys.small_gan import random_images, randomise, singular_value_errors, small_config

ROLES = ("real", "source", "benign", "normal")
NAMES = ("real", "fake", "benign", "normal")  # the discriminator's classes
NEW_LAYERS = ("encoder_0", "decoder_0_first", "decoder_0_second", "full_head", "block_0")
OLD_LAYERS = ("half_entry", "half_head")
ATTENTION = small_config().attention_size


# Fields that a step reads; every other shapes the networks or their optimizers.
READ_BY_STEPS = {
    *("task", "generator_steps", "benign_weight", "normal_weight", "penalty_weight"),
    *("mode_seeking_weight", "ema"),
}


def make_gan(step=0, phase=None, **changes):
    """A GAN of its own."""
    keras.utils.set_random_seed(3)
    return prepare(ContextualGan(small_config(**changes)), step, phase)


def next_gan(step=0, phase=None, **changes):
    """A GAN for one test: one of the same architecture as before is made as good as new."""
    shape = {name: value for name, value in changes.items() if name not in READ_BY_STEPS}
    gan, weights, states = _of_shape(**shape)
    gan.set_weights(weights)
    for optimizer, values in states:
        for variable, value in zip(optimizer.variables, values, strict=True):
            variable.assign(value)
    gan.config = small_config(**changes)
    gan.phase = "half" if gan.config.grow else "full"
    return prepare(gan, step, phase)


@functools.cache
def _of_shape(**changes):
    keras.utils.set_random_seed(3)
    gan = ContextualGan(small_config(**changes))
    optimizers = gan.optimizers.values()
    states = [(one, [variable.numpy() for variable in one.variables]) for one in optimizers]
    return gan, gan.get_weights(), states


def prepare(gan, step, phase):
    randomise(gan.generator, 1)
    randomise(gan.discriminator, 2)
    gan.averaged.set_weights(gan.generator.get_weights())
    gan.step.assign(step)
    gan.phase = phase or gan.phase
    return gan


@pytest.mark.slow
def test_the_next_gan_is_as_good_as_new():
    used = next_gan(step=3, phase="fade", task="calcification")
    for variable in variables_of(used):
        variable.assign(variable + tf.ones_like(variable))
    again, new = next_gan(step=2), make_gan(step=2)
    assert again is used
    assert (again.phase, again.config, int(again.step)) == (new.phase, new.config, int(new.step))
    for one, two in zip(variables_of(again), variables_of(new), strict=True):
        np.testing.assert_array_equal(one, two, err_msg=one.path)


def variables_of(gan):
    return [*gan.weights, *(v for one in gan.optimizers.values() for v in one.variables)]


def batch(roles=ROLES, size=32, count=2, task=0):
    images = {role: random_images(count, size, size, 1, seed=i) for i, role in enumerate(roles)}
    return images | {"task": tf.fill([count], tf.constant(task, tf.int64))}


def snapshot(*owners):
    """Values of every weight, by path."""
    return {w.path: w.numpy() for owner in owners for w in owner.weights}


def changed(before, *owners):
    """Names of layers of which a weight is not what it was."""
    after = snapshot(*owners)
    return {p.split("/")[-2] for p, v in before.items() if not np.array_equal(v, after[p])}


def kernels_changed(before, *owners):
    after = snapshot(*owners)
    return {
        path.split("/")[-2]
        for path, value in before.items()
        if path.endswith("kernel") and not np.array_equal(value, after[path])
    }


@pytest.fixture(scope="module")
def faded():
    """A GAN in the middle of its fade-in, and what was before and after one step."""
    gan = make_gan(step=3, phase="fade", spectral_norm="both")
    before = snapshot(gan.generator, gan.discriminator)
    averaged = snapshot(gan.averaged)
    metrics = {name: float(value) for name, value in gan.train_step(batch()).items()}
    return gan, before, averaged, metrics


class TestStep:
    def test_both_networks_learn(self, faded):
        gan, before, _, _ = faded
        trained = {path.split("/")[-2] for path in before if path.endswith("kernel")}
        assert len(trained) > 20
        assert kernels_changed(before, gan.generator, gan.discriminator) == trained

    def test_metrics(self, faded):
        gan, _, _, metrics = faded
        assert set(metrics) == {
            *("loss_d", "loss_g", "penalty", "gradient_d", "gradient_g", "alpha"),
            *(f"ce_{name}" for name in NAMES),
            *(f"p_{output}_on_{name}" for output in NAMES for name in NAMES),
            *("sigma_d", "sigma_g"),
            *("lesion_area", "lesion_peak", "lesion_range", "lesion_contrast"),
        }
        assert np.isfinite(list(metrics.values())).all()
        assert metrics["alpha"] == 0.25
        assert int(gan.step) == 4

    def test_every_optimizer_counts_its_own_updates(self, faded):
        gan, *_ = faded
        iterations = {name: int(opt.iterations) for name, opt in gan.optimizers.items()}
        assert iterations == {
            "generator_kept": 2,  # mass: twice for every update of the discriminator
            "generator_new": 2,
            "discriminator_kept": 1,
            "discriminator_new": 1,
        }

    def test_new_layers_start_at_the_learning_rate(self, faded):
        """Adam's first update is the learning rate; in an old optimizer it would be ten times."""
        gan, before, _, _ = faded
        after = snapshot(gan.discriminator)
        path = next(path for path in after if path.endswith("block_0/kernel"))
        update = np.abs(after[path] - before[path])
        np.testing.assert_allclose(update.max(), 1e-3, rtol=1e-3)
        assert np.median(update) > 0.9e-3

    def test_averaged_weights(self, faded):
        gan, _, averaged, _ = faded
        decay = 4 / 13  # (1 + step) / (10 + step) at step 3
        generator = snapshot(gan.generator)
        trainable = {w.path for w in gan.generator.trainable_weights}
        assert len(generator) > len(trainable)  # the u vectors
        for path, value in snapshot(gan.averaged).items():
            old, new = averaged[path], generator[path.replace("averaged", "generator", 1)]
            is_trained = path.replace("averaged", "generator", 1) in trainable
            expected = decay * old + (1 - decay) * new if is_trained else new
            np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)

    def test_no_averaging_is_a_copy(self):
        gan = next_gan(step=4, phase="fade", ema=0.0)
        for weight in gan.generator.weights:
            weight.assign(weight + 0.25)
        gan._average(gan.step)
        for target, value in zip(gan.averaged.weights, gan.generator.weights, strict=True):
            np.testing.assert_array_equal(target, value)


class TestSchedules:
    """Values in the graph, by hand."""

    @pytest.mark.parametrize(
        ("step", "alpha"),
        [(0, 0), (100, 0), (101, 0.25), (102, 0.5), (103, 0.75), (104, 1), (10**12, 1)],
    )
    def test_fade_in(self, step, alpha):
        config = small_config(half_steps=100, fade_in_steps=4)
        assert float(fade_in_alpha(tf.constant(step, tf.int64), config)) == alpha

    def test_the_papers_fade_in_is_linear(self):
        steps = np.arange(100_000, 103_001)
        found = fade_in_alpha(tf.constant(steps), GanConfig())
        np.testing.assert_allclose(found, (steps - 100_000) / 3_000, rtol=1e-6)

    @pytest.mark.parametrize("step", [9, 10, 11])
    def test_a_fade_in_of_no_steps_is_a_jump(self, step):
        config = small_config(half_steps=10, fade_in_steps=0)
        assert float(fade_in_alpha(tf.constant(step), config)) == float(step >= 10)

    def test_without_growth_the_weight_is_one(self):
        assert float(fade_in_alpha(tf.constant(0), small_config(grow=False))) == 1.0

    @pytest.mark.parametrize(
        ("step", "decay", "expected"),
        [
            (0, 0.999, 0.1),
            (8, 0.999, 0.5),
            (80, 0.999, 0.9),
            (8_990, 0.999, 0.999),
            (10**6, 0.999, 0.999),
            (80, 0.5, 0.5),
            (80, 0.0, 0.0),
        ],
    )
    def test_ema_decay(self, step, decay, expected):
        assert float(ema_decay(tf.constant(step), decay)) == pytest.approx(expected, rel=1e-6)


class TestUpdates:
    def test_the_generators_leaves_the_discriminator_alone(self, faded):
        gan, *_ = faded
        optimizers = [gan.optimizers[f"discriminator_{name}"] for name in ("kept", "new")]
        frozen = [*gan.discriminator.weights, *optimizers[0].variables, *optimizers[1].variables]
        values = [variable.numpy() for variable in frozen]
        before = snapshot(gan.generator)
        gan._update_generator(batch(), gan.alpha(), 0)
        for variable, value in zip(frozen, values, strict=True):
            np.testing.assert_array_equal(variable, value, err_msg=variable.path)
        assert len(kernels_changed(before, gan.generator)) > 10

    def test_the_discriminators_leaves_the_generator_alone(self, faded):
        gan, *_ = faded
        before = snapshot(gan.generator, gan.averaged)
        gan._update_discriminator(batch(), gan.alpha())
        assert changed(before, gan.generator, gan.averaged) == set()

    def test_one_power_iteration_an_update(self, faded):
        gan, *_ = faded
        layer = gan.discriminator.convs[1]
        matrix = layer.kernel.numpy().reshape(-1, layer.filters)
        v = matrix @ layer.u.numpy()
        expected = matrix.T @ (v / np.linalg.norm(v))
        gan._update_discriminator(batch(), gan.alpha())
        np.testing.assert_allclose(
            layer.u, expected / np.linalg.norm(expected), rtol=1e-4, atol=1e-6
        )

    def test_a_fresh_gan_knows_its_singular_values(self):
        gan = ContextualGan(small_config(spectral_norm="both"))
        for network in (gan.generator, gan.averaged, gan.discriminator):
            assert max(singular_value_errors(spectral_layers(network))) < 0.1


class TestGrowth:
    def test_groups_by_layer(self, faded):
        groups = faded[0].variable_groups()
        layers = {
            name: {weight.path.split("/")[1] for weight in weights}
            for name, weights in groups.items()
        }
        assert layers["generator_new"] == {
            *("encoder_0", "decoder_0_first", "decoder_0_second", "full_head")
        }
        assert layers["discriminator_new"] == {"block_0"}
        weights = faded[0].generator.trainable_weights + faded[0].discriminator.trainable_weights
        assert sum(map(len, groups.values())) == len(weights)

    def test_the_half_phase_leaves_new_layers_alone(self):
        gan = next_gan()
        assert gan.phase == "half"
        before = snapshot(gan.generator, gan.discriminator)
        metrics = gan.train_step(batch())
        learned = kernels_changed(before, gan.generator, gan.discriminator)
        assert not learned & set(NEW_LAYERS)
        assert {"half_entry", "half_head", "encoder_1", "block_1"} <= learned
        assert int(gan.optimizers["generator_kept"].iterations) == 2
        assert int(gan.optimizers["generator_new"].iterations) == 0
        assert int(gan.optimizers["discriminator_new"].iterations) == 0
        assert float(metrics["alpha"]) == 0.0

    def test_the_full_phase_leaves_old_layers_alone(self):
        gan = next_gan(step=6, phase="full")
        before = snapshot(gan.generator, gan.discriminator)
        gan.train_step(batch())
        learned = kernels_changed(before, gan.generator, gan.discriminator)
        assert not learned & set(OLD_LAYERS)
        assert set(NEW_LAYERS) <= learned

    @pytest.mark.parametrize(("phase", "side"), [("half", 16), ("fade", 32), ("full", 32)])
    def test_what_the_discriminator_sees(self, phase, side, faded, monkeypatch):
        gan, *_ = faded
        seen = []

        def discriminate(images, *_):
            seen.append(images)
            return tf.reduce_mean(images, axis=[1, 2]) * [[1.0, 2.0, 3.0, 4.0]]

        monkeypatch.setattr(gan, "_discriminate", discriminate)
        monkeypatch.setattr(gan, "_apply", lambda *_: tf.constant(0.0))
        monkeypatch.setattr(gan, "phase", phase)
        data = batch()
        gan.train_step(data)
        stacked = seen[0]
        assert stacked.shape == (8, side, side, 1)  # real, fake, benign, normal
        for start, role in ((0, "real"), (4, "benign"), (6, "normal")):
            expected = halve(data[role]) if phase == "half" else data[role]
            np.testing.assert_array_equal(stacked[start : start + 2], expected)
        source = halve(data["source"]) if phase == "half" else data["source"]
        np.testing.assert_array_equal(stacked[2:4, :1], source[:, :1])  # the frame
        assert np.abs(stacked[2:4] - source).max() > 0.01


class TestLosses:
    def constant_gan(self, **changes):
        """A discriminator that says [1, 0, -1, 2] whatever it sees."""
        gan = next_gan(phase="full", step=6, spectral_norm="none", attention_size=-1, **changes)
        gan.discriminator.logits.kernel.assign(tf.zeros_like(gan.discriminator.logits.kernel))
        gan.discriminator.logits.bias.assign([1.0, 0.0, -1.0, 2.0])
        return gan

    LOG_SUM = np.log(np.exp([1.0, 0.0, -1.0, 2.0]).sum())

    def test_by_hand(self):
        gan = self.constant_gan(benign_weight=0.3)
        metrics = gan._update_discriminator(batch(), gan.alpha())
        expected = (self.LOG_SUM - 1) + self.LOG_SUM
        expected += 0.3 * (self.LOG_SUM + 1) + 0.2 * (self.LOG_SUM - 2)
        assert float(metrics["loss_d"]) == pytest.approx(expected, rel=1e-5)
        assert float(metrics["penalty"]) == pytest.approx(1.0, abs=1e-4)  # no gradient at all
        for value, name in zip((1, 0, -1, 2), NAMES, strict=True):
            probability = np.exp(value - self.LOG_SUM)
            assert float(metrics[f"ce_{name}"]) == pytest.approx(self.LOG_SUM - value, rel=1e-5)
            for patches in NAMES:
                found = float(metrics[f"p_{name}_on_{patches}"])
                assert found == pytest.approx(probability, rel=1e-5)
        assert "sigma_d" not in metrics  # nothing is normalised

    def test_the_generators_by_hand(self):
        gan = self.constant_gan()
        metrics = gan._update_generator(batch(), gan.alpha(), 0)
        assert float(metrics["loss_g"]) == pytest.approx(self.LOG_SUM - 1, rel=1e-5)

    def test_classes_without_weight_are_left_out(self):
        gan = self.constant_gan(benign_weight=0.0, normal_weight=0.0)
        metrics = gan._update_discriminator(batch(("real", "source")), gan.alpha())
        assert float(metrics["loss_d"]) == pytest.approx(2 * self.LOG_SUM - 1, rel=1e-5)
        left = {name.rpartition("_")[2] for name in metrics if name.startswith(("ce_", "p_"))}
        assert left == {"real", "fake"}

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, lambda a, b: (np.linalg.norm(a) - 1) ** 2),
            ({"penalty_target": 0.25}, lambda a, b: (np.linalg.norm(a) - 0.25) ** 2),
            ({"penalty_squared": False}, lambda a, b: np.linalg.norm(a) - 1),
            (
                {"penalty_logit": "real_minus_fake"},
                lambda a, b: (np.linalg.norm(a - b) - 1) ** 2,
            ),
        ],
        ids=["printed", "target", "not squared", "difference of logits"],
    )
    def test_penalty_of_a_linear_discriminator(self, faded, monkeypatch, changes, expected):
        gan, *_ = faded
        a, b = np.random.default_rng(0).normal(size=(2, 32 * 32)).astype(np.float32)
        plane = tf.constant(np.stack([a, b, 0 * a, 3 * a], axis=1))
        monkeypatch.setattr(
            gan, "_discriminate", lambda images, *_: tf.reshape(images, [-1, 1024]) @ plane
        )
        monkeypatch.setattr(gan, "config", small_config(**changes))
        found = gan._penalty(batch()["real"], batch()["task"], gan.alpha())
        assert float(found) == pytest.approx(expected(a, b), rel=1e-5)

    @pytest.mark.parametrize("kind", ["uniform_std", "uniform", "gaussian"])
    def test_where_the_penalty_looks(self, faded, monkeypatch, kind):
        gan, *_ = faded
        seen = []

        def discriminate(images, *_):
            seen.append(images)
            return tf.reduce_sum(images, axis=[1, 2]) * tf.ones([1, 4])

        monkeypatch.setattr(gan, "_discriminate", discriminate)
        monkeypatch.setattr(gan, "config", small_config(penalty_noise=kind))
        real = random_images(8, 32, 32, 1)
        gan._penalty(real, tf.zeros([8], tf.int64), gan.alpha())
        delta = (seen[0] - real).numpy()
        spread = 0.5 * real.numpy().std(axis=(1, 2, 3), keepdims=True)
        if kind == "uniform":
            assert 0 <= delta.min() < 0.001
            assert 0.999 < delta.max() < 1
        elif kind == "gaussian":
            assert (delta / spread).mean() == pytest.approx(0, abs=0.05)
            assert (delta / spread).std() == pytest.approx(1, abs=0.05)
        else:  # one alpha for each sample
            largest = (delta / spread).max(axis=(1, 2, 3))
            assert delta.min() >= -1e-6
            assert (largest < 1).all()
            assert np.ptp(largest) > 0.2

    @pytest.mark.parametrize(
        ("task", "area", "peak"), [("mass", 0.0, 0.0), ("removal", (30 / 32) ** 2, 0.5)]
    )
    def test_lesion_figures_have_the_tasks_sign(self, task, area, peak):
        gan = next_gan(phase="full", step=6, task=task, attention_size=-1)
        gan.generator.full_head.kernel.assign(tf.zeros_like(gan.generator.full_head.kernel))
        gan.generator.full_head.bias.assign([-0.5])
        metrics = gan._update_generator(batch(task=TASKS.index(task)), gan.alpha(), 0)
        assert float(metrics["lesion_area"]) == pytest.approx(area)
        assert float(metrics["lesion_peak"]) == pytest.approx(peak)


def test_triplets():
    config = small_config(discriminator_input="triplet")
    image, lesion = random_images(2, 4, 4, 1), 0.5 * random_images(2, 4, 4, 1, seed=9)
    real = real_input(config, image).numpy()
    np.testing.assert_array_equal(real[..., 0], 0)
    np.testing.assert_array_equal(real[..., 1:], np.concatenate([image] * 2, axis=-1))
    fake = _fake_input(config, image, lesion).numpy()
    np.testing.assert_array_equal(fake[..., :1], lesion)
    np.testing.assert_array_equal(fake[..., 1:2], image)
    np.testing.assert_array_equal(fake[..., 2:], np.clip(image + lesion, -1, 1))
    combined = small_config()
    np.testing.assert_array_equal(real_input(combined, image), image)
    np.testing.assert_array_equal(_fake_input(combined, image, lesion), fake[..., 2:])


class TestSwitches:
    """Each runs one real step, of a small graph without attention, and does what it says."""

    def step(self, roles=ROLES, extra=(), **changes):
        phase = "full" if changes.get("grow") is False else "fade"
        gan = next_gan(step=3, phase=phase, **{"attention_size": -1} | changes)
        before = snapshot(gan.generator, gan.discriminator)
        data = batch(roles) | dict(extra)
        metrics = {name: float(value) for name, value in gan.train_step(data).items()}
        assert np.isfinite(list(metrics.values())).all()
        assert {"full_head", "block_0"} <= kernels_changed(before, gan.generator, gan.discriminator)
        return gan, metrics

    @pytest.mark.parametrize(
        ("value", "generator", "discriminator"),
        [pytest.param("none", 0, 0, marks=pytest.mark.slow), ("discriminator", 0, 9)],
    )
    def test_spectral_norm(self, value, generator, discriminator):
        gan, _ = self.step(spectral_norm=value, attention_size=ATTENTION)
        assert len(gan.generator.non_trainable_weights) == generator
        assert len(gan.discriminator.non_trainable_weights) == discriminator

    @pytest.mark.slow
    def test_triplet_and_discriminator_noise(self):
        gan, _ = self.step(discriminator_input="triplet", discriminator_noise=True)
        assert gan.discriminator.convs[0].kernel.shape[2] == 4  # three channels and a scalar
        images = random_images(2, 32, 32, 3)
        task, alpha = batch()["task"], tf.constant(0.5)
        first, again, other = (gan._discriminate(images, task, alpha, call) for call in (0, 0, 1))
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - other).max() > 1e-6

    def test_no_attention(self):
        gan, _ = self.step(attention_size=-1)
        assert not [w.path for w in gan.generator.weights if "attention" in w.path]
        assert not [w.path for w in gan.discriminator.weights if "attention" in w.path]

    @pytest.mark.slow
    def test_no_border_crop(self):
        gan, _ = self.step(border=0)
        data = batch()
        lesion = gan._generate(data["source"], tf.zeros([2, 6]), data["task"], tf.constant(0.5))
        assert np.abs(lesion[:, 0]).max() > 0

    @pytest.mark.parametrize("role", ["benign", "normal"])
    def test_one_class_less(self, role):
        _, metrics = self.step(**{f"{role}_weight": 0.0}, roles=[r for r in ROLES if r != role])
        names = {name for name in metrics if name.startswith("p_")}
        left = [name for name in NAMES if name != role]
        assert names == {f"p_{output}_on_{name}" for output in NAMES for name in left}

    @pytest.mark.slow
    def test_no_lesion_channel(self):
        gan, _ = self.step(lesion_channel=False)
        for head in (gan.generator.half_head, gan.generator.full_head):
            head.kernel.assign(tf.zeros_like(head.kernel))
            head.bias.assign([0.25])
        source = batch()["source"]
        lesion = gan._generate(source, tf.zeros([2, 6]), batch()["task"], tf.constant(0.5))
        combined = _fake_input(gan.config, source, lesion).numpy()
        assert np.median(combined[:, 1:-1, 1:-1]) == pytest.approx(0.25)
        np.testing.assert_array_equal(combined[:, :1], source[:, :1])

    def test_conditional(self):
        tasks = {"task": tf.constant([0, 2], tf.int64)}
        gan, metrics = self.step(conditional=True, extra=tasks)
        assert int(gan.optimizers["generator_kept"].iterations) == 1  # masses are not alone
        for head in (gan.generator.half_head, gan.generator.full_head):
            head.kernel.assign(tf.zeros_like(head.kernel))
            head.bias.assign([-0.5])
        metrics = gan._update_generator(batch() | tasks, gan.alpha(), 0)
        # A darkened patch is a lesion where the task is removal: one sample of two.
        assert float(metrics["lesion_area"]) == pytest.approx((30 / 32) ** 2 / 2)
        assert float(metrics["lesion_peak"]) == pytest.approx(0.25)

    def test_the_discriminator_judges_every_class_by_its_samples_category(self, monkeypatch):
        gan = next_gan(step=6, phase="full", conditional=True, attention_size=-1)
        seen = []

        def discriminate(images, task, alpha, call, *_):
            seen.append((call, task.numpy()))
            return tf.reduce_mean(images, axis=[1, 2]) * [[1.0, 2.0, 3.0, 4.0]]

        monkeypatch.setattr(gan, "_discriminate", discriminate)
        monkeypatch.setattr(gan, "_apply", lambda *_: tf.constant(0.0))
        task = [1, 2]
        gan.train_step(batch() | {"task": tf.constant(task, tf.int64)})
        assert [call for call, _ in seen] == [0, 1, 2]  # losses, penalty, generator
        np.testing.assert_array_equal(seen[0][1], np.tile(task, 4))
        np.testing.assert_array_equal(seen[1][1], task)
        np.testing.assert_array_equal(seen[2][1], task)

    def test_no_growth(self):
        gan, _ = self.step(grow=False, task="calcification")
        assert ContextualGan(gan.config).phase == "full"
        iterations = {name: int(opt.iterations) for name, opt in gan.optimizers.items()}
        assert iterations == {"generator_kept": 1, "discriminator_kept": 1}

    def test_no_penalty(self):
        _, metrics = self.step(penalty_weight=0.0)
        assert metrics["penalty"] == 0.0

    def test_generator_steps(self):
        gan, _ = self.step(generator_steps=3)
        assert int(gan.optimizers["generator_kept"].iterations) == 3
        assert int(gan.optimizers["discriminator_kept"].iterations) == 1

    def test_mode_seeking_spreads_the_lesions(self, faded):
        def spread(gan):
            source = batch()["source"]
            z = gan._uniform(99, 0, source, 6)
            first, second = (
                gan.generator(source, x, phase="fade", alpha=tf.constant(0.25)) for x in (z, -z)
            )
            return float(tf.reduce_mean(tf.abs(first - second)))

        def after(weight):
            gan = next_gan(
                step=3,
                phase="fade",
                mode_seeking_weight=weight,
                spectral_norm="none",
                attention_size=-1,
            )
            for update in range(5):
                metrics = gan._update_generator(batch(), tf.constant(0.25), update)
            return spread(gan), {name: float(value) for name, value in metrics.items()}

        (plain, without), (seeking, metrics) = after(0.0), after(100.0)
        assert seeking > 1.05 * plain
        assert metrics["loss_g"] < 10  # the reported loss is the adversarial one alone
        assert 1 < metrics["mode_seeking"] < 1 / 0.02  # and the term is without its weight
        assert "mode_seeking" not in without

    def test_the_largest_singular_values_are_those_of_the_kernels(self, faded):
        gan, _, _, metrics = faded
        for name in ("generator", "discriminator"):
            exact = max(
                np.linalg.svd(np.reshape(layer.kernel, [-1, layer.filters]))[1][0]
                for layer in spectral_layers(getattr(gan, name))
            )  # after the update, a hundredth of a unit away
            assert metrics[f"sigma_{name[0]}"] == pytest.approx(exact, rel=0.02)

    @pytest.mark.slow
    def test_mixed_bfloat16(self):
        gan, _ = self.step(precision="mixed_bfloat16", attention_size=ATTENTION)
        assert {w.dtype for w in gan.generator.weights + gan.discriminator.weights} == {"float32"}

        @tf.function
        def forward(image, z):
            with tf.GradientTape() as tape:
                lesion = gan.generator(image, z, phase="full")
                logits = gan.discriminator(image + lesion, tf.zeros([2, 0]), phase="full")
                loss = losses.generator_loss(logits)
            return tape.gradient(loss, [w.value for w in gan.generator.trainable_weights])

        graph = forward.get_concrete_function(
            tf.TensorSpec([2, 32, 32, 1]), tf.TensorSpec([2, 6])
        ).graph
        convolutions = [op for op in graph.get_operations() if op.type.startswith("Conv2D")]
        single = [op.type for op in convolutions if op.outputs[0].dtype != tf.bfloat16]
        head = {"Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"}
        assert len(convolutions) > 40
        assert len(single) == 3  # the to-grey head
        assert set(single) == head
        matrix = [op for op in graph.get_operations() if op.type == "Softmax"]
        assert {op.outputs[0].dtype for op in matrix} == {tf.float32}


class TestDraws:
    def test_range_and_keys(self, faded):
        gan, *_ = faded
        like = tf.zeros([64, 1])
        draw = gan._uniform(0, 0, like, 50).numpy()
        assert draw.shape == (64, 50)
        assert -1 <= draw.min() < -0.99
        assert 0.99 < draw.max() < 1
        np.testing.assert_array_equal(draw, gan._uniform(0, 0, like, 50))
        step = int(gan.step)
        others = [gan._uniform(1, 0, like, 50), gan._uniform(0, 1, like, 50)]
        gan.step.assign(step + 1)
        others.append(gan._uniform(0, 0, like, 50))
        gan.step.assign(step)
        for other in others:
            assert abs(np.corrcoef(draw.ravel(), np.ravel(other))[0, 1]) < 0.1


@pytest.mark.slow
def test_the_graph_is_made_once_for_a_fade_and_agrees_with_eager():
    smaller = {"task": "calcification", "attention_size": -1}
    gan, twin = (make_gan(step=2, phase="fade", **smaller) for _ in range(2))
    step = tf.function(gan.train_step)
    alphas = []
    for _ in range(3):
        metrics = step(batch())
        expected = twin.train_step(batch())
        alphas.append(float(metrics["alpha"]))
        for name, value in expected.items():
            assert float(metrics[name]) == pytest.approx(float(value), rel=1e-3, abs=1e-5), name
    assert step.experimental_get_tracing_count() == 1
    assert alphas == [0.0, 0.25, 0.5]


def traced_operations(gan, method=None):
    """The operations of a step's graph, those of functions inside it included."""
    method = method or gan.train_step
    concrete = tf.function(method).get_concrete_function(batch())
    operations = list(concrete.graph.get_operations())
    assert not [op for op in operations if "PartitionedCall" in op.type]
    return operations


@pytest.mark.slow
def test_passes_share_normalised_kernels_or_wait_for_each_other():
    """Memory at the paper's size: of the discriminator's kernels, divided by sigma, one copy is
    held at a time: one for all updates of the generator, one for the losses, and one for the
    penalty, whose forward pass begins after every gradient of the losses."""
    gan = next_gan(phase="full", step=6)
    shape = gan.discriminator.convs[-1].kernel.shape
    divisions = [
        op
        for op in traced_operations(gan)
        if op.type == "RealDiv" and op.outputs[0].shape == shape and "block_2" in op.name
    ]
    assert len(divisions) == 3
    waiting = [op for op in divisions if _waits_for_filter_gradients(op)]
    assert len(waiting) == 1


def _waits_for_filter_gradients(op):
    return sum("Conv2DBackpropFilter" in source.type for source in _behind(op)) > 3


def _behind(op):
    """Every operation that must be done before this one, but for reads of changed variables."""
    found, stack = set(), [op]
    while stack:
        current = stack.pop()
        for source in [t.op for t in current.inputs] + list(current.control_inputs):
            if (
                source not in found
                and "Resource" not in source.type
                and "Assign" not in source.type
            ):
                found.add(source)
                stack.append(source)
    return found


def convolutions(gan):
    """(height, width) of what every convolution of a step reads or writes, the larger."""
    sizes = []
    for op in traced_operations(gan):
        if op.type.startswith("Conv2D"):
            shapes = [t.shape for t in (*op.inputs, *op.outputs) if t.shape.rank == 4]
            sizes.append(max(max(s[1:3]) for s in shapes if s[0] in (2, 8)))
    return sizes


@pytest.mark.slow
def test_the_half_phase_costs_only_its_own_size():
    """No convolution of its step, forward or backward, sees a full-resolution image."""
    smaller = {"task": "calcification", "spectral_norm": "none", "attention_size": -1}
    gan = next_gan(phase="half", **smaller)
    sizes = convolutions(gan)
    assert len(sizes) > 30
    assert max(sizes) == 16


def test_growth_keeps_the_moments():
    """The first update after the growth goes on from the moments of the half phase."""
    gan = next_gan(step=1, phase="half")
    gan.train_step(batch())
    optimizer = gan.optimizers["discriminator_kept"]
    before = [v.numpy() for v in optimizer._velocities]
    assert sum(v.max() > 0 for v in before) > 8
    gan.phase = "fade"
    gan.train_step(batch())
    assert int(optimizer.iterations) == 2
    assert int(gan.optimizers["discriminator_new"].iterations) == 1
    for velocity, old in zip(optimizer._velocities, before, strict=True):
        assert (velocity.numpy() >= 0.99 * old * (1 - 1e-5)).all()  # v = 0.99 v + 0.01 g^2


TWO_REPLICAS = textwrap.dedent("""
    import json, sys
    import keras, numpy as np, tensorflow as tf
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    from tests.gan.test_model import batch, make_gan, snapshot
    from cgan_tf.gan.model import ContextualGan

    def run(strategy, compiled):
        # An epsilon that matters: with a small one Adam forgets the scale of a gradient.
        with strategy.scope():
            gan = make_gan(
                step=3,
                phase="fade",
                task="calcification",
                spectral_norm="both",
                attention_size=-1,  # a smaller graph
                learning_rate=0.03,
                epsilon=1.0,
            )
        data = batch(count=4)
        rows = 4 // strategy.num_replicas_in_sync

        def share(context):
            first = context.replica_id_in_sync_group * rows
            return {name: value[first : first + rows] for name, value in data.items()}

        before = snapshot(gan.generator, gan.discriminator)
        values = strategy.experimental_distribute_values_from_function(share)
        step = lambda values: strategy.run(gan.train_step, args=(values,))
        metrics = tf.function(step)(values) if compiled else step(values)
        means = {k: float(strategy.reduce("MEAN", v, axis=None)) for k, v in metrics.items()}
        after = snapshot(gan.generator, gan.discriminator, gan.averaged)
        return after, max(np.abs(after[p] - before[p]).max() for p in before), means

    two, change, two_metrics = run(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), True)
    one, _, one_metrics = run(tf.distribute.get_strategy(), False)
    difference = max(np.abs(one[path] - two[path]).max() for path in one)
    print(json.dumps([float(difference), float(change), one_metrics, two_metrics]))
""")


@pytest.mark.slow
def test_two_replicas_train_like_one():
    """Draws are keyed by the place in the global batch and gradients are the whole batch's."""
    done = subprocess.run(
        [sys.executable, "-c", TWO_REPLICAS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    difference, change, one, two = json.loads(done.stdout.splitlines()[-1])
    assert change > 3e-3
    assert difference < 1e-5
    means = ("loss_d", "loss_g", "penalty", "ce_normal", "p_real_on_fake", "sigma_d", "sigma_g")
    for name in (*means, "lesion_area", "lesion_peak", "lesion_contrast"):
        assert two[name] == pytest.approx(one[name], rel=1e-3), name
    for name in ("gradient_d", "gradient_g"):  # of half a batch: longer than the whole's, a little
        assert one[name] * 0.999 < two[name] < 2 * one[name], name
