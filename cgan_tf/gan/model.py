"""ContextualGan: both networks, their optimizers and one training step.

A step is one discriminator update and its generator updates. Every random draw of a step is keyed
by (seed, step, purpose, update) and made for the global batch, of which a replica takes its rows:
the number of replicas changes nothing.
"""

from collections.abc import Mapping

import tensorflow as tf

from cgan_tf.config import GanConfig
from cgan_tf.gan import losses
from cgan_tf.gan import metrics as gan_metrics
from cgan_tf.gan.augmentation import DRAWS, TURN_DRAWS, augmented, turned
from cgan_tf.gan.schedules import generator_updates
from cgan_tf.labels import TASKS
from cgan_tf.models.discriminator import Discriminator, discriminator_scalars
from cgan_tf.models.fused import FusedAdam
from cgan_tf.models.generator import Generator, combine, condition_of, z_width
from cgan_tf.models.keras_setup import keras
from cgan_tf.models.layers import halve, share_weights, spectral_layers

# Purposes of the random draws of a step.
_Z_DISCRIMINATOR, _Z_GENERATOR, _Z_SECOND, _NOISE, _ALPHA, _Z_IN_D, _TURN, _AUGMENT = range(8)
_ROLES = ("real", "source", "benign", "normal")


class ContextualGan(keras.Model):
    """The contextual GAN of the paper.

    Attributes:
      phase: "half", "fade" or "full"; Python state, so each phase is traced once.
      step: iterations done. averaged: the generator with averaged weights (EMA).
    """

    def __init__(self, config: GanConfig):
        super().__init__(name="contextual_gan", dtype="float32", autocast=False)
        self.config = config
        self.phase = "half" if config.grow else "full"
        self.generator = Generator(config)
        self.discriminator = Discriminator(config)
        self.averaged = Generator(config, name="averaged")
        self.step = tf.Variable(
            0,
            dtype=tf.int64,
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        self._build_all()
        self.optimizers = {
            name: _adam(config, variables) for name, variables in self.variable_groups().items()
        }
        # Keras would make an RMSprop nobody asked for, and XLA would change the last bits.
        super().compile(optimizer=None, jit_compile=False)

    def _build_all(self) -> None:
        """Creates the variables of every phase: "fade" uses all of them."""
        config = self.config
        image = tf.zeros([1, config.size, config.size, 1])
        alpha, task = tf.constant(0.5), tf.zeros([1], tf.int64)
        told = condition_of(config, tf.zeros([1, z_width(config)]), task)
        for generator in (self.generator, self.averaged):
            generator(image, told, phase="fade", alpha=alpha)
        channels = 3 if config.discriminator_input == "triplet" else 1
        images = tf.zeros([1, config.size, config.size, channels])
        told = condition_of(config, tf.zeros([1, discriminator_scalars(config)]), task)
        self.discriminator(images, told, phase="fade", alpha=alpha)
        self.averaged.set_weights(self.generator.get_weights())
        self.built = True

    def variable_groups(self) -> dict[str, list]:
        """Trainable weights by optimizer: those of the half phase keep their moments, new layers
        have their own Adam, counted from their first update."""
        groups: dict[str, list] = {}
        for network in (self.generator, self.discriminator):
            new = {id(w) for layer in _new_layers(network) for w in layer.trainable_weights}
            if not self.config.grow:
                new = set()
            weights = network.trainable_weights
            groups[f"{network.name}_kept"] = [w for w in weights if id(w) not in new]
            if new:
                groups[f"{network.name}_new"] = [w for w in weights if id(w) in new]
        return groups

    def alpha(self) -> tf.Tensor:
        """Weight of the full-resolution layers at this step, a scalar in [0, 1]."""
        return fade_in_alpha(self.step, self.config)

    def train_step(self, data: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One iteration.

        Args:
          data: float32 [batch, size, size, 1] in [-1, 1] under "real", "source" and, where their
            weight is not 0, "benign" and "normal" (see data.streams); under "task" int64 [batch],
            the place in labels.TASKS of the task that a sample of every role is for.

        Returns:
          scalars, this replica's: losses and their parts (without their weights), class
          probabilities, gradient norms, largest singular values, lesion metrics (see
          `gan.metrics`), alpha; of several generator updates those of the last.
        """
        if "dihedral" in self.config.augment:
            data = {**data, **self._turned(data)}
        data = {
            name: halve(value) if self.phase == "half" and name != "task" else value
            for name, value in data.items()
        }
        alpha = self.alpha()
        metrics = self._update_discriminator(data, alpha)
        with share_weights(self.discriminator):
            for update in range(generator_updates(self.config)):
                metrics |= self._update_generator(data, alpha, update)
        self._average(self.step)
        self.step.assign_add(1)
        return metrics | {"alpha": alpha}

    def _update_discriminator(self, data, alpha) -> dict[str, tf.Tensor]:
        config, source, task = self.config, data["source"], data["task"]
        z = self._uniform(_Z_DISCRIMINATOR, 0, source, z_width(config))
        lesion = tf.stop_gradient(self._generate(source, z, task, alpha))
        parts = {losses.REAL: real_input(config, data["real"])}
        parts[losses.FAKE] = _fake_input(config, source, lesion)
        for label, name in ((losses.BENIGN, "benign"), (losses.NORMAL, "normal")):
            if name in data:
                parts[label] = real_input(config, data[name])
        sigma = _iterate(self.discriminator)
        with tf.GradientTape() as tape:
            every = tf.concat(list(parts.values()), axis=0)
            tasks = tf.tile(task, [len(parts)])
            stacked = self._discriminate(every, tasks, alpha, 0, len(parts))
            logits = dict(zip(parts, tf.split(stacked, len(parts)), strict=True))
            loss = losses.discriminator_loss(logits, config.benign_weight, config.normal_weight)
        gradients, penalty = self._gradients(self.discriminator, tape, loss), tf.constant(0.0)
        if config.penalty_weight:
            # After the losses' backward pass, when their activations and normalised kernels are
            # gone: side by side the two passes would be the peak of memory.
            with tf.control_dependencies(list(gradients.values())):
                penalty, gradients = self._penalised(gradients, parts[losses.REAL], task, alpha)
        norm = self._apply(self.discriminator, gradients)
        metrics = {"loss_d": loss, "penalty": penalty, "gradient_d": norm}
        return metrics | _named("sigma_d", sigma) | gan_metrics.class_metrics(logits)

    def _penalised(self, gradients: dict[int, tf.Tensor], real, task, alpha):
        """The penalty, and the gradients with its own added, in every --penalty_every-th iteration.

        It weighs more then ("lazy regularization", Karras et al. 2020), and so does the returned
        penalty, whose mean over iterations is that of the penalty; in the others it is 0.
        """
        config, every = self.config, self.config.penalty_every

        def add():
            with tf.GradientTape() as tape:
                penalty = self._penalty(real, task, alpha)
                weighted = config.penalty_weight * every * penalty
            found = self._gradients(self.discriminator, tape, weighted)
            return every * penalty, {
                w: g + found[w] if w in found else g for w, g in gradients.items()
            }

        if every == 1:
            return add()
        due = tf.convert_to_tensor(self.step) % every == 0
        return tf.cond(due, add, lambda: (tf.constant(0.0), dict(gradients)))

    def _penalty(self, real, task, alpha):
        config = self.config
        shape = (config.size, config.size, real.shape[-1])
        noise = self._uniform(_NOISE, 0, real, *shape)[:, : real.shape[1], : real.shape[2], :]
        noise = (noise + 1.0) / 2.0  # U(0, 1)
        if config.penalty_noise == "gaussian":
            noise = tf.math.ndtri(tf.clip_by_value(noise, 1e-6, 1 - 1e-6))
        share = (self._uniform(_ALPHA, 0, real, 1, 1, 1) + 1.0) / 2.0
        images = losses.perturb(real, noise, share, config.penalty_noise)

        def critic(x):
            logits = self._discriminate(x, task, alpha, 1)
            score = logits[:, losses.REAL]
            return score - logits[:, losses.FAKE] if config.penalty_logit != "real" else score

        return losses.gradient_penalty(
            critic, images, config.penalty_target, config.penalty_squared
        )

    def _update_generator(self, data, alpha, update: int) -> dict[str, tf.Tensor]:
        config, source, task = self.config, data["source"], data["task"]
        z = self._uniform(_Z_GENERATOR, update, source, z_width(config))
        sigma = _iterate(self.generator)
        with tf.GradientTape() as tape:
            lesion = self._generate(source, z, task, alpha)
            fake = _fake_input(config, source, lesion)
            logits = self._discriminate(fake, task, alpha, 2 + update)
            loss = losses.generator_loss(logits)
            total, terms = loss, {}
            if config.mode_seeking_weight:
                second = self._uniform(_Z_SECOND, update, source, z_width(config))
                other = self._generate(source, second, task, alpha)
                terms["mode_seeking"] = losses.mode_seeking_loss(
                    lesion, other, z, second, config.mode_seeking_margin
                )
            for name, term in terms.items():  # each has the weight --<name>_weight
                total += getattr(config, f"{name}_weight") * term
        norm = self._apply(self.generator, self._gradients(self.generator, tape, total))
        metrics = {"loss_g": loss, "gradient_g": norm, **terms} | _named("sigma_g", sigma)
        return metrics | gan_metrics.lesion_metrics(
            lesion, combine(source, lesion), _lesion_sign(task)
        )

    def _generate(self, source, z, task, alpha):
        condition = condition_of(self.config, z, task)
        return self.generator(source, condition, phase=self.phase, alpha=alpha)

    def _discriminate(self, images, task, alpha, call: int, groups: int = 1):
        """Logits of `groups` classes of equal size, one after the other, [batch, 4]."""
        if set(self.config.augment) - {"dihedral"}:
            images = self._augmented(images, call, groups)
        scalars = self._uniform(_Z_IN_D, call, images, discriminator_scalars(self.config))
        condition = condition_of(self.config, scalars, task)
        return self.discriminator(images, condition, phase=self.phase, alpha=alpha, groups=groups)

    def _turned(self, data) -> dict[str, tf.Tensor]:
        """The images of every role, each sample by a draw of its own."""
        return {
            role: turned(data[role], self._uniform(_TURN, number, data[role], TURN_DRAWS))
            for number, role in enumerate(_ROLES)
            if role in data
        }

    def _augmented(self, images, call: int, groups: int) -> tf.Tensor:
        first = tf.split(images, groups)[0]  # a row of it is a sample of every class
        draws = self._uniform(_AUGMENT, call, first, groups, DRAWS)
        draws = tf.reshape(tf.transpose(draws, [1, 0, 2]), [-1, DRAWS])
        return augmented(images, self.config.augment, draws)

    def _gradients(self, network, tape, loss) -> dict[int, tf.Tensor]:
        """d (loss / replicas) / d weight by id(weight); without weights of other phases."""
        with tape:
            scaled = loss / tf.distribute.get_strategy().num_replicas_in_sync
        weights = network.trainable_weights
        gradients = tape.gradient(scaled, [w.value for w in weights])
        return {id(w): g for w, g in zip(weights, gradients, strict=True) if g is not None}

    def _apply(self, network, gradients: dict[int, tf.Tensor]) -> tf.Tensor:
        """Applies gradients, which MirroredStrategy sums over the replicas, group by group;
        returns the norm of this replica's own, whole loss."""
        for name, variables in self.variable_groups().items():
            used = [w for w in variables if id(w) in gradients]
            if used and name.startswith(network.name):
                self.optimizers[name].apply([gradients[id(w)] for w in used], used)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return replicas * tf.linalg.global_norm(list(gradients.values()))

    def _average(self, step) -> None:
        """EMA of the generator's weights; u vectors and everything else are copied."""
        decay = ema_decay(step, self.config.ema)
        trained = {id(w) for w in self.generator.trainable_weights}
        pairs = list(zip(self.averaged.weights, self.generator.weights, strict=True))

        def update(strategy, decay):
            for target, value in pairs:
                keep = decay if id(value) in trained else 0.0
                strategy.extended.update(
                    target.value,
                    lambda t, v, k: t.assign(k * t + (1.0 - k) * v),
                    args=(value.value, keep),
                )

        tf.distribute.get_replica_context().merge_call(update, args=(decay,))

    def _uniform(self, purpose: int, update: int, like, *shape: int) -> tf.Tensor:
        """U(-1, 1) of [rows of `like`, *shape]: this replica's rows of the global draw."""
        context = tf.distribute.get_replica_context()
        rows = tf.shape(like)[0]
        key = tf.stack(
            [
                tf.constant(self.config.seed * 1000 + purpose * 100 + update, tf.int64),
                tf.cast(tf.convert_to_tensor(self.step), tf.int64),
            ]
        )
        whole = tf.random.stateless_uniform(
            [rows * context.num_replicas_in_sync, *shape], key, -1.0, 1.0
        )
        start = rows * tf.cast(context.replica_id_in_sync_group, tf.int32)
        return whole[start : start + rows]


def fade_in_alpha(step: tf.Tensor, config: GanConfig) -> tf.Tensor:
    """ "Over 3000 iterations, the weight on the 128px layer decreases from 1 to 0 while the weight
    of the 256px increases from 0 to 1": linear, and 1 without a fade-in. A scalar tensor."""
    if not config.grow:
        return tf.constant(1.0)
    if config.fade_in_steps == 0:
        return tf.cast(step >= config.half_steps, tf.float32)
    done = tf.cast(step - config.half_steps, tf.float32)
    return tf.clip_by_value(done / config.fade_in_steps, 0.0, 1.0)


def ema_decay(step: tf.Tensor, decay: float) -> tf.Tensor:
    """Decay of the averaged weights, a scalar: small at first, so that the start is forgotten."""
    done = tf.cast(step, tf.float32)
    return tf.minimum(decay, (1.0 + done) / (10.0 + done))


def _new_layers(network) -> list[keras.layers.Layer]:
    """Layers that are first used when the network grows."""
    if isinstance(network, Generator):
        return [network.encoder[0], *network.decoder[0], network.full_head]
    return [network.convs[0]]


def _adam(config: GanConfig, variables: list) -> FusedAdam:
    optimizer = FusedAdam(config.learning_rate, config.beta_1, config.beta_2, config.epsilon)
    optimizer.build(variables)
    return optimizer


def _iterate(network: keras.Model) -> tf.Tensor | None:
    """One power iteration of every normalised layer; returns the largest sigma, if there is one."""
    layers = spectral_layers(network)
    for layer in layers:
        layer.iterate()
    return gan_metrics.largest_sigma(layers) if layers else None


def _named(name: str, value: tf.Tensor | None) -> dict[str, tf.Tensor]:
    return {} if value is None else {name: value}


def _lesion_sign(task: tf.Tensor) -> tf.Tensor:
    """-1 for samples whose lesions are removed, else 1: float32 [batch, 1, 1, 1]."""
    removal = tf.cast(task == TASKS.index("removal"), tf.float32)
    return 1.0 - 2.0 * removal[:, None, None, None]


def real_input(config: GanConfig, images: tf.Tensor) -> tf.Tensor:
    """What the discriminator sees of a real patch: the patch, or [no lesion, patch, patch]."""
    if config.discriminator_input == "combined":
        return images
    return tf.concat([tf.zeros_like(images), images, images], axis=-1)


def _fake_input(config: GanConfig, image: tf.Tensor, lesion: tf.Tensor) -> tf.Tensor:
    """The combined image, or "a final three-channel output image" [lesion, input, combined]."""
    combined = combine(image, lesion)
    if config.discriminator_input == "combined":
        return combined
    return tf.concat([lesion, image, combined], axis=-1)
