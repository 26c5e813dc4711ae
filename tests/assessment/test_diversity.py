"""How far lesions differ: generators whose lesions are known, the table, the pictures."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.assessment.diversity import (
    diversity_table,
    measure_diversity,
    scatter_figure,
    sheet,
    synthetic_set,
)
from cgan_tf.assessment.lesions import LesionShape, Spread
from cgan_tf.config import DiversityConfig
from cgan_tf.gan import export
from cgan_tf.gan.card import GeneratorCard
from cgan_tf.runs.errors import UserError
from tests.toys.patches import write_toy_patches

SIZE = 32
Y, X = np.mgrid[:SIZE, :SIZE]
SETS = ("one_patch_many_draws", "many_patches_one_draw", "many_patches_a_draw_each", "real_lesions")


def disk(x, y, radius=5.0, level=0.6):
    return level * (np.hypot(X - x, Y - y) <= radius)


def mover(image, z):
    """A disk whose place is z's."""
    lesions = [disk(16 + 6 * x, 16 + 6 * y) for x, y, *_ in z.numpy()]
    return {"lesion": tf.constant(np.stack(lesions)[..., None].astype(np.float32))}


def stubborn(image, z):
    """The same disk whatever it is given."""
    return {"lesion": tf.constant(np.stack([disk(16, 16)] * len(z))[..., None].astype(np.float32))}


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    return write_toy_patches(tmp_path_factory.mktemp("toy"), size=SIZE, per_class=12)


@pytest.fixture
def generator(monkeypatch):
    """The generator that is found; its function may be changed."""
    actual = {
        "function": mover,
        "card": GeneratorCard("mass", SIZE, z_width=6, checksum="c" * 64),
    }
    monkeypatch.setattr(export, "load_generator", lambda _: (actual["function"], actual["card"]))
    return actual


@pytest.fixture
def config(patches, tmp_path, generator):
    return DiversityConfig(
        generator="G",
        patches_dir=str(patches),
        output_dir=str(tmp_path / "diversity"),
        draws=20,
        patches=10,
        smoothing=0.0,  # the mask is the disk, grown by a pixel
    )


def run(config):
    measure_diversity(config)
    with open(f"{config.output_dir}/diversity.json", encoding="utf-8") as file:
        return json.load(file)


