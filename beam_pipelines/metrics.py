"""Counters and distributions of the work, as metrics of Beam: each runner shows them in its way.

They are of one execution: times differ from run to run, and what an interrupted run had done is not
in those of the run that goes on. So they are kept apart from the manifest.
"""

import collections
from typing import Any

from apache_beam.metrics import Metrics

FILE = "metrics.json"
_NAMESPACE = "beam_pipelines"

Collected = dict[str, dict[str, Any]]


def count(name: str, number: int = 1) -> None:
    """Adds to a counter; outside of a pipeline nothing happens."""
    if number:
        Metrics.counter(_NAMESPACE, name).inc(number)


def observe(name: str, value: float) -> None:
    """Adds a value, rounded to a whole number, to a distribution."""
    Metrics.distribution(_NAMESPACE, name).update(round(value))


def add_results(result: Any, collected: Collected) -> None:
    """Adds our metrics of a finished pipeline to those of others.

    Args:
      collected: "counters" by name, and "distributions" by name as count, sum, min, max and mean.
    """
    found = result.metrics().query()
    counters = collections.Counter(collected.setdefault("counters", {}))
    for item in _ours(found["counters"]):
        counters[item.key.metric.name] += item.result
    collected["counters"] = dict(sorted(counters.items()))
    distributions = collected.setdefault("distributions", {})
    for item in _ours(found["distributions"]):
        name = item.key.metric.name
        distributions[name] = _joined(distributions.get(name), item.result)
    collected["distributions"] = dict(sorted(distributions.items()))


def _ours(items: Any) -> list[Any]:
    return [item for item in items if item.key.metric.namespace == _NAMESPACE and item.result]


def _joined(one: dict[str, Any] | None, other: Any) -> dict[str, Any]:
    number, total = other.count, other.sum
    least, most = other.min, other.max
    if one:
        number, total = number + one["count"], total + one["sum"]
        least, most = min(least, one["min"]), max(most, one["max"])
    mean = round(total / number, 3) if number else None
    return {"count": number, "sum": total, "min": least, "max": most, "mean": mean}
