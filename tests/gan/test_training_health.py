"""Broken trainings are found at the step where they break."""

import math

import pytest

from cgan_tf.gan.training import EMPTY_LESION, VANISHED, Health
from cgan_tf.runs.errors import UserError

GOOD = {
    "loss_d": 2.0,
    "loss_g": 1.0,
    "gradient_d": 0.3,
    "gradient_g": 0.1,
    "lesion_range": 0.02,
    "alpha": 0.0,
}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", GOOD)
def test_what_is_not_finite_is_named_with_its_step(name, value):
    with pytest.raises(UserError, match=f"^{name} not finite at step 17$"):
        Health(0).examine(17, GOOD | {name: value})


@pytest.mark.parametrize("name", VANISHED)
def test_a_vanished_figure_is_borne_for_a_while(name):
    health = Health(3)
    health.examine(1, GOOD)
    for step in (2, 3):
        health.examine(step, GOOD | {name: 0.0})
        assert not health.sound
    with pytest.raises(UserError, match=f"^collapsed: {name} below .* from step 2 to step 4$"):
        health.examine(4, GOOD | {name: 0.0})


def test_one_good_iteration_starts_the_count_again():
    health = Health(3)
    for step in range(1, 100):
        health.examine(step, GOOD if step % 3 == 0 else GOOD | {"lesion_range": 0.0})
    assert health.sound
    assert health.streaks["lesion_range"] == 0


def test_the_count_goes_on_after_a_pause():
    first = Health(4)
    for step in (1, 2):
        first.examine(step, GOOD | {"loss_g": 0.0})
    second = Health(4, first.streaks)
    assert not second.sound
    second.examine(3, GOOD | {"loss_g": 0.0})
    with pytest.raises(UserError, match="from step 1 to step 4"):
        second.examine(4, GOOD | {"loss_g": 0.0})


def test_a_patience_of_nothing_bears_everything_but_what_is_not_finite():
    health = Health(0)
    for step in range(5000):
        health.examine(step, dict.fromkeys(GOOD, 0.0))
    with pytest.raises(UserError, match="not finite"):
        health.examine(5000, {"loss_d": math.nan})


def test_a_lesion_that_no_stored_patch_would_show_is_empty():
    """Half a level of 65,535 over [-1, 1] rounds to none."""
    assert round((0.0 + 1.0) / 2 * 65535 + 0.25) == round((EMPTY_LESION / 2 + 1) / 2 * 65535)
    health = Health(1)
    health.examine(1, GOOD | {"lesion_range": 1.01 * EMPTY_LESION})
    with pytest.raises(UserError, match="lesion_range"):
        health.examine(2, GOOD | {"lesion_range": 0.99 * EMPTY_LESION})
