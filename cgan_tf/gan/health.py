"""Stops a GAN that no longer learns: metrics that are not finite, or zero for many iterations."""

import math
from collections.abc import Mapping

from cgan_tf.runs.errors import UserError

# Half a grey level as patches are stored (65,535 levels over [-1, 1]): a lesion channel within it
# changes no patch.
EMPTY_LESION = 1 / 65535
VANISHED = {
    "loss_d": 1e-6,
    "loss_g": 1e-6,
    "gradient_d": 1e-9,
    "gradient_g": 1e-9,
    "lesion_range": EMPTY_LESION,
}


class Health:
    """Follows the metrics of a run, iteration by iteration.

    Attributes:
      streaks: by metric, the iterations in a row up to the last one in which it had vanished.
    """

    def __init__(self, patience: int, streaks: Mapping[str, int] | None = None):
        """`patience`: how many iterations in a row stop the run; 0: none do."""
        self.patience = patience
        self.streaks = dict(streaks or {})

    @property
    def sound(self) -> bool:
        """Whether no metric had vanished at the last iteration."""
        return not any(self.streaks.values())

    def examine(self, step: int, metrics: Mapping[str, float]) -> None:
        """Raises `UserError` naming the metric and the step where training broke down."""
        wrong = [name for name, value in metrics.items() if not math.isfinite(value)]
        if wrong:
            raise UserError(f"{', '.join(wrong)} not finite at step {step}")
        for name, least in VANISHED.items():
            gone = name in metrics and metrics[name] < least
            self.streaks[name] = self.streaks.get(name, 0) + 1 if gone else 0
            if self.patience and self.streaks[name] >= self.patience:
                raise UserError(
                    f"collapsed: {name} below {least:.2g} from step "
                    f"{step - self.streaks[name] + 1} to step {step}"
                )
