"""The table of layers that --dry_run prints."""

import tensorflow as tf

from cgan_tf.config import GanConfig
from cgan_tf.models.discriminator import Discriminator
from cgan_tf.models.generator import Generator, category_count, scalar_count
from cgan_tf.models.layers import record_layers

Rows = list[tuple[str, tuple[int, ...], int]]


def layer_tables(config: GanConfig) -> dict[str, dict[str, Rows]]:
    """For each phase and network: (layer, output shape without batch, parameters), as called."""
    generator, discriminator = Generator(config), Discriminator(config)
    channels = 3 if config.discriminator_input == "triplet" else 1
    z = tf.zeros([1, scalar_count(config.size)])
    z_in_d = z[:, : z.shape[1] // 2] if config.discriminator_noise else None
    category = tf.zeros([1, category_count(config)]) if config.conditional else None
    tables: dict[str, dict[str, Rows]] = {}
    for phase in ("half", "fade", "full") if config.grow else ("full",):
        size = config.size // 2 if phase == "half" else config.size
        alpha = tf.constant(0.5)
        with record_layers() as generator_rows:
            image = tf.zeros([1, size, size, 1])
            generator(image, z, phase=phase, alpha=alpha, category=category)
        with record_layers() as discriminator_rows:
            images = tf.zeros([1, size, size, channels])
            discriminator(images, phase=phase, alpha=alpha, z=z_in_d, category=category)
        tables[phase] = {"generator": generator_rows, "discriminator": discriminator_rows}
    return tables


def print_layers(config: GanConfig) -> None:
    """Prints the tables, with the parameters of each phase added up."""
    for phase, networks in layer_tables(config).items():
        for network, rows in networks.items():
            print(f"\n{network}, phase {phase}")
            for path, shape, count in rows:
                name = path.split("/", 1)[1]
                print(f"  {name:<24} {'x'.join(map(str, shape)):>14} {count:>14,}")
            print(f"  {'total':<24} {'':>14} {sum(row[2] for row in rows):>14,}")
