"""Figure 2 says what the networks are."""

import json

import pytest

from cgan_tf.config import GanConfig
from cgan_tf.reporting import figure_2
from cgan_tf.reporting.figure_2 import Block, architecture_figure, built_architecture
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import config_to_dict
from tests.toys.report import report_inputs

SMALL = GanConfig(size=32, generator_filters=4, bottleneck_filters=24, discriminator_multiplier=2)


@pytest.fixture(scope="module")
def small():
    return built_architecture(SMALL)


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_blocks_are_read_from_the_built_networks(small):
    """At 32 px: three halvings, 4 filters doubled twice, attention where the side is 8."""
    assert small.encoder == (Block(16, (4,)), Block(8, (8,), True), Block(4, (16,)))
    assert small.decoder == (Block(32, (4, 4)), Block(16, (4, 4)), Block(8, (8, 8), True))
    assert small.discriminator == (Block(16, (8,)), Block(8, (16,), True), Block(4, (32,)))
    assert (small.bottleneck, small.embedding) == ((4, 4, 24), (1, 1, 4))
    assert (small.size, small.classes, small.channels) == (32, 4, 1)


def test_weights_are_those_of_the_networks(small):
    # By hand: 3x3 convolutions 1-8-16-32, attention at 16 channels, 512 features to 4 logits;
    # attention has 1x1 kernels to 2, 2 and 8 channels and back, and gamma.
    convolutions = (9 * 1 + 1) * 8 + (9 * 8 + 1) * 16 + (9 * 16 + 1) * 32
    attention = 16 * 2 * 2 + 16 * 8 * 2 + 1
    assert small.discriminator_weights == convolutions + attention + (512 + 1) * 4


def test_every_block_and_scalar_is_drawn(small):
    shown = texts(architecture_figure(small))
    expected = [
        "16×16×4", "8×8×8", "4×4×16", "32×32×4", "8×8×16",
        "bottleneck 4×4×24", "embedding 1×1×4", "resized to 4×4×4", "skip 8×8×8", "lesion 32×32×1",
    ]  # fmt: skip
    for text in expected:
        assert text in shown, text
    assert shown.count("z") == 6  # two a level, none in the discriminator


def test_flags_of_the_discriminator_show():
    net = built_architecture(
        GanConfig(
            size=32, generator_filters=4, bottleneck_filters=8, attention_size=-1,
            discriminator_multiplier=2, discriminator_input="triplet", discriminator_noise=True,
        )
    )  # fmt: skip
    shown = texts(architecture_figure(net))
    assert "image 32×32×3" in shown
    assert shown.count("z") == 9
    assert not any(block.attention for block in (*net.encoder, *net.decoder, *net.discriminator))


def test_the_category_of_a_conditional_model_shows():
    net = built_architecture(
        GanConfig(size=32, generator_filters=4, bottleneck_filters=8, conditional=True)
    )
    shown = texts(architecture_figure(net))
    assert (shown.count("z, c"), shown.count("c"), shown.count("z")) == (6, 1, 0)
    assert any("c: the category" in text for text in shown)


def gan_run(directory, **flags):
    directory.mkdir()
    content = {"flags": config_to_dict(GanConfig(**flags))}
    (directory / "run.json").write_text(json.dumps(content))
    return str(directory)


def test_tasks_of_one_architecture_share_a_figure(tmp_path):
    flags = {"size": 32, "generator_filters": 4, "bottleneck_filters": 8}
    runs = [
        gan_run(tmp_path / "a", task="mass", learning_rate=0.1, **flags),
        gan_run(tmp_path / "b", task="removal", **flags),
        gan_run(tmp_path / "c", task="calcification", **flags | {"generator_filters": 2}),
    ]
    section = figure_2.section(report_inputs(gan_dirs=tuple(runs)))
    assert [part.name for part in section.parts] == [
        "figure_2_architecture",
        "figure_2_architecture_2",
    ]
    assert "mass, removal" in section.parts[0].caption
    assert figure_2.section(report_inputs()) is None


def test_a_directory_without_a_run_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"run\.json"):
        figure_2.section(report_inputs(gan_dirs=(str(tmp_path),)))


def test_another_programs_run_is_one_line(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"flags": {"output_dir": "x"}}))
    with pytest.raises(UserError, match=r"run\.json: expected the flags of train_gan, found no "):
        figure_2.section(report_inputs(gan_dirs=(str(tmp_path),)))
