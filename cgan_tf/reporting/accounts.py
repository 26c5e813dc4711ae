"""Report sections that account for the data and the runs: counts, ledger, flags."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from cgan_tf.labels import PATCH_CLASSES, SPLITS
from cgan_tf.pages import html
from cgan_tf.pages.html import Part, Section, Table, section_of
from cgan_tf.reporting.inputs import ReportInputs
from cgan_tf.runs.directory import Json, read_json


@dataclasses.dataclass(frozen=True)
class Account:
    """What became of everything of one kind that make_patches read.

    Attributes:
      kind: e.g. images. read, used, not_needed: their numbers. rejected: numbers by reason.
    """

    kind: str
    read: int
    used: int
    not_needed: int
    rejected: Mapping[str, int]

    @property
    def known(self) -> int:
        """How many are used, not needed or rejected; all that were read, if it adds up."""
        return self.used + self.not_needed + sum(self.rejected.values())


def data(inputs: ReportInputs) -> Section | None:
    """Patches by class and split, and the ledger of the run that cut them."""
    patches = inputs.patches
    rows = [
        [name, *(f"{patches.count(split, name):,}" for split in SPLITS)]
        for name in PATCH_CLASSES
        if any(patches.count(split, name) for split in SPLITS)
    ]
    return section_of(
        "Data",
        Table("patches", ("Patches", *SPLITS), rows),
        html.Paragraph(
            "Splits are by client: no woman is in two of them. Patches of the class source feed "
            "the generators alone.",
            "note",
        ),
        *_ledger(accounts_of(patches.manifest.get("ledger", {}))),
    )


def accounts_of(ledger: Json) -> list[Account]:
    """The accounts in the ledger of a manifest; kinds of which nothing was read are left out."""
    return [
        Account(
            kind,
            account["read"],
            account.get("used", 0),
            account.get("not_needed", 0),
            account.get("rejected", {}),
        )
        for kind, account in ledger.items()
        if isinstance(account, dict) and account.get("read")
    ]


def _ledger(accounts: list[Account]) -> list[Part]:
    """Every image and mark read is used, not needed, or rejected for a named reason."""
    if not accounts:
        return []
    headings = ("Ledger", "Read", "Used", "Not needed", "Rejected", "Adds up")
    rows = [
        (
            account.kind,
            f"{account.read:,}",
            f"{account.used:,}",
            f"{account.not_needed:,}",
            f"{sum(account.rejected.values()):,}",
            "yes" if account.known == account.read else f"no: {account.known:,}",
        )
        for account in accounts
    ]
    return [
        Table("ledger", headings, rows),
        *(_reasons(account) for account in accounts if account.rejected),
    ]


def _reasons(account: Account) -> Part:
    most_first = sorted(account.rejected.items(), key=lambda item: -item[1])
    reasons = " · ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in most_first)
    return html.Paragraph(f"Rejected {account.kind}: {reasons}", "note")


def flags(inputs: ReportInputs) -> Section | None:
    """The flags of every run that the report shows, to be opened."""
    patches = inputs.patches
    runs = [(f"make_patches: {patches.directory}", patches.manifest["flags"])]
    for directory in inputs.config.gan_dirs:
        runs.append((f"train_gan: {directory}", read_json(Path(directory) / "run.json")["flags"]))
    runs += [(f"synthesize: {each.directory}", each.flags) for each in inputs.sets]
    for evaluation in inputs.evaluations:
        trained = evaluation.training["flags"]
        runs.append((f"train_classifier: {trained['workdir']}", trained))
    return section_of(
        "Flags of every run",
        *(
            html.Details(name, "\n".join(f"--{key}={value}" for key, value in values.items()))
            for name, values in runs
        ),
    )
