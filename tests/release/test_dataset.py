"""A packaged set: the same pixels without what names a woman, and metadata that fit the files."""

import csv
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from cgan_tf.assessment.results import SetResult, checks_of, write_results
from cgan_tf.config import PackageConfig
from cgan_tf.data import tfrecords
from cgan_tf.data.patch_sets import PatchSet, whole_sets
from cgan_tf.data.records import decode_record
from cgan_tf.release.croissant import COLUMNS
from cgan_tf.release.dataset import size_category
from cgan_tf.release.run import make_package
from cgan_tf.runs.directory import sha256, write_json
from cgan_tf.runs.errors import UserError
from tests.assessment.test_measures import good
from tests.toys.patches import write_toy_patches, write_toy_synthetic
from tests.toys.readme_code import run_blocks

COUNT = 10


def write_quality(root, *sets):
    """A finished quality directory whose measures of every set are at their ceilings."""
    root.mkdir()
    results = {
        Path(each).name: SetResult(
            "mass", str(each), COUNT, 9, good(), "", [], checks_of(good(), "mass")
        )
        for each in sets
    }
    write_results(root / "quality.json", results)
    write_json(root / "manifest.json", {"program": "quality"})
    inputs = [{"path": str(each), "sha256": sha256(each / "manifest.json")} for each in sets]
    write_json(root / "run.json", {"program": "quality", "inputs": {"synthetic_dirs": inputs}})
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Toy patches, a set of masses and one of removals, and what quality says of the masses."""
    root = tmp_path_factory.mktemp("made")
    patches = write_toy_patches(root / "patches", per_class=6)
    for task in ("mass", "removal"):
        write_toy_synthetic(root / task, patches, task, COUNT)
    write_quality(root / "quality", root / "removal", root / "mass")
    return root


def package(made, output, task="mass", **flags):
    config = PackageConfig(
        synthetic_dir=str(made / task),
        patches_dir=str(made / "patches"),
        output_dir=str(output),
        **flags,
    )
    make_package(config)
    return output


@pytest.fixture(scope="module")
def packed(made, tmp_path_factory):
    output = tmp_path_factory.mktemp("packed") / "package"
    return package(made, output, quality_dir=str(made / "quality"), licence="CC-BY-4.0")


def rows_of(directory):
    with (directory / "images" / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def records_of(directory):
    return [
        decode_record(payload, str(path))
        for path in sorted((directory / "tfrecord").rglob("*.tfrecord"))
        for payload in tfrecords.Payloads(path)
    ]


def test_every_pixel_is_there_in_both_forms(made, packed):
    pool, _ = whole_sets([PatchSet(made / "mass")])
    rows, records = rows_of(packed), records_of(packed)
    assert len(rows) == len(records) == len(pool) == COUNT
    for number, (row, record) in enumerate(zip(rows, records, strict=True)):
        original = pool.record(number)
        picture = cv2.imread(str(packed / "images" / row["file_name"]), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(record.patch, original.patch)
        np.testing.assert_allclose(picture / 65535 * 2 - 1, original.patch, atol=1e-6)
        mask = cv2.imread(str(packed / row["mask_file"]), cv2.IMREAD_UNCHANGED)
        np.testing.assert_allclose(mask / 65535, original.mask, atol=1e-6)
        np.testing.assert_array_equal(record.lesion, original.lesion)
        edges = (row[name] for name in ("x0", "y0", "x1", "y1"))
        assert tuple(float(edge) for edge in edges if edge) == original.box


def test_nothing_names_a_woman_or_an_image(made, packed):
    pool, _ = whole_sets([PatchSet(made / "mass")])
    secrets = {
        value
        for record in pool.descriptions()
        for value in (record.client_id, record.source_patch_id, record.study_uid, record.sop_uid)
        if value
    } | {str(made), "toy"}
    assert len(secrets) > 5
    for path in packed.rglob("*"):
        if path.is_file() and path.suffix != ".png":
            found = [name for name in secrets if name.encode() in path.read_bytes()]
            assert not found, path


def test_patients_and_sources_stay_together(made, packed):
    pool, _ = whole_sets([PatchSet(made / "mass")])
    originals, rows = pool.descriptions(), rows_of(packed)
    for old, new in (("client_id", "patient"), ("source_patch_id", "source_patch")):
        pairs = {
            (getattr(record, old), row[new]) for record, row in zip(originals, rows, strict=True)
        }
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    assert len({row["patient"] for row in rows}) > 1


def test_checksums_are_of_every_file(packed):
    lines = (packed / "SHA256SUMS").read_text().splitlines()
    named = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    there = {p.relative_to(packed).as_posix() for p in packed.rglob("*") if p.is_file()}
    assert set(named) == there - {"SHA256SUMS"}
    for name, digest in named.items():
        assert hashlib.sha256((packed / name).read_bytes()).hexdigest() == digest


def test_the_same_inputs_give_the_same_bytes(made, packed, tmp_path):
    again = package(
        made, tmp_path / "again", quality_dir=str(made / "quality"), licence="CC-BY-4.0"
    )
    assert (again / "SHA256SUMS").read_text() == (packed / "SHA256SUMS").read_text()


def test_the_front_matter(packed):
    yaml = pytest.importorskip("yaml")
    fields = yaml.safe_load((packed / "README.md").read_text().split("---")[1])
    assert fields["license"] == "cc-by-4.0"
    assert fields["size_categories"] == ["n<1K"]
    assert {"synthetic-data", "research-only", "mass"} <= set(fields["tags"])
    assert fields["configs"][0]["data_files"] == [{"split": "train", "path": "images/*"}]
    assert [size_category(n) for n in (999, 1_000, 10**6)] == ["n<1K", "1K<n<10K", "n>1M"]


def section(text, heading):
    return text.partition(f"### {heading}")[2].partition("\n### ")[0].partition("\n## ")[0]


def test_the_seven_cs(made, packed, tmp_path):
    text = (packed / "README.md").read_text()
    names = re.findall(r"^### (\w+): ", text, re.MULTILINE)
    assert names == [
        "Congruence", "Coverage", "Constraint", "Completeness", "Compliance", "Comprehension",
        "Consistency",
    ]  # fmt: skip
    assert "not seen: copies of training lesions" in section(text, "Compliance")
    assert "not seen: training patients recognisable in the set" in section(text, "Compliance")
    assert "not seen: low recall" in section(text, "Coverage")
    assert "not seen: a change outside the mask" in section(text, "Constraint")
    assert "not measured: quality by view" in section(text, "Consistency")
    bare = (package(made, tmp_path / "bare", contact_sheet=False) / "README.md").read_text()
    for name in ("Congruence", "Coverage", "Constraint", "Compliance"):
        assert "not measured" in section(bare, name)
        assert "not seen:" not in section(bare, name)
    assert "None is stated" in bare


def test_real_tissue_is_called_real(packed):
    """The toys say OMI-DB, and not that they are a phantom."""
    text = (packed / "README.md").read_text()
    assert "The tissue is real" in text
    assert "not anonymous" in text


def test_a_phantom_is_named_wherever_one_looks(made, tmp_path, monkeypatch):
    from cgan_tf.release import dataset

    titles = []
    monkeypatch.setattr(
        dataset, "sheet_png", lambda title, *_: titles.append(title) or b"a picture"
    )
    monkeypatch.setattr("cgan_tf.release.origin._is_phantom", lambda _: True)
    output = package(made, tmp_path / "phantom", task="removal")
    text = (output / "README.md").read_text()
    assert "This is a phantom's set" in text
    assert "The tissue is real" not in text
    assert "phantom" in titles[0]
    for file in ("CITATION.cff", "croissant.json"):
        assert "phantom" in (output / file).read_text()
    assert "had a malignant lesion" in text  # of removal


def test_croissant_fits_the_files(packed):
    content = json.loads((packed / "croissant.json").read_text())
    assert content["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    objects = [each for each in content["distribution"] if each["@type"] == "cr:FileObject"]
    for each in objects:
        path = packed / each["contentUrl"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == each["sha256"]
    assert sum(each["encodingFormat"] == "application/x-tfrecord" for each in objects) == 1
    for each in content["distribution"]:
        if each["@type"] == "cr:FileSet":
            assert len(list(packed.glob(each["includes"]))) == COUNT
    fields = {each["name"] for each in content["recordSet"][0]["field"]}
    assert fields == {*COLUMNS, "image"} == {*rows_of(packed)[0], "image"}


def test_without_pictures(made, tmp_path):
    output = package(made, tmp_path / "blind", contact_sheet=False)
    assert not (output / "contact_sheet.png").exists()
    assert "contact_sheet" not in (output / "README.md").read_text()


def test_quality_of_other_sets_is_no_quality_of_this(made, tmp_path):
    other = write_quality(tmp_path / "other", made / "removal")
    with pytest.raises(UserError, match=r"other: expected measures of .*mass, found those of"):
        package(made, tmp_path / "out", quality_dir=str(other))
    assert [path.name for path in tmp_path.iterdir()] == ["other"]  # nothing half-written


def test_other_patches_are_not_taken_for_its_own(made, tmp_path):
    manifest = json.loads((made / "mass" / "manifest.json").read_text())
    assert "patches_manifest_sha256" not in manifest  # the toy is older than the key
    config = PackageConfig(
        synthetic_dir=str(made / "mass"), output_dir=str(tmp_path / "out"), patches_dir="nowhere"
    )
    with pytest.raises(UserError, match=r"nowhere: expected the patches that .* --patches_dir"):
        make_package(config)


@pytest.mark.slow
def test_mlcroissant_validates_and_reads_it(packed):
    pytest.importorskip("mlcroissant")
    code = """
import json, mlcroissant
dataset = mlcroissant.Dataset(jsonld="croissant.json")
assert not dataset.metadata.issues.errors, dataset.metadata.issues.report()
records = list(dataset.records("patches"))
patient, image = records[0]["patches/patient"].decode(), records[0]["patches/image"]
print(json.dumps([len(records), patient, image.size]))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=packed, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    count, patient, size = json.loads(done.stdout)
    assert (count, patient, size) == (COUNT, rows_of(packed)[0]["patient"], [32, 32])


@pytest.mark.slow
def test_the_examples_run_where_this_project_is_not(packed):
    found = run_blocks(packed, blocks=2)
    assert found[0].startswith(f"{COUNT} (32, 32) malignant_mass patient-00001")
    assert found[1] == "(32, 32, 1) malignant_mass"
