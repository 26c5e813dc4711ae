"""The end of the report: a card for each classifier, what became of the data, and all flags."""

import dataclasses
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from cgan_tf import __version__
from cgan_tf.classifier.metrics import SPECIFICITY
from cgan_tf.classifier.results import ScoredTest
from cgan_tf.data.provenance import manifest_sha256
from cgan_tf.labels import ARM_TITLES, DECAYED, PATCH_CLASSES, SPLITS
from cgan_tf.pages import html
from cgan_tf.pages.html import Document, Part, Section, Table, section_of
from cgan_tf.pages.style import Estimate, minus
from cgan_tf.reporting.figures_5_and_6 import crossings_on_test, in_words
from cgan_tf.reporting.inputs import (
    ReportInputs,
    attribute_title,
    auc_of,
    intercept_of,
    sensitivity_of,
    slope_of,
)
from cgan_tf.runs.directory import MANIFEST_FILE, Json, read_json, sha256

NETWORKS = {"resnet50": "ResNet-50", "small": "The small residual network"}
LIMITS = (
    "It judges single patches, not mammograms and not women: it says nothing about where to look, "
    "and its scores do not add up to a screening decision.",
    "The share of malignant patches in the test set was chosen; predictive values cannot be read "
    "from it.",
    "It knows normal tissue, malignant masses and malignant calcifications. It was neither trained "
    "nor tested on distortions or asymmetries alone, and not tested on benign lesions.",
    "It was not tested on screening programmes, machines or image processing other than those of "
    "the sub-groups above.",
    "It is for research, not a medical device.",
)


def cards(inputs: ReportInputs) -> Section | None:
    """A model card (Mitchell et al. 2019) for every classifier."""
    documents = [
        Document(
            _name(evaluation),
            evaluation.name,
            card(evaluation, inputs.notice, _baseline_of(evaluation, inputs.evaluations)),
        )
        for evaluation in inputs.evaluations
    ]
    return section_of("Model cards", *documents)


def _baseline_of(evaluation: ScoredTest, evaluations: Sequence[ScoredTest]) -> ScoredTest | None:
    """The baseline of the same seed; None for itself and where there is none."""
    same = (e for e in evaluations if e.seed == evaluation.seed and e.arm.is_baseline)
    return None if evaluation.arm.is_baseline else next(same, None)


def card(evaluation: ScoredTest, notice: str = "", baseline: ScoredTest | None = None) -> str:
    """The card of one classifier, as Markdown.

    `notice` says what the data are, where needed; against `baseline` its calls are counted.
    """
    training = evaluation.training
    parts = [
        f"# Classifier card: {evaluation.regime}, seed {evaluation.seed}",
        *([f"> {notice}"] if notice else []),
        "## Model\n\n" + _model(evaluation),
        "## Data\n\n" + _data(evaluation),
        "## Performance\n\n" + _merit(evaluation, baseline),
        "## Sub-groups\n\n" + _subgroups(evaluation),
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in LIMITS),
        "## Flags\n\n```\n"
        + "\n".join(f"--{name}={_flag(value)}" for name, value in training["flags"].items())
        + "\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _name(evaluation: ScoredTest) -> str:
    arm = evaluation.arm
    paper = arm.is_baseline or arm.name == DECAYED
    name = f"fraction_{round(100 * arm.share):02d}" if paper else arm.name
    return f"classifier_card_seed_{evaluation.seed}_{name}"


def _model(evaluation: ScoredTest) -> str:
    training = evaluation.training
    flags, side = training["flags"], training["patch_size"]
    return _list(
        (
            f"{NETWORKS[flags['network']]} from {_start(flags['weights'])}, one logit: cancer or "
            "no cancer.",
            f"Input: a grey patch of {side}×{side} px in [−1, 1]. "
            "Output: a logit; its sigmoid is the score.",
            f"Weights: `{training['weights']}` of `{flags['output_dir']}`, "
            f"SHA-256 `{training['weights_sha256']}`.",
            f"Chosen at sample {training['best_samples']:,} of {training['samples']:,} for its "
            f"validation AUC of {training['best_validation_auc']:.3f}.",
        )
    )


