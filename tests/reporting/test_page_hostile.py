"""A report on data whose every text is an attack: nothing of it is markup, a formula or a path."""

import csv
import dataclasses
import html.parser
import json
import shutil
import warnings
from pathlib import Path

import pytest

from cgan_tf import config as cgan_tf_config
from cgan_tf.assessment.run import measure_quality
from cgan_tf.config import GanConfig, QualityConfig, ReportConfig
from cgan_tf.labels import PATCH_CLASSES, SPLITS, TASKS
from cgan_tf.pages.html import COMPARISON_SCRIPT
from cgan_tf.reporting.comparisons import FailedRun, write_failed_runs
from cgan_tf.reporting.page import section_files, write_files, write_report
from cgan_tf.reporting.quality import section as quality_section
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import config_to_dict
from tests.toys import quality_sets
from tests.toys.experiment import SETS
from tests.toys.report import report_inputs

# Markup in text and in an attribute, a broken formula, a way out of a directory.
HOSTILE = "\" onload=x()><script>'x'</script>&lt;$\\frac{$ ../../up"
KEYED = ("rejected", "groups", "patches", "drawn", "overlap")  # data are keys in these
KNOWN = {
    *(*PATCH_CLASSES, *SPLITS, *TASKS, "calcification", "images", "marks", "files"),
    *("make_patches", "synthesize", "train_classifier", "evaluate", "quality", "malignant"),
}


def _terms() -> set[str]:
    """Words that programs compare with: a text that is one of them is not free."""
    found = set(KNOWN)
    for name in dir(cgan_tf_config):
        kind = getattr(cgan_tf_config, name)
        if dataclasses.is_dataclass(kind):
            for field in dataclasses.fields(kind):
                found.update(field.metadata.get("choices", ()))
    return found


TERMS = _terms()


