"""Cleaned patches: the share that is gone by hand, the lesion's place, and the test they pass."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from cgan_tf.assessment.lesions import SIDE
from cgan_tf.config import SynthesisConfig
from cgan_tf.data.records import PatchRecord
from cgan_tf.runs.errors import UserError
from cgan_tf.synthesis.postprocess import EMPTY, TOO_SMALL, Extraction
from cgan_tf.synthesis.removal import (
    LESION_LEFT,
    LITTLE_TISSUE,
    LOOKS_MALIGNANT,
    Acceptance,
    check_flags,
    replaced_lesion,
    share_removed,
    tissue_of,
)
from cgan_tf.synthesis.run import check_config

BOX = (20.0, 20.0, 44.0, 44.0)
Y, X = np.mgrid[:SIDE, :SIDE]
PLANE = (0.002 * X - 0.004 * Y).astype(np.float32)  # harmonic, so the estimate is exact
SPECKS = np.zeros((SIDE, SIDE), np.float32)
SPECKS[24:28, 24:28] = SPECKS[36:38, 30:34] = 0.4
FAINT = np.where((X >= 30) & (X < 42) & (Y >= 24) & (Y < 30), 0.1, 0).astype(np.float32)


class TestShareRemoved:
    SOURCE = PLANE + SPECKS + FAINT

    @pytest.mark.parametrize("gone", [0.0, 0.25, 1.0, 1.5])
    def test_a_part_of_all(self, gone):
        cleaned = self.SOURCE - gone * (SPECKS + FAINT)
        assert share_removed(self.SOURCE, cleaned, BOX) == pytest.approx(gone, abs=1e-5)

    def test_the_largest_object_alone(self):
        """16 of 24 bright pixels; what is under half of the peak does not count."""
        largest = np.where(Y < 30, SPECKS, 0)
        share = share_removed(self.SOURCE, self.SOURCE - largest, BOX)
        assert share == pytest.approx(16 / 24, abs=1e-5)
        faint = share_removed(self.SOURCE, self.SOURCE - FAINT, BOX)
        assert faint == pytest.approx(0, abs=1e-5)

    @pytest.mark.parametrize("box", [(), (0.0, 0.0, 64.0, 64.0)])
    def test_without_an_estimate_it_is_unknown(self, box):
        assert math.isnan(share_removed(self.SOURCE, PLANE, box))


class Flat:
    """Tissue of one grey level, instead of donors."""

    def filled(self, patch, region, rng):
        return np.where(region, -0.5, patch).astype(np.float32)


class TestReplacedLesion:
    HOW = Extraction(
        removal=True, threshold=0.1, min_area_fraction=0.0, dilation_px=1, sigma_px=2.5,
        objects="in_box",
    )  # fmt: skip

    def replaced(self, patch, channel, how=HOW, box=BOX):
        return replaced_lesion(patch, channel, box, how, Flat(), np.random.default_rng(0))

    def test_every_speck_goes_although_the_generator_saw_none(self):
        patch = PLANE + SPECKS
        found = self.replaced(patch, np.zeros_like(patch))
        assert found.rejected == ""
        cleaned = patch + found.lesion
        np.testing.assert_allclose(cleaned[SPECKS > 0], -0.5, atol=1e-6)
        assert set(np.unique(found.mask)) == {0, 1}
        np.testing.assert_array_equal(cleaned[found.mask == 0], patch[found.mask == 0])

    def test_what_the_generator_darkens_goes_too(self):
        patch = PLANE + SPECKS
        channel = np.where((X >= 38) & (X < 41) & (Y >= 38) & (Y < 41), -0.2, 0)
        before, after = (self.replaced(patch, each) for each in (0 * channel, channel))
        assert before.mask[39, 39] == 0
        assert after.mask[39, 39] == 1
        assert after.area_px == before.area_px + 9

    def test_nothing_changes_beyond_the_expansion_of_the_box(self):
        patch = np.where(X > 40, 0.9, PLANE).astype(np.float32)
        found = self.replaced(patch, np.full_like(patch, -0.5))
        rows, columns = np.nonzero(found.lesion)
        assert (columns.min(), columns.max() + 1) == (19, 45)
        assert (rows.min(), rows.max() + 1) == (19, 45)
        assert found.box == (19, 19, 45, 45)

    def test_more_than_a_stored_lesion_can_say(self):
        patch = np.where(SPECKS > 0, 1.0, PLANE).astype(np.float32)
        found = self.replaced(patch, np.zeros_like(patch))
        assert found.lesion.min() == -1

    def test_rejected(self):
        small = Extraction(**{**vars(self.HOW), "min_area_fraction": 0.5})
        patch = PLANE + SPECKS
        assert self.replaced(patch, 0 * patch, small).rejected == TOO_SMALL
        whole = self.replaced(patch, 0 * patch - 0.5, box=(0.0, 0.0, 64.0, 64.0))
        assert whole.rejected == EMPTY  # no tissue is left to fit


class TestAcceptance:
    SOURCE = PLANE + SPECKS

    def fault(self, gone, box=BOX, **settings):
        source = PatchRecord("p", self.SOURCE, "malignant_mass", box=box, tissue_fraction=0.85)
        defaults = {"min_tissue": 0.0, "min_share": 0.0, "max_score": 0.0, "critic": None}
        test = Acceptance(**{**defaults, **settings})
        return test.fault(source, self.SOURCE - gone * SPECKS)

    def test_nothing_is_asked_by_default(self):
        assert self.fault(0.0) == ""

    @pytest.mark.parametrize(("gone", "fault"), [(0.59, LESION_LEFT), (0.61, "")])
    def test_the_share(self, gone, fault):
        assert self.fault(gone, min_share=0.6) == fault

    def test_a_share_that_is_unknown_is_not_enough(self):
        assert self.fault(1.0, box=(), min_share=0.1) == LESION_LEFT

    @pytest.mark.parametrize(("least", "fault"), [(0.85, ""), (0.9, LITTLE_TISSUE)])
    def test_a_normal_patch_has_tissue(self, least, fault):
        assert self.fault(1.0, min_tissue=least) == fault

    @pytest.mark.parametrize(("gone", "fault"), [(0.2, LOOKS_MALIGNANT), (0.9, "")])
    def test_the_critic_scores_the_cleaned_patch(self, gone, fault):
        def critic(patch):
            return float((patch - PLANE).max() / 0.4)  # the share left

        assert self.fault(gone, max_score=0.5, critic=critic) == fault
        assert self.fault(gone, max_score=0.0, critic=critic) == ""


class TestFlags:
    @pytest.mark.parametrize(
        "flags",
        [{"texture": "tissue"}, {"min_share_removed": 0.5}, {"critic": "C"}, {"min_tissue": 0.9},
         {"max_critic_score": 0.5}],
    )  # fmt: skip
    def test_of_removal_alone(self, flags):
        (name,) = flags
        with pytest.raises(UserError, match=f"--{name}: is for removal, found the task mass"):
            check_flags(SynthesisConfig(**flags), "mass")

    @pytest.mark.parametrize(
        ("flags", "words"),
        [
            ({"min_share_removed": 80.0}, "--min_share_removed: expected .*, found 80$"),
            ({"max_critic_score": -0.5, "critic": "C"}, "--max_critic_score: expected .* -0.5$"),
        ],
    )
    def test_ranges(self, flags, words):
        with pytest.raises(UserError, match=words):
            check_config(SynthesisConfig(**flags))

    def test_a_score_asks_for_a_critic(self):
        with pytest.raises(UserError, match=r"--max_critic_score=0\.5: expected a --critic"):
            check_flags(SynthesisConfig(max_critic_score=0.5), "removal")

    def test_the_paper_asks_nothing(self):
        for task in ("mass", "calcification", "removal"):
            check_flags(SynthesisConfig(), task)


@pytest.mark.parametrize(("split", "healthy"), [("train", "source"), ("test", "normal")])
def test_where_healthy_tissue_comes_from(split, healthy):
    """Of train from the patches set aside; other splits have none, and normal ones will do."""
    asked = []

    def none(*place):
        asked.append(place)
        raise UserError("expected patches, found none")

    config = SynthesisConfig(texture="tissue", source_split=split)
    with pytest.raises(UserError, match="found none; --texture=tissue takes from them"):
        tissue_of(config, SimpleNamespace(index=none))
    assert asked == [(split, healthy)]
    assert tissue_of(SynthesisConfig(), SimpleNamespace(index=none)) is None