def _data(evaluation: ScoredTest) -> str:
    training, metrics = evaluation.training, evaluation.metrics
    rows = [
        (name, f"{count:,}", f"{training['drawn'][name]:,}")
        for name, count in training["patches"].items()
    ]
    tested = metrics.patches
    return "\n\n".join(
        (
            _table(("Training patches", "Available", "Samples drawn"), rows),
            _list(
                (
                    _share(evaluation),
                    f"Tested on the {metrics.split} split: {tested.malignant:,} malignant "
                    f"and {tested.normal:,} normal real patches of {metrics.patients:,} "
                    "women.",
                )
            ),
        )
    )


def _share(evaluation: ScoredTest) -> str:
    arm, flags = evaluation.arm, evaluation.training["flags"]
    if arm.is_baseline or arm.name == DECAYED:
        what, share = "Synthetic share", f"{arm.share:.0%} at the start"
    else:
        what, share = f"Share of {ARM_TITLES[arm.filling].lower()}", f"{arm.share:.0%}"
    if flags["decay"] == "constant":
        return f"{what}: {share}, constant."
    return (
        f"{what}: {share}, {flags['decay']} decay by {flags['decay_rate']:.0%} every "
        f"{flags['decay_every']:,} samples."
    )


def _merit(evaluation: ScoredTest, baseline: ScoredTest | None) -> str:
    metrics = evaluation.metrics
    rows = [(f"AUC, {name}", *_cells(auc_of(auc))) for name, auc in metrics.auc.items()]
    rows += [
        (
            f"Sensitivity at {metrics.specificity:.0%} specificity",
            *_cells(sensitivity_of(metrics)),
        ),
        ("Calibration slope", *_cells(slope_of(metrics.calibration))),
        ("Calibration intercept", *_cells(intercept_of(metrics.calibration))),
    ]
    texts = ["Intervals are by patient.", _threshold(evaluation)]
    if baseline and (counted := crossings_on_test(baseline, evaluation)):
        texts.append(in_words("This classifier", *counted))
    return "\n\n".join([_table(("Measure", "Value", "95% interval"), rows), *texts])


def _threshold(evaluation: ScoredTest) -> str:
    """What calling a patch malignant means, by validation's threshold and at a score of 0.5."""
    point, normal = evaluation.metrics.at_validation_threshold, evaluation.labels == 0
    called = [
        f"{(evaluation.logits[chosen] >= 0).mean():.0%} of the {name} test patches"
        for name, chosen in (("normal", normal), ("malignant", ~normal))
        if chosen.any()
    ]
    return minus(
        f"Threshold: a logit over {point.threshold:.2f}, which leaves {SPECIFICITY:.0%} "
        "specificity on the validation patches; on the test patches it gives "
        f"{point.specificity:.1%} specificity and {point.sensitivity:.1%} sensitivity. Do not "
        f"use a score of 0.5 instead: from there up are {' and '.join(called)}."
    )


def _subgroups(evaluation: ScoredTest) -> str:
    attributes = evaluation.metrics.subgroups
    rows = [
        (
            attribute_title(attribute), name, f"{group.positives:,}",
            f"{group.negatives:,}",
            *_cells(auc_of(group)),
        )
        for attribute, content in attributes.items()
        for name, group in content.groups.items()
    ]  # fmt: skip
    notes = [content.note for content in attributes.values() if content.note]
    headings = ("Attribute", "Group", "Malignant", "Normal", "AUC", "95% interval")
    parts = [_table(headings, rows)] if rows else []
    return "\n\n".join([*parts, *([_list(notes)] if notes else [])])


def _cells(estimate: Estimate) -> tuple[str, str]:
    if estimate.value is None:
        return "undefined", "–"
    if estimate.limits is None:
        return f"{estimate.value:.3f}", "undefined"
    return f"{estimate.value:.3f}", "{:.3f} to {:.3f}".format(*estimate.limits)


def _start(weights: str) -> str:
    if weights == "none":
        return "random weights"
    return "ImageNet weights" if weights == "imagenet" else f"the weights `{weights}`"


