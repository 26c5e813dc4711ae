"""Breast mask and valid windows."""

import numpy as np
import pytest

from beam_pipelines.patches.windows import integral_of, tissue_fraction, tissue_in, valid_windows
from beam_pipelines.phantom.dicom import MANUFACTURERS, display_table, draw_mapping, encode_display
from beam_pipelines.phantom.picture import draw_picture
from beam_pipelines.phantom.plan import plan_client
from beam_pipelines.rejections import Reason, Rejected
from cgan_tf.data.keyed import keyed_generator
from tests.toys.film_outlines import overlap, whole_mask

POSES = (("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))


def _disc(shape=(832, 640), radius=0.45, tissue=-0.4, background=-1.0, noise=0.05):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    inside = (rows - shape[0] / 2) ** 2 + columns**2 < (radius * shape[0]) ** 2
    grey = np.where(inside, tissue, background) + noise * np.random.default_rng(0).normal(
        size=shape
    )
    return grey.clip(-1, 1).astype(np.float32), inside


def _phantom_overlaps(seed, client, size="small"):
    """Of the four views of a woman, as they are after the manufacturer's grey-level mapping."""
    body, maker = plan_client(seed, client).body, MANUFACTURERS[client % len(MANUFACTURERS)]
    for side, view in POSES:
        picture = draw_picture(seed, (client, "200"), body, (), side, view, size)
        mapping = draw_mapping(keyed_generator(seed, client, side, view), maker)
        grey = display_table(mapping)[encode_display(picture.display, mapping)]
        yield overlap(whole_mask(grey.astype(np.float32)), picture.mask)


@pytest.mark.parametrize("shape", [(832, 640), (1664, 1280), (416, 320)])
def test_finds_a_breast_whatever_the_size_of_the_image(shape):
    grey, inside = _disc(shape)
    assert overlap(whole_mask(grey), inside) > 0.97


def test_keeps_fatty_tissue_that_is_darker_than_half_of_the_dense():
    grey, inside = _disc(tissue=-0.8, noise=0.02)
    grey[300:500, 50:250] = 0.9
    assert overlap(whole_mask(grey), inside) > 0.97


def test_leaves_out_a_view_label_and_a_film_rim():
    grey, inside = _disc()
    grey[40:90, 480:600] = 1.0
    grey[:, -4:] = 1.0
    mask = whole_mask(grey)
    assert not mask[40:90, 480:600].any()
    assert overlap(mask, inside) > 0.96


def test_fills_holes():
    grey, _ = _disc()
    grey[400:430, 100:130] = -1.0
    assert whole_mask(grey)[400:430, 100:130].all()


def test_begins_at_the_skin_where_the_thickness_runs_out():
    grey, inside = _disc(tissue=-1.0, noise=0.0)
    rows, columns = np.nonzero(inside)
    share = np.hypot(rows - 416, columns) / (0.45 * 832)
    # From 30% of the exposure at nine tenths of the radius down to 0.3% at the skin.
    grey[inside] += 2 * 0.3 * 10.0 ** -np.clip(20 * (share - 0.9), 0, 2)
    assert overlap(whole_mask(grey), inside) > 0.98


@pytest.mark.parametrize("side", ["left", "right"])
def test_leaves_out_the_fog_along_the_edge_of_a_film(side):
    grey, inside = _disc(radius=0.3, noise=0.01)
    fog = 0.15 * np.exp(-np.arange(640) / 20)
    fog = fog * np.random.default_rng(1).uniform(0.95, 1.05, (832, 1))
    grey = np.minimum(grey + 2 * fog, 1).astype(np.float32)
    if side == "right":
        grey, inside = np.fliplr(grey).copy(), np.fliplr(inside)
    mask = whole_mask(grey)
    assert overlap(mask, inside) > 0.97
    assert not mask[~inside.any(axis=1)][:140].any()


def test_keeps_the_skin_of_the_abdomen_under_the_breast():
    grey, _ = _disc()
    grey[600:, :25] = np.maximum(grey[600:, :25], -0.4)
    mask = whole_mask(grey)
    assert mask[600:, :20].all()
    assert not mask[800:, 30:].any()


def test_a_mirrored_image_has_the_mirrored_mask():
    grey, inside = _disc()
    grey += np.linspace(0, 0.1, 832, dtype=np.float32)[:, None]
    found = whole_mask(np.fliplr(grey).copy())
    assert overlap(found, np.fliplr(whole_mask(grey))) > 0.999
    assert overlap(found, np.fliplr(inside)) > 0.99


def test_finds_the_phantoms_breast_whatever_its_grey_levels():
    found = [value for case in range(4) for value in _phantom_overlaps(case, case)]
    assert min(found) >= 0.98
    assert np.mean(found) >= 0.99


@pytest.mark.slow
def test_finds_the_phantoms_breast_at_clinical_size():
    found = list(_phantom_overlaps(3, 1, "clinical"))
    assert min(found) >= 0.98
    assert np.mean(found) >= 0.99


@pytest.mark.parametrize("radius", [0.05, 2.0])
def test_an_implausible_mask_is_rejected_with_its_size(radius):
    grey, _ = _disc(radius=radius)
    with pytest.raises(Rejected) as fault:
        whole_mask(grey)
    assert fault.value.reason == Reason.IMPLAUSIBLE_TISSUE_MASK
    assert "%" in fault.value.detail


def test_a_flat_image_is_rejected():
    with pytest.raises(Rejected):
        whole_mask(np.full((300, 200), -1.0, np.float32))


def test_windows_agree_with_counting():
    mask = (np.random.default_rng(2).random((40, 30)) < 0.8).astype(np.uint8)
    integral = integral_of(mask)
    found = valid_windows(integral, 9, 0.8)
    assert found.shape == (32, 22)
    for y in range(32):
        for x in range(22):
            fraction = mask[y : y + 9, x : x + 9].mean()
            assert tissue_fraction(integral, x, y, 9) == pytest.approx(fraction)
            assert found[y, x] == (fraction >= 0.8)


@pytest.mark.parametrize("shape", [(832, 640), (837, 643), (3328, 2560), (130, 95)])
def test_windows_of_the_image_agree_with_the_mask_blown_up_to_its_size(shape):
    mask = np.zeros((104, 80), np.uint8)
    mask[20:80, 5:50] = 1
    mask[30, 10] = 0
    rows = (np.arange(shape[0]) + 0.5) * (104 / shape[0])
    columns = (np.arange(shape[1]) + 0.5) * (80 / shape[1])
    whole = mask[rows.astype(int)][:, columns.astype(int)]
    integral = integral_of(mask, shape)
    generator = np.random.default_rng(0)
    side = shape[1] // 4
    found = valid_windows(integral, side, 0.9)
    assert found.shape == (shape[0] - side + 1, shape[1] - side + 1)
    for y, x in generator.integers(0, (shape[0] - side + 1, shape[1] - side + 1), (200, 2)):
        counted = whole[y : y + side, x : x + side].mean()
        fraction = tissue_fraction(integral, x, y, side)
        # Where a pixel of the mask ends inside a pixel of the image, counting rounds.
        assert fraction == pytest.approx(counted, abs=2.0 / side)
        assert found[y, x] == (fraction >= 0.9)


def test_an_exact_threshold_counts_as_enough():
    mask = np.ones((10, 10), np.uint8)
    mask[0] = 0  # the one window has exactly 90%
    assert valid_windows(integral_of(mask), 10, 0.9).tolist() == [[True]]


def test_no_window_in_an_image_smaller_than_it():
    assert not valid_windows(integral_of(np.ones((10, 10), np.uint8)), 11, 0.9).any()


def test_the_tissue_of_a_window_is_that_of_the_mask():
    """Three pixels of the image make one of the mask, here and where the image is a row longer."""
    mask = np.array([[0, 1], [1, 1]], np.uint8)
    found = tissue_in(mask, (6, 6), left=1, top=2, side=3)
    np.testing.assert_array_equal(found, [[0, 0, 1], [1, 1, 1], [1, 1, 1]])
    assert tissue_in(mask, (7, 6), left=3, top=4, side=3).all()
