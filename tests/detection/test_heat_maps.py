import itertools

import numpy as np
import pytest
from scipy.special import expit, logit

from cgan_tf.detection.heat_maps import (
    Grid,
    HeatMap,
    candidates_of,
    dense_grid,
    file_stem,
    grid_of,
    heat_map_bytes,
    heat_map_of,
    peaks_of,
    read_heat_map,
    window_batches,
)
from cgan_tf.runs.errors import UserError
from tests.toys.predictions import scored_image


@pytest.mark.parametrize(
    ("length", "size", "stride", "edges"),
    [
        (64, 64, 16, [0]),
        (65, 64, 16, [0, 1]),
        (96, 64, 16, [0, 16, 32]),
        (97, 64, 16, [0, 11, 22, 33]),
        (100, 10, 45, [0, 45, 90]),
    ],
)
def test_windows_reach_both_edges_in_even_steps(length, size, stride, edges):
    grid = grid_of((length, size), size, stride)
    assert grid.tops.tolist() == edges
    assert grid.lefts.tolist() == [0]


@pytest.mark.parametrize("length", range(64, 150))
def test_no_step_is_longer_than_the_stride_and_none_could_be_left_out(length):
    edges = grid_of((64, length), 64, 16).lefts
    assert (edges[0], edges[-1]) == (0, length - 64)
    assert np.diff(edges).max(initial=0) <= 16
    assert (len(edges) - 2) * 16 < max(edges[-1], 1)


def test_an_image_without_room_for_a_window_is_refused():
    with pytest.raises(ValueError, match="expected 64 px or more, found 63x80"):
        grid_of((63, 80), 64, 16)


def test_dense_windows_lie_on_places():
    grid = dense_grid((200, 100), 64, 64)
    assert grid.tops.tolist() == [0, 64, 128]
    assert grid.lefts.tolist() == [0]
    for size, stride in ((48, 32), (64, 16)):
        with pytest.raises(ValueError, match="multiples of 32"):
            dense_grid((200, 100), size, stride)


def test_batches_are_the_windows_row_by_row():
    grey = np.arange(20 * 30, dtype=np.float32).reshape(20, 30)
    grid = Grid(np.array([0, 5, 10]), np.array([2, 9]), 8)
    chosen = np.array([[True, False, True], [True, True, True]])
    corners = grid.corners(chosen)
    assert corners.tolist() == [[0, 2], [10, 2], [0, 9], [5, 9], [10, 9]]
    batches = list(window_batches(grey, corners, 8, 2))
    assert [batch.shape for batch in batches] == [(2, 8, 8, 1), (2, 8, 8, 1), (1, 8, 8, 1)]
    for window, (left, top) in zip(np.concatenate(batches), corners, strict=True):
        np.testing.assert_array_equal(window[..., 0], grey[top : top + 8, left : left + 8])


def test_centres_are_in_stored_pixels():
    # The classifier saw blocks of 4 x 4 stored pixels, and the film began 3 and 10 of them in.
    grid = Grid(np.array([0, 6]), np.array([0, 2, 4]), 8)
    chosen = np.ones((3, 2), bool)
    chosen[1, 1] = False
    heat = heat_map_of(np.arange(5, dtype=np.float32), chosen, grid, (3, 10), (0.25, 0.25))
    assert heat.x.tolist() == [28.0, 52.0]  # (0 + 3 + 4) * 4, (6 + 3 + 4) * 4
    assert heat.y.tolist() == [56.0, 64.0, 72.0]
    assert heat.window == (32.0, 32.0)
    assert np.isnan(heat.logits[1, 1])
    assert heat.logits[~np.isnan(heat.logits)].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert heat.score == expit(4.0)


def heat_of(probabilities: list[list[float]]) -> HeatMap:
    """Windows of 64 px in steps of 16, the first centre at 32."""
    values = np.array(probabilities, np.float64)
    places = [32.0 + 16 * np.arange(length) for length in values.shape]
    return HeatMap(logit(values).astype(np.float32), places[1], places[0], (64.0, 64.0))


def test_a_peak_is_the_highest_of_those_within_the_separation():
    row = [0.01, 0.02, 0.9, 0.01, 0.6, 0.01, 0.02, 0.7]
    heat = heat_of([row])
    # 32 px are two steps: a window two steps away is within the separation.
    assert [peak.x for peak in peaks_of(heat, 0.5, 20)] == [64.0, 144.0]
    places = [peak.x for peak in peaks_of(heat, 0.49, 20)]
    assert places == [64.0, 144.0, 96.0]
    assert [peak.x for peak in peaks_of(heat, 0.5, 1)] == [64.0]
    np.testing.assert_allclose([p.score for p in peaks_of(heat, 0.49, 20)], [0.9, 0.7, 0.6], 1e-6)


