"""Pasted lesions: where they are said to be, at full strength, and nothing else is changed."""

import dataclasses

import numpy as np
import pytest

from cgan_tf.config import PasteConfig
from cgan_tf.data.lesion_layer import continued, lesion_layer, slices_of
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.data.provenance import check_origins, origins_of_set, patient_digest
from cgan_tf.data.records import LEVELS
from cgan_tf.runs.directory import read_manifest
from cgan_tf.runs.errors import UserError
from cgan_tf.synthesis.pasting import Pasting, Place, draw_place, paste, paste_lesions, turned_box
from tests.toys.patches import write_toy_patches
from tests.toys.tfds_reading import assert_read_alike

SIZE = 32
BOX = slice(10, 18), slice(4, 9)  # rows, columns: 8 high, 5 wide
LAYER = np.zeros((SIZE, SIZE), np.float32)
LAYER[BOX] = 0.1 + np.arange(40).reshape(8, 5) / 100
HEALTHY = np.random.default_rng(0).normal(-0.2, 0.1, (SIZE, SIZE)).astype(np.float32)


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    return PatchSet(write_toy_patches(tmp_path_factory.mktemp("toy"), size=SIZE, per_class=9))


@pytest.fixture
def config(patches, tmp_path):
    return PasteConfig(patches_dir=str(patches.directory), output_dir=str(tmp_path / "p"), count=20)


@pytest.fixture(scope="module")
def made(patches, tmp_path_factory):
    directory = tmp_path_factory.mktemp("pasted") / "set"
    paste_lesions(
        PasteConfig(patches_dir=str(patches.directory), output_dir=str(directory), count=40)
    )
    return PatchSet(directory)


def records_of(patches, *classes, split="train"):
    index = patches.index(split, *classes)
    return [index.record(n) for n in range(len(index))]


class TestPaste:
    def test_moved_the_layer_stands_on_the_continued_tissue(self):
        pasted = paste(HEALTHY, LAYER, BOX, Place(False, 0, x=20, y=3))
        there = slice(3, 11), slice(20, 25)
        assert pasted.box == (20, 3, 25, 11)
        expected = continued(HEALTHY, *there) + LAYER[BOX]
        np.testing.assert_allclose(pasted.patch[there], expected, atol=1e-6)
        outside = np.ones((SIZE, SIZE), bool)
        outside[there] = False
        np.testing.assert_array_equal(pasted.patch[outside], HEALTHY[outside])
        np.testing.assert_array_equal(pasted.mask > 0, ~outside)

    def test_its_estimate_is_the_layer_again(self):
        """Poisson blending by an independent way: what is estimated from the result is the same."""
        pasted = paste(HEALTHY, LAYER, BOX, Place(True, 1, x=7, y=12))
        found = lesion_layer(pasted.patch, pasted.box)[slices_of(pasted.box, SIZE)]
        np.testing.assert_allclose(found, np.rot90(LAYER[BOX][:, ::-1]), atol=1e-6)

    @pytest.mark.parametrize(
        ("mirrored", "turns", "corner"),
        [
            (False, 0, (4, 10)),
            (False, 1, (10, 23)),  # counter-clockwise: the right edge comes to the top
            (False, 2, (23, 14)),
            (True, 0, (23, 10)),
        ],
    )
    def test_turned_boxes_by_hand(self, mirrored, turns, corner):
        rows, columns = turned_box(BOX, SIZE, mirrored, turns)
        assert (columns.start, rows.start) == corner
        width, height = (5, 8) if turns % 2 == 0 else (8, 5)
        assert (columns.stop - columns.start, rows.stop - rows.start) == (width, height)

    def test_a_feather_fades_towards_the_edge(self):
        pasted = paste(HEALTHY, LAYER, BOX, Place(False, 0, x=20, y=3), feather_px=2)
        added = pasted.patch - HEALTHY
        weights = np.array([0.25, 0.75, 1, 1, 1, 1, 0.75, 0.25])[:, None] * [
            0.25, 0.75, 1, 0.75, 0.25
        ]  # fmt: skip
        np.testing.assert_allclose(added[3:11, 20:25], LAYER[BOX] * weights, atol=1e-6)
        assert np.count_nonzero(added) == 40

    def test_values_stay_grey_levels(self):
        assert paste(HEALTHY, 20 * LAYER, BOX, Place(False, 0, 1, 1)).patch.max() == 1


class TestPlace:
    def places(self, box, count=400):
        return [draw_place(box, SIZE, np.random.default_rng(seed)) for seed in range(count)]

    def test_a_whole_lesion_goes_anywhere_inside(self):
        places = self.places(BOX)
        assert {(p.mirrored, p.turns) for p in places} == {
            (m, t) for m in (False, True) for t in range(4)
        }
        upright = [p for p in places if p.turns % 2 == 0]
        assert min(p.x for p in upright) == 1
        assert max(p.x for p in upright) == SIZE - 5 - 1
        assert max(p.y for p in upright) == SIZE - 8 - 1

    def test_a_side_that_the_patch_cuts_stays_at_a_border(self):
        cut = slice(10, 18), slice(0, 9)  # at the left border
        for place in self.places(cut):
            rows, columns = turned_box(cut, SIZE, place.mirrored, place.turns)
            height, width = rows.stop - rows.start, columns.stop - columns.start
            at = {
                "left": place.x == 0,
                "right": place.x + width == SIZE,
                "top": place.y == 0,
                "bottom": place.y + height == SIZE,
            }
            assert sum(at.values()) == 1
        assert len({(p.x, p.y) for p in self.places(cut)}) > 40


