"""The paper's six steps on hand-made lesion channels, and against scipy.ndimage."""

import numpy as np
import pytest
from scipy import ndimage

from cgan_tf.config import SynthesisConfig
from cgan_tf.runs.errors import UserError
from cgan_tf.synthesis.postprocess import (
    EMPTY,
    IN_BOX,
    NEAR,
    TOO_LARGE,
    TOO_SMALL,
    Extraction,
    expand,
    extract_lesion,
    extraction_of,
    largest_object,
    nearest_objects,
    objects_in_box,
    smooth,
)

EIGHT = np.ones((3, 3))


def picture(text):
    return np.array([[character == "#" for character in line] for line in text.split()])


def extract(channel, **changes):
    settings = {
        "removal": False,
        "threshold": 0.1,
        "min_area_fraction": 0.1,
        "dilation_px": 5,
        "sigma_px": 10.0,
        **changes,
    }
    return extract_lesion(channel.astype(np.float32), Extraction(**settings))


class TestLargestObject:
    def test_corners_touch(self):
        found, area = largest_object(
            picture("""
            ##....
            ##....
            ..#...
            ...#..
            ......
            #####.
            """)
        )
        assert area == 6  # 4-connected it would be the row of 5
        expected = picture("""
            ##....
            ##....
            ..#...
            ...#..
            ......
            ......
        """)
        np.testing.assert_array_equal(found, expected)

    def test_of_equals_the_first_in_reading_order(self):
        found, area = largest_object(
            picture("""
            ....#
            ##..#
            ##..#
            ....#
            """)
        )
        assert area == 4
        np.testing.assert_array_equal(found, picture("....# ....# ....# ....#"))

    def test_at_the_border(self):
        binary = picture("#.# ..# ###")
        found, area = largest_object(binary)
        assert area == 5
        np.testing.assert_array_equal(found, picture("..# ..# ###"))

    def test_a_hole_is_not_of_the_object(self):
        binary = picture("##### #...# #.#.# #...# #####")
        found, area = largest_object(binary)
        assert area == 16
        assert not found[2, 2]

    def test_nothing(self):
        found, area = largest_object(np.zeros((5, 7), bool))
        assert area == 0
        assert found.shape == (5, 7)
        assert not found.any()

    def test_everything(self):
        found, area = largest_object(np.ones((5, 7), bool))
        assert area == 35
        assert found.all()

    @pytest.mark.parametrize("seed", range(20))
    def test_like_scipy(self, seed):
        rng = np.random.default_rng(seed)
        binary = rng.random((64, 48)) < rng.uniform(0.15, 0.45)
        labels, count = ndimage.label(binary, EIGHT)
        areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        found, area = largest_object(binary)
        assert area == areas.max()
        # scipy numbers objects in reading order, so argmax takes the first of equals.
        np.testing.assert_array_equal(found, labels == np.argmax(areas) + 1)


class TestNearestObjects:
    SPECKS = """
        #....#...........
        .................
        .#...............
        .............####
        .............####
        .................
        """

    def test_specks_within_the_distance_are_one_group(self):
        """Two pixels between the first two, four between the second and the third: expanded by 1
        the first two touch, by 2 all three do, and the block stays apart."""
        binary = picture("#..#....#.....##")
        found, area = nearest_objects(binary, 1)
        assert area == 2
        np.testing.assert_array_equal(found, picture("#..#............"))
        found, area = nearest_objects(binary, 2)
        assert area == 3
        np.testing.assert_array_equal(found, picture("#..#....#......."))

    def test_a_group_of_many_specks_beats_a_larger_object(self):
        binary = picture("#.#.#.#......###")
        assert largest_object(binary)[1] == 3
        found, area = nearest_objects(binary, 1)
        assert area == 4
        np.testing.assert_array_equal(found, picture("#.#.#.#........."))

    def test_what_the_expansion_adds_does_not_count(self):
        """The scattered specks' expansion is larger than the block's, their area is smaller."""
        found, area = nearest_objects(picture(self.SPECKS), 2)
        assert area == 8
        np.testing.assert_array_equal(found[3:5, 13:], True)
        assert found.sum() == 8

    @pytest.mark.parametrize("seed", range(5))
    def test_without_a_distance_it_is_the_largest_object(self, seed):
        binary = np.random.default_rng(seed).random((32, 48)) < 0.3
        expected, area = largest_object(binary)
        found, found_area = nearest_objects(binary, 0)
        assert found_area == area
        np.testing.assert_array_equal(found, expected)

    def test_nothing(self):
        found, area = nearest_objects(np.zeros((5, 7), bool), 2)
        assert (area, found.shape, found.any()) == (0, (5, 7), False)


