"""Report sections that account for the data and the runs: counts, ledger, flags."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cgan_tf import report_html
from cgan_tf.config import PATCH_CLASSES, SPLITS, ReportConfig
from cgan_tf.patch_sets import PatchSet
from cgan_tf.report_content import Section, Table, section
from cgan_tf.report_data import ScoredTest
from cgan_tf.run_directory import read_json


def data(patches: PatchSet) -> Section | None:
    manifest = patches.manifest
    rows = [
        [name, *(f"{patches.count(split, name):,}" for split in SPLITS)]
        for name in PATCH_CLASSES
        if any(patches.count(split, name) for split in SPLITS)
    ]
    parts = [
        Table("patches", ("Patches", *SPLITS), rows),
        report_html.paragraph(
            "Splits are by client: no woman is in two of them. The class source feeds the "
            "generators and nothing else.",
            "note",
        ),
        *_ledger(manifest.get("ledger", {})),
    ]
    return section("Data", *parts)


def flags(
    config: ReportConfig,
    evaluations: Sequence[ScoredTest],
    patches: PatchSet,
    sets: Sequence[tuple[str, dict[str, Any]]],
) -> Section | None:
    runs = [(f"make_patches: {patches.directory}", patches.manifest["flags"])]
    for directory in config.gan_dirs:
        runs.append((f"train_gan: {directory}", read_json(Path(directory) / "run.json")["flags"]))
    runs += [(f"synthesize: {directory}", manifest["flags"]) for directory, manifest in sets]
    for evaluation in evaluations:
        flags = evaluation.training["flags"]
        runs.append((f"train_classifier: {flags['workdir']}", flags))
    return section(
        "Flags of every run",
        *(
            report_html.details(name, "\n".join(f"--{key}={value}" for key, value in flags.items()))
            for name, flags in runs
        ),
    )


def _ledger(ledger: dict[str, Any]) -> list[str | Table]:
    """Every image and mark read is used, not needed, or rejected for a named reason."""
    rows, reasons = [], []
    for kind, account in ledger.items():
        if not isinstance(account, dict) or not account.get("read"):
            continue
        rejected = account.get("rejected", {})
        total = sum(rejected.values())
        known = account.get("used", 0) + account.get("not_needed", 0) + total
        rows.append(
            (
                kind,
                f"{account['read']:,}",
                f"{account.get('used', 0):,}",
                f"{account.get('not_needed', 0):,}",
                f"{total:,}",
                "yes" if known == account["read"] else f"no: {known:,}",
            )
        )
        if rejected:
            listed = sorted(rejected.items(), key=lambda item: -item[1])
            reasons.append(
                f"Rejected {kind}: "
                + " · ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in listed)
            )
    if not rows:
        return []
    headings = ("Ledger", "Read", "Used", "Not needed", "Rejected", "Adds up")
    return [
        Table("ledger", headings, rows),
        *(report_html.paragraph(reason, "note") for reason in reasons),
    ]
