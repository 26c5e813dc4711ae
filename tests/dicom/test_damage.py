"""Three hundred damaged files in one tree: every one in the ledger, and no patch moves."""

import csv
import json
import shutil
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest

from beam_pipelines.patches.job import make_patches
from beam_pipelines.rejections import Reason
from cgan_tf.config import PatchesConfig
from cgan_tf.data.patch_sets import PatchSet
from tests.toys.fatal_damage import DICOM_DAMAGES, bad_stretch, cut_json, damage_files
from tests.toys.omidb_tree import MARK, SHAPE, Tree, breast, compressed, malignant, screening

# A tree of a hundred and twenty women; patches/test_job.py damages two files of a small one.
pytestmark = pytest.mark.slow

FIRST = 100  # client
HEALTHY, CASES, LOST = 60, 30, 30  # clients; of the last every image is lost with a document
VIEWS = ("LCC", "LMLO", "RCC", "RMLO")
DAMAGED_IMAGES, DAMAGED_SIDE_CARS = 200, 70
_JPEG_LOSSLESS, _JPEG_LS, _JPEG_2000 = (f"1.2.840.10008.1.2.4.{n}" for n in (70, 80, 90))
_ENCODERS = {
    _JPEG_LOSSLESS: lambda p: imagecodecs.jpeg8_encode(p, lossless=True, bitspersample=12),
    _JPEG_LS: imagecodecs.jpegls_encode,
    _JPEG_2000: lambda p: imagecodecs.jpeg2k_encode(p, codecformat="j2k", level=0),
}


def _grow(root: Path) -> Tree:
    """A tree in all codings, some images without side-cars."""
    tree = Tree(root)
    case = screening(SURGERY=malignant())
    for number in range(HEALTHY + CASES + LOST):
        name, side_cars = f"demd{FIRST + number}", number % 3 > 0
        if HEALTHY <= number < HEALTHY + CASES:
            tree.client(name, {"LCC": {"7": MARK}, "LMLO": {"7": MARK}}, case, side_cars=side_cars)
        else:
            tree.client(name, dict.fromkeys(VIEWS), side_cars=side_cars)
    syntaxes = [None, *_ENCODERS]
    for number, path in enumerate(sorted(tree.images.rglob("*.dcm"))):
        syntax = syntaxes[number % len(syntaxes)]
        if syntax:
            header = pydicom.dcmread(path)
            compressed(header, syntax, _ENCODERS[syntax](breast(SHAPE, seed=number)))
            pydicom.dcmwrite(path, header, enforce_file_format=True)
    return tree


def _damage(tree: Tree) -> dict[Path, set[Reason]]:
    """Damages three hundred files; the reasons that may be given for each."""
    order = np.random.default_rng(0)
    kept = [path for path in sorted(tree.images.rglob("*.dcm")) if not _is_lost(path, tree.images)]
    victims = sorted(order.choice(np.array(kept, object), DAMAGED_IMAGES, replace=False))
    lossless = [p for p in victims if pydicom.dcmread(p).file_meta.TransferSyntaxUID.endswith("70")]
    others = [path for path in victims if path not in lossless[:25]]
    damages = [damage for damage in DICOM_DAMAGES if damage is not bad_stretch]
    done = damage_files(others, damages, 1) | damage_files(lossless[:25], [bad_stretch], 2)
    expected = {path: DICOM_DAMAGES[damage] for path, damage in done.items()}
    side_cars = [p for p in sorted(tree.data.glob("*/*/*.json")) if not _is_lost(p, tree.data)]
    chosen = list(order.choice(np.array(side_cars, object), DAMAGED_SIDE_CARS, replace=False))
    documents = [path for path in sorted(tree.data.glob("*/*.json")) if _is_lost(path, tree.data)]
    chosen += documents[::4] + documents[3::4]  # an IMAGEDB, then the NBSS of the next client
    return expected | {path: {Reason.BROKEN_JSON} for path in damage_files(chosen, [cut_json], 3)}


def _is_lost(path: Path, root: Path) -> bool:
    """Whether a document of the file's client is damaged."""
    return int(path.relative_to(root).parts[0].removeprefix("demd")) >= FIRST + HEALTHY + CASES


def _config(tree: Path, output: Path, **changes) -> PatchesConfig:
    counts = {name: 0 for name in vars(PatchesConfig()) if name.startswith(("train_", "eval_"))}
    values = {
        **counts,
        "train_fraction": 0.6,
        "train_normal": 200,
        "train_malignant_mass": 60,
        "train_source": 20,
        "eval_normal": 100,
        "eval_malignant_mass": 30,
        **changes,
    }
    return PatchesConfig(
        input_dir=str(tree), output_dir=str(output), size=32, allow_shortfall=True, **values
    )


def _patches(directory: Path) -> dict[str, bytes]:
    """What a patch set holds beside its account."""
    account = ("run.json", "manifest.json", "metrics.json", "rejections.csv", ".lock")
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in account
    }


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """(root with the trees `damaged` and `removed`, the reasons expected for each path)."""
    root = tmp_path_factory.mktemp("damage")
    tree = _grow(root / "damaged")
    expected = _damage(tree)
    removed = root / "removed"
    shutil.copytree(tree.root, removed)
    for path in expected:
        (removed / path.relative_to(tree.root)).unlink()
    return root, {str(path.relative_to(tree.root)): why for path, why in expected.items()}


@pytest.fixture(scope="module")
def patches_of_damaged(damaged, tmp_path_factory):
    """The patch set of the damaged tree, made by one worker."""
    root, _ = damaged
    output = tmp_path_factory.mktemp("damaged") / "out"
    make_patches(_config(root / "damaged", output))
    return output


def _assert_every_file_is_accounted_for(output: Path, expected: dict[str, set[Reason]]) -> None:
    assert len(expected) == 300
    with (output / "rejections.csv").open() as file:
        found = {row["file"]: Reason(row["reason"]) for row in csv.DictReader(file)}
    assert [name for name, reasons in expected.items() if found.get(name) not in reasons] == []
    patches = PatchSet(output)
    assert patches.count("train", "normal") == 200
    assert patches.count("train", "source") == 20
    assert patches.count("test", "malignant_mass") == 30
    assert patches.manifest["ledger"]["images"]["used"] > 50


@pytest.mark.timeout(120)
def test_every_damaged_file_is_in_the_ledger_and_changes_no_patch(
    damaged, patches_of_damaged, tmp_path
):
    root, expected = damaged
    _assert_every_file_is_accounted_for(patches_of_damaged, expected)
    make_patches(_config(root / "removed", tmp_path / "removed"))
    assert _patches(patches_of_damaged) == _patches(tmp_path / "removed")


def test_literal_sampling_does_not_mind_damage_either(damaged, tmp_path):
    root, expected = damaged
    for name in ("damaged", "removed"):
        make_patches(_config(root / name, tmp_path / name, image_sampling="random"))
    _assert_every_file_is_accounted_for(tmp_path / "damaged", expected)
    assert _patches(tmp_path / "damaged") == _patches(tmp_path / "removed")


@pytest.mark.timeout(240)
def test_damaged_files_take_no_worker_down(damaged, patches_of_damaged, tmp_path):
    root, _ = damaged
    options = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    make_patches(_config(root / "damaged", tmp_path / "two", beam=options))
    assert _patches(patches_of_damaged) == _patches(tmp_path / "two")
    one, two = (
        json.loads((directory / "manifest.json").read_text())["ledger"]
        for directory in (patches_of_damaged, tmp_path / "two")
    )
    assert one == two
