"""What patches look like where they were changed, by hand."""

import numpy as np
import pytest

from cgan_tf.assessment.appearance import saturated_share
from cgan_tf.assessment.measures import APPEARANCE
from cgan_tf.assessment.reading import PatchView


def test_saturation_is_of_the_box():
    patch = np.full((64, 64), 0.2)
    patch[20:22, 20:30] = 1.0
    patch[30, 20:30] = -1.0
    patch[0, 0] = 1.0
    assert saturated_share(patch, (20.0, 20.0, 40.0, 40.0)) == pytest.approx(30 / 400)
    assert saturated_share(patch, (20.0, 20.0, 40.0, 39.5)) == pytest.approx(30 / 400)


def test_appearance_is_read_as_far_as_the_patch_has_room():
    def names(*box):
        view = PatchView(np.full((64, 64), 0.2), None, box, 0.1)
        return set(APPEARANCE.patch_values(view))

    assert names() == set()
    assert names(0.0, 0.0, 64.0, 64.0) == {"saturation"}
    assert names(20.0, 20.0, 40.0, 40.0) == {"saturation", *APPEARANCE.bands}
