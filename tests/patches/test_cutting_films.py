"""Patches and places on films in black padding, on films with labels, and off the muscle."""

import numpy as np
import pytest

from beam_pipelines.insertion.generator import Setup
from beam_pipelines.insertion.places import prepare
from beam_pipelines.patches.breast_mask import breast_mask, pectoral_mask
from beam_pipelines.patches.cutting import cut_image
from beam_pipelines.patches.plan import Draw
from beam_pipelines.sources.base import HEALTHY, LESION, Image, Mark
from cgan_tf.config import InsertionConfig, PatchesConfig
from cgan_tf.gan.card import GeneratorCard
from tests.toys.drawn_films import HEIGHT, WIDTH, draw_film, padded, stored
from tests.toys.film_outlines import overlap
from tests.toys.omidb_tree import dataset, write

LEFT, TOP, RIGHT = 130, 41, 254
SIZE = 128


def _image(folder, film, use=HEALTHY, marks=(), view="MLO"):
    pixels = np.rint(film).clip(0, 255).astype(np.uint8)
    path = write(folder / "film.dcm", dataset(pixels, ViewPosition=view))
    return Image(str(path), "P", "1.2", "1.2.3", "L", view, use, marks)


def _draws(name, count):
    return [Draw(f"train/{name}", "train", name, n, f"{n:032x}", n) for n in range(count)]


def _with_muscle(film):
    """Brighter tissue above a line from (300, 0) to (0, 560), at first and then not at all."""
    rows, columns = np.mgrid[: film.shape[0], : film.shape[1]]
    muscle = columns / 300 + rows / 560 < 1
    return film + 70 * muscle, muscle


def _black_bars(patch):
    """Whether a side of a patch is black all along."""
    return [(side <= -1).all() for side in (patch[0], patch[-1], patch[:, 0], patch[:, -1])]


@pytest.mark.parametrize(
    ("corner", "name"),
    [((LEFT, TOP + 400), "malignant_mass"), ((LEFT + 40, TOP), "benign_mass"), (None, "normal")],
)
def test_no_patch_holds_padding_and_windows_are_those_of_the_file(tmp_path, corner, name):
    film, _ = draw_film(half_height=560)
    film = padded(film.clip(1, 255), LEFT, TOP, RIGHT)
    marks = ()
    if corner:
        box = (*corner, corner[0] + 30, corner[1] + 30)
        marks = (Mark("m", box, name, 1, 0, ""),)
    image = _image(tmp_path, film, LESION if marks else HEALTHY, marks)
    config = PatchesConfig(size=SIZE, scale_min=1, scale_max=1, rotate=False, flip_probability=0)
    outcome = cut_image(image, _draws(name, 40), config)
    assert len(outcome.cuts) == 40
    for cut in outcome.cuts:
        left, top, side = map(int, cut.record.window)
        assert LEFT <= left <= LEFT + WIDTH - side
        assert TOP <= top <= TOP + HEIGHT - side
        assert not any(_black_bars(cut.record.patch))
        window = np.rint(film[top : top + side, left : left + side]).clip(0, 255) / 127.5 - 1
        np.testing.assert_allclose(np.squeeze(cut.record.patch), window, atol=1e-5)
        if corner:
            np.testing.assert_allclose(
                cut.record.box,
                np.clip((box[0] - left, box[1] - top, box[2] - left, box[3] - top), 0, side),
            )


def test_a_mark_in_the_padding_alone_is_outside(tmp_path):
    film = padded(draw_film()[0].clip(1, 255), LEFT, TOP, RIGHT)
    mark = Mark("m", (10, 10, 60, 60), "malignant_mass", 1, 0, "")
    outcome = cut_image(_image(tmp_path, film, LESION, (mark,)), [], PatchesConfig(size=SIZE))
    assert sorted(str(item.reason) for item in outcome.rejections) == [
        "box_outside_image",
        "no_usable_mark",
    ]


def _setup(**flags):
    card = GeneratorCard("mass", SIZE, z_width=2, checksum="")
    return Setup(InsertionConfig(**flags), card, "mass", 0, 1, 0.0, "")


@pytest.mark.parametrize("number", range(4))
def test_nothing_is_inserted_on_a_label_or_outside_the_breast(tmp_path, number):
    """A label at the skin, as bright as a dense breast: no place on it, no tissue in it."""
    film, breast = draw_film(half_height=560)
    label = np.zeros_like(breast)
    label[60 : 60 + 200, 330:640] = True
    film[label] = 250
    image = _image(tmp_path, padded(film.clip(1, 255), LEFT, TOP, RIGHT))
    setup = _setup(lesions_per_image=20, min_tissue=0.6, seed=number)
    prepared, request = prepare(image, setup, [])
    assert len(prepared.places) >= 5
    for place, patch, tissue in zip(prepared.places, request.patches, request.tissue, strict=True):
        x, y = place.left - LEFT, place.top - TOP
        assert 0 <= x <= WIDTH - SIZE
        assert 0 <= y <= HEIGHT - SIZE
        here = slice(y, y + SIZE), slice(x, x + SIZE)
        shown = np.rint(film[here]).clip(1, 255) / 127.5 - 1
        np.testing.assert_allclose(patch, shown, atol=1e-5)  # places are in pixels of the file
        assert (tissue & label[here]).sum() <= 0.01 * SIZE**2
        assert (tissue & ~breast[here]).sum() <= 0.03 * SIZE**2


@pytest.mark.parametrize("turn", [np.asarray, np.fliplr])
def test_finds_the_pectoral_muscle(turn):
    film, muscle = _with_muscle(draw_film(half_height=560)[0])
    grey = stored(turn(film).copy())
    found = pectoral_mask(grey, breast_mask(grey))
    whole = np.kron(found, np.ones((2, 2), np.uint8))
    assert overlap(whole, turn(muscle)) > 0.93


def test_finds_no_muscle_where_nothing_gets_darker_across_a_line():
    rows = np.mgrid[:400, :300][0]
    grey = np.where(rows < 380, 0.2, -1.0).astype(np.float32)
    breast = (grey > -0.5).astype(np.uint8)
    assert not pectoral_mask(grey, breast).any()


@pytest.mark.parametrize("view", ["MLO", "CC"])
def test_with_the_flag_normals_and_places_keep_off_the_muscle(tmp_path, view):
    film, muscle = _with_muscle(draw_film(half_height=560)[0])
    image = _image(tmp_path, film, view=view)
    shares = {}
    for flag in (False, True):
        config = PatchesConfig(size=SIZE, exclude_pectoral=flag)
        cuts = cut_image(image, _draws("normal", 60), config).cuts
        windows = [tuple(map(int, cut.record.window)) for cut in cuts]
        assert len(windows) == 60
        prepared, _ = prepare(image, _setup(lesions_per_image=20, exclude_pectoral=flag), [])
        windows += [(place.left, place.top, SIZE) for place in prepared.places]
        shares[flag] = max(muscle[y : y + s, x : x + s].mean() for x, y, s in windows)
        assert all(cut.record.tissue_fraction > 0.89 for cut in cuts)
    assert shares[False] > 0.6
    assert (shares[True] < 0.15) == (view == "MLO")
