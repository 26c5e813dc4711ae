"""Phases and weights, iteration by iteration."""

import dataclasses

import pytest

from cgan_tf.config import GanConfig
from cgan_tf.gan.schedules import generator_updates, phase_at, phase_end, total_steps, work_units

CONFIG = GanConfig(half_steps=3, fade_in_steps=4, full_steps=2)


def variant(**changes):
    return dataclasses.replace(CONFIG, **changes)


def test_a_run_step_by_step():
    assert total_steps(CONFIG) == 9
    assert [phase_at(step, CONFIG) for step in range(9)] == [
        *("half", "half", "half"),
        *("fade", "fade", "fade", "fade"),
        *("full", "full"),
    ]
    assert [phase_end(step, CONFIG) for step in range(9)] == [3, 3, 3, 7, 7, 7, 7, 9, 9]


def test_the_papers_run():
    assert total_steps(GanConfig()) == 203_000
    assert phase_at(99_999, GanConfig()) == "half"
    assert phase_at(100_000, GanConfig()) == "fade"
    assert phase_at(102_999, GanConfig()) == "fade"
    assert phase_at(103_000, GanConfig()) == "full"


def test_without_growth_everything_is_full():
    config = variant(grow=False)
    assert total_steps(config) == 2
    assert [phase_at(step, config) for step in range(3)] == ["full"] * 3
    assert phase_end(0, config) == 2


@pytest.mark.parametrize(
    ("changes", "phases"),
    [
        ({"half_steps": 0}, ["fade"] * 4 + ["full"] * 2),
        ({"fade_in_steps": 0}, ["half"] * 3 + ["full"] * 2),
        ({"half_steps": 0, "fade_in_steps": 0}, ["full"] * 2),
    ],
)
def test_phases_may_be_left_out(changes, phases):
    config = variant(**changes)
    assert [phase_at(step, config) for step in range(total_steps(config))] == phases


@pytest.mark.parametrize("changes", [{}, {"half_steps": 0}, {"fade_in_steps": 0}, {"grow": False}])
def test_every_phase_ends_where_the_next_begins(changes):
    config = variant(**changes)
    step, seen = 0, []
    while step < total_steps(config):
        seen.append(phase_at(step, config))
        end = phase_end(step, config)
        assert end > step
        assert {phase_at(s, config) for s in range(step, end)} == {seen[-1]}
        step = end
    assert step == total_steps(config)
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize(
    ("task", "asked", "updates"),
    [
        ("mass", 0, 2),
        ("calcification", 0, 1),
        ("removal", 0, 1),
        ("mass", 1, 1),
        ("removal", 3, 3),
    ],
)
def test_generator_updates(task, asked, updates):
    assert generator_updates(variant(task=task, generator_steps=asked)) == updates


def test_work_units():
    assert [work_units(step, CONFIG) for step in range(6)] == [0, 3, 6, 9, 13, 17]
    assert [work_units(step, variant(grow=False)) for step in range(3)] == [0, 4, 8]
