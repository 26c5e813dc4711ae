"""The quality program: its inputs, its files, its feature spaces, its generators."""

import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.assessment import measures as assessment_measures
from cgan_tf.assessment import run as assessment_run
from cgan_tf.assessment.base import Pair
from cgan_tf.assessment.features import Points, feature_spaces
from cgan_tf.assessment.pictures import examples, likely_copies, nearest_real
from cgan_tf.assessment.reading import mask_box
from cgan_tf.assessment.run import SetAssessment, measure_quality, set_name
from cgan_tf.config import QualityConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.gan import export
from cgan_tf.gan.card import GeneratorCard, write_card
from cgan_tf.pages.style import minus
from cgan_tf.runs.errors import UserError
from tests.toys import quality_sets
from tests.toys.interruptions import interrupted_at


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("quality")
    patches = quality_sets.write_patches(root / "patches")
    quality_sets.write_masses(root / "mass", patches, quality_sets.honest)
    quality_sets.write_removals(root / "removal", patches, left=0.0)
    return root


@pytest.fixture
def config(sets, tmp_path):
    return QualityConfig(
        patches_dir=str(sets / "patches"),
        synthetic_dirs=(str(sets / "mass"),),
        output_dir=str(tmp_path / "quality"),
        splits=1,
    )


@pytest.fixture(scope="module")
def of_both(sets):
    """The flags of a finished run on both sets."""
    config = QualityConfig(
        patches_dir=str(sets / "patches"),
        synthetic_dirs=(str(sets / "mass"), str(sets / "removal")),
        output_dir=str(sets / "both"),
        splits=1,
    )
    measure_quality(config)
    return config


def run(config):
    measure_quality(config)
    with open(f"{config.output_dir}/quality.json", encoding="utf-8") as file:
        return json.load(file)["sets"]


