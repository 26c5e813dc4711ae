"""Fine-tuning: a training that starts from the networks of a finished one (`--init_from`).

The generator and the discriminator come from the last checkpoint, as they were trained together;
the averaged generator starts as the generator, and optimizers, steps and phases start anew. A
resumed run has its own checkpoint and reads no weights here.
"""

import dataclasses
from pathlib import Path

from cgan_tf.config import GanConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.data.provenance import Origin, Overlap, check_origins
from cgan_tf.gan.card import GENERATOR, GeneratorCard, config_of, read_card
from cgan_tf.runs.directory import Json, read_manifest
from cgan_tf.runs.errors import UserError

# What gives the networks their weights' shapes, or the weights their meaning.
FITTING = (
    *("size", "conditional", "generator_filters", "bottleneck_filters", "embedding_channels"),
    *("leaky_relu_slope", "attention_size", "lesion_channel", "spectral_norm", "noise_maps"),
    *("discriminator_multiplier", "discriminator_input", "discriminator_noise"),
    "minibatch_deviation",
)


@dataclasses.dataclass(frozen=True)
class Start:
    """The finished training that another starts from.

    Attributes:
      directory: of the training. card: of its generator.
      overlap: women of the new training's held-out splits who are behind it.
    """

    directory: Path
    card: GeneratorCard
    overlap: tuple[Overlap, ...]

    def __str__(self) -> str:
        return (
            f"starting from the generator and discriminator of {self.directory} "
            f"({self.card.task}, step {self.card.step})"
        )

    def summary(self) -> Json:
        """What the card of the new generator says of it."""
        card = self.card
        return {
            "task": card.task,
            "step": card.step,
            "checksum": card.checksum,
            "patches_manifest_sha256": card.patches_manifest_sha256,
            **({"init_from": card.init_from} if card.init_from else {}),
        }


def open_start(config: GanConfig, patches: PatchSet) -> Start | None:
    """What --init_from names, or None.

    Raises `UserError` for what is no finished training, for networks that do not fit, and, without
    --allow_overlap, for one that learnt from women of the held-out splits of `patches`.
    """
    if not config.init_from:
        return None
    directory = Path(config.init_from)
    read_manifest(directory, "train_gan")
    card = read_card(directory / GENERATOR)
    _check_fit(config, config_of(card))
    women = dict.fromkeys(card.patients, 0)
    origin = Origin(config.init_from, card.patches_manifest_sha256, lambda: women)
    return Start(directory, card, check_origins(patches, [origin], config.allow_overlap))


def _check_fit(config: GanConfig, other: GanConfig) -> None:
    wrong = [
        f"--{name} is {_value(config, name)} here and {_value(other, name)} there"
        for name in FITTING
        if _value(config, name) != _value(other, name)
    ]
    # Their discriminators' classes are others: what is real to one is what the other must avoid.
    if (
        "removal" in {config.model_name(), other.model_name()}
        and config.model_name() != other.model_name()
    ):
        wrong.append(f"--task is {config.model_name()} here and {other.model_name()} there")
    if wrong:
        raise UserError(f"--init_from={config.init_from}: does not fit: {'; '.join(wrong)}")


def _value(config: GanConfig, name: str) -> object:
    return config.attention_resolution() if name == "attention_size" else getattr(config, name)


def load_networks(start: Start, model) -> None:
    """Fills both networks, and the averaged one with the generator, from the last checkpoint."""
    from cgan_tf.runs.training import restore_finished

    for networks in ((model.generator, model.discriminator), (model.averaged,)):
        weights = [weight for network in networks for weight in network.weights]
        names = (weight.path.replace("averaged/", "generator/", 1) for weight in weights)
        variables = {name: w.value for name, w in zip(names, weights, strict=True)}
        restore_finished(start.directory, variables)