def _flag(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


@dataclasses.dataclass(frozen=True)
class ReadCounts:
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


def provenance(inputs: ReportInputs) -> Section | None:
    """What the numbers rest on: versions, seeds, checksums, run times, and the machine."""
    training = inputs.baseline.training
    seconds = [
        (f"Training time of {Path(directory).name}", manifest["seconds"])
        for directory in inputs.config.gan_dirs
        if (manifest := _manifest(directory)).get("seconds")
    ]
    seeds = sorted({evaluation.seed for evaluation in inputs.evaluations})
    rows: list[tuple[str, str]] = [
        ("Version", f"contextual-gan-mammography {__version__}"),
        ("Commit", _commit() or "unknown"),
        ("Report made on", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"),
        ("Keras of the classifiers", _keras_version(training)),
        ("Seeds of the classifiers", ", ".join(map(str, seeds))),
        ("Seed of the patches", str(inputs.patches.manifest.get("seed", "unknown"))),
        ("Patches, SHA-256 of the manifest", manifest_sha256(inputs.patches)),
        *(
            (f"{each.title}, SHA-256 of the manifest", sha256(Path(each.directory) / MANIFEST_FILE))
            for each in inputs.sets
        ),
        *(
            (f"Weights of {e.name}, SHA-256", e.training["weights_sha256"])
            for e in inputs.evaluations
        ),
        *((name, f"{value / 60:,.1f} min") for name, value in seconds),
    ]
    return section_of("Provenance", Table("provenance", ("What", "Value"), rows, text=True))


def _keras_version(training: Json) -> str:
    about = training.get("keras", "unknown")
    return str(about.get("version", "unknown") if isinstance(about, dict) else about)


def _manifest(directory: str) -> Json:
    path = Path(directory) / MANIFEST_FILE
    return read_json(path) if path.is_file() else {}


def _commit() -> str:
    """Of the checkout that this code lies in; empty for an installed package."""
    git = Path(__file__).parents[2] / ".git"
    try:
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        name = head.removeprefix("ref: ")
        return head if name == head else (git / name).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


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
            "Splits are by client: no woman is in two of them. Only the generators use patches of "
            "the class source.",
            "note",
        ),
        *_ledger(read_counts(patches.manifest.get("ledger", {}))),
    )


def read_counts(ledger: Json) -> list[ReadCounts]:
    """What the ledger of a manifest says; kinds of which nothing was read are left out."""
    return [
        ReadCounts(
            kind,
            account["read"],
            account.get("used", 0),
            account.get("not_needed", 0),
            account.get("rejected", {}),
        )
        for kind, account in ledger.items()
        if isinstance(account, dict) and account.get("read")
    ]


def _ledger(kinds: list[ReadCounts]) -> list[Part]:
    """Every image and mark read is used, not needed, or rejected for a named reason."""
    if not kinds:
        return []
    headings = ("Ledger", "Read", "Used", "Not needed", "Rejected", "Adds up")
    rows = [
        (
            each.kind,
            f"{each.read:,}",
            f"{each.used:,}",
            f"{each.not_needed:,}",
            f"{sum(each.rejected.values()):,}",
            "yes" if each.known == each.read else f"no: {each.known:,}",
        )
        for each in kinds
    ]
    return [
        Table("ledger", headings, rows),
        *(_reasons(each) for each in kinds if each.rejected),
    ]


def _reasons(each: ReadCounts) -> Part:
    most_first = sorted(each.rejected.items(), key=lambda item: -item[1])
    reasons = " · ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in most_first)
    return html.Paragraph(f"Rejected {each.kind}: {reasons}", "note")


def flags(inputs: ReportInputs) -> Section | None:
    """The flags of every run that the report shows, to be opened."""
    patches = inputs.patches
    runs = [(f"make_patches: {patches.directory}", patches.manifest["flags"])]
    for directory in inputs.config.gan_dirs:
        runs.append((f"train_gan: {directory}", read_json(Path(directory) / "run.json")["flags"]))
    runs += [(f"synthesize: {each.directory}", each.flags) for each in inputs.sets]
    for evaluation in inputs.evaluations:
        trained = evaluation.training["flags"]
        runs.append((f"train_classifier: {trained['output_dir']}", trained))
    return section_of(
        "Flags of every run",
        *(
            html.Details(name, "\n".join(f"--{key}={value}" for key, value in values.items()))
            for name, values in runs
        ),
    )
