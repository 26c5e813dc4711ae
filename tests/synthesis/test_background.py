"""Healthy tissue for a lesion's place: fills by hand, regions, donors that fit."""

import numpy as np
import pytest

from cgan_tf.assessment.lesions import SIDE, estimate_lesion
from cgan_tf.data.patch_sets import PatchIndex
from cgan_tf.data.records import PatchRecord, encode_record
from cgan_tf.data.tfrecords import frame
from cgan_tf.synthesis.background import Tissue, harmonic_fill, lesion_region

BOX = (20.0, 24.0, 36.0, 44.0)


def _ramp():
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    return (0.4 * x - 0.3 * y - 0.1).astype(np.float32)


class TestHarmonicFill:
    def test_a_plane_is_continued_exactly_into_any_shape(self):
        region = np.hypot(*(np.mgrid[:SIDE, :SIDE] - 30)) < 13
        region[40:45, 10:50] = True
        filled = harmonic_fill(np.where(region, 9, _ramp()), region)
        np.testing.assert_allclose(filled, _ramp(), atol=1e-6)

    def test_two_pixels_by_hand(self):
        """p = (1 + 2 + 3 + q) / 4, q = (5 + 6 + 7 + p) / 4: 15 p = 4 * 6 + 18."""
        values = np.array([[0, 1, 5, 0], [2, 9, 9, 6], [0, 3, 7, 0]], float)
        region = values == 9
        filled = harmonic_fill(values, region)
        assert filled[1, 1] == pytest.approx((4 * 6 + 18) / 15)
        assert filled[1, 2] == pytest.approx((4 * 18 + 6) / 15)
        np.testing.assert_array_equal(filled[~region], values[~region])

    def test_at_the_border_nothing_comes_from_outside(self):
        values = np.array([[9, 9, 4, 0]], float)
        np.testing.assert_allclose(harmonic_fill(values, values == 9), [[4, 4, 4, 0]])

    def test_as_in_the_estimate(self):
        rng = np.random.default_rng(0)
        patch = rng.uniform(-1, 1, (SIDE, SIDE)).astype(np.float32)
        region = np.zeros((SIDE, SIDE), bool)
        region[24:44, 20:36] = True
        expected = patch - estimate_lesion(patch, BOX)
        np.testing.assert_allclose(harmonic_fill(patch, region), expected, atol=1e-5)

    def test_something_must_be_left(self):
        with pytest.raises(ValueError, match="expected pixels outside"):
            harmonic_fill(np.zeros((4, 4)), np.ones((4, 4), bool))


class TestLesionRegion:
    def test_the_bright_part_of_the_box(self):
        patch = _ramp() + 0.4 * (np.hypot(*(np.mgrid[:SIDE, :SIDE] - 30)) < 6)
        found = lesion_region(patch.astype(np.float32), (18.0, 18.0, 44.0, 44.0))
        lesion = np.hypot(*(np.mgrid[:SIDE, :SIDE] - 30)) < 6
        assert found[lesion].all()
        assert not found[np.hypot(*(np.mgrid[:SIDE, :SIDE] - 30)) > 9].any()

    def test_every_speck(self):
        patch = _ramp()
        for x, y in ((22, 26), (30, 40), (34, 30)):
            patch[y : y + 2, x : x + 2] += 0.5
        found = lesion_region(patch, BOX)
        assert all(found[y : y + 2, x : x + 2].all() for x, y in ((22, 26), (30, 40), (34, 30)))
        assert found.sum() < 0.4 * 16 * 20

    def test_nothing_outside_the_box(self):
        patch = _ramp()
        patch[:10] = 1.0
        box = np.zeros((SIDE, SIDE), bool)
        box[24:44, 20:36] = True
        assert not lesion_region(patch, BOX)[~box].any()

    def test_nothing_bright_is_the_whole_box(self):
        assert lesion_region(np.zeros((SIDE, SIDE), np.float32), BOX).sum() == 16 * 20


