"""The whole job on a tiny tree: equality with patches, tables, ledger, resuming, refusals."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from beam_pipelines.dicom import reading
from beam_pipelines.patches.breast_mask import film_bounds
from beam_pipelines.patches.job import make_patches
from beam_pipelines.patches.windows import Augmentation, cut_patch
from beam_pipelines.scoring import images as scoring_images
from beam_pipelines.scoring.job import predict_images
from cgan_tf.classifier.scoring import load_classifier
from cgan_tf.config import PatchesConfig, PredictImagesConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.detection.heat_maps import grid_of, read_heat_map
from cgan_tf.detection.predictions import read_predictions
from cgan_tf.runs.directory import read_json, read_manifest
from cgan_tf.runs.errors import UserError
from tests.toys.classifier import write_toy_classifier
from tests.toys.omidb_tree import MARK, Tree, breast, dataset, malignant, screening, write

THREADS = {"intra_op_threads": 0, "inter_op_threads": 0}  # those that this process has
SIZE = 32


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return write_toy_classifier(tmp_path_factory.mktemp("classifier") / "run", SIZE)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Two women with a lesion, four without, and an image that is not one."""
    tree = Tree(tmp_path_factory.mktemp("omidb") / "tree")
    for number in (1, 2):
        case = screening(SURGERY=malignant())
        tree.client(f"demd{number}", {"LCC": {"7": MARK}, "LMLO": {"7": MARK}}, case)
    for number in range(3, 7):
        tree.client(f"demd{number}", {"LCC": None, "RMLO": None})
    broken = next((tree.images / "demd6").rglob("*.2.1.dcm"))
    broken.write_bytes(broken.read_bytes()[:-4000])
    return tree


def config_of(tree, output, classifier, **changes) -> PredictImagesConfig:
    values = {
        "classifier": str(classifier),
        "input_dir": str(tree.root),
        "output_dir": str(output),
        "overlays": 4,
        **THREADS,
        **changes,
    }
    return PredictImagesConfig(**values)


@pytest.fixture(scope="module")
def predicted(tree, classifier, tmp_path_factory):
    """Every image of the tree; tests read it and never write into it."""
    output = tmp_path_factory.mktemp("predicted") / "out"
    predict_images(config_of(tree, output, classifier))
    return output


