"""The numbers of quality as Markdown and as CSV."""

import csv
import io
from collections.abc import Iterator
from typing import Any

SPREADS = {"position": "place", "area_spread": "area", "contrast_spread": "contrast"}


def flat_rows(found: dict[str, Any]) -> Iterator[tuple[str, str, Any, Any]]:
    """(kind, measure, of the synthetic set, real beside it) of one set.

    The real value is the ceiling of a comparison (real against real), else that of real lesions.
    """
    change = found["change"]
    yield "change", "outside_levels", change["outside"], 0
    yield "change", "patches_changed_outside", change["changed"], 0
    for space, measures in found["overlap"].items():
        for name, values in measures["measures"].items():
            yield f"overlap, {space}", name, values["synthetic"], values["ceiling"]
        p_values = measures["kid_p"]
        yield f"overlap, {space}", "kid_p", p_values["synthetic"], p_values["ceiling"]
    for kind in ("lesions", "appearance"):
        for name, values in found[kind].items():
            medians = [values[side] and values[side][2] for side in ("synthetic", "real")]
            yield kind, f"{name}_median", *medians
            yield kind, f"{name}_distance", values["distance"], values["ceiling"]
    spread = found["spread"]
    for name in SPREADS:
        yield "spread over patches", name, spread["synthetic"][name], spread["real"][name]
        if spread["over_z"]:
            yield "spread over scalars", name, spread["over_z"][name], spread["real"][name]
    if found["memorisation"]:
        repeated, copied = found["repetition"], found["memorisation"]
        yield "repetition", "alike", repeated["alike"], repeated["real_alike"]
        yield "repetition", "twin", repeated["twin"], repeated["real_twin"]
        yield "repetition", "repeats", repeated["repeats"], 0.05
        yield "memorisation", "copies", copied["copies"], 0.05
        yield "memorisation", "auc", copied["auc"], 0.5
        names = ("from_training", "from_training_expected")
        yield "memorisation", names[0], *(copied[name] for name in names)


def quality_csv(sets: dict[str, Any]) -> bytes:
    """One row a number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("set", "kind", "measure", "synthetic", "real"))
    for name, found in sets.items():
        writer.writerows((name, *row) for row in flat_rows(found))
    return text.getvalue().encode()


def quality_markdown(sets: dict[str, Any]) -> str:
    """The verdicts of every set, then its numbers."""
    return "\n".join(line for name, found in sets.items() for line in _set_lines(name, found))


def verdict_line(check: dict[str, Any]) -> str:
    """A check of quality.json in one line."""
    verdict = {True: "seen", False: "not seen", None: "not measured"}[check["seen"]]
    return f"{verdict}: {check['name']}: {check['text']}"


def _set_lines(name: str, found: dict[str, Any]) -> list[str]:
    lines = [f"## {name}: {found['patches']:,} patches, {found['directory']}", ""]
    lines += [f"- {verdict_line(check)}" for check in found["checks"]]
    lines += ["", "| | measure | synthetic | real |", "|---|---|---|---|"]
    for kind, measure, ours, real in flat_rows(found):
        lines.append(f"| {kind} | {measure} | {_shown(ours)} | {_shown(real)} |")
    return [*lines, ""]


def _shown(value: Any) -> str:
    return "undefined" if value is None else f"{value:.4g}"
