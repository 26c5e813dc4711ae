"""Draws until a lesion is accepted: which, how many, why not."""

import dataclasses

import numpy as np
import pytest

from beam_pipelines.insertion.draws import (
    ELSEWHERE,
    OFF_CONTRAST,
    OFF_SIZE,
    OTHER_NEARER,
    OTHER_VIEW,
    OUTSIDE,
    SATURATED,
    VIEWS_DIFFER,
    Limits,
    Request,
    Wanted,
    draw_lesions,
)
from cgan_tf.synthesis.postprocess import Extraction

SIZE = 32
EXTRACTION = Extraction(
    removal=False, threshold=0.1, min_area_fraction=0.02, dilation_px=1, sigma_px=1.0
)


def generate(patches, z):
    """A square lesion of side z[0] at (z[1], z[2]), as high as the patch is bright."""
    channels = np.zeros(patches.shape, np.float32)
    for channel, patch, (side, x, y) in zip(channels, patches, z.astype(int), strict=True):
        channel[y : y + side, x : x + side] = patch.mean()
    return channels


def request(*scalars, boxes=None, level=0.5, tissue=True, **more):
    """Places with the draws given, all as many."""
    z = np.array(scalars, np.float32)
    patches = np.full((len(z), SIZE, SIZE), level, np.float32)
    inside = np.broadcast_to(np.asarray(tissue), patches.shape)
    return Request(patches, z, inside, boxes or (None,) * len(z), **more)


def test_each_place_has_its_first_accepted_draw():
    answer = draw_lesions(
        generate,
        request(
            [[0, 0, 0], [2, 9, 9], [8, 10, 4], [9, 1, 1]],
            [[6, 3, 5], [0, 0, 0], [0, 0, 0], [0, 0, 0]],
        ),
        EXTRACTION,
    )
    assert answer.draws == (3, 1)
    assert answer.rejected == {"empty": 1, "too_small": 1}
    first, second = answer.lesions
    assert first.box == (9, 3, 19, 13)
    assert second.box == (2, 4, 10, 12)
    assert (first.area_px, second.area_px) == (64, 36)


def test_a_place_is_given_up_after_its_draws():
    answer = draw_lesions(generate, request([[0, 0, 0]] * 3, [[7, 3, 3]] * 3), EXTRACTION)
    assert answer.lesions[0] is None
    assert answer.lesions[1] is not None
    assert answer.draws == (3, 1)
    assert answer.rejected == {"empty": 3}


def test_a_removal_must_be_at_the_lesion():
    away, there = [6, 20, 20], [6, 4, 4]
    answer = draw_lesions(
        generate,
        request([away, there], boxes=((3.0, 3.0, 9.0, 9.0),), level=-0.5),
        dataclasses.replace(EXTRACTION, removal=True),
    )
    assert answer.draws == (2,)
    assert answer.rejected == {ELSEWHERE: 1}
    assert answer.lesions[0].lesion.min() < -0.3


def test_a_lesion_that_nobody_would_see_is_none():
    """Half of it must stay when black and white cut it off."""
    for level, accepted in ((0.6, True), (0.8, False), (1.0, False)):
        answer = draw_lesions(generate, request([[6, 4, 4]], level=level), EXTRACTION)
        assert (answer.lesions[0] is not None) == accepted
        assert answer.rejected == ({} if accepted else {SATURATED: 1})


def test_a_lesion_lies_in_the_breast():
    """The skin is at column 16; a lesion at x = 4 ends before it, one at 14 goes beyond."""
    tissue = np.arange(SIZE) < 16
    beyond, inside = [6, 14, 4], [6, 4, 4]
    answer = draw_lesions(generate, request([beyond, inside], tissue=tissue), EXTRACTION)
    assert answer.draws == (2,)
    assert answer.rejected == {OUTSIDE: 1}
    assert not answer.lesions[0].lesion[:, 16:].any()
    removal = request([[6, 14, 4]], boxes=((14.0, 4.0, 20.0, 10.0),), level=-0.5, tissue=tissue)
    assert (
        draw_lesions(generate, removal, dataclasses.replace(EXTRACTION, removal=True)).rejected
        == {}
    )


