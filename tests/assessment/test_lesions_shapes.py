"""The shape of a lesion and the spread of shapes, by hand."""

import math

import numpy as np
import pytest

from cgan_tf.assessment.lesions import (
    LesionShape,
    lesion_shape,
    lesion_spread,
)


class TestShape:
    def test_by_hand(self):
        difference = np.zeros((8, 16))
        difference[2, 4], difference[5, 4] = 0.3, 0.5
        difference[0, 0] = 0.1  # at the threshold is not beyond it
        difference[7, 15] = -0.9
        found = lesion_shape(difference, 0.1)
        expected = LesionShape(x=4.5 / 16, y=4.0 / 8, area=2 / 128, contrast=0.4)
        for name in ("x", "y", "area", "contrast"):
            assert getattr(found, name) == pytest.approx(getattr(expected, name)), name

    def test_a_lesion_all_over_is_in_the_middle(self):
        found = lesion_shape(np.full((6, 6), 0.25), 0.1)
        assert (found.x, found.y, found.area, found.contrast) == (0.5, 0.5, 1.0, 0.25)

    def test_nothing_is_none(self):
        assert lesion_shape(np.full((4, 4), 0.05), 0.1) is None
        assert lesion_shape(None, 0.1) is None


class TestSpread:
    def test_by_hand(self):
        lesions = [
            LesionShape(0.25, 0.5, 0.1, 0.2),
            None,
            LesionShape(0.75, 0.5, 0.3, 0.2),
            LesionShape(0.5, 0.8, 0.2, 0.5),
        ]
        found = lesion_spread(lesions)
        assert (found.measured, found.without) == (3, 1)
        assert found.position == pytest.approx(math.sqrt((2 * 0.25**2 + 0.06) / 2))
        assert found.area == pytest.approx(0.2)
        assert found.area_spread == pytest.approx(0.1)
        assert found.contrast == pytest.approx(0.3)
        assert found.contrast_spread == pytest.approx(math.sqrt(0.03))

    def test_the_same_lesion_again_and_again_has_none(self):
        found = lesion_spread([LesionShape(0.3, 0.4, 0.2, 0.6)] * 9)
        for name in ("position", "area_spread", "contrast_spread"):
            assert getattr(found, name) == pytest.approx(0, abs=1e-12)
        assert found.contrast == pytest.approx(0.6)

    def test_centres_anywhere_in_the_patch(self):
        """Uniform over the square: the distance's root mean square is sqrt(2 / 12)."""
        rng = np.random.default_rng(0)
        lesions = [LesionShape(*rng.uniform(size=2), 0.1, 0.1) for _ in range(4000)]
        assert lesion_spread(lesions).position == pytest.approx(math.sqrt(1 / 6), rel=0.02)

    @pytest.mark.parametrize("lesions", [[], [None, None], [LesionShape(0.5, 0.5, 0.1, 0.1)]])
    def test_too_few_are_undefined(self, lesions):
        found = lesion_spread(lesions)
        assert found.position is None
        assert found.area is None
        assert found.measured + found.without == len(lesions)
