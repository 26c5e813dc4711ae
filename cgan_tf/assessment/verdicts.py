"""Verdicts on what quality has measured: a fault is seen, is not seen, or cannot be looked for.

The limits are ours. They are wide enough for a set that is as good as real patches to pass with a
few dozen lesions, and they say "look", not "bad": docs/synthesis.md explains each.

The numbers of quality as Markdown and as CSV.
"""

import csv
import dataclasses
import io
import math
from collections.abc import Iterator
from typing import Any

from cgan_tf.assessment.noise import BANDS

P_LIMIT = 0.05  # of the KID, and of taking after training patients
AUC_ABOVE_CEILING = 0.15  # of a classifier that tells real from synthetic
SHARE_OF_CEILING = 0.75  # of mixing, precision, recall, coverage
DISTANCE_ABOVE_CEILING = 0.2  # of Kolmogorov and Smirnov
SHARE_OF_SPREAD = 0.5  # of the real lesions' spread of place, size and contrast
SHARE_OVER_Z = 0.25  # the same over the scalars: one patch leaves less room than many
COPIES = 0.15  # share of lesions nearer to a training lesion than 95% of held-out ones are
ALIKE_ABOVE_REAL = 0.2  # mean likeness of two lesions
REPEATS = 0.35  # share of lesions with a twin nearer than 95% of real ones have
ROUNDING = 1  # stored levels between a patch and its source with the lesion added

