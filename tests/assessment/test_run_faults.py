"""Planted faults are seen by the quality program, and an honest set passes all of its checks."""

import json

import numpy as np
import pytest

from cgan_tf.assessment.run import measure_quality
from cgan_tf.config import QualityConfig
from tests.toys import quality_sets


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    return quality_sets.write_patches(tmp_path_factory.mktemp("quality") / "patches")


@pytest.fixture
def measured(patches, tmp_path):
    """A function that measures a synthetic set: what was found, and the checks by name."""

    def run(directory, name="quality"):
        output = tmp_path / f"{name} measured"
        config = QualityConfig(
            patches_dir=str(patches),
            synthetic_dirs=(str(directory),),
            output_dir=str(output),
        )
        measure_quality(config)
        content = json.loads((output / "quality.json").read_text(encoding="utf-8"))
        (actual,) = content["sets"].values()
        return actual, {check["name"]: check["seen"] for check in actual["checks"]}

    return run


def seen(checks):
    return {name for name, fault in checks.items() if fault}


MEMBERS = "training patients recognisable in the set"
COPIES, REPEATS = "copies of training lesions", "lesions repeat"
VARIETY = "too little variety over patches"
DISTRIBUTION = "distribution differs from real (lesion shape features)"
RECALL = "low recall (lesion shape features)"
OUTSIDE = "a change outside the mask"


def test_an_honest_set_passes_every_check(measured, patches, tmp_path):
    directory = quality_sets.write_masses(tmp_path / "mass", patches, quality_sets.honest)
    actual, checks = measured(directory)
    assert seen(checks) == set()
    assert {OUTSIDE, COPIES, MEMBERS, REPEATS, VARIETY, DISTRIBUTION, RECALL} <= set(checks)
    assert None not in checks.values()
    assert actual["change"]["patches"] == quality_sets.LESIONS
    assert actual["change"]["inside"] <= 1


def test_copies_of_training_lesions(measured, patches, tmp_path):
    directory = quality_sets.write_masses(tmp_path / "mass", patches, quality_sets.copied)
    actual, checks = measured(directory)
    assert checks[COPIES]
    assert checks[MEMBERS]
    assert actual["membership"]["neighbours"]["auc"] > 0.9
    assert not checks[REPEATS]
    for synthetic, training, _ in actual["memorisation"]["nearest"]:
        assert training == f"train-malignant_mass-{synthetic.partition('~mass')[2]}"
    pictured = [pair for pair in actual["pictures"] if pair["kind"] == "copy"]
    assert pictured[0]["real"] == actual["memorisation"]["nearest"][0][1]


def test_one_lesion_pasted_everywhere(measured, patches, tmp_path):
    directory = quality_sets.write_masses(tmp_path / "mass", patches, quality_sets.pasted)
    assert {REPEATS, VARIETY, RECALL} <= seen(measured(directory)[1])


@pytest.mark.slow
def test_one_lesion_at_many_places(measured, patches, tmp_path):
    """The spread of places alone would not tell."""
    directory = quality_sets.write_masses(tmp_path / "mass", patches, quality_sets.wandering)
    actual, checks = measured(directory)
    assert {REPEATS, RECALL} <= seen(checks)
    spread = actual["spread"]
    assert spread["synthetic"]["position"] > 0.6 * spread["real"]["position"]


def test_pure_noise(measured, patches, tmp_path):
    directory = quality_sets.write_masses(tmp_path / "mass", patches, quality_sets.noisy)
    actual, checks = measured(directory)
    assert checks[DISTRIBUTION]
    assert actual["overlap"]["lesion shape"]["kid_p"]["synthetic"] <= 0.01
    assert actual["overlap"]["lesion shape"]["kid_p"]["ceiling"] > 0.05
    assert checks["texture in the lesion differs from real"]


def test_a_change_outside_the_mask(measured, patches, tmp_path):
    """One pixel, by one stored level."""

    def change(patch):
        changed = patch.copy()
        changed[63, 10] += 2 / 65535
        return changed

    directory = quality_sets.write_masses(tmp_path / "mass", patches, quality_sets.honest, change)
    actual, checks = measured(directory)
    assert seen(checks) == {OUTSIDE}
    assert actual["change"]["changed"] == quality_sets.LESIONS
    assert actual["change"]["outside"] == 1


def test_a_lesion_that_is_not_the_one_said(measured, patches, tmp_path):
    def change(patch):
        bright = np.unravel_index(patch.argmax(), patch.shape)
        changed = patch.copy()
        changed[bright] += 0.01
        return changed

    directory = quality_sets.write_masses(tmp_path / "mass", patches, quality_sets.honest, change)
    checks = measured(directory)[1]
    assert checks["a patch that is not its source with the lesion added"]
    assert not checks[OUTSIDE]


class TestRemoval:
    def test_a_removal_that_leaves_nothing(self, measured, patches, tmp_path):
        directory = quality_sets.write_removals(tmp_path / "removal", patches, left=0.0)
        actual, checks = measured(directory)
        assert seen(checks) == set()
        assert actual["memorisation"] is None
        assert COPIES not in checks

    def test_a_removal_that_leaves_half(self, measured, patches, tmp_path):
        directory = quality_sets.write_removals(tmp_path / "removal", patches, left=0.5)
        checks = measured(directory)[1]
        assert checks["area of what is left differs from real"]
        assert not checks[OUTSIDE]

    @pytest.mark.slow
    def test_the_share_that_is_gone(self, measured, patches, tmp_path):
        """By the mask's edge a little less than what was asked for."""
        gone = {}
        for left in (0.0, 0.5):
            name = f"left {left}"
            directory = quality_sets.write_removals(tmp_path / name, patches, left=left)
            actual, checks = measured(directory, name)
            gone[left] = actual["removal"]["share"][2]
            assert checks["much of the lesion is left"] == (left == 0.5)
            assert checks["a critic sees lesions in cleaned patches"] is None
        assert gone[0.0] > 0.85
        assert gone[0.5] == pytest.approx(gone[0.0] / 2, abs=0.05)
