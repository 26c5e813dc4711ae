"""What `quality` measured of a set, for the cards: verdicts, numbers, and the seven Cs.

The seven Cs are those of Zamzmi et al., "Scorecards for Synthetic Medical Data Evaluation and
Reporting" (arXiv 2406.11143; Communications Engineering 4:130, 2025).
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from cgan_tf.assessment.base import Check, Row
from cgan_tf.assessment.measures import MEASURES
from cgan_tf.assessment.results import CONTENT, SetResult, read_results
from cgan_tf.pages.style import minus
from cgan_tf.runs.directory import MANIFEST_FILE, RUN_FILE, read_json, read_manifest, sha256
from cgan_tf.runs.errors import UserError

# What hubs list; the rest is in the table of the card.
_METRICS = {
    "kid": "Kernel Inception Distance",
    "fid": "Fréchet distance",
    "classifier_auc": "AUC of a two-sample classifier",
    "precision": "Precision",
    "recall": "Recall",
    "coverage": "Coverage",
    "neighbours_auc": "AUC of a membership attack by nearest neighbours",
    "discriminator_auc": "AUC of a membership attack by the discriminator",
}


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured of one set.

    Attributes:
      name: of the set in quality.json. result: its values.
    """

    name: str
    result: SetResult

    def checks(self) -> Iterator[tuple[str, Check]]:
        """(name of the measure, verdict)."""
        for measure in MEASURES:
            verdicts = measure.verdict(self.result.of(measure), self.result.task)
            yield from ((measure.name, check) for check in verdicts)

    def rows(self) -> list[Row]:
        """Every number."""
        return list(self.result.rows())

    def metrics(self) -> list[dict[str, object]]:
        """Metrics of a model-index."""
        return [
            {
                "type": row.measure,
                "name": _metric_name(row),
                "value": round(row.synthetic, 4),
            }
            for row in self.rows()
            if row.measure in _METRICS and row.synthetic is not None
        ]


def _metric_name(row: Row) -> str:
    overlap, _, space = row.kind.partition("overlap, ")
    return _METRICS[row.measure] if overlap else f"{_METRICS[row.measure]} ({space} features)"


def measured_set(quality_dir: str, synthetic_dir: str) -> Measured:
    """What quality measured of a synthetic set, wherever either lies now.

    Raises `UserError` when it measured other sets.
    """
    wanted = sha256(Path(synthetic_dir) / MANIFEST_FILE)
    for name, result, known in _sets_of(quality_dir):
        if wanted == known or _manifest_sha256(result.directory) == wanted:
            return Measured(name, result)
    raise UserError(f"{quality_dir}: expected measures of {synthetic_dir}, found those of others")


def measured_generator(quality_dir: str, checksum: str) -> Measured:
    """What quality measured of the first set that a generator made."""
    for name, result, _ in _sets_of(quality_dir):
        path = Path(result.directory) / MANIFEST_FILE
        if path.exists() and read_json(path).get("generator_checksum") == checksum:
            return Measured(name, result)
    raise UserError(
        f"{quality_dir}: expected measures of a set of this generator, found none (a set must lie "
        "where quality read it)"
    )


def _sets_of(quality_dir: str) -> Iterator[tuple[str, SetResult, str]]:
    """(name, result, SHA-256 of the set's manifest, or empty) of each set."""
    read_manifest(quality_dir, "quality")
    results = read_results(Path(quality_dir) / CONTENT)
    inputs = read_json(Path(quality_dir) / RUN_FILE).get("inputs", {}).get("synthetic_dirs", [])
    sums = [str(each.get("sha256", "")) for each in inputs]
    sums += [""] * (len(results) - len(sums))
    for (name, result), known in zip(results.items(), sums, strict=False):
        yield name, result, known


def _manifest_sha256(directory: str) -> str:
    path = Path(directory) / MANIFEST_FILE
    return sha256(path) if path.exists() else ""


def number_rows(measured: Measured, real: str) -> list[str]:
    """Every number as the lines of a Markdown table."""
    lines = [f"| | measure | synthetic | {real} or by chance |", "|---|---|---|---|"]
    for kind, name, synthetic, other in measured.rows():
        lines.append(f"| {kind} | {name} | {_cell(synthetic)} | {_cell(other)} |")
    return lines


def _cell(value: float | None) -> str:
    return "" if value is None else minus(f"{value:.4g}")


# Which C a measure speaks of. Recall and coverage are looked for among the verdicts on overlap.
_C_OF = {
    "change": "Constraint",
    "removal": "Constraint",
    "lesions": "Congruence",
    "appearance": "Congruence",
    "overlap": "Congruence",
    "spread": "Coverage",
    "repetition": "Coverage",
    "memorisation": "Compliance",
    "membership": "Compliance",
}


def checks_of_c(measured: Measured | None, criterion: str) -> Sequence[Check]:
    """The verdicts that speak of one of the seven Cs."""
    if measured is None:
        return ()
    return [
        check for name, check in measured.checks() if criterion_of(name, check.name) == criterion
    ]


def criterion_of(measure: str, check: str) -> str:
    """The C that a verdict speaks of; of a measure that was added, Congruence."""
    if measure == "overlap" and check.startswith(("low recall", "low coverage")):
        return "Coverage"
    return _C_OF.get(measure, "Congruence")