def test_what_it_leaves(config, sets, tmp_path, capsys):
    both = (str(sets / "mass"), str(sets / "removal"))
    actual = run(dataclasses.replace(config, synthetic_dirs=both))
    files = {path.name for path in (tmp_path / "quality").iterdir()} - {".lock"}
    numbers = {"quality.json", "quality.csv", "quality.md"}
    assert files == numbers | {"pictures", "run.json", "manifest.json"}
    assert list(actual) == ["mass", "removal"]
    pictured = [pair["file"] for name in actual for pair in actual[name]["pictures"]]
    assert sorted(pictured) == sorted(p.name for p in (tmp_path / "quality/pictures").iterdir())
    for name in pictured:
        picture = cv2.imread(str(tmp_path / "quality/pictures" / name), cv2.IMREAD_UNCHANGED)
        assert picture.shape == (192, 2 * 192 + 4)
    text = (tmp_path / "quality/quality.md").read_text(encoding="utf-8")
    out = capsys.readouterr().out
    for checks in (actual["mass"]["checks"], actual["removal"]["checks"]):
        for check in checks:
            line = minus(f"{check['name']}: {check['text']}")
            assert line in text
            assert line in out
    rows = (tmp_path / "quality/quality.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "set,kind,measure,synthetic,real"
    kid = actual["mass"]["overlap"]["lesion shape"]["measures"]["kid"]
    assert f'mass,"overlap, lesion shape",kid,{kid["synthetic"]},{kid["ceiling"]}' in rows


def test_the_same_again_measures_nothing(config, sets, capsys):
    first = run(config)
    out = capsys.readouterr().out
    assert run(config) == first
    again = capsys.readouterr().out
    assert again == f"quality: {config.output_dir} is finished; nothing to do\n{out}"
    with pytest.raises(UserError, match="--seed was 0, is 1"):
        measure_quality(dataclasses.replace(config, seed=1))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers(config, tmp_path):
    again = dataclasses.replace(config, output_dir=str(tmp_path / "again"))
    other = dataclasses.replace(config, output_dir=str(tmp_path / "other"), seed=1)
    first = run(config)
    assert run(again) == first
    assert run(other)["mass"]["overlap"] != first["mass"]["overlap"]


@pytest.mark.parametrize(
    ("owner", "name", "calls", "kept"),
    [
        # In the middle of the first set, of the second, and after both.
        pytest.param(assessment_measures, "lesion_spread", 1, 0, marks=pytest.mark.slow),
        (assessment_run, "write_pictures", 1, 1),
        pytest.param(assessment_run, "quality_csv", 0, 2, marks=pytest.mark.slow),
        pytest.param(assessment_run, "finish_run", 0, 2, marks=pytest.mark.slow),
    ],
)
def test_interrupted_and_run_again_the_same_bytes(
    of_both, tmp_path, monkeypatch, owner, name, calls, kept
):
    config = dataclasses.replace(of_both, output_dir=str(tmp_path / "quality"))
    with interrupted_at(monkeypatch, owner, name, calls):
        measure_quality(config)
    directory = tmp_path / "quality"
    assert not (directory / "manifest.json").exists()
    with monkeypatch.context() as patch:
        measured = []
        measure = SetAssessment.measure
        patch.setattr(
            SetAssessment,
            "measure",
            lambda self, to: measured.append(self.subject.name) or measure(self, to),
        )
        measure_quality(config)
    assert measured == ["mass", "removal"][kept:]
    assert files_of(directory) == files_of(Path(of_both.output_dir))


def files_of(directory):
    """Every file but those that name the directory itself."""
    named = {".lock", "run.json", "manifest.json"}
    files = [path for path in directory.rglob("*") if path.is_file() and path.name not in named]
    assert len(files) > 3
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"real_splits": ("train",)}, "--real_splits: expected validation or test, found train"),
        ({"real_splits": ()}, "--real_splits: expected validation or test, found nothing"),
        ({"splits": 0}, "--splits: expected 1 or more, found 0"),
        ({"synthetic_dirs": ("nowhere",)}, "expected an output directory of synthesize"),
        ({"patches_dir": "nowhere"}, "expected an output directory of make_patches"),
        ({"classifier": "nowhere"}, "expected an output directory of train_classifier or evaluate"),
        ({"imagenet_weights": "no.h5"}, "--imagenet_weights: expected no.h5, found none"),
        ({"generators": ("nowhere",)}, "nowhere: expected a generator directory"),
    ],
)
def test_mistakes_are_one_line_and_leave_no_run(config, tmp_path, changes, words):
    with pytest.raises(UserError, match=words) as caught:
        measure_quality(dataclasses.replace(config, **changes))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "quality").exists()


def test_sources_must_be_among_the_real_patches(config, tmp_path, sets):
    from tests.toys.patches import write_toy_patches

    other = write_toy_patches(tmp_path / "other", size=64, per_class=6)
    with pytest.raises(UserError, match="expected patch 'train-source-0', which a synthetic patch"):
        measure_quality(dataclasses.replace(config, patches_dir=str(other)))


