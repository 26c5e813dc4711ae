"""How the report writes numbers: probabilities, differences, intervals."""

import math
from typing import Any

from cgan_tf.statistics import AucComparison

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def format_p(comparison: AucComparison) -> str:
    """A p-value for reading: 0.031, 2 × 10⁻⁹, or the reason why there is none."""
    return comparison.note or format_probability(comparison.p_value, comparison.log_p)


def format_probability(value: float, log_value: float | None = None) -> str:
    """A probability to two digits; `log_value` serves where the value itself underflows."""
    if math.isnan(value):
        return "undefined"
    if value >= 0.0995:
        return f"{value:.2f}"
    if value >= 0.001:
        return f"{value:.2g}"
    if value == 0 and log_value is None:
        return "under 10⁻³⁰⁰"
    logarithm = (math.log(value) if log_value is None else log_value) / math.log(10)
    exponent = math.floor(logarithm)
    digit = round(10 ** (logarithm - exponent))
    if digit == 10:
        digit, exponent = 1, exponent + 1
    return f"{digit} × 10{str(exponent).translate(_SUPERSCRIPTS)}"


def difference_and_interval(difference: float, low: float, high: float) -> str:
    """+0.017 (+0.002 to +0.032), or undefined."""
    if math.isnan(difference):
        return "undefined"
    limits = "undefined" if math.isnan(low) else f"{signed(low, 3)} to {signed(high, 3)}"
    return f"{signed(difference, 3)} ({limits})"


def auc_and_interval(auc: dict[str, Any]) -> str:
    """0.846 (0.831–0.860) by patient, from metrics.json."""
    if auc["auc"] is None:
        return auc["note"]
    low, high = auc["low_by_patient"], auc["high_by_patient"]
    interval = "interval undefined" if low is None else f"{low:.3f}–{high:.3f}"
    return f"{auc['auc']:.3f} ({interval})"


def signed(value: float, digits: int = 2) -> str:
    """With its sign, a real minus."""
    return f"{value:+.{digits}f}".replace("-", "−")