class TestRun:
    def test_a_generator_that_uses_its_scalars(self, config, capsys):
        actual = run(config)
        assert tuple(actual["sets"]) == SETS
        draws, patches, both, real = (actual["sets"][name] for name in SETS)
        assert [s["measured"] + s["without"] for s in (draws, patches, both, real)] == [
            *(20, 10, 10, 12)
        ]
        # Of U(-1, 1) times 6 px in both directions: sqrt(2) * 6 / sqrt(3) px of 32.
        assert draws["position"] == pytest.approx(np.sqrt(2 / 3) * 6 / SIZE, rel=0.3)
        assert patches["position"] < 0.02  # one z: the disk stays; the texture stirs it
        assert both["position"] > 0.1
        assert draws["area"] == pytest.approx(disk(16, 16).astype(bool).mean(), rel=0.2)
        assert draws["contrast"] == pytest.approx(0.6, abs=0.12)
        assert real["measured"] > 8
        assert "| one patch, many draws | 20 of 20 |" in capsys.readouterr().out

    def test_a_generator_that_ignores_them(self, config, generator):
        generator["function"] = stubborn
        actual = run(config)["sets"]
        assert actual["one_patch_many_draws"]["position"] == pytest.approx(0, abs=1e-9)
        assert actual["one_patch_many_draws"]["area_spread"] == pytest.approx(0, abs=1e-9)
        assert actual["many_patches_a_draw_each"]["position"] < 0.02

    def test_a_generator_of_nothing(self, config, generator):
        generator["function"] = lambda image, z: {"lesion": tf.zeros_like(image)}
        actual = run(config)["sets"]
        assert actual["one_patch_many_draws"]["without"] == 20
        assert actual["one_patch_many_draws"]["position"] is None

    def test_what_it_leaves(self, config, tmp_path):
        run(config)
        files = {path.name for path in (tmp_path / "diversity").iterdir()} - {".lock"}
        pictures = {f"{name}.png" for name in (*SETS, "diversity")}
        assert files == pictures | {"run.json", "manifest.json", "diversity.json", "diversity.md"}
        picture = cv2.imread(str(tmp_path / "diversity" / "one_patch_many_draws.png"), 0)
        assert picture.shape == (3 * 34, 8 * 34)  # 20 patches with their frames

    def test_a_bar_counts_every_patch(self, config, capsys):
        run(config)
        told = capsys.readouterr().err  # draws, twice the patches, the real lesions
        assert "mass lesions: 100%" in told
        assert "52/52" in told

    def test_without_real_lesions_nothing_is_begun(self, config, tmp_path):
        bare = write_toy_patches(tmp_path / "bare", size=SIZE, per_class=4)
        manifest = json.loads((bare / "manifest.json").read_text())
        for name in ("malignant_mass", "benign_mass"):
            manifest["splits"]["train"].pop(name)
        (bare / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(
            UserError, match=r"train/malignant_mass.*: expected patches, found none"
        ):
            run(dataclasses.replace(config, patches_dir=str(bare)))
        assert not (tmp_path / "diversity").exists()

    def test_the_same_again_shows_the_table_and_measures_nothing(self, config, generator, capsys):
        run(config)
        first = capsys.readouterr().out
        generator["function"] = None
        run(config)
        again = capsys.readouterr().out
        assert (
            again == f"measure_diversity: {config.output_dir} is finished; nothing to do\n{first}"
        )

    def test_other_seeds_other_draws(self, config, tmp_path):
        other = dataclasses.replace(config, seed=1, output_dir=str(tmp_path / "other"))
        positions = [run(c)["sets"]["one_patch_many_draws"]["position"] for c in (config, other)]
        assert positions[0] != positions[1]

    @pytest.mark.parametrize("name", ["draws", "patches", "real_lesions"])
    def test_a_spread_wants_two(self, config, name):
        with pytest.raises(UserError, match=f"--{name}: expected 2 or more, found 1"):
            measure_diversity(dataclasses.replace(config, **{name: 1}))

    def test_patches_of_another_size(self, config, generator):
        """Named before run.json is written: the corrected flag is welcome in the same place."""
        generator["card"] = dataclasses.replace(generator["card"], size=64)
        with pytest.raises(UserError, match="expected patches of 64 px for G, found 32"):
            measure_diversity(config)
        assert not list(Path(config.output_dir).rglob("run.json"))


class TestRemoval:
    def test_what_is_taken_away_is_measured(self):
        config = DiversityConfig(smoothing=0.0)
        image = np.full((SIZE, SIZE), 0.2) + disk(10, 20)
        lesion = -disk(10, 20, level=0.4)
        actual = synthetic_set(np.stack([image]), np.stack([lesion]), [()], True, config)
        shape = actual.shapes[0]
        assert shape.x == pytest.approx(10.5 / SIZE)
        assert shape.y == pytest.approx(20.5 / SIZE)
        assert shape.area == pytest.approx((disk(10, 20) > 0).mean())
        assert shape.contrast == pytest.approx(0.4)
        np.testing.assert_allclose(actual.patches[0], image + lesion)

    def test_what_is_added_is_none_of_it(self):
        config = DiversityConfig()
        image = np.zeros((SIZE, SIZE))
        actual = synthetic_set(np.stack([image]), np.stack([disk(10, 20)]), [()], True, config)
        assert actual.shapes == [None]
        np.testing.assert_array_equal(actual.patches[0], image)


class TestShown:
    def test_the_table(self):
        spread = Spread(63, 1, 0.1234, 0.05, 0.0125, 0.3, 0.06)
        undefined = Spread(0, 64)
        lines = diversity_table("mass", {"a": spread, "b": undefined}).splitlines()
        assert lines[0] == "Diversity of the mass generator's lesions"
        assert "| a | 63 of 64 | 12.3% | 5.0% ± 1.2% | 0.30 ± 0.06 |" in lines
        assert "| b | 0 of 64 | – | – | – |" in lines

    def test_the_plot_has_every_lesion(self):
        lesions = [LesionShape(0.1 * n, 0.5, 0.01 * n, 0.3) for n in range(5)]
        figure = scatter_figure({"a": [*lesions, None], "b": [None]})
        points = [axis.collections[0].get_offsets() for axis in figure.axes]
        np.testing.assert_allclose(points[0], [(0.1 * n, 0.5) for n in range(5)])
        np.testing.assert_allclose(points[2], [(n, 0.3) for n in range(5)])
        assert len(points[1]) == len(points[3]) == 0
        assert figure.axes[0].yaxis_inverted()  # as pictures are shown

    def test_a_sheet(self):
        patches = np.linspace(-1, 1, 9)[:, None, None] * np.ones((9, 4, 4))
        picture = cv2.imdecode(np.frombuffer(sheet(patches), np.uint8), cv2.IMREAD_UNCHANGED)
        assert picture.shape == (2 * 6, 8 * 6)
        assert picture[2, 2] == 0
        assert picture[8, 2] == 255  # the ninth begins the second row
        assert (picture[8, 6:] == 0).all()