@pytest.mark.parametrize("pending", [1, 2, 3])
def test_only_places_without_a_lesion_are_drawn_again(pending):
    calls = []

    def counted(patches, z):
        calls.append(len(patches))
        return generate(patches, z)

    late, soon = [[0, 0, 0], [8, 3, 3]], [[8, 3, 3], [0, 0, 0]]
    draw_lesions(counted, request(*[late] * pending, *[soon] * (4 - pending)), EXTRACTION)
    assert calls == [4, pending]


# What is wanted of a lesion; its box is 2 px larger than the square.


def test_the_box_must_hold_the_point():
    draws = [[6, 20, 20], [6, 4, 4]]
    answer = draw_lesions(generate, request(draws, wanted=(Wanted(point=(5, 5)),)), EXTRACTION)
    assert (answer.draws, answer.chosen, answer.rejected) == ((2,), (1,), {ELSEWHERE: 1})


def test_the_nearest_size_within_the_limits_is_kept():
    size = Limits(low=7.5, high=12, target=10.4, spread=4)
    draws = [[5, 4, 4], [6, 4, 4], [12, 4, 4], [7, 4, 4], [10, 4, 4]]
    answer = draw_lesions(generate, request(draws, wanted=(Wanted(size=size),)), EXTRACTION)
    assert answer.lesions[0].box == (3, 3, 12, 12)  # 9 px, from the square of 7
    assert (answer.draws, answer.chosen) == ((5,), (3,))
    # 7 is too small for the limits, 14 too large; of 8, 9 and 12 the second is kept.
    assert answer.rejected == {OFF_SIZE: 2, OTHER_NEARER: 2}
    assert sum(answer.rejected.values()) + 1 == sum(answer.draws)


def test_near_enough_ends_the_draws():
    size = Limits(low=0, high=32, target=8.3, spread=4)
    draws = [[12, 4, 4], [6, 4, 4], [6, 5, 5]]
    answer = draw_lesions(generate, request(draws, wanted=(Wanted(size=size),)), EXTRACTION)
    assert (answer.draws, answer.chosen, answer.rejected) == ((2,), (1,), {OTHER_NEARER: 1})


def test_contrast_has_limits_too():
    low, high = Limits(0, 0.1, 0.05, 1), Limits(0.2, 0.6, 0.3, 1)
    for limits, reason in ((low, {OFF_CONTRAST: 1}), (high, {})):
        found = draw_lesions(
            generate, request([[8, 8, 8]], wanted=(Wanted(contrast=limits),)), EXTRACTION
        )
        assert found.rejected == reason


def test_both_views_have_the_same_draw():
    views = request(
        [[0, 0, 0], [6, 4, 4], [6, 9, 9], [7, 3, 3]],
        [[6, 4, 4], [0, 0, 0], [14, 9, 9], [7, 3, 3]],
        groups=(0, 0),
    )
    answer = draw_lesions(generate, views, EXTRACTION)
    assert (answer.draws, answer.chosen) == ((4, 4), (3, 3))
    assert answer.rejected == {"empty": 2, OTHER_VIEW: 2, VIEWS_DIFFER: 2}
    assert answer.part(slice(1, 2)).lesions == answer.lesions[1:]


def test_groups_end_on_their_own():
    views = request(*[[[6, 4, 4], [7, 4, 4]], [[0, 0, 0], [7, 4, 4]]] * 2, groups=(0, 1, 0, 1))
    answer = draw_lesions(generate, views, EXTRACTION)
    assert answer.draws == (1, 2, 1, 2)
    assert answer.chosen == (0, 1, 0, 1)