def poisoned(value, key="", keep=()):
    """Every text in a JSON value that is no term with the attack behind it."""
    if isinstance(value, dict):
        return {
            f"{name}{HOSTILE}" if key in KEYED and name not in TERMS else name: poisoned(
                item, name, keep
            )
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [poisoned(item, key, keep) for item in value]
    free = isinstance(value, str) and value not in TERMS and key not in keep
    return f"{value}{HOSTILE}" if free else value


def poison_json(path: Path, keep=()) -> None:
    path.write_text(json.dumps(poisoned(json.loads(path.read_text()), keep=keep)))


def poison_csv(path: Path, *columns: str) -> None:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row.update({name: f"{row[name]}{HOSTILE}" for name in columns})
    if rows:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


@pytest.fixture(scope="module")
def quality(tmp_path_factory):
    root = tmp_path_factory.mktemp("quality")
    patches = quality_sets.write_patches(root / "patches")
    masses = quality_sets.write_masses(root / "mass", patches, quality_sets.pasted)
    measure_quality(
        QualityConfig(
            patches_dir=str(patches),
            synthetic_dirs=(str(masses),),
            output_dir=str(root / "q"),
            splits=1,
        )
    )
    poison_json(root / "q" / "quality.json", keep=("file", "kind", "seen"))
    return root / "q"


@pytest.fixture(scope="module")
def config(toy_experiment, quality, tmp_path_factory):
    """Of a report whose inputs are poisoned copies."""
    root = tmp_path_factory.mktemp("hostile") / "in"
    shutil.copytree(toy_experiment, root)
    for name in ("baseline", "mixed"):
        evaluation = root / f"evaluation_{name}"
        poison_json(evaluation / "manifest.json", keep=("program", "decay"))
        poison_json(evaluation / "metrics.json", keep=("task", "split"))
        poison_csv(evaluation / "scores.csv", "patch_id", "client_id", "manufacturer")
        poison_csv(evaluation / "synthetic_scores.csv", "patch_id", "client_id", "source_patch_id")
        poison_csv(evaluation / "grad_cam" / "index.csv", "patch_id", "client_id")
    for name in SETS:
        poison_json(root / name / "manifest.json", keep=("file", "task", "program"))
    manifest = root / "patches" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["ledger"] = {
        "images": {"read": 3, "used": 1, "not_needed": 1, "rejected": {"wrong": 1}}
    }
    manifest.write_text(json.dumps(content))
    poison_json(manifest, keep=("file", "program"))
    gan = root / "gan"
    gan.mkdir()
    small = GanConfig(size=32, generator_filters=4, bottleneck_filters=16, task="mass")
    (gan / "run.json").write_text(json.dumps({"flags": config_to_dict(small) | {"licence": "x"}}))
    poison_json(gan / "run.json")
    (gan / "metrics.csv").write_text(
        "step,phase,alpha,loss_d,loss_g,seconds\n1,full,1,1,1,0\n2,full,1,1,1,0\n"
    )
    write_failed_runs(
        root / "failed.json",
        [FailedRun(7, 0.5, f"training{HOSTILE}", f"lost{HOSTILE}", f"a.log{HOSTILE}")],
    )
    return ReportConfig(
        evaluations=tuple(str(root / f"evaluation_{name}") for name in ("baseline", "mixed")),
        patches_dir=str(root / "patches"),
        synthetic_dirs=tuple(str(root / name) for name in SETS),
        gan_dirs=(str(gan),),
        quality_dir=str(quality),
        failed_runs=str(root / "failed.json"),
        output=str(root.parent / "out" / "report.html"),
        title=f"Title{HOSTILE}",
        notice=f"Notice{HOSTILE}",
        tsne_normal=12, tsne_mass=12, tsne_calcification=12,
        tsne_synthetic_mass=12, tsne_synthetic_calcification=12,
    )  # fmt: skip


class _Reader(html.parser.HTMLParser):
    """Tags, attributes and texts of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def page(config):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="constrained_layout not applied")  # long names
        write_report(config)
    return Path(config.output).read_text(encoding="utf-8")


@pytest.mark.slow
def test_no_text_of_the_data_is_markup(page):
    reader = _Reader(page)
    assert not reader.tags & {"iframe", "object", "link", "embed", "form"}
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    pictures = [value for name, value in reader.attributes if name == "src"]
    assert pictures
    assert all(value.startswith("data:image/png;base64,") for value in pictures)
    assert page.count("<script") == 2, "the page's own: one opens folds, one moves edges"
    assert f"<script>{COMPARISON_SCRIPT}</script>" in page


@pytest.mark.slow
@pytest.mark.parametrize(
    "before",
    ["Title", "Notice", "ACME", "lost", "a.log", "wrong", "licence=x", "--output_dir=", "SHA-256"],
)
def test_the_attacks_are_there_as_text(page, before):
    text = " ".join(_Reader(page).texts)
    place = text.find(before)
    while place >= 0 and HOSTILE not in text[place : place + 400]:
        place = text.find(before, place + 1)
    assert place >= 0, before
    assert text.count(HOSTILE) > 50


@pytest.mark.slow
def test_nothing_is_written_outside_of_the_reports_place(page, config):
    output = Path(config.output).parent
    assert {path.name for path in output.iterdir()} == {"report.html", "report_files"}
    assert sorted(path.name for path in output.parent.iterdir()) == ["in", "out"]
    names = [path.name for path in (output / "report_files").iterdir()]
    assert len(names) > 20
    assert all("script" not in name for name in names)


def test_a_set_whose_name_is_a_path_is_refused(quality, tmp_path):
    shutil.copytree(quality, tmp_path / "q")
    content = json.loads((tmp_path / "q" / "quality.json").read_text())
    content["sets"]["../../up"] = content["sets"].pop("mass")
    (tmp_path / "q" / "quality.json").write_text(json.dumps(content))
    files = section_files([quality_section(report_inputs(quality_dir=str(tmp_path / "q")))])
    with pytest.raises(UserError, match="expected the name of a file in it"):
        write_files(tmp_path / "deep" / "files", files)
    assert not (tmp_path / "deep").exists()
    assert not list(tmp_path.rglob("up_*"))