class TestTissue:
    """Donors of stripes along one direction each, of which one continues the patch."""

    @staticmethod
    def stripes(angle, shift=0.0):
        y, x = np.mgrid[:SIDE, :SIDE]
        return (0.3 * np.sin((x * np.cos(angle) + y * np.sin(angle)) / 3 + shift)).astype("float32")

    @pytest.fixture
    def tissue(self, tmp_path):
        def of(*patches):
            payloads = [
                encode_record(PatchRecord(f"{n}", p, "source")) for n, p in enumerate(patches)
            ]
            path, places, offset = tmp_path / "s.tfrecord", [], 0
            with path.open("wb") as file:
                for payload in payloads:
                    content = frame(payload)
                    places.append((0, offset + 12, len(payload)))
                    offset += file.write(content)
            return Tissue(PatchIndex("train/source", (path,), np.array(places)), seed=0)

        return of

    REGION = np.hypot(*(np.mgrid[:SIDE, :SIDE] - 30)) < 10

    def test_the_donor_that_fits_continues_the_patch(self, tissue):
        """Whatever its level: only how it varies must fit."""
        patch = self.stripes(0.5)
        donors = [self.stripes(angle) for angle in (0.1, 1.0, 2.2)] + 4 * [patch - 0.3]
        hidden = np.where(self.REGION, 0.9, patch).astype(np.float32)
        filled = tissue(*donors).filled(hidden, self.REGION, np.random.default_rng(0))
        np.testing.assert_allclose(filled, patch, atol=2e-3)

    def test_a_donor_may_be_turned(self, tissue):
        patch = self.stripes(0.5)
        turned = [np.rot90(patch, turn)[:, ::-1] for turn in range(4)]
        filled = tissue(*turned).filled(
            np.where(self.REGION, 0.9, patch), self.REGION, np.random.default_rng(0)
        )
        np.testing.assert_allclose(filled, patch, atol=2e-3)

    def test_a_smooth_donor_is_no_better_than_tissue(self, tissue):
        """It differs less from any patch than other tissue does, and would leave a disc."""
        rng = np.random.default_rng(5)
        noise = [rng.normal(0, 0.1, (SIDE, SIDE)).astype(np.float32) for _ in range(5)]
        smooth = [0.1 * donor for donor in noise[:4]]
        filled = tissue(*smooth, *noise[1:]).filled(noise[0], self.REGION, rng)
        assert filled[self.REGION].std() > 0.08

    def test_outside_nothing_changes(self, tissue):
        rng = np.random.default_rng(1)
        patch = rng.uniform(-1, 1, (SIDE, SIDE)).astype(np.float32)
        filled = tissue(self.stripes(0.3), self.stripes(2.0)).filled(patch, self.REGION, rng)
        np.testing.assert_array_equal(filled[~self.REGION], patch[~self.REGION])
        assert np.abs(filled).max() <= 1

    def test_grain_is_kept(self, tissue):
        """The fill has the grain of tissue, where the harmonic function alone has none."""
        rng = np.random.default_rng(2)
        noise = [rng.normal(0, 0.1, (SIDE, SIDE)).astype(np.float32) for _ in range(5)]
        filled = tissue(*noise[1:]).filled(noise[0], self.REGION, rng)
        assert filled[self.REGION].std() == pytest.approx(0.1, rel=0.15)
        assert harmonic_fill(noise[0], self.REGION)[self.REGION].std() < 0.04

    def test_the_same_draw_gives_the_same_tissue(self, tissue):
        donors = tissue(*(self.stripes(a) for a in np.linspace(0, 3, 9)))
        patch = self.stripes(0.4)
        one, same = (donors.filled(patch, self.REGION, np.random.default_rng(3)) for _ in range(2))
        np.testing.assert_array_equal(one, same)
        draws = [donors.filled(patch, self.REGION, np.random.default_rng(n)) for n in range(12)]
        assert len({draw.tobytes() for draw in draws}) > 1
