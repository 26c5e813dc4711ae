"""The numbers that describe the networks of a phase, for implementations other than ours."""

import dataclasses

from cgan_tf.config import GanConfig
from cgan_tf.models.generator import attention_block, block_count, border_width


@dataclasses.dataclass(frozen=True)
class GanShape:
    """Filters of each block from the outside; `half` when block 0 is a 1x1 entry instead."""

    side: int
    half: bool
    encoder: tuple[int, ...]
    decoder: tuple[int, ...]
    discriminator: tuple[int, ...]
    bottleneck: int
    embedding: int
    attention: int  # resolution, in pixels
    border: int

    @classmethod
    def of(cls, config: GanConfig, phase: str) -> "GanShape":
        """The networks of "half" or "full"."""
        blocks = block_count(config.size)
        encoder = tuple(config.generator_filters * 2**i for i in range(blocks))
        return cls(
            side=config.size // 2 if phase == "half" else config.size,
            half=phase == "half",
            encoder=encoder,
            decoder=(encoder[0], *encoder[:-1]),
            discriminator=tuple(config.discriminator_multiplier * f for f in encoder),
            bottleneck=config.bottleneck_filters,
            embedding=config.embedding_channels,
            attention=config.size >> attention_block(config),
            border=border_width(config, phase),
        )
