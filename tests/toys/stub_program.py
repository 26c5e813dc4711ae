"""Stands in for a program of a sweep: reads its flags strictly, leaves what the next one reads.

    python stub_program.py MODULE --flag=value ...

STUB_FAIL in the environment lists the seed and share ("1:0.5") of trainings that fail;
STUB_EVENTS names a file that gets a line of JSON for every program started.
"""

import json
import os
import sys

from absl import flags

from cgan_tf.config import (
    ClassifierConfig,
    EvaluateConfig,
    PasteConfig,
    QualityConfig,
    ReportConfig,
)
from cgan_tf.runs.directory import finish_run, open_run, read_manifest, write_json
from cgan_tf.runs.flags import config_from_flags, config_to_dict, define_flags

CONFIGS = {
    "cgan_tf.train_classifier": ClassifierConfig,
    "cgan_tf.evaluate": EvaluateConfig,
    "cgan_tf.paste_lesions": PasteConfig,
    "cgan_tf.quality": QualityConfig,
    "cgan_tf.report": ReportConfig,
}


def main(module: str, arguments: list[str]) -> None:
    config = parse(CONFIGS[module], arguments)
    lanes = {name: value for name, value in os.environ.items() if name.startswith(("TF_NUM", "CU"))}
    with open(os.environ["STUB_EVENTS"], "a", encoding="utf-8") as file:
        file.write(json.dumps([module, config_to_dict(config), lanes]) + "\n")
    programs = {
        ClassifierConfig: train,
        EvaluateConfig: evaluate,
        PasteConfig: paste,
        QualityConfig: quality,
        ReportConfig: report,
    }
    programs[type(config)](config)


def parse(config_class, arguments):
    values = flags.FlagValues()
    define_flags(config_class, values)
    assert values(["program", *arguments]) == ["program"]
    return config_from_flags(config_class, values)


def train(config: ClassifierConfig) -> None:
    with open_run(config.output_dir, "train_classifier", config):
        print("a line of chatter")
        if f"{config.seed}:{config.synthetic_fraction:g}" in os.environ.get("STUB_FAIL", "").split(
            ","
        ):
            sys.exit("train_classifier: the loss is not finite")
        finish_run(config.output_dir, "train_classifier", {"best_validation_auc": 0.75})


def evaluate(config: EvaluateConfig) -> None:
    with open_run(config.output_dir, "evaluate", config):
        classifier = read_manifest(config.classifier, "train_classifier")
        auc = 0.5 + classifier["flags"]["synthetic_fraction"] / 4
        write_json(f"{config.output_dir}/metrics.json", metrics(auc))
        finish_run(config.output_dir, "evaluate", {"classifier": classifier})


def metrics(auc):
    """metrics.json of a classifier of which only the AUC is known."""
    none = dict.fromkeys(("variance", "low", "high", "low_by_patient", "high_by_patient"))
    overall = {**none, "auc": auc, "method": "", "positives": 1, "negatives": 1, "note": ""}
    calibration = dict.fromkeys(
        ("expected_calibration_error", "brier_score", "slope", "slope_low", "slope_high",
         "intercept", "intercept_low", "intercept_high", "intercept_at_even_odds")
    )  # fmt: skip
    return {
        "split": "test", "auc": {"overall": {**overall, "note_by_patient": ""}},
        "average_precision": auc, "specificity": 0.9, "sensitivity": None,
        "sensitivity_low_by_patient": None,
        "sensitivity_high_by_patient": None, "sensitivity_note_by_patient": "", "threshold": None,
        "at_validation_threshold": {"threshold": 0.0, "sensitivity": 0.5, "specificity": 0.9},
        "patches": {"normal": 1, "malignant": 1}, "clients": 2,
        "calibration": {
            **calibration, "prevalence": 0.5, "prevalence_note": "", "bins": [], "note": "",
        },
        "subgroups": {}, "synthetic": {},
    }  # fmt: skip


def paste(config: PasteConfig) -> None:
    with open_run(config.output_dir, "paste_lesions", config):
        if os.environ.get("STUB_FAIL") == "pasted":
            sys.exit("paste_lesions: no lesion")
        finish_run(config.output_dir, "paste_lesions", {})


def quality(config: QualityConfig) -> None:
    with open_run(config.output_dir, "quality", config):
        read_manifest(config.classifier, "evaluate")
        if os.environ.get("STUB_FAIL") == "quality":
            sys.exit("quality: no lesions")
        finish_run(config.output_dir, "quality", {})


def report(config: ReportConfig) -> None:
    for directory in config.evaluations:
        read_manifest(directory, "evaluate")
    if os.environ.get("STUB_FAIL") == "report":
        sys.exit("report: no paper")
    write_json(config.output, config_to_dict(config))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
