"""Coordinates in a breast: by hand, mirrored, and the drawn nipple of the phantom."""

import numpy as np
import pytest

from beam_pipelines.insertion.breast_frame import breast_frame


def triangle(left: bool = True) -> np.ndarray:
    """uint8 [20, 16]: rows 2 to 18, up to 12 wide in rows 8 and 9."""
    rows = np.arange(20)
    reach = np.clip(np.where(rows < 9, 2 * (rows - 2), 2 * (15 - rows)), 0, 12)
    mask = (np.arange(16) < reach[:, None]).astype(np.uint8)
    return mask if left else np.ascontiguousarray(mask[:, ::-1])


def test_by_hand():
    frame = breast_frame(triangle())
    assert frame.left
    assert (frame.top, frame.bottom) == (3, 15)
    assert frame.nipple == (12.0, 9.0)  # rows 8 and 9 reach 12
    depth, height = frame.depth_and_height(np.array([0.0, 6.0, 12.0]), np.array([9.0, 9.0, 9.0]))
    assert depth.tolist() == [1.0, 0.5, 0.0]
    assert height.tolist() == [0.0, 0.0, 0.0]
    depth, height = frame.depth_and_height(np.array([2.0, 2.0]), np.array([4.5, 13.5]))
    assert depth.tolist() == [0.5, 0.5]  # rows 4 and 13 are 4 wide
    assert height.tolist() == [-0.75, 0.75]
    assert frame.from_nipple(np.array(9.0), np.array(5.0), (1.0, 1.0)) == 5.0
    assert np.isnan(frame.depth_and_height(np.array(1.0), np.array(0.5))[0])


def test_a_mirrored_breast_has_the_same_coordinates():
    first, second = breast_frame(triangle()), breast_frame(triangle(left=False))
    assert not second.left
    x, y = np.meshgrid(np.arange(0.5, 12), np.arange(4.5, 14))
    for one, other in zip(
        first.depth_and_height(x, y), second.depth_and_height(16 - x, y), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        first.from_nipple(x, y, (0.5, 2)), second.from_nipple(16 - x, y, (0.5, 2))
    )


@pytest.mark.parametrize(
    ("rows", "width"),
    [
        (slice(0, 40), 12),  # a block: no row is the tip
        (slice(5, 35), 30),  # as wide as the film
    ],
)
def test_an_outline_without_a_tip_has_no_nipple(rows, width):
    mask = np.zeros((40, 30), np.uint8)
    mask[rows, :width] = 1
    assert not breast_frame(mask).tip


def test_a_tip_at_the_end_of_the_film_is_none():
    mask = (np.arange(30) < np.arange(40)[:, None] * 0.7).astype(np.uint8)
    assert not breast_frame(mask).tip
    rows = np.arange(41)[:, None]
    assert breast_frame((np.arange(30) < 24 - 0.05 * (rows - 20) ** 2).astype(np.uint8)).tip