def test_a_missing_class_is_named(config, tmp_path, sets):
    shutil.copytree(sets / "patches", tmp_path / "patches")
    manifest = json.loads((tmp_path / "patches/manifest.json").read_text(encoding="utf-8"))
    for split in ("validation", "test"):
        del manifest["splits"][split]["malignant_mass"]
    (tmp_path / "patches/manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(UserError, match="expected malignant_mass patches in validation or test"):
        measure_quality(dataclasses.replace(config, patches_dir=str(tmp_path / "patches")))


def test_names_of_sets():
    taken = []
    for task, split in [("mass", "train"), ("removal", "test"), ("mass", "train")] * 2:
        taken.append(set_name(task, (split,), taken))
    names = ["mass", "removal_test", "mass-2", "mass-3", "removal_test-2", "mass-4"]
    assert taken == names
    for task, split in [("../mass", "train"), ("mass", "../train")]:
        with pytest.raises(UserError, match=r"manifest: expected .*, found '\.\./"):
            set_name(task, (split,), [])


class TestGenerators:
    @pytest.fixture
    def generator(self, tmp_path, monkeypatch):
        """A generator that made the set, which gives a disk at z's place."""
        card = GeneratorCard("mass", quality_sets.SIZE, z_width=4, checksum="0" * 64)
        (tmp_path / "generator").mkdir()
        write_card(tmp_path / "generator", card)

        def disks(image, z):
            x, y = 32 + 10 * z[:, 0, None, None], 32 + 10 * z[:, 1, None, None]
            return {"lesion": 0.6 * tf.cast(_hypotenuse(x, y) < 36, tf.float32)[..., None]}

        monkeypatch.setattr(export, "load_generator", lambda _: (disks, card))
        return str(tmp_path / "generator"), card

    def test_spread_over_the_scalars(self, config, generator):
        (actual,) = run(dataclasses.replace(config, generators=(generator[0],))).values()
        spread = actual["spread"]["over_z"]
        assert spread["measured"] == 64
        # Of U(-1, 1) times 10 px in both directions: sqrt(2) * 10 / sqrt(3) px of 64.
        assert spread["position"] == pytest.approx(np.sqrt(2 / 3) * 10 / 64, rel=0.25)
        checks = {check["name"]: check["seen"] for check in actual["checks"]}
        assert checks["too little variety over the scalars"]  # one size, one contrast

    def test_a_generator_of_another_set_is_refused(self, config, generator, tmp_path):
        card = dataclasses.replace(generator[1], checksum="1" * 64)
        write_card(tmp_path / "generator", card)
        with pytest.raises(
            UserError, match="expected a generator that made one of --synthetic_dirs"
        ):
            measure_quality(dataclasses.replace(config, generators=(generator[0],)))


def _hypotenuse(x, y):
    columns, rows = (
        tf.constant(axis[None], tf.float32) for axis in (quality_sets.X, quality_sets.Y)
    )
    return (columns - x) ** 2 + (rows - y) ** 2


class TestClassifiers:
    @pytest.fixture
    def of_experiment(self, toy_experiment, tmp_path, tiny):
        """A function that measures the experiment's masses with some flags."""

        def measure(name, **flags):
            config = QualityConfig(
                patches_dir=str(toy_experiment / "patches"),
                synthetic_dirs=(str(toy_experiment / "mass"),),
                output_dir=str(tmp_path / name), splits=1, **flags,
            )  # fmt: skip
            return run(config)["mass"]

        return measure

    def test_features_read_are_those_computed(self, of_experiment, toy_experiment):
        read = of_experiment("read", classifier=str(toy_experiment / "evaluation_baseline"))
        computed = of_experiment("computed", classifier=str(toy_experiment / "baseline"))
        assert next(iter(read["overlap"])) == "classifier"
        for name, values in read["overlap"]["classifier"]["measures"].items():
            other = computed["overlap"]["classifier"]["measures"][name]
            assert values["synthetic"] == pytest.approx(other["synthetic"], rel=1e-3, abs=1e-3)
        assert read["pictures_by"] == "classifier"
        pairs = [[{k: p[k] for k in ("synthetic", "real")} for p in f["pictures"]]
                 for f in (read, computed)]  # fmt: skip
        assert len(pairs[0]) >= 6
        assert pairs[0] == pairs[1]

    def test_an_imagenet_network(self, of_experiment, tmp_path):
        from cgan_tf.models.resnet import keras_resnet

        keras_resnet().save_weights(tmp_path / "backbone.weights.h5")
        actual = of_experiment("it", imagenet_weights=str(tmp_path / "backbone.weights.h5"))
        assert actual["overlap"]["ImageNet"]["measures"]["mixing"]["synthetic"] is not None

    @pytest.mark.parametrize("name", ["mixed", "evaluation_mixed"])
    def test_a_classifier_of_synthetic_patches_is_refused(
        self, of_experiment, toy_experiment, name
    ):
        with pytest.raises(UserError, match=r"expected a baseline.*50% synthetic"):
            of_experiment("refused", classifier=str(toy_experiment / name))

    def test_an_evaluation_without_the_patches(self, config, toy_experiment):
        config = dataclasses.replace(config, classifier=str(toy_experiment / "evaluation_baseline"))
        with pytest.raises(UserError, match="the features of patch 'train-source-0~mass0'"):
            measure_quality(config)

    def test_every_set_is_looked_for_before_one_is_measured(self, config, toy_experiment, tmp_path):
        """What the message advises is another flag: a set that is measured would refuse it."""
        config = dataclasses.replace(
            config, patches_dir=str(toy_experiment / "patches"), output_dir=str(tmp_path / "two"),
            synthetic_dirs=(str(toy_experiment / "mass"), *config.synthetic_dirs),
            classifier=str(toy_experiment / "evaluation_baseline"),
        )  # fmt: skip
        with pytest.raises(UserError, match="or give --classifier a work directory"):
            measure_quality(config)
        assert not (tmp_path / "two").exists()

    def test_ids_find_their_features(self, toy_experiment):
        evaluation = toy_experiment / "evaluation_baseline"
        features = feature_spaces(
            QualityConfig(classifier=str(evaluation))
        )["classifier"]  # fmt: skip
        arrays = np.load(evaluation / "features.npz")
        ids = arrays["validation_patch_id"][[3, 0]].tolist()
        np.testing.assert_array_equal(features(None, ids), arrays["validation"][[3, 0]])


class TestPictures:
    def test_nearest_real_is_of_another_woman(self):
        ours = Points(np.array([[0.0], [10.0], [5.0]]), np.array(["a", "b", "c"]), _names("s", 3))
        real = Points(np.array([[0.1], [1.0], [9.0]]), np.array(["a", "d", "c"]), _names("r", 3))
        actual = [(pair.synthetic, pair.real, pair.value) for pair in nearest_real(ours, real)]
        assert actual == [("s0", "r1", 1.0), ("s1", "r2", 1.0), ("s2", "r1", 4.0)]

    def test_without_another_woman_there_is_no_neighbour(self):
        points = Points(np.zeros((2, 3)), np.array(["a", "a"]), _names("s", 2))
        assert nearest_real(points, points) == []

    def test_examples_are_of_the_ends_and_the_middle(self):
        ordered = [Pair("", f"s{n}", "r", float(n)) for n in range(9)]
        actual = [(pair.kind, pair.value) for pair in examples(ordered, 2)]
        assert actual == [
            *(("best", 0), ("best", 1), ("median", 3), ("median", 4)),
            *(("worst", 7), ("worst", 8)),
        ]
        assert len(examples(ordered[:1], 2)) == 3

    def test_likely_copies_are_of_different_training_lesions(self):
        actual = likely_copies([("a", "x", 0.9), ("b", "x", 0.8), ("c", "y", 0.7)])
        assert [(pair.synthetic, pair.real) for pair in actual] == [("a", "x"), ("c", "y")]
        assert likely_copies([]) == []


def test_box_of_a_mask():
    mask = np.zeros((10, 10), np.float32)
    mask[2:5, 3:9] = 0.8
    mask[1, 1] = 0.1  # the faint edge
    assert mask_box(mask) == (3, 2, 9, 5)
    assert mask_box(None) == mask_box(0 * mask) == ()


def test_toy_removal_is_of_the_training_masses(sets):
    index = PatchSet(sets / "removal").index("train", "normal")
    assert index.record(3).source_patch_id == "train-malignant_mass-3"


def _names(prefix, count):
    return np.array([f"{prefix}{number}" for number in range(count)])