class TestObjectsInBox:
    def test_all_in_the_pixels_that_the_box_touches(self):
        binary = picture("####. #...# ..#.. #...# .....")
        found, area = objects_in_box(binary, (1.2, 0.5, 3.1, 2.4))
        np.testing.assert_array_equal(found, picture(".###. ..... ..#.. ..... ....."))
        assert area == 4

    def test_a_box_that_leaves_the_patch(self):
        found, area = objects_in_box(np.ones((5, 5), bool), (-3.0, 3.0, 2.0, 9.0))
        np.testing.assert_array_equal(found, picture("..... ..... ..... ##... ##..."))
        assert area == 4

    def test_no_box_holds_nothing(self):
        assert objects_in_box(np.ones((5, 5), bool), ())[1] == 0


class TestExpand:
    def test_one_pixel_becomes_a_disk(self):
        binary = np.zeros((7, 7), bool)
        binary[3, 3] = True
        expected = picture("""
            .......
            ...#...
            ..###..
            .#####.
            ..###..
            ...#...
            .......
        """)
        np.testing.assert_array_equal(expand(binary, 2), expected)

    def test_no_distance_changes_nothing(self):
        binary = np.random.default_rng(0).random((9, 9)) < 0.3
        np.testing.assert_array_equal(expand(binary, 0), binary)

    @pytest.mark.parametrize("radius", [1, 2, 5])
    def test_every_pixel_within_the_distance(self, radius):
        binary = np.random.default_rng(radius).random((64, 48)) < 0.01
        distance = ndimage.distance_transform_edt(~binary)
        np.testing.assert_array_equal(expand(binary, radius), distance <= radius)
        y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        disk = x**2 + y**2 <= radius**2
        np.testing.assert_array_equal(expand(binary, radius), ndimage.binary_dilation(binary, disk))


class TestSmooth:
    @pytest.mark.parametrize("sigma", [0.6, 1.25, 2.5, 10.0])
    def test_like_scipy(self, sigma):
        binary = np.random.default_rng(1).random((96, 64)) < 0.4
        expected = ndimage.gaussian_filter(
            binary.astype(np.float64), sigma, mode="constant", truncate=4
        )
        found = smooth(binary, sigma)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)

    @pytest.mark.parametrize("sigma", [0.0, 0.1])
    def test_a_filter_of_less_than_a_pixel_changes_nothing(self, sigma):
        binary = picture("..# .## ###")
        found = smooth(binary, sigma)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, binary)

    def test_in_range_where_the_mask_is_full(self):
        found = smooth(np.ones((128, 128), bool), 4.0)
        assert found.max() <= 1.0
        assert found[64, 64] == pytest.approx(1.0, abs=1e-6)
        assert found[0, 64] == pytest.approx(0.5 + 0.5 / (4 * np.sqrt(2 * np.pi)), abs=0.01)


def run_of(pixels):
    """A 256x256 lesion channel whose object has exactly so many pixels."""
    channel = np.zeros(256 * 256)
    channel[:pixels] = 0.5
    return channel.reshape(256, 256)


