"""The schedule of a training: phases, and generator updates an iteration.

Paper, "Progressive growing": the generator is trained at half resolution, then a full-resolution
layer is faded in, then it is trained at full resolution. The weight of the fade-in is computed in
the graph of a step (`model.fade_in_alpha`).
"""

from typing import Literal

from cgan_tf.config import GanConfig

Phase = Literal["half", "fade", "full"]


def total_steps(config: GanConfig) -> int:
    """Iterations of a whole run (an iteration: one discriminator update, its generator updates)."""
    if not config.grow:
        return config.full_steps
    return config.half_steps + config.fade_in_steps + config.full_steps


def phase_at(step: int, config: GanConfig) -> Phase:
    """The phase of iteration `step`, counted from 0."""
    if not config.grow or step >= config.half_steps + config.fade_in_steps:
        return "full"
    return "half" if step < config.half_steps else "fade"


def phase_end(step: int, config: GanConfig) -> int:
    """The first iteration after the phase that `step` is in."""
    ends: dict[Phase, int] = {
        "half": config.half_steps,
        "fade": config.half_steps + config.fade_in_steps,
        "full": total_steps(config),
    }
    return ends[phase_at(step, config)]


def generator_updates(config: GanConfig) -> int:
    """Generator updates an iteration: "For masses, we train the generator twice"; a conditional
    model has masses among others in every iteration, and one update."""
    if config.generator_steps:
        return config.generator_steps
    return 2 if config.task == "mass" and not config.conditional else 1


def work_units(step: int, config: GanConfig) -> int:
    """Work done before iteration `step`, for the time left.

    Filters double where the resolution halves, so every block of the discriminator costs the same
    and the half phase, which lacks one, costs about three quarters of the full one.
    """
    half = min(step, config.half_steps) if config.grow else 0
    return 3 * half + 4 * (step - half)