class TestSet:
    def test_nothing_changes_outside_the_mask(self, made, patches):
        sources = {r.patch_id: r for r in records_of(patches, "source")}
        for record in records_of(made, "malignant_mass", "malignant_calcification"):
            source = sources[record.source_patch_id]
            outside = record.mask == 0
            np.testing.assert_array_equal(record.patch[outside], source.patch[outside])
            rows, columns = slices_of(record.box, SIZE)
            assert outside.sum() == SIZE**2 - (record.mask[rows, columns] > 0).sum()
            added = record.patch - source.patch
            np.testing.assert_allclose(record.lesion, added, atol=2.1 / LEVELS)

    def test_lesions_and_tissue_are_of_the_training_split(self, made, patches):
        lesions = {
            r.patch_id: r for r in records_of(patches, "malignant_mass", "malignant_calcification")
        }
        for record in records_of(made, "malignant_mass", "malignant_calcification"):
            source, lesion, _ = record.patch_id.split("~")
            assert source == record.source_patch_id
            assert source.startswith("train-source")
            assert lesion.startswith("train-malignant")
            assert record.patch_class == lesions[lesion].patch_class
            assert record.synthetic == 1
            assert record.client_id.startswith("train-")

    def test_the_layer_is_that_of_the_lesion(self, made, patches):
        """Not dimmed: its sum of squares is the training lesion's, in whatever direction."""
        lesions = {
            r.patch_id: r for r in records_of(patches, "malignant_mass", "malignant_calcification")
        }
        for record in records_of(made, "malignant_mass"):
            lesion = lesions[record.patch_id.split("~")[1]]
            before = (lesion_layer(lesion.patch, lesion.box) ** 2).sum()
            after = (lesion_layer(record.patch, record.box) ** 2).sum()
            assert after == pytest.approx(before, rel=1e-3)

    def test_lesions_take_turns_in_the_proportion_of_the_set(self, made):
        ids = [
            record.patch_id.split("~")[1]
            for record in records_of(made, "malignant_mass", "malignant_calcification")
        ]
        counts = [ids.count(name) for name in set(ids)]
        assert len(counts) == 18
        assert max(counts) - min(counts) <= 1

    def test_the_manifest_says_whose_lesions_they_are(self, made, patches):
        manifest = read_manifest(made.directory, "paste_lesions")
        women = {f"train-case-000{number}" for number in range(3)}
        assert manifest["lesion_patients"] == sorted(map(patient_digest, women))
        assert sum(made.count("train", name) for name in made.splits["train"]) == 40
        assert check_origins(patches, origins_of_set(made), False) == ()

    def test_a_set_of_another_split_is_refused(self, made, tmp_path):
        other = write_toy_patches(tmp_path / "o", size=SIZE, per_class=9, women={"test": "train"})
        with pytest.raises(UserError, match=r"the lesions of .*: 3 of its 3 women are in the test"):
            check_origins(PatchSet(other), origins_of_set(made), False)

    def test_the_same_flags_give_the_same_bytes(self, config, tmp_path):
        content = []
        for name in ("a", "b"):
            paste_lesions(dataclasses.replace(config, output_dir=str(tmp_path / name)))
            files = sorted((tmp_path / name).rglob("*.tfrecord"))
            content.append([path.read_bytes() for path in files])
        assert content[0] == content[1]
        pictures = {path.name for path in (tmp_path / "a").glob("*.png")}
        assert pictures == {f"contact_sheet_malignant_{n}.png" for n in ("mass", "calcification")}
        assert (tmp_path / "a" / "gallery.html").exists()

    def test_tensorflow_datasets_reads_it(self, made):
        assert assert_read_alike(made.directory) == 40

    def test_lesions_without_tissue_around_are_passed_over(self, config, monkeypatch):
        pasting = Pasting(config)
        original = pasting.record
        monkeypatch.setattr(pasting, "record", lambda n: None if n % 3 == 0 else original(n))
        assert len(list(pasting.records())) == 20
        assert pasting.left_out == 10
        monkeypatch.setattr(pasting, "record", lambda n: None)
        with pytest.raises(UserError, match="no lesion has a box with tissue around it"):
            list(pasting.records())

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"count": 0}, "--count: expected 1 or more"),
            ({"feather": -1.0}, "--feather: expected 0 or more"),
            ({"patches_dir": "nowhere"}, "nowhere: expected an output directory"),
        ],
    )
    def test_mistakes(self, config, changes, words, tmp_path):
        with pytest.raises(UserError, match=words):
            paste_lesions(dataclasses.replace(config, **changes))
        assert not (tmp_path / "p").exists()