def files_of(directory: Path) -> dict[str, bytes]:
    """Every file but the run's own records of flags, by name."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in ("run.json", "manifest.json", ".lock")
    }


def path_of(tree: Tree, sop_uid: str) -> Path:
    return next(tree.images.rglob(f"{sop_uid}.dcm"))


def test_the_logits_are_those_of_patches_cut_at_the_same_places(tree, classifier, predicted):
    model = load_classifier(classifier, read_manifest(classifier, "train_classifier"))
    plain = Augmentation(False, 0, SIZE)
    seen = 0
    for image in read_predictions(predicted).images:
        heat = read_heat_map(predicted, image.sop_uid)
        mammogram = reading.read_mammogram(path_of(tree, image.sop_uid).read_bytes())
        mammogram = reading.crop(mammogram, film_bounds(mammogram.grey).place)
        grid = grid_of(mammogram.grey.shape, SIZE, 8)
        assert heat.logits.shape == grid.shape
        scored = np.isfinite(heat.logits)
        assert 50 < scored.sum() < scored.size
        rows, columns = np.nonzero(scored)
        patches = [
            cut_patch(mammogram.grey, int(grid.lefts[c]), int(grid.tops[r]), plain, SIZE)
            for r, c in zip(rows, columns, strict=True)
        ]
        for start in range(0, len(patches), 64):
            expected = model.infer(np.stack(patches[start : start + 64])[..., None])[0].numpy()
            found = heat.logits[scored][start : start + 64]
            np.testing.assert_array_equal(found, expected)  # to the last bit
        seen += len(patches)
    assert seen > 1000


def test_a_patch_of_make_patches_has_the_logit_of_its_window(classifier, tmp_path):
    """The file of a patch set has 16 bits a pixel, a window float32: the rest is the same."""
    tree = Tree(tmp_path / "tree")
    tree.client("demd1", {"LCC": None})  # one image: windows at every pixel are many
    counts = {name: 0 for name in vars(PatchesConfig()) if name.startswith("eval_")}
    names = [n for n in vars(PatchesConfig()) if n.startswith("train_") and n != "train_fraction"]
    counts |= {name: 0 for name in names if name != "train_lesion_clients"}
    flags = {"flip_probability": 0.0, "rotate": False, "scale_min": 1.0, "scale_max": 1.0}
    make_patches(
        PatchesConfig(
            input_dir=str(tree.root), output_dir=str(tmp_path / "patches"), size=SIZE,
            all_in_split="train", **{**counts, "train_normal": 4}, min_tissue=0.6, **flags,
        )
    )  # fmt: skip
    index = PatchSet(tmp_path / "patches").index("train", "normal")
    model = load_classifier(classifier, read_manifest(classifier, "train_classifier"))
    # A stride of 8 is a pixel for windows of 32 px.
    config = config_of(tree, tmp_path / "out", classifier, stride=8, min_tissue=0.5)
    predict_images(config)
    assert len(index) == 4
    for number in range(len(index)):
        record = index.record(number)
        heat = read_heat_map(tmp_path / "out", record.sop_uid)
        left, top, side = (int(edge) for edge in record.window)
        assert side == SIZE
        row = np.flatnonzero(heat.y == top + SIZE / 2)
        column = np.flatnonzero(heat.x == left + SIZE / 2)
        logit = model.infer(record.patch[None, ..., None])[0].numpy()[0]
        np.testing.assert_allclose(heat.logits[row, column], logit, atol=2e-3)


def test_tables_say_what_is_known_and_predicted(tree, predicted):
    found = read_predictions(predicted)
    assert len(found.images) == 11
    assert [image.sop_uid for image in found.images] == sorted(i.sop_uid for i in found.images)
    malignant = {image.client_id for image in found.images if image.malignant == 1}
    assert malignant == {"demd1", "demd2"}
    assert {image.malignant for image in found.images} == {0, 1}
    assert {(image.width, image.height, image.spacing_mm) for image in found.images} == {
        (160, 200, 0.1)
    }
    assert len(found.lesions) == 4
    assert {lesion.box for lesion in found.lesions} == {(20.0, 90.0, 50.0, 120.0)}
    assert {lesion.size_mm for lesion in found.lesions} == {3.0}
    best = {}
    for candidate in found.candidates:
        best.setdefault(candidate.sop_uid, candidate.score)
        assert 0 <= candidate.x0 < candidate.x1 <= 160
        assert 0 <= candidate.y0 < candidate.y1 <= 200
        assert best[candidate.sop_uid] >= candidate.score
    # The first candidate has the score of its image.
    assert best == {image.sop_uid: image.score for image in found.images}
    assert [patient.client_id for patient in found.patients] == [f"demd{n}" for n in range(1, 7)]
    for patient in found.patients:
        own = [i.score for i in found.images if i.client_id == patient.client_id]
        assert (patient.score, patient.images) == (max(own), len(own))
    # The views of a case are of one breast, the others are of two.
    assert [breast.images for breast in found.breasts] == [2, 2, *[1] * 7]


def test_the_ledger_adds_up_and_names_what_is_left_out(predicted):
    manifest = read_json(predicted / "manifest.json")
    ledger = manifest["ledger"]
    assert ledger["images"] == {
        "read": 12, "used": 11, "not_needed": 0, "rejected": {"broken_pixel_data": 1}
    }  # fmt: skip
    assert (ledger["marks"]["read"], ledger["marks"]["used"]) == (4, 4)
    assert (manifest["images"], manifest["patients"], manifest["breasts"]) == (11, 6, 9)
    assert manifest["windows"] > 1000
    assert manifest["model"] == {"name": "Baseline", "seed": 0}
    with (predicted / "rejections.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["reason"] for row in rows] == ["broken_pixel_data"]
    assert not (predicted / ".work").exists()


def test_pictures_and_page(predicted):
    shown = {path.stem for path in (predicted / "overlays").iterdir()}
    assert shown == {path.stem for path in (predicted / "mammograms").iterdir()}
    malignant = {i.sop_uid for i in read_predictions(predicted).images if i.malignant}
    assert len(shown) == 4
    assert len(shown & malignant) == 2
    page = (predicted / "viewer.html").read_text(encoding="utf-8")
    assert all(f'src="overlays/{name}.png"' in page for name in shown)
    truth = json.loads((predicted / "coco_truth.json").read_text())
    assert len(truth["annotations"]) == 4


def test_the_same_command_again_has_nothing_to_do(tree, classifier, predicted, capsys):
    before = files_of(predicted)
    predict_images(config_of(tree, predicted, classifier))
    assert "nothing to do" in capsys.readouterr().out
    assert files_of(predicted) == before


def test_an_interrupted_run_goes_on_and_gives_the_same_bytes(
    tree, classifier, predicted, tmp_path, monkeypatch
):
    calls = []
    score_image = scoring_images.score_image

    def failing(image, *arguments):
        calls.append(image.sop_uid)
        if len(calls) == 5:
            raise OSError(28, "No space left on device")
        return score_image(image, *arguments)

    monkeypatch.setattr(scoring_images, "score_image", failing)
    config = config_of(tree, tmp_path / "out", classifier)
    with pytest.raises(UserError, match="No space left"):
        predict_images(config)
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not (tmp_path / "out" / "images.csv").exists()
    predict_images(config)
    assert len(calls) == 5 + 8  # four images were not scored again
    assert files_of(tmp_path / "out") == files_of(predicted)


def test_workers_give_the_same_bytes(tree, classifier, predicted, tmp_path):
    beam = ("--direct_num_workers=2", "--direct_running_mode=multi_threading")
    predict_images(config_of(tree, tmp_path / "out", classifier, beam=beam))
    assert files_of(tmp_path / "out") == files_of(predicted)


def test_fewer_images_are_some_of_all(tree, classifier, predicted, tmp_path):
    predict_images(
        config_of(tree, tmp_path / "out", classifier, images=3, overlays=0, heat_maps=False)
    )
    found, whole = read_predictions(tmp_path / "out"), read_predictions(predicted)
    assert len(found.images) == 3
    assert set(found.images) <= set(whole.images)
    assert set(found.candidates) == {
        each for each in whole.candidates if each.sop_uid in {i.sop_uid for i in found.images}
    }
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert not names & {"heat_maps", "overlays", "mammograms", "viewer.html"}
    assert read_json(tmp_path / "out" / "manifest.json")["ledger"]["images"]["not_needed"] == 9


# Where lesions are


def test_candidates_lie_on_what_the_classifier_sees(tree, classifier, tmp_path, monkeypatch):
    """A classifier that sees bright discs finds one where it is drawn, in stored pixels, although
    it is shown averages of 2 x 2 of them."""
    folder = tmp_path / "films"
    pixels = breast((400, 320))
    rows, columns = np.mgrid[:400, :320]
    pixels[(rows - 230) ** 2 + (columns - 90) ** 2 < 15**2] = 4095
    write(folder / "film.dcm", dataset(pixels, SOPInstanceUID="1.2.9"))

    def bright(setup, threads):
        def score(grey, grid, chosen):
            sums = [
                grey[y : y + grid.size, x : x + grid.size].mean() for x, y in grid.corners(chosen)
            ]
            return 40 * (np.array(sums, np.float32) - 0.1)

        return score

    monkeypatch.setattr(scoring_images, "scorer_of", bright)
    config = config_of(
        tree, tmp_path / "out", classifier, source="folder", reduction=2, resample_spacing_mm=0.0
    )
    config = PredictImagesConfig(**{**vars(config), "input_dir": str(folder)})
    predict_images(config)
    found = read_predictions(tmp_path / "out")
    x, y = found.candidates[0].centre
    assert (x, y) == (pytest.approx(90, abs=6), pytest.approx(230, abs=6))
    assert found.candidates[0].box[2] - found.candidates[0].box[0] == 48  # of a window of 64
    assert found.images[0].malignant is None
    assert found.lesions == ()


# Splits and calibration


@pytest.fixture(scope="module")
def split_tree(tmp_path_factory):
    """Twelve women, every second with a lesion."""
    tree = Tree(tmp_path_factory.mktemp("split") / "tree")
    for number in range(1, 13):
        case = screening(SURGERY=malignant()) if number % 2 else None
        tree.client(f"demd{number}", {"LCC": {"7": MARK} if number % 2 else None}, case)
    return tree


@pytest.fixture(scope="module")
def patches(split_tree, tmp_path_factory):
    """The manifest of a patch set of these women."""
    directory = tmp_path_factory.mktemp("patches") / "set"
    counts = {f"train_{n}": 0 for n in ("benign_mass", "benign_calcification", "source")}
    counts |= {"train_malignant_calcification": 0, "train_normal": 4, "train_malignant_mass": 4}
    counts |= {f"eval_{n}": 0 for n in ("normal", "malignant_mass", "malignant_calcification")}
    make_patches(
        PatchesConfig(
            input_dir=str(split_tree.root), output_dir=str(directory), size=SIZE, seed=3,
            train_fraction=0.4, validation_fraction=0.3, min_tissue=0.5, allow_shortfall=True,
            **counts,
        )
    )  # fmt: skip
    return directory


def test_splits_are_those_of_the_patches(split_tree, patches, classifier, tmp_path):
    women = {}
    for split in ("train", "validation", "test"):
        output = tmp_path / split
        config = config_of(
            split_tree, output, classifier, split=split, patches_dir=str(patches), overlays=0
        )
        predict_images(config)
        found = read_predictions(output)
        assert {image.split for image in found.images} == {split}
        women[split] = {image.client_id for image in found.images}
    assert sum(map(len, women.values())) == len(set.union(*women.values())) == 12
    index = PatchSet(patches).index("train", "normal", "malignant_mass")
    assert {index.record(n).client_id for n in range(len(index))} <= women["train"]


def test_calibrated_scores_rest_on_other_women(split_tree, patches, classifier, tmp_path):
    def config(split, **changes):
        return config_of(
            split_tree, tmp_path / f"{split}{len(changes)}", classifier, split=split,
            patches_dir=str(patches), overlays=0, **changes,
        )  # fmt: skip

    predict_images(config("validation"))
    with_it = config("test", calibration_dir=str(tmp_path / "validation0"))
    predict_images(with_it)
    found = read_predictions(with_it.output_dir)
    for rows in (found.images, found.breasts, found.patients):
        assert all(0 < row.calibrated_score < 1 for row in rows)
    lines = read_json(Path(with_it.output_dir) / "manifest.json")["calibration"]
    assert set(lines) == {"image", "breast", "patient"}
    with pytest.raises(UserError, match="expected other women than those scored, found"):
        predict_images(config("validation", calibration_dir=str(tmp_path / "validation0")))
    changed = config("test", calibration_dir=str(tmp_path / "validation0"), stride=128)
    with pytest.raises(UserError, match="scored in the same way, found --stride=64 there, 128 her"):
        predict_images(changed)
    # The flag is another way to say the same resolution; another reduction is another image.
    for reduction, message in ((2, "found a reduction of 1 there, 2 here$"), (1, "other women")):
        flags = {"calibration_dir": str(tmp_path / "validation0"), "reduction": reduction}
        with pytest.raises(UserError, match=message):
            predict_images(config("validation", **flags))


# Refusals


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"classifier": "nowhere"}, "expected an output directory of train_classifier"),
        ({"dense": True}, "--dense: expected a classifier with --network=resnet50, found small"),
        ({"split": "test"}, "expected the patches of .* name them with --patches_dir"),
        ({"input_dir": "nowhere"}, "nowhere"),
        ({"stride": 0}, "--stride: expected 1 or more, found 0"),
        ({"beam": ("--fast",)}, "--beam=--fast: Beam has no such option"),
        ({"output_dir": "gs://x/y"}, "expected a local directory"),
        ({"calibration_dir": "nowhere"}, "expected an output directory of predict_images"),
        ({"resample_spacing_mm": 50.0}, "no image could be scored; left out: .*image_too_small"),
    ],
)
def test_refusals_are_one_line(tree, classifier, tmp_path, changes, line):
    config = config_of(tree, tmp_path / "out", classifier)
    with pytest.raises(UserError, match=line) as error:
        predict_images(PredictImagesConfig(**{**vars(config), **changes}))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_an_old_classifier_does_not_say_its_resolution(tree, patches, tmp_path):
    old = write_toy_classifier(tmp_path / "old", SIZE, patches_dir="gone")
    manifest = read_json(old / "manifest.json")
    del manifest["resolution"]
    (old / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="does not say at which resolution"):
        predict_images(config_of(tree, tmp_path / "out", old))
    predict_images(
        config_of(tree, tmp_path / "out", old, patches_dir=str(patches), images=1, overlays=0)
    )
    found = read_json(tmp_path / "out" / "manifest.json")
    assert found["resolution"] == {"resample_spacing_mm": 0.0, "reduction": 1}