NAMES = {
    "contrast": "contrast", "area": "area", "components": "number of parts",
    "saturation": "saturation",
    "mixing": "mixing of neighbours", "classifier_auc": "two-sample classifier",
    "precision": "precision", "recall": "recall", "coverage": "coverage",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Check:
    """One verdict.

    Attributes:
      name: of the fault that was looked for. seen: None where it cannot be looked for.
      text: the numbers behind it.
    """

    name: str
    seen: bool | None
    text: str


def checks_of(found: dict[str, Any]) -> list[Check]:
    """All verdicts on one set, whose measures are as run.measure_set gives them."""
    checks = [_outside(found["change"]), _inside(found["change"])]
    if found["memorisation"]:
        checks += [_copies(found["memorisation"]), _repeats(found["repetition"])]
    spread = found["spread"]
    checks.append(_spread("over patches", spread["synthetic"], spread["real"], SHARE_OF_SPREAD))
    if spread["over_z"] and found["task"] != "removal":  # there is one healthy tissue
        checks.append(_spread("over the scalars", spread["over_z"], spread["real"], SHARE_OVER_Z))
    for space, measures in found["overlap"].items():
        checks += _overlap(space, measures)
    where = "left of the lesion" if found["task"] == "removal" else "of the lesion"
    checks += [_distribution(name, where, values) for name, values in found["lesions"].items()]
    noise = {name: v for name, v in found["appearance"].items() if name.startswith("noise_")}
    saturation = found["appearance"]["saturation"]
    return [*checks, _distribution("saturation", "in its place", saturation), _noise(noise)]


def _outside(change: dict[str, Any]) -> Check:
    name = "a change outside the mask"
    if not change["patches"]:
        return Check(name, None, "no patch has a mask")
    if not change["outside"]:
        return Check(name, False, f"none in {change['patches']:,} patches, to the stored level")
    text = (
        f"{change['changed']:,} of {change['patches']:,} patches, up to {change['outside']:,} of "
        f"65,535 levels, most in {change['worst']}"
    )
    return Check(name, True, text)


def _inside(change: dict[str, Any]) -> Check:
    name = "a patch that is not its source with the lesion added"
    if not change["patches"]:
        return Check(name, None, "no patch has a mask")
    text = f"they differ by {change['inside']:,} of 65,535 levels at most"
    return Check(name, change["inside"] > ROUNDING, text)


def _copies(found: dict[str, Any]) -> Check:
    name = "copies of training lesions"
    if found["copies"] is None:
        return Check(name, None, found["note"])
    interval = "" if found["low"] is None else f", {found['low']:.2f} to {found['high']:.2f}"
    share, expected = found["from_training"], found["from_training_expected"]
    text = (
        f"{found['copies']:.0%} of the lesions are nearer to a training lesion than 95% of the "
        f"held-out ones are (5% by chance; AUC {found['auc']:.2f}{interval}); the nearest real "
        f"lesion of {share:.0%} is a training one ({expected:.0%} by chance, p = "
        f"{found['from_training_p']:.2g})"
    )
    # Plain lesions are near to training ones and as near to held-out ones: they are no copies.
    seen = found["copies"] > COPIES and found["from_training_p"] < P_LIMIT
    return Check(name, seen and (found["low"] is None or found["low"] > 0.5), text)


def _repeats(found: dict[str, Any]) -> Check:
    name = "one lesion again and again"
    if found["repeats"] is None:
        return Check(name, None, found["note"])
    text = (
        f"likeness of two lesions {found['alike']:.2f} (real {found['real_alike']:.2f}); "
        f"{found['repeats']:.0%} have a twin more alike than 95% of the real ones have (5% by "
        "chance)"
    )
    alike = found["alike"] > found["real_alike"] + ALIKE_ABOVE_REAL
    return Check(name, alike or found["repeats"] > REPEATS, text)


def _spread(where: str, ours: dict[str, Any], real: dict[str, Any], least: float) -> Check:
    name = f"too little variety {where}"
    if ours["position"] is None or real["position"] is None:
        return Check(name, None, "fewer than two lesions to measure")
    names = {"position": "place", "area_spread": "area", "contrast_spread": "contrast"}
    shares = {word: ours[key] / real[key] if real[key] else math.inf for key, word in names.items()}
    text = "of the real lesions' spread: " + ", ".join(
        f"{word} {share:.0%}" if math.isfinite(share) else f"{word} undefined"
        for word, share in shares.items()
    )
    return Check(name, min(shares.values()) < least, text)


def _overlap(space: str, found: dict[str, Any]) -> list[Check]:
    def name(measure: str) -> str:
        return f"{measure} ({space} features)"

    if found["note"]:
        return [Check(name("overlap"), None, found["note"])]
    measures, p_values = found["measures"], found["kid_p"]
    kid = measures["kid"]
    checks = [
        Check(
            name("another distribution"),
            p_values["synthetic"] < P_LIMIT,
            f"KID {kid['synthetic']:.3g}, p = {p_values['synthetic']:.2g} (real against real: "
            f"{kid['ceiling']:.3g}, p = {p_values['ceiling']:.2g})",
        )
    ]
    auc = measures["classifier_auc"]
    if None not in (auc["synthetic"], auc["ceiling"]):
        seen = auc["synthetic"] > max(0.5, auc["ceiling"]) + AUC_ABOVE_CEILING
        checks.append(Check(name(NAMES["classifier_auc"]), seen, f"AUC {_beside(auc)}"))
    for measure in ("mixing", "precision", "recall", "coverage"):
        values = measures[measure]
        seen = values["synthetic"] < SHARE_OF_CEILING * values["ceiling"]
        checks.append(Check(name(f"low {NAMES[measure]}"), seen, _beside(values)))
    return checks


def _beside(values: dict[str, Any]) -> str:
    return f"{values['synthetic']:.2f} (real against real: {values['ceiling']:.2f})"


def _distribution(name: str, where: str, values: dict[str, Any]) -> Check:
    title = f"another {NAMES[name]} {where} than real"
    if values["distance"] is None:
        return Check(title, None, "too few lesions to measure")
    return Check(title, _too_far(values), _distance(name, values))


def _noise(bands: dict[str, dict[str, Any]]) -> Check:
    title = "other noise inside than beside, beyond real"
    defined = {name: values for name, values in bands.items() if values["distance"] is not None}
    if not defined:
        return Check(title, None, "too few patches with tissue beside the lesion")
    name = max(defined, key=lambda n: defined[n]["distance"] - defined[n]["ceiling"])
    band = BANDS[int(name.removeprefix("noise_"))]
    text = f"most at {band} cycles per pixel: {_distance(name, defined[name])}"
    return Check(title, any(map(_too_far, defined.values())), text)


def _too_far(values: dict[str, Any]) -> bool:
    return values["distance"] > values["ceiling"] + DISTANCE_ABOVE_CEILING


def _distance(name: str, values: dict[str, Any]) -> str:
    return (
        f"median {_shown(name, values['synthetic'][2])}, real {_shown(name, values['real'][2])}; "
        f"distance {values['distance']:.2f} (real against real: {values['ceiling']:.2f})"
    )


def _shown(name: str, value: float) -> str:
    if name in ("area", "saturation"):
        return f"{value:.1%}"
    if name.startswith("noise_"):
        return f"{2.0**value:.2f} times"
    return f"{value:.0f}" if name == "components" else f"{value:.2f}"


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
        lines.append(f"| {kind} | {measure} | {_table_cell(ours)} | {_table_cell(real)} |")
    return [*lines, ""]


def _table_cell(value: Any) -> str:
    return "undefined" if value is None else f"{value:.4g}"
