"""A set that copies training lesions betrays whose they are; an independent set does not."""

import dataclasses
import shutil

import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.assessment.lesions import Lesions
from cgan_tf.assessment.membership import (
    Attack,
    Membership,
    MembershipMeasure,
    attack,
    discriminator_attackers,
    neighbour_attack,
    women_of,
)
from cgan_tf.assessment.reading import PatchScores
from cgan_tf.data.patch_sets import PatchPool, PatchSet
from cgan_tf.gan.card import read_card, write_card
from cgan_tf.gan.model import ContextualGan
from cgan_tf.gan.training import variables_of
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.training import Checkpoints

WOMEN, LESIONS, WIDTH = 40, 3, 24


def described(rng, prefix, vectors=None):
    """Lesions of random shapes, some of each woman."""
    if vectors is None:
        vectors = rng.standard_normal((WOMEN * LESIONS, WIDTH))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    names = np.array([f"{prefix} {n // LESIONS}" for n in range(len(unit))])
    return Lesions(unit, names, names)


def attacked(seed, copied):
    """The attack on a set of which every `copied`-th lesion is nearly a training lesion."""
    rng = np.random.default_rng(seed)
    training, held_out = described(rng, "training"), described(rng, "other")
    vectors = rng.standard_normal((WOMEN * LESIONS, WIDTH))
    if copied:
        near = training.vectors + 0.05 * rng.standard_normal(training.vectors.shape)
        vectors[::copied] = near[::copied]
    return neighbour_attack(described(rng, "synthetic", vectors), training, held_out, seed)


def checks(found):
    return {c.name: c.seen for c in MembershipMeasure().verdict(Membership(found, None), "mass")}


IN_THE_SET = "training patients recognisable in the set"


@pytest.mark.parametrize("copied", [1, 4])
def test_a_copying_set_is_caught(copied):
    found = attacked(0, copied)
    assert found.low > 0.5
    assert found.auc > found.null_high
    assert found.p_value == 0.001
    assert checks(found)[IN_THE_SET]


def test_an_independent_set_is_not():
    """Over many sets p is uniform and the interval covers one half as often as it says."""
    found = [attacked(seed, 0) for seed in range(30)]
    assert np.mean([each.p_value < 0.05 for each in found]) <= 0.14
    assert np.mean([each.low <= 0.5 <= each.high for each in found]) >= 0.86
    assert abs(np.mean([each.auc for each in found]) - 0.5) < 0.03
    assert abs(np.mean([each.recognised for each in found]) - 0.05) < 0.03
    assert sum(checks(each)[IN_THE_SET] for each in found) <= 3


def test_more_lesions_of_a_woman_do_not_tell():
    """Training patients have many patches each, held-out ones few: nobody may gain by that."""
    rng = np.random.default_rng(1)
    patients = np.repeat([f"m{n}" for n in range(60)], 20)
    members = PatchScores(rng.standard_normal(len(patients)), patients)
    others = PatchScores(rng.standard_normal(120), np.repeat([f"o{n}" for n in range(60)], 2))
    assert attack(members, others).p_value > 0.05
    largest = [scores.scores.max() for scores in (members, others)]
    assert largest[0] > largest[1]  # what the best of each woman's would have told


def test_by_hand():
    """Five women a side: means 5, 4, 3, 2, 0 against 1, 1, 1, 1, 1: 4 of 5 members win."""
    members = PatchScores(
        np.array([4.0, 6.0, 4.0, 3.0, 2.0, 0.0]), np.array(["a", "a", "b", "c", "d", "e"])
    )
    others = PatchScores(np.ones(5), np.array(["f", "g", "h", "i", "j"]))
    np.testing.assert_array_equal(women_of(members), [5, 4, 3, 2, 0])
    found = attack(members, others)
    assert (found.members, found.others) == (5, 5)
    assert found.auc == pytest.approx(0.8)
    assert found.recognised == pytest.approx(0.8)
    # As high: 5, 4, 3, 2 with any other (6 ways), and 5, 4, 3 with two ones (10 ways), of 252.
    assert found.p_value == pytest.approx(16 / 252, abs=0.015)


def test_few_women_are_no_attack():
    few = PatchScores(np.arange(4.0), np.array(list("abcd")))
    many = PatchScores(np.arange(9.0), np.array(list("efghijklm")))
    found = attack(few, many)
    assert found == Attack(4, 9, note="undefined: 4 training patients and 9 other women")
    assert checks(found)[IN_THE_SET] is None
    nothing = Lesions(np.zeros((0, WIDTH)), np.zeros(0, str), np.zeros(0, str))
    other = described(np.random.default_rng(0), "x")
    assert neighbour_attack(nothing, other, other).note == "undefined: no lesions with a box"


def test_removal_and_no_run_measure_nothing():
    assert MembershipMeasure().verdict(Membership(None, None), "removal") == []
    assert list(MembershipMeasure().rows(Membership(None, None))) == []


@pytest.fixture(scope="module")
def gan(tmp_path_factory, gan_run):
    """The finished run, its patches, and its discriminator restored by its own means."""
    model = ContextualGan(gan_run.config)
    Checkpoints(gan_run.finished / "checkpoints", variables_of(model), 10).restore()
    return gan_run, PatchSet(gan_run.config.patches_dir), model.discriminator


def test_the_discriminator_of_a_run(gan):
    run, patches, network = gan
    held_out = PatchPool((patches.index("test", "malignant_calcification"),))
    members, others = discriminator_attackers(
        str(run.finished), patches, held_out, "calcification", 4
    )
    index = patches.index("train", "malignant_calcification")
    assert members.patients.tolist() == [index.record(n).client_id for n in range(len(index))]
    images = np.stack([index.pixels(n) for n in range(len(index))])[..., None]
    logits = network(images, tf.zeros([len(images), 0]), phase="full").numpy().astype(float)
    real = tf.nn.softmax(logits)[:, 0].numpy()
    np.testing.assert_allclose(members.scores, np.log(real / (1 - real)), rtol=1e-4, atol=1e-4)
    assert len(others.scores) == len(held_out)


def test_a_run_without_its_checkpoints_is_named(gan, tmp_path):
    run, patches, _ = gan
    (tmp_path / "generator").symlink_to(run.finished / "generator")
    held_out = PatchPool((patches.index("test", "malignant_calcification"),))
    with pytest.raises(UserError, match="checkpoints: expected a checkpoint, found none"):
        discriminator_attackers(str(tmp_path), patches, held_out, "calcification", 4)


def test_women_the_card_does_not_name_are_no_members(gan, tmp_path):
    """A generator of other women: nobody of this patch set is a member, so nothing is told."""
    run, patches, _ = gan
    shutil.copytree(run.finished / "generator", tmp_path / "generator")
    (tmp_path / "checkpoints").symlink_to(run.finished / "checkpoints")
    card = dataclasses.replace(read_card(run.finished / "generator"), patients=["0" * 16])
    write_card(tmp_path / "generator", card)
    held_out = PatchPool((patches.index("test", "malignant_calcification"),))
    members, others = discriminator_attackers(str(tmp_path), patches, held_out, "calcification", 4)
    assert len(members.scores) == 0
    assert len(others.scores) == len(held_out)
    assert attack(members, others).note.startswith("undefined: 0 training patients")
