"""Lesions in the image's own pixels: copied, or resampled to where they belong."""

import numpy as np
import pytest

from beam_pipelines.insertion.finish import to_native
from beam_pipelines.insertion.pictures import detail_parts
from cgan_tf.synthesis.postprocess import Extraction, Lesion, box_around, extract_lesion

SIZE = 32


def gaussian(size: int, x: float, y: float, sigma: float) -> np.ndarray:
    """A bump around (x, y), which are in pixels from the outer corner."""
    pixels = np.arange(size) + 0.5
    return np.exp(-((pixels[None] - x) ** 2 + (pixels[:, None] - y) ** 2) / (2 * sigma**2)).astype(
        np.float32
    )


def blob() -> Lesion:
    return extract_lesion(
        0.5 * gaussian(SIZE, 17, 15, 4),
        Extraction(
            removal=False, threshold=0.1, min_area_fraction=0.01, dilation_px=1, sigma_px=1.25
        ),
    )


def test_at_the_images_own_resolution_it_is_copied():
    lesion = blob()
    native = to_native(lesion, (40, 7), (1.0, 1.0), (100, 90))
    assert (native.left, native.top) == (40, 7)
    np.testing.assert_array_equal(native.layer, lesion.lesion)
    np.testing.assert_array_equal(native.support, lesion.mask > 0)
    assert native.box == tuple(np.add(lesion.box, (40, 7, 40, 7)))
    image = np.zeros((100, 90))
    image[native.place] += native.layer
    assert np.unravel_index(image.argmax(), image.shape) in [(21, 56), (22, 56), (21, 57), (22, 57)]


@pytest.mark.parametrize("scale", [(0.5, 0.5), (0.7, 0.7), (0.251, 0.249), (1.3, 1.3)])
def test_resampled_it_is_the_same_bump_in_the_same_place(scale):
    """A mask of ones, so that the layer is a bump that is known at every point."""
    bump = gaussian(SIZE, 17, 15, 4)
    objects = np.zeros(bump.shape, bool)
    objects[8:22, 10:24] = True
    lesion = Lesion(100, "", np.ones_like(bump), bump, (10, 8, 24, 22), objects)
    corner, shape = (23, 11), (300, 280)
    native = to_native(lesion, corner, scale, shape)
    rows = (native.top + np.arange(native.layer.shape[0]) + 0.5) * scale[1] - corner[1]
    columns = (native.left + np.arange(native.layer.shape[1]) + 0.5) * scale[0] - corner[0]
    expected = np.exp(-((columns[None] - 17) ** 2 + (rows[:, None] - 15) ** 2) / (2 * 4**2))
    inner = native.support & (expected > 0.05)
    assert inner.sum() > 200 / (scale[0] * scale[1])
    np.testing.assert_allclose(native.layer[inner], expected[inner], atol=2e-3)
    x0, y0, x1, y1 = native.box
    for edge, wanted, axis in ((x0, 33, 0), (y0, 19, 1), (x1, 47, 0), (y1, 33, 1)):
        assert abs(edge - wanted / scale[axis]) < 1


def test_the_layer_ends_with_its_support():
    native = to_native(blob(), (5, 9), (0.4, 0.4), (200, 200))
    assert native.support.any()
    assert not native.support.all()
    assert not native.layer[~native.support].any()
    edge = native.support & ~np.roll(native.support, 1, axis=1)
    assert np.abs(native.layer[edge]).max() < 0.01  # it fades out: no step
    assert np.abs(native.layer).max() == pytest.approx(np.abs(blob().lesion).max(), rel=0.02)


def test_it_never_leaves_the_image():
    lesion = blob()
    height, width = 90, 70
    scale = (0.37, 0.37)
    corner = (int(width * scale[0]) - SIZE + 8, int(height * scale[1]) - SIZE + 3)
    native = to_native(lesion, corner, scale, (height, width))
    image = np.zeros((height, width), np.float32)
    assert image[native.place].shape == native.layer.shape
    x0, y0, x1, y1 = native.box
    assert 0 <= x0 < x1 <= width
    assert 0 <= y0 < y1 <= height


@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.5, 0.5), (0.37, 0.41), (1.3, 1.3), (2.5, 2.5)])
@pytest.mark.parametrize("corner", [(23, 11), (0, 0)])
def test_the_box_is_that_of_the_objects(scale, corner):
    lesion = blob()
    native = to_native(lesion, corner, scale, (150, 160))
    whole = np.zeros((150, 160), bool)
    whole[native.place] = native.objects
    assert box_around(whole) == native.box
    assert whole.sum() == native.objects.sum() > 0
    middle = ((np.argwhere(lesion.objects).mean(axis=0) + 0.5 + corner[::-1]) / scale[::-1]).astype(
        int
    )
    assert whole[tuple(middle)]
    assert native.support[native.objects].mean() > 0.99
    if scale == (1.0, 1.0):
        np.testing.assert_array_equal(native.objects, lesion.objects)


def test_a_lesion_s_pixels_by_hand():
    """At half the image's resolution a pixel of the patch is two of the image each way."""
    objects = np.zeros((4, 4), bool)
    objects[1, 1] = objects[2, 1:3] = True
    ones = np.ones((4, 4), np.float32)
    native = to_native(
        Lesion(3, "", ones, ones, (1, 1, 3, 3), objects), (3, 1), (0.5, 0.5), (20, 30)
    )
    assert (native.left, native.top, native.box) == (6, 2, (8, 4, 12, 8))
    np.testing.assert_array_equal(native.objects, np.kron(objects, np.ones((2, 2), bool)))


def test_details_show_every_lesion_whole_and_neighbours_once():
    boxes = [(10, 10, 50, 60), (60, 20, 90, 60), (900, 900, 1000, 1000), (0, 0, 500, 10)]
    parts = list(detail_parts(boxes, (1200, 1000)))
    assert parts == [
        (slice(0, 384), slice(0, 384)),  # at the corner; the second box is in it
        (slice(758, 1142), slice(616, 1000)),
        (slice(0, 384), slice(0, 596)),  # wider than a detail: 48 px on both sides
    ]
    assert list(detail_parts([(5, 5, 9, 9)], (100, 80))) == [(slice(0, 100), slice(0, 80))]
