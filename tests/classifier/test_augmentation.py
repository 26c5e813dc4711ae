"""Classical augmentation: each of its three parts alone, its key, and that it bends smoothly."""

import numpy as np
import pytest

from cgan_tf.classifier.augmentation import Augmentation

SIZE = 64
Y, X = np.mgrid[:SIZE, :SIZE].astype(np.float32)


def waves():
    return (0.4 * np.sin(X / 5) * np.cos(Y / 7)).astype(np.float32)


def test_nothing_asked_for_changes_nothing():
    np.testing.assert_allclose(Augmentation(0, 0, 0, 0)(waves(), 3), waves(), atol=1e-6)


def test_the_number_of_the_sample_and_the_seed_are_the_key():
    one = Augmentation(0, 4.0, 0.2, 0.02)
    np.testing.assert_array_equal(one(waves(), 3), one(waves(), 3))
    assert np.abs(one(waves(), 3) - one(waves(), 4)).max() > 0.01
    assert np.abs(one(waves(), 3) - Augmentation(1, 4.0, 0.2, 0.02)(waves(), 3)).max() > 0.01
    assert one(waves(), 3).dtype == np.float32


def test_contrast_keeps_the_mean_and_covers_its_range():
    changed = [Augmentation(0, 0, 0.2, 0)(waves() - 0.1, n) for n in range(300)]
    assert np.mean([c.mean() for c in changed]) == pytest.approx((waves() - 0.1).mean(), abs=1e-3)
    factors = np.array([c.std() for c in changed]) / waves().std()
    assert 0.8 <= factors.min() < 0.82
    assert 1.18 < factors.max() <= 1.2


def test_noise_has_its_deviation():
    noise = Augmentation(0, 0, 0, 0.05)(waves(), 1) - waves()
    assert noise.std() == pytest.approx(0.05, rel=0.05)
    neighbours = np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]
    assert abs(neighbours) < 0.06


def test_pixels_move_by_the_deviation_asked_for():
    """On a ramp the change is the displacement itself: 8 px at 256 are 2 px at 64."""
    ramp = (X - SIZE / 2) / SIZE
    moves = [(Augmentation(0, 8.0, 0, 0)(ramp, n) - ramp) * SIZE for n in range(20)]
    inside = np.stack(moves)[:, 8:-8, 8:-8]
    assert inside.std() == pytest.approx(2, rel=0.15)
    steps = np.abs(np.diff(inside, axis=2))
    assert steps.max() < 1.5  # smooth: no pixel overtakes its neighbour by far


def test_values_stay_grey_levels():
    changed = Augmentation(0, 4.0, 1.0, 0.5)(np.sign(waves()), 0)
    assert (changed.min(), changed.max()) == (-1, 1)
