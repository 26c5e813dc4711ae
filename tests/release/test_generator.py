"""A packaged generator: others can run it, and nothing in it says who was in the training."""

import contextlib
import io
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from cgan_tf.assessment.results import SetResult, checks_of, write_results
from cgan_tf.config import PackageConfig
from cgan_tf.gan.card import read_card
from cgan_tf.gan.export import load_generator
from cgan_tf.release import generator as release_generator
from cgan_tf.release.run import make_package
from cgan_tf.runs.directory import read_json, sha256, write_json
from cgan_tf.runs.errors import UserError
from tests.assessment.test_measures import good
from tests.toys.readme_code import run_blocks
from tests.toys.small_gan import random_images, random_scalars


@pytest.fixture(scope="module")
def quality(gan_run, tmp_path_factory):
    """What quality says of a set that the generator made."""
    root = tmp_path_factory.mktemp("quality")
    checksum = read_card(gan_run.finished / "generator").checksum
    (root / "set").mkdir()
    write_json(root / "set" / "manifest.json", {"generator_checksum": checksum})
    values = good()
    result = SetResult(
        "calcification", str(root / "set"), 7, 9, values, "", [],
        checks_of(values, "calcification"),
    )  # fmt: skip
    (root / "q").mkdir()
    write_results(root / "q" / "quality.json", {"calcification": result})
    write_json(root / "q" / "manifest.json", {"program": "quality"})
    write_json(root / "q" / "run.json", {"program": "quality"})
    return root / "q"


def package(gan_run, output, **flags):
    generator = str(gan_run.finished / "generator")
    with contextlib.redirect_stderr(io.StringIO()):
        make_package(PackageConfig(generator=generator, output_dir=str(output), **flags))
    return output


@pytest.fixture(scope="module")
def packed(gan_run, quality, tmp_path_factory):
    """Without an ONNX file, as where the extra is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release_generator.importlib.util, "find_spec", lambda name: None)
        output = tmp_path_factory.mktemp("packed") / "package"
        return package(gan_run, output, quality_dir=str(quality))


def test_it_is_the_same_generator(gan_run, packed):
    image, z = random_images(3, 32, 32, 1), random_scalars(3, 6)
    expected, card = load_generator(gan_run.finished / "generator")
    found, released = load_generator(packed / "saved_model")
    assert released.checksum == card.checksum
    np.testing.assert_array_equal(
        found(image=image, z=z)["lesion"], expected(image=image, z=z)["lesion"]
    )


def test_nothing_says_who_was_in_the_training(gan_run, packed, tmp_path):
    card = read_card(gan_run.finished / "generator")
    assert card.patients
    where = str(Path(gan_run.config.patches_dir).parent)
    secrets = [*card.patients, where, "/root", "/home"]
    for path in packed.rglob("*"):
        if path.is_file() and path.parts[-2] != "variables" and path.suffix != ".png":
            content = path.read_bytes()
            assert not [name for name in secrets if name.encode() in content], path
    assert read_json(packed / "flags.json")["generator_filters"] == 4


def test_the_digests_stay_if_one_asks(gan_run, tmp_path, monkeypatch):
    monkeypatch.setattr(release_generator.importlib.util, "find_spec", lambda name: None)
    output = package(gan_run, tmp_path / "out", list_patients=True, contact_sheet=False)
    card = read_card(gan_run.finished / "generator")
    assert read_card(output / "saved_model").patients == card.patients
    text = (output / "README.md").read_text()
    assert "tell whether she is among them" in text.replace("\n", " ")
    assert not (output / "contact_sheet.png").exists()
    assert "contact_sheet.png" not in text


def test_the_front_matter(packed, quality):
    yaml = pytest.importorskip("yaml")
    fields = yaml.safe_load((packed / "README.md").read_text().split("---\n")[1])
    assert fields["license"] == "cc-by-4.0"  # of the run's --licence
    assert fields["pipeline_tag"] == "image-to-image"
    assert "onnx" not in fields["tags"]
    (entry,) = fields["model-index"]
    (result,) = entry["results"]
    assert result["task"]["type"] == "image-to-image"
    assert result["dataset"]["type"] == fields["datasets"][0]
    metrics = {each["type"]: each["value"] for each in result["metrics"]}
    assert metrics["neighbours_auc"] == 0.5
    assert set(fields["metrics"]) == set(metrics)


def test_the_card_says_what_is_and_what_is_not(packed):
    text = (packed / "README.md").read_text()
    assert "not seen: copies of training lesions" in text
    assert "the extra `onnx` was not installed" in text
    for heading in ("Use", "What it learned from", "What was measured", "Meant for",
                    "Not meant for", "Limits", "Licence", "Files"):  # fmt: skip
        assert f"\n## {heading}\n" in text
    assert "{{" not in text
    assert "None" not in text.replace("None is stated", "")


def test_the_contact_sheet_is_a_picture(packed):
    picture = cv2.imread(str(packed / "contact_sheet.png"))
    assert picture.shape[1] > 32 * 8
    assert picture.std() > 10


def test_checksums(packed):
    for line in (packed / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ", 1)
        assert sha256(packed / name) == digest


def test_what_it_learned_from_must_be_there(gan_run, tmp_path):
    """Without the patches nobody could say what the data are."""
    moved = shutil.copytree(gan_run.finished / "generator", tmp_path / "moved")
    card = json.loads((moved / "model.json").read_text())
    card["flags"]["patches_dir"] = "gone"
    write_json(moved / "model.json", card)
    config = PackageConfig(generator=str(moved), output_dir=str(tmp_path / "out"))
    with pytest.raises(UserError, match=r"gone: expected the patches that .* --patches_dir"):
        make_package(config)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["moved"]


def test_quality_of_other_generators_is_refused(gan_run, quality, tmp_path):
    other = shutil.copytree(quality.parent, tmp_path / "other")
    content = json.loads((other / "q" / "quality.json").read_text())
    content["sets"]["calcification"]["directory"] = str(other / "set")
    write_json(other / "q" / "quality.json", content)
    write_json(other / "set" / "manifest.json", {"generator_checksum": "0" * 64})
    with pytest.raises(UserError, match="expected measures of a set of this generator"):
        package(gan_run, tmp_path / "out", quality_dir=str(other / "q"))


@pytest.mark.slow
def test_it_runs_where_this_project_is_not(gan_run, tmp_path):
    """Each example of the card, by TensorFlow without onnxruntime and the other way round."""
    pytest.importorskip("tf2onnx", reason="the extra onnx is not installed")
    pytest.importorskip("onnxruntime")
    output = package(gan_run, tmp_path / "package")
    text = (output / "README.md").read_text()
    with_tensorflow, rest = text.split("With onnxruntime alone:")
    for part, missing in ((with_tensorflow, "onnxruntime"), (rest, "tensorflow")):
        (output / "README.md").write_text(part)
        (printed,) = run_blocks(output, 1, (missing, "tf2onnx"))
        shape, largest = printed.rsplit(" ", 1)
        assert shape == "(2, 32, 32, 1)"
        assert 0 < float(largest) < 2