class TestExtractLesion:
    def test_ten_percent_of_the_area(self):
        kept, rejected = extract(run_of(6_554)), extract(run_of(6_553))
        assert (kept.rejected, kept.area_px) == ("", 6_554)
        assert (rejected.rejected, rejected.area_px) == (TOO_SMALL, 6_553)
        assert rejected.mask is None
        assert rejected.lesion is None

    def test_no_more_than_a_quarter_of_the_area(self):
        kept = extract(run_of(16_384), max_area_fraction=0.25)
        rejected = extract(run_of(16_385), max_area_fraction=0.25)
        assert (kept.rejected, kept.area_px) == ("", 16_384)
        assert (rejected.rejected, rejected.area_px, rejected.mask) == (TOO_LARGE, 16_385, None)
        assert extract(run_of(256 * 256)).rejected == ""  # the paper's limit is none

    def test_pixels_of_other_objects_do_not_count(self):
        channel = np.zeros((256, 256))
        channel[:40, :150] = 0.5  # 6,000
        channel[100:140, :150] = 0.5
        assert extract(channel).rejected == TOO_SMALL
        assert extract(channel).area_px == 6_000

    @pytest.mark.parametrize("value", [0.0, 0.1, -0.9])
    def test_nothing_above_the_threshold(self, value):
        found = extract(np.full((32, 32), value))
        assert (found.rejected, found.area_px, found.mask) == (EMPTY, 0, None)

    def test_the_threshold_itself_is_not_above_it(self):
        channel = np.full((32, 32), np.float32(0.1) + np.float32(1e-6))
        assert extract(channel).area_px == 32 * 32

    def test_removal_looks_for_what_is_darkened(self):
        channel = np.zeros((64, 64))
        channel[:32] = -0.4
        channel[40:] = 0.9
        found = extract(channel, removal=True)
        assert found.area_px == 32 * 64
        assert found.lesion.min() < -0.35
        assert extract(channel).area_px == 24 * 64
        assert extract(channel[:36], removal=False).rejected == EMPTY

    def test_mask_lesion_and_box_of_a_square(self):
        channel = np.full((64, 64), 0.05)  # below the threshold, kept where the mask reaches
        channel[20:40, 10:50] = 0.5
        found = extract(channel, dilation_px=3, sigma_px=2.0)
        expanded = ndimage.distance_transform_edt(channel != 0.5) <= 3
        expected = ndimage.gaussian_filter(expanded.astype(float), 2.0, mode="constant", truncate=4)
        np.testing.assert_allclose(found.mask, expected, rtol=0, atol=1e-5)
        np.testing.assert_allclose(found.lesion, expected * channel, rtol=0, atol=1e-5)
        assert found.box == (7, 17, 53, 43)
        assert found.area_px == 800

    def test_a_box_stays_inside_the_patch(self):
        channel = np.zeros((64, 64))
        channel[44:, :30] = 0.5
        assert extract(channel, dilation_px=5, sigma_px=1.0).box == (0, 39, 35, 64)

    def test_only_the_largest_object_is_kept(self):
        channel = np.zeros((64, 64))
        channel[5:30, 5:30] = 0.5
        channel[50:60, 50:60] = 0.9
        found = extract(channel, dilation_px=1, sigma_px=1.0)
        assert found.lesion[10:25, 10:25].min() > 0.49
        assert np.abs(found.lesion[45:, 45:]).max() == 0

    def test_near_keeps_a_cluster_and_its_box(self):
        channel = np.zeros((64, 64))
        channel[10:14, 10:14] = channel[10:14, 20:24] = 0.5  # 6 pixels apart
        channel[40:45, 50:55] = 0.5
        settings = {"min_area_fraction": 0.005, "dilation_px": 1, "sigma_px": 0.0}
        assert extract(channel, **settings).area_px == 25
        found = extract(channel, objects=NEAR, near_px=3, **settings)
        assert (found.area_px, found.box) == (32, (9, 9, 25, 15))
        assert found.lesion[40:45, 50:55].max() == 0
        assert found.lesion[12, 22] == found.lesion[12, 12] == 0.5

    def test_in_box_takes_every_speck_and_nothing_beyond_the_edge(self):
        channel = np.zeros((64, 64), np.float32)
        for x, y in ((20, 20), (28, 24), (24, 30), (50, 50)):
            channel[y : y + 2, x : x + 2] = -0.5
        settings = {"removal": True, "objects": IN_BOX, "min_area_fraction": 0.001}
        box, dilation, sigma = (18.0, 18.0, 32.0, 34.0), 2, 1.0
        how = Extraction(**settings, threshold=0.1, dilation_px=dilation, sigma_px=sigma)
        found = extract_lesion(channel, how, box)
        assert found.area_px == 12
        changed = np.argwhere(found.lesion != 0)
        reach = dilation + 4 * sigma
        assert changed.min() >= 18 - reach
        assert changed.max() < 34 + reach
        assert extract_lesion(channel, how).rejected == EMPTY
        assert extract_lesion(channel, how, (0.0, 40.0, 9.0, 60.0)).rejected == EMPTY

    def test_the_channel_is_left_as_it_was(self):
        channel = run_of(7_000).astype(np.float32)
        before = channel.copy()
        extract(channel)
        np.testing.assert_array_equal(channel, before)


class TestFlags:
    def test_lengths_are_those_of_the_patch(self):
        config = SynthesisConfig(objects=NEAR, near=12)
        how = extraction_of(config, 64, removal=False, min_area_fraction=0.1)
        assert (how.objects, how.near_px, how.dilation_px, how.sigma_px) == (NEAR, 3, 1, 2.5)

    def test_the_default_is_the_paper_s(self):
        how = extraction_of(SynthesisConfig(), 256, removal=True, min_area_fraction=0.1)
        assert (how.objects, how.threshold, how.dilation_px, how.sigma_px) == (
            "largest", 0.1, 5, 10.0
        )  # fmt: skip

    def test_a_lesion_that_is_added_has_no_box(self):
        config = SynthesisConfig(objects=IN_BOX)
        with pytest.raises(UserError, match="--objects=in_box: is for removal"):
            extraction_of(config, 64, removal=False, min_area_fraction=0.1)
