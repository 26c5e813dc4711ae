"""The screening population: every lesion is there, none is alike, and tissue imitates them."""

from collections import Counter

import numpy as np
import pytest

from beam_pipelines.phantom.breast import QUANTUM_NOISE, draw_outline
from beam_pipelines.phantom.lesions import CALCIFICATION, DISTORTION
from beam_pipelines.phantom.picture import draw_picture
from beam_pipelines.phantom.plan import plan_client
from beam_pipelines.phantom.screening import (
    BENIGN,
    IMITATORS,
    MALIGNANT,
    faded,
    imitators,
    screening_look,
)
from beam_pipelines.phantom.screening_lesions import draw_screening_lesion
from beam_pipelines.phantom.screening_tissue import GRAIN_OF_A_WOMAN, draw_strands
from benchmarks.phantom_room import contrast_to_noise
from cgan_tf.data.keyed import keyed_generator
from cgan_tf.runs.errors import UserError
from tests.toys.phantom_tree import tree_digest, truth, write_phantom

SPACING = 0.28
RECIPES = list(dict.fromkeys((*MALIGNANT, *BENIGN, *IMITATORS)))  # in every process in one order


def looks(count, pathology="malignant"):
    return [screening_look(keyed_generator(0, pathology, n), pathology) for n in range(count)]


def layer_of(look, *names):
    return draw_screening_lesion(keyed_generator(1, *names), look, SPACING)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.__name__.strip("_"))
def test_every_recipe_draws_a_layer_of_its_own(recipe):
    """Bright somewhere, 0 at the border, the same again with the same key, another with another."""
    look = recipe(keyed_generator(0, "look"), 12.0, 0.2)
    layer = layer_of(look, "a")
    assert np.isfinite(layer).all()
    assert layer.max() > 0.05
    border = np.concatenate([layer[0], layer[-1], layer[:, 0], layer[:, -1]])
    assert not border.any()
    np.testing.assert_array_equal(layer, layer_of(look, "a"))
    assert np.abs(layer - layer_of(look, "b")).max() > 0.02


@pytest.mark.parametrize("pathology", ["malignant", "benign"])
def test_no_lesion_is_below_the_noise_and_some_are_hardly_above(pathology):
    """Root mean square contrast of the visible part, over the noise of a pixel."""
    noise = QUANTUM_NOISE * GRAIN_OF_A_WOMAN
    ratios = []
    for number, look in enumerate(looks(120, pathology)):
        layer = layer_of(look, number)
        visible = layer[layer > 0.25 * layer.max()]
        ratios.append(np.sqrt((visible**2).mean()) / noise)
    low, high = np.quantile(ratios, [0.05, 0.95])
    assert min(ratios) > 1
    assert high > 4 * low


def test_the_mix_is_that_of_the_tables():
    kinds = Counter(look.kind for look in looks(1500))
    families = Counter(look.family for look in looks(1500))
    assert kinds[CALCIFICATION] / 1500 == pytest.approx(0.30, abs=0.04)
    assert kinds[DISTORTION] / 1500 == pytest.approx(0.03, abs=0.02)
    assert len(families) == len(MALIGNANT)
    assert max(families.values()) / 1500 < 0.18
    assert sum(MALIGNANT.values()) == pytest.approx(1)
    assert sum(BENIGN.values()) == pytest.approx(1)


def test_half_of_the_contrast_is_half_of_the_layer():
    for number, look in enumerate(looks(30)):
        full, half = layer_of(look, number), layer_of(faded(look, 0.5), number)
        free = full < 1.29  # specks that touch are cut off there
        np.testing.assert_allclose(half[free], full[free] / 2, atol=1e-5)


def test_women_differ_in_what_imitates_lesions():
    """The spread of the counts between women is far above that of images of one woman."""

    def counts(woman):
        return [
            len(imitators(keyed_generator(0, woman), keyed_generator(1, woman, image)))
            for image in range(4)
        ]

    table = np.array([counts(woman) for woman in range(60)])
    assert table.mean() == pytest.approx(sum(IMITATORS.values()), rel=0.25)
    assert table.mean(1).var() > 3 * table.var(1).mean() / 4


def test_strands_are_bright_thin_and_the_womans_own_number():
    outline = draw_outline(keyed_generator(0, "o"), plan_client(0, 0).body, "CC")
    few, many = (
        draw_strands(keyed_generator(0, "s"), habit, outline, (832, 640), SPACING)
        for habit in (0.2, 3.0)
    )
    assert few.min() >= 0
    assert 0.05 < many.max() < 0.7
    assert (few > 0.02).mean() < 0.5 * (many > 0.02).mean() < 0.25


def test_normal_pictures_hold_imitators_and_the_easy_phantom_none():
    client = plan_client(0, 0, (), "screening")
    key = (0, "200")
    pictures = [
        draw_picture(0, key, client.body, (), "L", "CC", "small", difficulty)
        for difficulty in ("easy", "screening")
    ]
    np.testing.assert_array_equal(pictures[0].mask, pictures[1].mask)
    assert np.abs(pictures[0].display - pictures[1].display)[pictures[0].mask].mean() > 0.02
    assert pictures[0].noise != pictures[1].noise


def test_easy_is_the_default():
    assert plan_client(1, 5) == plan_client(1, 5, (), "easy")
    assert plan_client(1, 5) != plan_client(1, 5, (), "screening")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_phantom(
        tmp_path_factory.mktemp("screening") / "tree",
        clients=2, broken_files=0, workers=1, difficulty="screening", content="lean",
    )  # fmt: skip


def test_the_program_writes_it(tree, tmp_path):
    rows = truth(tree, "lesions")
    assert all(float(row["noise"]) > 0 for row in rows)
    malignant = [row for row in rows if row["pathology"] == "malignant"]
    ratios = contrast_to_noise(tree)
    assert len(ratios) == len(malignant) > 0
    assert ratios.min() > 1
    again = write_phantom(
        tmp_path / "again",
        clients=2, broken_files=0, workers=1, difficulty="screening", content="lean",
    )  # fmt: skip
    assert tree_digest(again) == tree_digest(tree)
    with pytest.raises(UserError, match="--difficulty was 'screening', is 'easy'"):
        write_phantom(tree, clients=2, broken_files=0, workers=1, content="lean")


def test_a_lean_client_has_two_views_and_every_lesion_marked():
    clients = [plan_client(0, index, (), "screening", lean=True) for index in range(40)]
    kinds = Counter(client.kind for client in clients)
    assert kinds == {"malignant": 20, "interval": 2, "normal": 18}
    for client in clients:
        (episode,) = client.episodes
        (study,) = episode.studies
        assert [image.view for image in study.images] == ["CC", "MLO"]
        assert {image.side for image in study.images} | {
            lesion.side for lesion in episode.lesions
        } == {study.images[0].side}
        assert client.boxes == bool(episode.lesions) == (client.kind != "normal")
        assert client.quirk is None
    assert plan_client(0, 3) == plan_client(0, 3, lean=False)