def test_equal_windows_beside_one_another_are_one_peak_in_their_middle():
    heat = heat_of([[0.01, 0.8, 0.8, 0.01, 0.01, 0.01]])
    (peak,) = [peak for peak in peaks_of(heat, 0.5, 20) if peak.score > 0.1]
    assert peak.x == pytest.approx(56.0, abs=1e-4)


def test_a_peak_is_put_in_the_middle_of_the_warm_windows():
    heat = heat_of([[0.01, 0.8, 0.4, 0.3, 0.01], [0.01, 0.01, 0.01, 0.01, 0.6]])
    peak = peaks_of(heat, 0.5, 20)[0]
    # 0.3 is less than half, 0.6 is not connected.
    assert peak.x == pytest.approx((0.8 * 48 + 0.4 * 64) / 1.2, abs=1e-4)
    assert peak.y == 32.0


def test_a_map_without_contrast_has_candidates_apart_from_one_another():
    peaks = peaks_of(heat_of([[0.5] * 9] * 9), 0.5, 100)
    assert len(peaks) == 9
    for one, other in itertools.pairwise(peaks):
        assert max(abs(one.x - other.x), abs(one.y - other.y)) > 16


def test_what_was_not_scored_is_no_peak():
    heat = heat_of([[0.2, 0.9, 0.3]])
    heat.logits[0, 1] = np.nan
    assert [peak.x for peak in peaks_of(heat, 0.25, 20)] == [64.0, 32.0]
    heat.logits[:] = np.nan
    assert peaks_of(heat, 0.25, 20) == []
    assert heat.score == 0


def test_one_window_is_one_candidate():
    heat = heat_of([[0.25]])
    (found,) = candidates_of(heat, scored_image(), 0.5, 0.5, 20)
    assert found.box == (16.0, 16.0, 48.0, 48.0)
    assert found.score == pytest.approx(0.25)


def test_boxes_end_with_their_image():
    heat = heat_of([[0.9, 0.01, 0.01, 0.01]])
    image = scored_image(width=70, height=50)
    first = candidates_of(heat, image, 0.5, 1.5, 1)[0]
    assert first.box == (0.0, 0.0, 70.0, 50.0)
    assert (first.sop_uid, first.client_id, first.view) == ("1.2", "women/1", "CC")


def test_a_probability_of_nothing_has_a_place():
    heat = heat_of([[0.5, 0.5]])
    heat.logits[:] = -1000
    assert peaks_of(heat, 0.5, 20)[0].score == 0


@pytest.mark.parametrize(
    ("uid", "plain"), [("1.2.840.1", True), ("image-ab_c.1", True), ("a/b.png", False),
                       ("../x", False), (".x", False), ("é", False), ("1" * 101, False)]
)  # fmt: skip
def test_files_have_names_that_every_disk_takes(uid, plain):
    assert (file_stem(uid) == uid) == plain
    assert file_stem(uid) != file_stem(uid + "x")
    assert "/" not in file_stem(uid)
    assert file_stem(uid).isascii()


def test_a_map_is_written_and_read(tmp_path):
    heat = heat_of([[0.1, 0.2], [0.3, 0.4]])
    heat.logits[0, 0] = np.nan
    (tmp_path / "heat_maps").mkdir()
    path = tmp_path / "heat_maps" / "1.2.npz"
    path.write_bytes(heat_map_bytes(heat))
    found = read_heat_map(tmp_path, "1.2")
    np.testing.assert_array_equal(found.logits, heat.logits)
    assert found.logits.dtype == np.float32
    assert (found.x.tolist(), found.y.tolist()) == ([32.0, 48.0], [32.0, 48.0])
    assert found.window == (64.0, 64.0)
    assert heat_map_bytes(heat) == heat_map_bytes(found)
    with pytest.raises(UserError, match=r"1\.3\.npz: cannot be read"):
        read_heat_map(tmp_path, "1.3")
    for damage in (b"", b"PK\3\4broken", path.read_bytes()[:-30]):
        path.write_bytes(damage)
        with pytest.raises(UserError, match=r"1\.2\.npz: expected a heat map"):
            read_heat_map(tmp_path, "1.2")
    np.savez(path, logits=heat.logits, x=heat.x[:1], y=heat.y, window=[1.0, 1.0])
    with pytest.raises(UserError, match=r"expected logits \[2, 1\]"):
        read_heat_map(tmp_path, "1.2")
