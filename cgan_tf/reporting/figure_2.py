"""Figure 2 of the paper, drawn from the layers of the networks as they are built.

The generator is a U: encoder on the left (blue, as in the paper), decoder on the right (yellow),
one row per resolution, with what enters each block. The discriminator is beside it.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

from cgan_tf.config import GanConfig
from cgan_tf.pages.html import Plot, Section, section_of
from cgan_tf.pages.style import PAGE_INCHES, house_style
from cgan_tf.reporting.inputs import ReportInputs
from cgan_tf.runs import console
from cgan_tf.runs.directory import read_json
from cgan_tf.runs.errors import UserError

Rows = Sequence[tuple[str, tuple[int, ...], int]]  # (layer, output shape, parameters)
BLUE, YELLOW, GREY, GREEN, ROSE = "#a9c7e8", "#f6dd8d", "#dddddd", "#cfe3c4", "#e8c4c0"
LINE, SCALAR = "#555555", "#b5452c"
# The flags that decide what is built.
_ARCHITECTURE_FLAGS = (
    "size", "generator_filters", "bottleneck_filters", "embedding_channels", "attention_size",
    "discriminator_multiplier", "discriminator_input", "discriminator_noise",
    "conditional",
)  # fmt: skip
# Columns of the figure, in the units of its width.
ENCODER_X, DECODER_X, DISCRIMINATOR_X, BOX_WIDTH = 0.9, 5.6, 10.9, 2.3
_ENCODER_CENTRE, _DECODER_CENTRE = ENCODER_X + BOX_WIDTH / 2, DECODER_X + BOX_WIDTH / 2
_MIDDLE = (_ENCODER_CENTRE + _DECODER_CENTRE) / 2


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of a network.

    Attributes:
      size: side of its output in pixels. filters: channels of its output, by convolution.
      attention: whether self-attention follows.
    """

    size: int
    filters: tuple[int, ...]
    attention: bool = False


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What Figure 2 shows of a full-resolution pair of networks.

    Attributes:
      size: of the image. encoder, decoder, discriminator: blocks, outermost first.
      bottleneck, embedding: shapes (height, width, channels). classes: logits.
      channels: of what the discriminator sees. discriminator_scalars: whether z enters it too.
      conditional: whether the category enters the generator's blocks and the discriminator's image.
      generator_weights, discriminator_weights: trained parameters.
    """

    size: int
    encoder: tuple[Block, ...]
    bottleneck: tuple[int, ...]
    embedding: tuple[int, ...]
    decoder: tuple[Block, ...]
    discriminator: tuple[Block, ...]
    classes: int
    generator_weights: int
    discriminator_weights: int
    channels: int = 1
    discriminator_scalars: bool = False
    conditional: bool = False


def gan_config(directory: str | Path) -> GanConfig:
    """The flags of a train_gan run that say what Figure 2 shows; `UserError` for another run."""
    path = Path(directory) / "run.json"
    flags = read_json(path).get("flags", {})
    try:
        return GanConfig(**{name: flags[name] for name in ("task", *_ARCHITECTURE_FLAGS)})
    except KeyError as error:
        raise UserError(f"{path}: expected the flags of train_gan, found no {error}") from error


def built_architecture(config: GanConfig) -> Architecture:
    """Builds both networks at full resolution and reads them."""
    console.quiet_tensorflow()
    from cgan_tf.gan.log import layer_tables

    tables = layer_tables(dataclasses.replace(config, grow=False, precision="float32"))["full"]
    return dataclasses.replace(
        read_architecture(tables["generator"], tables["discriminator"]),
        channels=3 if config.discriminator_input == "triplet" else 1,
        discriminator_scalars=config.discriminator_noise,
        conditional=config.conditional,
    )


def read_architecture(generator: Rows, discriminator: Rows) -> Architecture:
    """The blocks behind the layers of two networks, in the order they were called."""
    shapes = {path.split("/", 1)[1]: shape for path, shape, _ in generator}
    decoder = _blocks(generator, r"decoder_(\d+)_", "decoder_attention")
    return Architecture(
        size=shapes["full_head"][0],
        encoder=_blocks(generator, r"encoder_(\d+)$", "encoder_attention"),
        bottleneck=shapes["bottleneck"],
        embedding=shapes["embedding"],
        decoder=tuple(sorted(decoder, key=lambda block: -block.size)),
        discriminator=_pooled(_blocks(discriminator, r"block_(\d+)$", "attention")),
        classes=discriminator[-1][1][-1],
        generator_weights=sum(count for *_, count in generator),
        discriminator_weights=sum(count for *_, count in discriminator),
    )


def _blocks(rows: Rows, pattern: str, attention: str) -> tuple[Block, ...]:
    """Layers whose names share a number are a block; attention belongs to the one before it."""
    blocks: dict[str, Block] = {}
    last = ""
    for path, shape, _ in rows:
        name = path.split("/", 1)[1]
        if name == attention:
            blocks[last] = dataclasses.replace(blocks[last], attention=True)
        elif block := re.match(pattern, name):
            last = block[1]
            filters = blocks[last].filters if last in blocks else ()
            blocks[last] = Block(shape[0], (*filters, shape[-1]))
    return tuple(blocks.values())


def _pooled(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Blocks with half the side of the convolution on record: pooling follows it."""
    return tuple(dataclasses.replace(block, size=block.size // 2) for block in blocks)


def section(inputs: ReportInputs) -> Section | None:
    """A diagram for every architecture among the runs; most often all tasks share one."""
    configs = [gan_config(directory) for directory in inputs.config.gan_dirs]
    tasks: dict[GanConfig, list[str]] = {}
    for config in configs:
        shared = {name: getattr(config, name) for name in _ARCHITECTURE_FLAGS}
        tasks.setdefault(GanConfig(**shared), []).append(config.model_name())
    plots = [
        Plot(
            "figure_2_architecture" if number == 1 else f"figure_2_architecture_{number}",
            architecture_figure(built_architecture(config)),
            f"Figure 2. The networks for {', '.join(names)} at full resolution, drawn from the "
            "layers as built. Boxes are labelled with the height × width × channels of their "
            "output. (The paper doubles 16 filters six times and has 2,048 at 4×4, which doubling "
            "cannot give; here one more convolution, the bottleneck, does.)",
        )
        for number, (config, names) in enumerate(tasks.items(), 1)
    ]
    return section_of("Figure 2. Architecture", *plots)


@house_style
def architecture_figure(architecture: Architecture) -> Figure:
    """The diagram, one row per block; the sizes of the boxes mean nothing."""
    rows = len(architecture.encoder)
    figure = Figure(figsize=(PAGE_INCHES, 0.66 * (rows + 5.6)), layout="constrained")
    axis = figure.subplots()
    axis.set(xlim=(0, 14), ylim=(-(rows + 3.7), 2.0))
    axis.axis("off")
    _ends(axis, architecture)
    for row, blocks in enumerate(zip(architecture.encoder, architecture.decoder, strict=True), 1):
        _level(axis, -row, *blocks, "z, c" if architecture.conditional else "z")
    _turn(axis, architecture, -(rows + 1.0))
    _discriminator(axis, architecture)
    _legend(axis, -(rows + 2.7), architecture.conditional)
    return figure


def _ends(axis: Axes, net: Architecture) -> None:
    """The image above the encoder, the lesion above the decoder, their sum above both."""
    image = f"{net.size}×{net.size}×1"
    _title(axis, _MIDDLE, f"Generator, {net.generator_weights / 1e6:,.1f} M weights")
    _box(axis, ENCODER_X, 0, f"image {image}", GREY)
    _box(axis, DECODER_X, 0, f"lesion {image}", GREY)
    _box(axis, _MIDDLE - BOX_WIDTH / 2, 0.95, f"combined {image}", GREY)
    # Both inputs of the sum meet under the output.
    _arrow(axis, (ENCODER_X + BOX_WIDTH, 0), (_MIDDLE - 0.17, 0))
    _arrow(axis, (DECODER_X, 0), (_MIDDLE + 0.17, 0))
    axis.text(_MIDDLE, 0, "+", ha="center", va="center", fontsize=11)
    axis.add_patch(Circle((_MIDDLE, 0), 0.17, fill=False, edgecolor=LINE, linewidth=0.9))
    _arrow(axis, (_MIDDLE, 0.17), (_MIDDLE, 0.95 - 0.28))


def _level(axis: Axes, y: float, down: Block, up: Block, scalar: str) -> None:
    """An encoder block, the decoder block that its output skips to, and their random scalars."""
    for x, block, colour in ((ENCODER_X, down, BLUE), (DECODER_X, up, YELLOW)):
        _box(axis, x, y, _text(block), colour, block.attention)
    _arrow(axis, (_ENCODER_CENTRE, y + 0.7), (_ENCODER_CENTRE, y + 0.3))
    _arrow(axis, (_DECODER_CENTRE, y + 0.3), (_DECODER_CENTRE, y + 0.7))
    _arrow(axis, (ENCODER_X + BOX_WIDTH, y), (DECODER_X, y))
    _remark(axis, _MIDDLE, y, f"skip {down.size}×{down.size}×{down.filters[-1]}")
    _scalar(axis, ENCODER_X, y, scalar, side=-1)
    _scalar(axis, DECODER_X + BOX_WIDTH, y, scalar, side=1)


def _turn(axis: Axes, net: Architecture, y: float) -> None:
    """The bottom of the U: bottleneck, embedding, and the embedding at the decoder's size."""
    _box(axis, ENCODER_X, y, f"bottleneck {_shape(net.bottleneck)}", GREEN)
    _box(axis, _MIDDLE - 1.1, y - 0.95, f"embedding {_shape(net.embedding)}", GREEN, width=2.2)
    resized = _shape((*net.bottleneck[:2], net.embedding[-1]))
    _box(axis, DECODER_X, y, f"resized to {resized}", GREEN)
    _arrow(axis, (_ENCODER_CENTRE, y + 0.7), (_ENCODER_CENTRE, y + 0.3))
    _arrow(axis, (_ENCODER_CENTRE, y - 0.28), (_MIDDLE - 1.12, y - 0.95))
    _arrow(axis, (_MIDDLE + 1.12, y - 0.95), (_DECODER_CENTRE, y - 0.28))
    _arrow(axis, (_DECODER_CENTRE, y + 0.3), (_DECODER_CENTRE, y + 0.7))


def _discriminator(axis: Axes, net: Architecture) -> None:
    x, low = DISCRIMINATOR_X, -(len(net.discriminator) + 1.0)
    centre = x + BOX_WIDTH / 2
    _title(axis, centre, f"Discriminator, {net.discriminator_weights / 1e6:,.1f} M weights")
    _box(axis, x, 0, f"image {net.size}×{net.size}×{net.channels}", GREY)
    if net.conditional:
        _scalar(axis, x, 0, "c", side=-1)
    for row, block in enumerate(net.discriminator, 1):
        _box(axis, x, -row, _text(block), ROSE, block.attention)
        _arrow(axis, (centre, -row + 0.7), (centre, -row + 0.3))
        if net.discriminator_scalars:
            _scalar(axis, x, -row, "z", side=-1)
    _box(axis, x, low, f"{net.classes} logits: real, fake,\nbenign, normal", GREEN)
    _arrow(axis, (centre, low + 0.7), (centre, low + 0.3))


def _legend(axis: Axes, y: float, conditional: bool) -> None:
    scalars = "z: a random scalar, c: the category" if conditional else "z: a random scalar"
    columns = (
        (
            (BLUE, False, "encoder block: [input, z] → 3×3 convolution, stride 2 → LeakyReLU"),
            (YELLOW, False, "decoder block: [input, skip, z] → ×2 nearest → two 3×3 conv., ReLU"),
            (ROSE, False, "discriminator block: 3×3 convolution → 2×2 max pool → LeakyReLU"),
        ),
        (
            (GREEN, False, "other layers: bottleneck, embedding, logits"),
            (GREY, False, "images; the lesion: 1×1 convolution → zero frame → clip"),
            ("none", True, f"self-attention follows; {scalars}"),
        ),
    )
    for x, entries in zip((0.2, 7.6), columns, strict=True):
        for place, (colour, bold, text) in enumerate(entries):
            _box(axis, x, y - 0.42 * place, "", colour, bold, width=0.35, height=0.26)
            axis.text(x + 0.5, y - 0.42 * place, text, va="center", fontsize=7.5)


def _text(block: Block) -> str:
    # The last number is what the block gives: filters of both convolutions where there are two.
    return f"{block.size}×{block.size}×{', '.join(map(str, dict.fromkeys(block.filters)))}"


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def _title(axis: Axes, x: float, text: str) -> None:
    axis.text(x, 1.6, text, ha="center", va="center", fontsize=9, weight="bold")


def _remark(axis: Axes, x: float, y: float, text: str) -> None:
    axis.text(x, y + 0.06, text, ha="center", va="bottom", fontsize=7, color=LINE)


def _scalar(axis: Axes, x: float, y: float, text: str, side: int) -> None:
    """z, and the category c, beside a box whose edge is at x, on its left (-1) or right (1)."""
    axis.text(
        x + 0.37 * side, y, text, color=SCALAR, style="italic",
        ha="right" if side < 0 else "left", va="center",
    )  # fmt: skip
    _arrow(axis, (x + 0.3 * side, y), (x, y), SCALAR)


def _box(
    axis: Axes,
    x: float,
    y: float,
    text: str,
    colour: str,
    attention: bool = False,
    width: float = BOX_WIDTH,
    height: float = 0.56,
) -> None:
    axis.add_patch(
        FancyBboxPatch(
            (x, y - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=colour, edgecolor="#222222" if attention else LINE,
            linewidth=2.4 if attention else 0.7,
        )
    )  # fmt: skip
    axis.text(x + width / 2, y, text, ha="center", va="center", fontsize=8)


def _arrow(
    axis: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = LINE
) -> None:
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", end, start, arrowprops=style)
