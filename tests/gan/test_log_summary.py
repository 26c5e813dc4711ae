"""The table of layers at the paper's size, and what --dry_run prints."""

import pytest

from cgan_tf.config import GanConfig
from cgan_tf.gan.log import layer_tables, print_layers
from tests.toys.small_gan import small_config


@pytest.fixture(scope="module")
def tables():
    """The paper's networks; 101 million parameters are made once, and nothing is iterated over
    them: spectral normalisation adds no parameter."""
    paper = GanConfig(spectral_norm="none")
    return {
        phase: {
            network: {path.split("/", 1)[1]: (shape, count) for path, shape, count in rows}
            for network, rows in networks.items()
        }
        for phase, networks in layer_tables(paper).items()
    }


def conv(size, inputs, filters, bias=True):
    return size * size * inputs * filters + filters * bias


def test_encoder_of_the_paper(tables):
    """16 ... 512 filters, 4x4x2048, 1x1x4; every block has the image's or the skip's channels
    and one random scalar."""
    generator = tables["full"]["generator"]
    expected = {
        "encoder_0": ((128, 128, 16), conv(3, 1 + 1, 16)),
        "encoder_1": ((64, 64, 32), conv(3, 16 + 1, 32)),
        "encoder_2": ((32, 32, 64), conv(3, 32 + 1, 64)),
        "encoder_attention": ((32, 32, 64), 1 + 2 * 64 * 8 + 2 * 64 * 32),
        "encoder_3": ((16, 16, 128), conv(3, 64 + 1, 128)),
        "encoder_4": ((8, 8, 256), conv(3, 128 + 1, 256)),
        "encoder_5": ((4, 4, 512), conv(3, 256 + 1, 512)),
        "bottleneck": ((4, 4, 2048), conv(3, 512, 2048)),
        "embedding": ((1, 1, 4), conv(4, 2048, 4)),
    }
    assert {name: generator[name] for name in expected} == expected


def test_decoder_of_the_paper(tables):
    """Filters mirror the encoder; input: features, skip, random scalar."""
    generator = tables["full"]["generator"]
    filters = [16, 16, 32, 64, 128, 256]
    inputs = [16, 32, 64, 128, 256, 4]  # of the block before; the innermost takes the embedding
    skips = [16, 32, 64, 128, 256, 512]
    for i in range(6):
        side = 256 // 2**i
        first, second = (generator[f"decoder_{i}_{name}"] for name in ("first", "second"))
        assert first == ((side, side, filters[i]), conv(3, inputs[i] + skips[i] + 1, filters[i]))
        assert second == ((side, side, filters[i]), conv(3, filters[i], filters[i]))
    attention = 1 + 2 * 64 * 8 + 2 * 64 * 32
    assert generator["decoder_attention"] == ((32, 32, 64), attention)
    assert generator["full_head"] == ((256, 256, 1), 17)


def test_discriminator_of_the_paper(tables):
    """128 ... 4096 filters: 8 times the encoder's; the shapes are those before the pooling."""
    discriminator = tables["full"]["discriminator"]
    expected = {
        f"block_{i}": (
            (256 // 2**i, 256 // 2**i, 128 * 2**i),
            conv(3, 1 if i == 0 else 64 * 2**i, 128 * 2**i),
        )
        for i in range(6)
    }
    expected["attention"] = ((32, 32, 512), 1 + 2 * 512 * 64 + 2 * 512 * 256)
    expected["logits"] = ((4,), 4 * 4 * 4096 * 4 + 4)
    assert discriminator == expected
    assert sum(count for _, count in discriminator.values()) == 101_164_037


def test_the_half_phase_lacks_the_outermost_block(tables):
    half, full = tables["half"]["generator"], tables["full"]["generator"]
    kept = {name for name in full if not name.endswith("_0") and "_0_" not in name}
    kept -= {"full_head"}
    assert {name: half[name] for name in kept} == {name: full[name] for name in kept}
    assert set(half) - kept == {"half_entry", "half_head"}
    assert half["half_entry"] == ((128, 128, 16), conv(1, 1, 16))
    assert half["half_head"] == ((128, 128, 1), 17)
    half, full = (tables[phase]["discriminator"] for phase in ("half", "full"))
    entry = {"half_entry": ((128, 128, 128), conv(1, 1, 128))}
    assert half == entry | {name: row for name, row in full.items() if name != "block_0"}
    assert tables["fade"]["discriminator"] == half | full
    half, full = tables["half"]["generator"], tables["full"]["generator"]
    assert set(tables["fade"]["generator"]) == set(half) | set(full)


def test_what_is_printed_adds_up(capsys):
    print_layers(small_config(grow=False))
    out = capsys.readouterr().out
    assert "generator, phase full" in out
    assert "half" not in out
    generator = out.split("discriminator, phase full")[0]
    rows = [line.split() for line in generator.splitlines() if line.startswith("  ")]
    counts = {name: int(columns[-1].replace(",", "")) for name, *columns in rows}
    assert counts.pop("total") == sum(counts.values())
    assert ["encoder_0", "16x16x4", "76"] in rows  # 9 * 2 * 4 + 4


def test_a_discriminator_with_scalars_and_triplets():
    config = small_config(grow=False, discriminator_noise=True, discriminator_input="triplet")
    rows = layer_tables(config)["full"]["discriminator"]
    counts = {path.split("/")[-1]: count for path, _, count in rows}
    assert counts["block_0"] == conv(3, 3 + 1, 8)
    assert counts["block_1"] == conv(3, 8 + 1, 16)
