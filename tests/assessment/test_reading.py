"""Changes outside the mask, in stored levels: through the same bytes that a set has."""

import dataclasses

import numpy as np
import pytest

from cgan_tf.assessment.lesions import SIDE, describe_lesion, describe_lesions
from cgan_tf.assessment.reading import (
    Change,
    TrainingLesions,
    change_of,
    differing_lesions,
    stored_levels,
)
from cgan_tf.data.records import LEVELS, PatchRecord, decode_record, encode_record
from cgan_tf.synthesis.postprocess import Extraction, extract_lesion

SIZE = 64


def stored(record):
    return decode_record(encode_record(record), "here")


@pytest.fixture(params=[False, True], ids=["synthesis", "removal"])
def pair(request):
    """(synthetic record, source patch) with random pixels, as they come back from a shard."""
    rng = np.random.default_rng(0)
    source = stored(PatchRecord("s", rng.uniform(-1, 1, (SIZE, SIZE)), "normal")).patch
    channel = np.zeros((SIZE, SIZE), np.float32)
    channel[25:40, 20:44] = 1.0  # the most that a mask's tail can be multiplied by
    channel += rng.uniform(0, 1e-3, channel.shape).astype(np.float32)
    channel = -channel if request.param else channel
    lesion = extract_lesion(
        channel.clip(-1, 1),
        Extraction(
            removal=request.param, threshold=0.1, min_area_fraction=0.0, dilation_px=2, sigma_px=2.5
        ),
    )
    patch = np.clip(source + lesion.lesion, -1, 1)
    record = PatchRecord("p", patch, "normal", lesion=lesion.lesion, mask=lesion.mask)
    return stored(record), source


def test_a_right_patch_is_its_source_outside_to_the_level(pair):
    record, source = pair
    actual = change_of(record, source)
    assert actual.outside == 0
    assert actual.inside <= 1
    assert 0 < (record.mask == 0).mean() < 0.9
    assert (record.patch != source).any()


def test_one_level_in_one_pixel_is_found(pair):
    record, source = pair
    changed = record.patch.copy()
    changed[0, 63] += (1 if changed[0, 63] < 0 else -1) * 2 / LEVELS
    actual = change_of(stored(dataclasses.replace(record, patch=changed)), source)
    assert actual.outside == 1


def test_a_change_inside_is_not_outside(pair):
    record, source = pair
    changed = np.where(record.mask > 0.5, 0.5 * record.patch, record.patch)
    actual = change_of(stored(dataclasses.replace(record, patch=changed)), source)
    assert actual.outside == 0
    assert actual.inside > 1_000


def test_another_source_is_found(pair):
    record, source = pair
    actual = change_of(record, source[::-1])
    assert actual.outside > 1_000


def test_levels_are_those_of_the_file():
    levels = np.array([0, 1, 32_767, 32_768, 65_534, 65_535])
    assert stored_levels(np.float32(levels * 2 / LEVELS - 1)).tolist() == levels.tolist()


def test_a_mask_over_the_whole_patch_has_no_outside():
    patch = np.zeros((4, 4), np.float32)
    record = PatchRecord("p", patch, "normal", lesion=patch, mask=np.ones((4, 4), np.float32))
    # Levels 32,768 (zero) and 40,959, to which 40,959.375 is rounded.
    assert change_of(record, patch + np.float32(0.25)) == Change(0, 8_191)


def test_a_record_without_a_mask_has_no_change():
    patch = np.zeros((4, 4), np.float32)
    assert change_of(PatchRecord("p", patch, "normal"), patch) is None


class TestDifferingLesions:
    """Three patients: two with two lesions each, the third with one under the least area."""

    HOW = Extraction(
        removal=False, threshold=0.1, min_area_fraction=0.01, dilation_px=1, sigma_px=0.0
    )

    @staticmethod
    def block(x, y, width, height):
        lesion = np.zeros((SIDE, SIDE), np.float32)
        lesion[y : y + height, x : x + width] = 0.4
        return lesion

    @pytest.fixture
    def training(self):
        by_patient = {
            "a": [self.block(20, 20, 8, 8), self.block(20, 20, 30, 4)],
            "b": [self.block(30, 10, 4, 30), self.block(9, 9, 12, 12)],
            "c": [self.block(30, 30, 3, 3)],
        }
        return TrainingLesions(describe_lesions([]), by_patient)

    @pytest.fixture
    def backgrounds(self):
        return [(f"s{n}", np.full((SIDE, SIDE), n / 10, np.float32)) for n in range(4)]

    def test_a_lesion_of_each_patient_and_another_in_the_next_draw(self, training, backgrounds):
        draws = differing_lesions(training, backgrounds, self.HOW, seed=0)
        assert len(draws) == 5
        for number, draw in enumerate(draws):
            assert draw.patch_ids.tolist() == ["a", "b"]  # the third is too small
            for patient, vector in zip("ab", draw.vectors, strict=True):
                own = training.by_patient[patient][number % 2]
                assert vector @ describe_lesion(own) == pytest.approx(1, abs=1e-4)
                other = training.by_patient[patient][1 - number % 2]
                assert vector @ describe_lesion(other) < 0.9

    def test_they_are_of_different_source_patches(self, training, backgrounds):
        """As a synthetic lesion they belong to the patient of their source patch."""
        draws = differing_lesions(training, backgrounds, self.HOW, seed=0)
        assert all(len(set(draw.patients.tolist())) == 2 for draw in draws)
        assert {patient for draw in draws for patient in draw.patients} <= {"s0", "s1", "s2", "s3"}
        again = differing_lesions(training, backgrounds, self.HOW, seed=0)
        assert [d.patients.tolist() for d in again] == [d.patients.tolist() for d in draws]

    def test_post_processing_is_the_set_s(self, training, backgrounds):
        """Of two specks the largest object leaves one."""
        two = self.block(10, 10, 9, 9) + self.block(40, 40, 8, 8)
        specks = dataclasses.replace(training, by_patient={"a": [two]})
        for how, kept in (
            (self.HOW, self.block(10, 10, 9, 9)),
            (dataclasses.replace(self.HOW, objects="near", near_px=16), two),
        ):
            draw = differing_lesions(specks, backgrounds, how, seed=0)[0]
            assert draw.vectors[0] @ describe_lesion(kept) > 0.98

    def test_without_source_patches_there_is_no_draw(self, training):
        assert differing_lesions(training, [], self.HOW, seed=0) == []
