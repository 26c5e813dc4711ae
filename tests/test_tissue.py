"""Breast mask and valid windows."""

import numpy as np
import pytest

from beam_pipelines.rejections import Reason, Rejected
from beam_pipelines.tissue import breast_mask, integral_of, valid_windows, window_tissue


def _disc(shape=(832, 640), radius=0.45, tissue=-0.4, background=-1.0, noise=0.05):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    inside = (rows - shape[0] / 2) ** 2 + columns**2 < (radius * shape[0]) ** 2
    grey = np.where(inside, tissue, background) + noise * np.random.default_rng(0).normal(
        size=shape
    )
    return grey.clip(-1, 1).astype(np.float32), inside


def _overlap(found, truth):
    return (found & truth).sum() / (found | truth).sum()


@pytest.mark.parametrize("shape", [(832, 640), (1664, 1280), (416, 320)])
def test_finds_a_breast_whatever_the_size_of_the_image(shape):
    grey, inside = _disc(shape)
    assert _overlap(breast_mask(grey) > 0, inside) > 0.97


def test_keeps_fatty_tissue_that_is_darker_than_half_of_the_dense():
    grey, inside = _disc(tissue=-0.8, noise=0.02)
    grey[300:500, 50:250] = 0.9
    assert _overlap(breast_mask(grey) > 0, inside) > 0.97


def test_leaves_out_a_view_label_and_a_film_rim():
    grey, inside = _disc()
    grey[40:90, 480:600] = 1.0
    grey[:, -4:] = 1.0
    mask = breast_mask(grey) > 0
    assert not mask[40:90, 480:600].any()
    assert _overlap(mask, inside) > 0.96


def test_fills_holes():
    grey, _ = _disc()
    grey[400:430, 100:130] = -1.0
    assert breast_mask(grey)[400:430, 100:130].all()


@pytest.mark.parametrize("radius", [0.05, 2.0])
def test_an_implausible_mask_is_rejected_with_its_size(radius):
    grey, _ = _disc(radius=radius)
    with pytest.raises(Rejected) as fault:
        breast_mask(grey)
    assert fault.value.reason == Reason.IMPLAUSIBLE_TISSUE_MASK
    assert "%" in fault.value.detail


def test_a_flat_image_is_rejected():
    with pytest.raises(Rejected):
        breast_mask(np.full((300, 200), -1.0, np.float32))


def test_windows_agree_with_counting():
    mask = (np.random.default_rng(2).random((40, 30)) < 0.8).astype(np.uint8)
    integral = integral_of(mask)
    found = valid_windows(integral, 9, 0.8)
    assert found.shape == (32, 22)
    for y in range(32):
        for x in range(22):
            fraction = mask[y : y + 9, x : x + 9].mean()
            assert window_tissue(integral, x, y, 9) == pytest.approx(fraction)
            assert found[y, x] == (fraction >= 0.8)


def test_an_exact_threshold_counts_as_enough():
    mask = np.ones((10, 10), np.uint8)
    mask[0] = 0  # the one window has exactly 90%
    assert valid_windows(integral_of(mask), 10, 0.9).tolist() == [[True]]


def test_no_window_in_an_image_smaller_than_it():
    assert not valid_windows(integral_of(np.ones((10, 10), np.uint8)), 11, 0.9).any()
