"""What benchmarks/removal.py measures, by hand and on a patch of the phantom."""

import json

import numpy as np
import pytest

from benchmarks.removal import (
    Cleaned,
    Kind,
    beyond_reach,
    comparison,
    met,
    share_gone,
    shares,
    true_layer,
    without_layers,
)
from cgan_tf.data.records import PatchRecord

SIZE = 64
Y, X = np.mgrid[:SIZE, :SIZE]
LAYER = np.where((X >= 20) & (X < 30) & (Y >= 20) & (Y < 24), 0.4, 0).astype(np.float32)
LAYER[24:30, 20:30] = 0.1  # under half of the peak
FLAGS = {"dilation": 8, "smoothing": 4.0}  # 2 and 4 px at 64
BOX = (18.0, 18.0, 32.0, 32.0)


def cleaned(after, before=LAYER, layer=LAYER):
    record = PatchRecord("s", before, "malignant_mass", box=BOX, client_id="w")
    return Cleaned([record], [record], after[None], before[None], layer[None])


class TestShareGone:
    @pytest.mark.parametrize("gone", [0.0, 0.3, 1.0, 1.2])
    def test_of_the_bright_part(self, gone):
        assert share_gone(LAYER, LAYER - gone * LAYER, LAYER) == pytest.approx(gone)

    def test_what_is_faint_does_not_count(self):
        assert share_gone(LAYER, np.minimum(LAYER, 0.1), LAYER) == pytest.approx(0.75)
        assert share_gone(LAYER, np.where(LAYER < 0.2, 0, LAYER), LAYER) == 0

    def test_quartiles_by_class(self):
        found = shares(cleaned(0.9 * LAYER))
        assert set(found) == {"all", "malignant_mass"}
        assert found["all"]["quartiles"] == [0.1] * 3
        assert (found["all"]["under_a_third"], found["all"]["over_1.5"]) == (1, 0)

    def test_a_patch_that_shows_no_lesion_has_no_share(self):
        both = cleaned(0.9 * LAYER)
        more = Cleaned(
            both.records * 2, both.sources * 2, np.repeat(both.patches, 2, 0),
            np.repeat(both.before, 2, 0), np.stack([LAYER, 0 * LAYER]),
        )  # fmt: skip
        assert shares(more)["all"]["patches"] == 1


class TestReach:
    @pytest.mark.parametrize(("x", "expected"), [(12, 0.0), (11, 0.5), (37, 0.0), (38, 0.5)])
    def test_expansion_and_edge_around_the_box(self, x, expected):
        after = LAYER.copy()
        after[25, x] += 0.5
        assert beyond_reach(cleaned(after), FLAGS) == pytest.approx(expected)


def test_a_source_without_its_layer_is_continued_where_it_was_saturated():
    tissue = np.full((SIZE, SIZE), 0.2, np.float32)
    layer = 3 * LAYER
    source = np.minimum(tissue + layer, 1)
    (healthy,) = without_layers(cleaned(source, source, layer))
    np.testing.assert_allclose(healthy, tissue, atol=1e-6)


def test_the_null_has_no_woman_on_both_sides():
    patients = np.repeat([f"w{n}" for n in range(40)], 3)
    normals = Kind(np.zeros((120, 8, 8), np.float32), patients)
    one, other = comparison("null", cleaned(LAYER), normals)
    assert not set(one.patients) & set(other.patients)
    assert len(one.patches) + len(other.patches) == 120
    assert min(len(one.patches), len(other.patches)) > 30


def content(**changes):
    run = {"auc": 0.69, "learnt_from": [1000, 1400]}
    return {
        "share_removed": {"all": {"quartiles": [0.7, 0.8, 0.9]}},
        "acceptance_rate": 0.5,
        "beyond_reach": 0.0,
        "auc_removed": [run],
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, None),
        ({"share_removed": {"all": {"quartiles": [0.7, 0.79, 0.9]}}}, "share"),
        ({"acceptance_rate": 0.49}, "accepted"),
        ({"beyond_reach": 1e-4}, "near"),
        ({"auc_removed": [{"auc": 0.71, "learnt_from": [1000, 1000]}]}, "indistinct"),
        ({"auc_removed": [{"auc": 0.5, "learnt_from": [999, 1400]}]}, "indistinct"),
    ],
)
def test_goals(changes, missed):
    found = met(content(**changes))
    assert {name for name, reached in found.items() if not reached} == ({missed} - {None})


def test_a_layer_is_cut_as_its_patch_was(tmp_path):
    """The layer of an image, at the place, size and turn that the record names."""
    directory = tmp_path / "truth" / "c"
    directory.mkdir(parents=True)
    layer = np.zeros((11, 11), np.float16)
    layer[4:7, 2:9] = 0.5
    np.savez(directory / "i.npz", layer_0=layer, corner_0=np.array([100, 200]), mask=np.zeros(1))
    flags = {"image_size": "small"}
    (tmp_path / "run.json").write_text(json.dumps({"flags": flags}), encoding="utf-8")
    window = (90.0, 180.0, float(SIZE))
    upright, turned = (
        PatchRecord(
            "p", np.zeros((SIZE, SIZE)), "malignant_mass", client_id="c", sop_uid="i",
            pixel_spacing_mm=0.28, window=window, rotation=rotation,
        )
        for rotation in (0, 90)
    )  # fmt: skip
    found = true_layer(upright, tmp_path)
    rows, columns = np.nonzero(found)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (24, 26, 12, 18)
    np.testing.assert_array_equal(true_layer(turned, tmp_path), np.rot90(found))
