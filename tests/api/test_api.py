"""The names in Python do what the programs do, and tell mistakes in a line."""

import csv
import importlib
import inspect
import logging
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import beam_pipelines
import cgan_tf
from beam_pipelines.insertion.job import insert_lesions
from beam_pipelines.scoring.job import predict_images
from cgan_tf.config import InsertionConfig, PredictImagesConfig, SynthesisConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.detection.heat_maps import read_heat_map
from cgan_tf.detection.predictions import read_predictions
from cgan_tf.statistics.auc import delong_test
from cgan_tf.synthesis.run import synthesize
from tests.toys.blob_generator import SIZE, WIDTH, has_lesion, write_generator
from tests.toys.classifier import write_toy_classifier

ROOT = Path(__file__).parents[2]
PACKAGES = pytest.mark.parametrize("package", [cgan_tf, beam_pipelines], ids=lambda p: p.__name__)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Of a generator of masses."""
    return write_generator(tmp_path_factory.mktemp("generators") / "mass")


@pytest.fixture(scope="module")
def generator(directory):
    return cgan_tf.load_generator(directory)


@pytest.fixture(scope="module")
def film(few_films):
    """A mammogram of the phantom."""
    for path in sorted((few_films / "IMAGES").rglob("*.dcm")):
        try:
            beam_pipelines.read_mammogram(path)
        except cgan_tf.UserError:
            continue
        return path
    raise AssertionError


# The names


@PACKAGES
def test_package_and_module_have_the_same_names(package):
    api = importlib.import_module(f"{package.__name__}.api")
    assert package.__all__ == api.__all__  # which the stub has all of
    assert all(getattr(package, name).__doc__ for name in package.__all__)
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="no attribute 'load_patchs'"):
        package.load_patchs  # noqa: B018


def test_tensorflow_waits_for_a_generator_or_a_classifier():
    code = (
        "import sys, cgan_tf, beam_pipelines\n"
        "assert not {'numpy', 'pydicom', 'apache_beam'} & set(sys.modules)\n"
        "cgan_tf.load_patches, cgan_tf.load_generator\n"
        "assert 'numpy' in sys.modules\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_beam_is_quiet_and_the_root_logger_is_the_users(monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger(), "level", logging.INFO)
    importlib.reload(beam_pipelines)
    assert logging.getLogger().level == logging.INFO
    for path, level in (
        ("apache_beam/io/gcp.py", 30),
        ("apache_beam/io/gcp.py", 40),
        ("own.py", 20),
        ("my_apache_beam_jobs/own.py", 30),
    ):
        logging.getLogger().handle(
            logging.LogRecord("root", level, path, 1, f"{path} {level}", None, None)
        )
    logging.getLogger("apache_beam.transforms").warning("hidden")
    assert [record.message for record in caplog.records] == [
        "apache_beam/io/gcp.py 40",
        "own.py 20",
        "my_apache_beam_jobs/own.py 30",
    ]


def test_defaults_are_those_of_the_programs():
    for function, config, renamed in (
        (cgan_tf.LesionGenerator.synthesize, SynthesisConfig(), {}),
        (beam_pipelines.add_lesions, InsertionConfig(), {"lesions": "lesions_per_image"}),
    ):
        for name, parameter in inspect.signature(function).parameters.items():
            default = getattr(config, renamed.get(name, name), parameter.default)
            assert parameter.default in (default, None, inspect.Parameter.empty), name


# Patches


def test_patches_are_those_of_the_shards(toy_sets):
    patches = cgan_tf.load_patches(toy_sets / "patches", "test")
    index = PatchSet(toy_sets / "patches").index("test", "normal", "malignant_mass")
    assert patches.images.shape == (60, SIZE, SIZE)
    assert patches.images.dtype == np.float32
    np.testing.assert_array_equal(patches.images[21], index.pixels(21))
    assert patches.patch_ids[21] == index.record(21).patch_id
    assert patches.boxes[21] == index.record(21).box
    assert list(patches.labels) == [0] * 20 + [1] * 40
    assert list(patches.classes[[0, 20, 40]]) == [
        "normal", "malignant_mass", "malignant_calcification"
    ]  # fmt: skip
    assert patches.patients[0] == "test-normal-0000"


def test_some_patches_are_drawn_by_the_seed(toy_sets):
    opened = cgan_tf.PatchSet(toy_sets / "patches")
    first, again, other = (
        cgan_tf.load_patches(opened, "test", count=8, seed=seed) for seed in (0, 0, 1)
    )
    assert len(first) == 8
    assert list(first.patch_ids) == list(again.patch_ids) != list(other.patch_ids)
    assert set(cgan_tf.load_patches(opened, "train", ["benign_mass", "source"]).labels) == {-1}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("testing",), ValueError, "split: expected train, validation, test, found"),
        (("test", ["mass"]), ValueError, "classes: expected normal, malignant_mass"),
        (("test", "normal"), ValueError, "classes: expected normal"),
        (("test", ["source"]), cgan_tf.UserError, "test: expected source, found none"),
    ],
)
def test_patches_that_there_are_not(toy_sets, arguments, error, words):
    with pytest.raises(error, match=words):
        cgan_tf.load_patches(toy_sets / "patches", *arguments)


# Generators


def test_synthesis_is_what_the_program_writes(toy_sets, directory, generator, tmp_path):
    synthesize(
        SynthesisConfig(
            generator=str(directory), patches_dir=str(toy_sets / "patches"), count=6,
            output_dir=str(tmp_path / "out"),
        )
    )  # fmt: skip
    index = PatchSet(tmp_path / "out").index("train", "malignant_mass")
    sources = PatchSet(toy_sets / "patches").index("train", "source")
    by_id = {sources.record(n).patch_id: sources.pixels(n) for n in range(len(sources))}
    written = [index.record(n) for n in range(len(index))]
    images = np.stack([by_id[record.source_patch_id] for record in written])
    made = generator.synthesize(images, z=[record.z for record in written])
    assert made.accepted.all()
    step = 2 / 65535  # of the shards' 16 bits
    np.testing.assert_allclose(made.images, [record.patch for record in written], atol=step)
    np.testing.assert_allclose(made.lesions, [record.lesion for record in written], atol=step)
    np.testing.assert_allclose(made.masks, [record.mask for record in written], atol=step)
    np.testing.assert_array_equal(made.boxes, [record.box for record in written])
    first = written[0]
    number = int(first.patch_id.rpartition("~mass")[2])
    np.testing.assert_array_equal(generator.draw_z(number + 1)[number], np.float32(first.z))


def test_a_rejected_patch_comes_back_as_it_was(generator):
    images = np.random.default_rng(0).uniform(-0.6, -0.4, (24, SIZE, SIZE))
    made = generator.synthesize(images, min_area_fraction=0.01)
    shown = np.array([has_lesion(z) for z in made.z])
    np.testing.assert_array_equal(made.accepted, shown)
    assert 4 < shown.sum() < 24
    assert set(made.rejected[~shown]) == {"empty"}
    np.testing.assert_array_equal(made.images[~shown], images[~shown].astype(np.float32))
    for quiet in (made.lesions, made.masks, made.boxes):
        assert not quiet[~shown].any()
        assert all(part.any() for part in quiet[shown])
    change = made.images - images.astype(np.float32)
    np.testing.assert_allclose(change, made.lesions, atol=1e-6)
    assert not change[made.masks == 0].any()
    assert set(generator.synthesize(images, min_area_fraction=1.0).rejected[shown]) == {"too_small"}
    large = generator.synthesize(images, min_area_fraction=0.0, max_area_fraction=0.01)
    assert set(large.rejected[shown]) == {"too_large"}
    assert (generator.synthesize(images, seed=1).z != made.z).any()
    assert len(generator.synthesize(images[:0]).images) == 0


def test_a_conditional_generator_is_asked_for_a_task(tmp_path):
    write_generator(tmp_path / "all", "conditional")
    images = np.zeros((3, SIZE, SIZE), np.float32)
    removal = cgan_tf.load_generator(tmp_path / "all", task="removal")
    assert removal.task == "removal"
    assert removal.lesion_channels(images, np.zeros((3, WIDTH))).min() < -0.1
    with pytest.raises(cgan_tf.UserError, match="--task: expected mass or calcification"):
        cgan_tf.load_generator(tmp_path / "all")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x[0], r"images: expected \[n, 32, 32\], found \[32, 32\]"),
        (lambda x: x[..., None], r"expected \[n, 32, 32\], found \[2, 32, 32, 1\]"),
        (lambda x: x[:, :16, :16], r"expected \[n, 32, 32\], found \[2, 16, 16\]"),
        (lambda x: (x + 1) * 127, r"expected grey levels in \[-1, 1\], found 127 to 127"),
        (lambda x: x * np.nan, "expected grey levels"),
    ],
)
def test_images_of_another_kind_are_named(generator, change, words):
    images = change(np.zeros((2, SIZE, SIZE), np.float32))
    with pytest.raises(ValueError, match=words):
        generator.synthesize(images)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"z": np.zeros((2, 3))}, r"z: expected \[2, 4\], found \[2, 3\]"),
        ({"min_area_fraction": 10}, "^min_area_fraction: expected 0 to 1, found 10"),
        ({"objects": "largets"}, "objects: expected largest, near, in_box, found"),
        ({"objects": "in_box"}, "^objects=in_box: is for removal"),
    ],
)
def test_settings_that_make_no_sense_are_named(generator, settings, words):
    with pytest.raises(ValueError, match=words):
        generator.synthesize(np.zeros((2, SIZE, SIZE)), **settings)


def test_what_is_no_generator_or_classifier(toy_sets, directory):
    with pytest.raises(cgan_tf.UserError, match="expected a generator directory"):
        cgan_tf.load_generator(toy_sets / "patches")
    with pytest.raises(cgan_tf.UserError, match="expected the manifest of train_classifier"):
        cgan_tf.load_classifier(directory)


# Classifiers


def test_scores_are_those_of_evaluate_and_are_compared_by_patient(toy_experiment, tiny):
    patches = cgan_tf.load_patches(toy_experiment / "patches", "test")
    logits = {}
    for name in ("baseline", "mixed"):
        with (toy_experiment / f"evaluation_{name}" / "scores.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        classifier = cgan_tf.load_classifier(toy_experiment / name)
        logits[name] = classifier.decision_function(patches.images)
        assert [row["patch_id"] for row in rows] == list(patches.patch_ids)
        assert [int(row["label"]) for row in rows] == list(patches.labels)
        written = [float(row["logit"]) for row in rows]
        np.testing.assert_allclose(logits[name], written, rtol=1e-4, atol=1e-5)
        assert classifier.features(patches.images[:3]).shape == (3, 2048)
    found = cgan_tf.compare_aucs(
        patches.labels, logits["baseline"], logits["mixed"], patches.patients
    )
    scores = patches.labels, logits["baseline"], logits["mixed"]
    assert found == delong_test(*scores, patches.patients)
    assert found.variance != cgan_tf.compare_aucs(*scores, None).variance
    with pytest.raises(ValueError, match="labels: expected 0 and 1 only"):
        cgan_tf.compare_aucs(-patches.labels, *scores[1:], patches.patients)


# Mammograms


def test_a_mammogram_gets_the_lesions_of_the_program(film, directory, generator, tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / film.name).write_bytes(film.read_bytes())
    insert_lesions(
        InsertionConfig(
            generator=str(directory), source="folder", input_dir=str(tmp_path / "films"),
            output_dir=str(tmp_path / "out"), lesions_per_image=3, seed=5, previews=0,
            intra_op_threads=0, inter_op_threads=0,
        )
    )  # fmt: skip
    (written,) = (tmp_path / "out" / "images").rglob("*.dcm")
    made = beam_pipelines.add_lesions(film, generator, lesions=3, seed=5)
    program = beam_pipelines.read_mammogram(written, allow_synthetic=True)
    np.testing.assert_array_equal(made.after, program.grey)
    with (tmp_path / "out" / "boxes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(made.boxes) == len(rows) == 3
    assert sorted(made.boxes[:, 0]) == sorted(int(row["x0"]) for row in rows)


def test_a_saved_file_reads_back_with_its_lesions(film, generator, tmp_path):
    made = beam_pipelines.add_lesions(film, generator, lesions=2)
    made.save(tmp_path / "film.dcm")
    before = beam_pipelines.read_mammogram(film)
    with pytest.raises(
        cgan_tf.UserError, match=r"film\.dcm: expected a mammogram that can be used"
    ):
        beam_pipelines.read_mammogram(tmp_path / "film.dcm")
    after = beam_pipelines.read_mammogram(tmp_path / "film.dcm", allow_synthetic=True)
    np.testing.assert_array_equal(made.before, before.grey)
    np.testing.assert_array_equal(made.after, after.grey)
    np.testing.assert_array_equal(after.grey[made.mask == 0], before.grey[made.mask == 0])
    assert after.header.synthetic
    assert before.grey.dtype == after.grey.dtype == np.float32
    for number, (x0, y0, x1, y1) in enumerate(made.boxes, 1):
        inside = np.zeros(made.mask.shape, bool)
        inside[y0:y1, x0:x1] = True
        change = made.after - made.before
        assert change[inside].mean() > 0.02
        assert (made.mask == number).any()


def test_a_mammogram_has_the_scores_of_the_program(film, tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / film.name).write_bytes(film.read_bytes())
    run = write_toy_classifier(tmp_path / "run", 64)
    config = PredictImagesConfig(
        classifier=str(run), source="folder", input_dir=str(tmp_path / "films"), candidates=5,
        output_dir=str(tmp_path / "out"), stride=128, intra_op_threads=0, inter_op_threads=0,
    )  # fmt: skip
    predict_images(config)
    program = read_predictions(tmp_path / "out")
    scored = beam_pipelines.score_mammogram(
        film, cgan_tf.load_classifier(run), stride=128, candidates=5
    )
    assert scored.score == pytest.approx(program.images[0].score, abs=1e-5)
    np.testing.assert_allclose(scored.boxes, [c.box for c in program.candidates], atol=0.1)
    np.testing.assert_allclose(scored.scores, [c.score for c in program.candidates], atol=1e-5)
    heat = read_heat_map(tmp_path / "out", program.images[0].sop_uid)
    np.testing.assert_allclose(scored.logits, heat.logits, atol=1e-4)
    assert (scored.x.tolist(), scored.y.tolist()) == (heat.x.tolist(), heat.y.tolist())
    (shown,) = (tmp_path / "out" / "overlays").iterdir()
    drawn = cv2.imread(str(shown))[..., ::-1].astype(int)
    assert np.abs(drawn - scored.picture).mean() < 1
    with pytest.raises(ValueError, match=r"^stride: expected 1 or more"):
        beam_pipelines.score_mammogram(film, cgan_tf.load_classifier(run), stride=0)


def test_a_mammogram_is_resampled_on_request(film):
    whole, half = (beam_pipelines.read_mammogram(film, spacing_mm=mm) for mm in (0.0, 0.56))
    assert whole.spacing_mm == pytest.approx(0.28)
    assert half.spacing_mm == 0.56
    assert half.grey.shape == tuple(length // 2 for length in whole.grey.shape)


def test_unusable_files_and_settings_are_told_in_a_line(film, generator, tmp_path):
    (tmp_path / "note.dcm").write_bytes(b"no mammogram")
    for path, words in (
        (tmp_path / "none.dcm", "none.dcm: .*No such file"),
        (tmp_path / "note.dcm", "note.dcm: expected a mammogram that can be used, found not_dicom"),
    ):
        with pytest.raises(cgan_tf.UserError, match=words):
            beam_pipelines.read_mammogram(path)
        with pytest.raises(cgan_tf.UserError, match=words):
            beam_pipelines.add_lesions(path, generator)
    with pytest.raises(cgan_tf.UserError, match="found no_lesion_accepted"):
        beam_pipelines.add_lesions(film, generator, min_area_fraction=1.0, draws=2)
    with pytest.raises(ValueError, match=r"^min_tissue: expected"):
        beam_pipelines.add_lesions(film, generator, min_tissue=90)
    removal = write_generator(tmp_path / "removal", "removal")
    with pytest.raises(ValueError, match="generator: expected one that adds lesions"):
        beam_pipelines.add_lesions(film, cgan_tf.load_generator(removal))
