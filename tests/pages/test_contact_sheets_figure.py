"""The sheet to the pixel: patches at their places, lines where the records say, captions."""

import dataclasses

import cv2
import numpy as np
import pytest

from cgan_tf.data.records import PatchRecord
from cgan_tf.pages.contact_sheets import (
    CAPTION,
    COLUMNS,
    GAP,
    HEADER,
    corner_of,
    legend_of,
    mask_outlines,
    sheet_png,
    shortened,
)
from cgan_tf.pages.patches import caption

SIZE, FACTOR = 64, 3
SIDE = SIZE * FACTOR
YELLOW, BLUE_GREEN = (255, 176, 0), (40, 200, 200)
NORMAL = PatchRecord(
    "1.2/normal/0",
    np.full((SIZE, SIZE), 0.2),
    "normal",
    client_id="demd7",
    laterality="L",
    view="CC",
    pixel_spacing_mm=0.07,
    window=(0, 0, 256),
    label_evidence="episode status N",
)
MASS = dataclasses.replace(
    NORMAL, box=(10, 20, 40, 50), lesion_size_mm=12.6, label_evidence="SURGERY H5 of lesion 1"
)


def drawn(records):
    """The sheet as RGB, int [height, width, 3]."""
    content = np.frombuffer(sheet_png("train: normal", "a choice", records), np.uint8)
    return cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def near(picture, colour):
    """Where the picture has nearly a colour: bool [height, width]."""
    return (np.abs(picture - colour) <= 40).all(axis=-1)


def tile_of(picture, number):
    left, top = corner_of(number, SIZE)
    return picture[top : top + SIDE, left : left + SIDE]


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (COLUMNS, 1), (COLUMNS + 1, 2)])
def test_the_size_of_the_sheet_is_that_of_its_tiles(count, rows):
    height, width = drawn([NORMAL] * count).shape[:2]
    assert width == COLUMNS * (SIDE + 2 * GAP)
    assert height == HEADER + rows * (GAP + SIDE + CAPTION)


def test_patches_are_shown_as_they_are_at_their_places():
    levels = np.linspace(-1, 1, COLUMNS + 2)
    patches = [dataclasses.replace(NORMAL, patch=np.full((SIZE, SIZE), v)) for v in levels]
    picture = drawn(patches)
    for number, level in enumerate(levels):
        assert (tile_of(picture, number) == np.rint((level + 1) / 2 * 255)).all()
    for left, top in (corner_of(0, SIZE), corner_of(COLUMNS + 1, SIZE)):
        assert (picture[top - 1, left : left + SIDE] == 255).all()
        assert (picture[top : top + SIDE, left - 1] == 255).all()


def test_a_patch_of_the_papers_size_is_shown_pixel_by_pixel():
    patch = np.random.default_rng(0).uniform(-1, 1, (256, 256))
    picture = drawn([dataclasses.replace(NORMAL, patch=patch)])
    left, top = corner_of(0, 256)
    found = picture[top : top + 256, left : left + 256, 0]
    np.testing.assert_array_equal(found, np.rint((patch + 1) / 2 * 255))


def test_the_box_is_drawn_around_the_lesion():
    tile = tile_of(drawn([NORMAL, MASS]), 1)
    rows, columns = np.nonzero(near(tile, YELLOW))
    # x0, y0, x1, y1 = 10, 20, 40, 50, three pixels each; the line is a pixel and a half wide.
    assert abs(columns.min() - 30) <= 1
    assert abs(columns.max() - 119) <= 1
    assert abs(rows.min() - 60) <= 1
    assert abs(rows.max() - 149) <= 1
    inside = tile[63:147, 33:117]
    assert (inside == inside[0, 0]).all()
    assert near(tile[60:150, 29:32], YELLOW).any(axis=1).all()  # the left side, unbroken
    assert near(tile[149:152, 30:120], YELLOW).any(axis=0).all()  # the lower side


def test_a_normal_patch_has_no_line():
    picture = drawn([NORMAL, MASS])
    assert not near(tile_of(picture, 0), YELLOW).any()
    assert near(tile_of(picture, 1), YELLOW).any()


def test_the_masks_edge_is_drawn_where_it_is_one_half():
    y, x = np.mgrid[:SIZE, :SIZE]
    mask = np.clip(1.5 - np.hypot(x - 30, y - 22) / 16, 0, 1)  # one half at a radius of 16
    tile = tile_of(drawn([dataclasses.replace(NORMAL, mask=mask, task="mass")]), 0)
    rows, columns = np.nonzero(near(tile, BLUE_GREEN))
    radius = np.hypot(columns / FACTOR - 30.5, rows / FACTOR - 22.5)
    assert len(radius) > 2 * np.pi * 16 * FACTOR / 2
    assert radius.min() > 14.5
    assert radius.max() < 17


def test_outlines_of_a_mask_by_hand():
    mask = np.zeros((8, 8))
    mask[2:4, 3:6] = 0.5
    (outline,) = mask_outlines(mask)
    assert {tuple(point) for point in outline} == {
        *((3.5, 2.5), (4.5, 2.5), (5.5, 2.5)),
        *((3.5, 3.5), (4.5, 3.5), (5.5, 3.5)),
    }
    assert mask_outlines(np.full((8, 8), 0.49)) == []


def test_captions_say_who_where_and_on_what_the_label_rests():
    assert caption(NORMAL) == ("demd7 · L CC · 18 mm", "episode status N")
    assert caption(MASS) == ("demd7 · L CC · 18 mm", "lesion 13 mm · SURGERY H5")
    changed = dataclasses.replace(MASS, lesion_area_px=410, lesion_size_mm=0, task="mass")
    assert caption(changed)[1] == "change: 10% of the patch"
    bare = PatchRecord("x", np.zeros((8, 8)), "unlabelled")
    assert caption(bare) == ("", "")


def test_text_of_the_data_is_neither_a_formula_nor_a_line_break():
    odd = dataclasses.replace(NORMAL, client_id="$x^$\n\u0007ü")
    assert caption(odd)[0].startswith("$x^$??? · ")
    assert (drawn([odd]) < 255).any()


def test_long_text_is_cut_at_its_end():
    assert shortened("demd7 · L CC", 192) == "demd7 · L CC"
    cut = shortened("a" * 100, 192)
    assert cut == "a" * (len(cut) - 1) + "…"
    assert 20 < len(cut) < 40


def test_the_legend_explains_what_is_there():
    assert legend_of([NORMAL]) == (
        "Under each patch: client, view, width of the patch, what the label rests on."
    )
    assert "longer side of the lesion" in legend_of([NORMAL, MASS])
    assert "Yellow: the lesion's box." in legend_of([NORMAL, MASS])
    changed = dataclasses.replace(NORMAL, mask=np.zeros((SIZE, SIZE)), task="removal")
    assert "soft mask" in legend_of([changed])
    assert "Yellow" not in legend_of([changed])


def test_the_same_records_give_the_same_bytes():
    assert sheet_png("a", "b", [NORMAL, MASS]) == sheet_png("a", "b", [NORMAL, MASS])
    assert sheet_png("a", "b", [NORMAL, MASS]) != sheet_png("c", "b", [NORMAL, MASS])
