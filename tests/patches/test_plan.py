"""Splits, quotas and the order of draws."""

import collections
import dataclasses
import itertools

import pytest

from beam_pipelines.patches.plan import Quota, draws_of, quotas_of
from beam_pipelines.sources.base import HEALTHY, LESION, UNKNOWN, Image, Mark, split_of
from cgan_tf.config import PatchesConfig
from cgan_tf.labels import SPLITS
from cgan_tf.runs.errors import UserError

CONFIG = PatchesConfig(size=64)


def _image(number, client="c", use=HEALTHY, classes=()):
    marks = tuple(Mark(str(i), (0, 0, 9, 9), name, 1, 0, "") for i, name in enumerate(classes))
    uid = f"1.{number}"
    return Image(f"/d/{uid}.dcm", client, "1", uid, "L", "CC", use, marks)


def _quota(images, count=10, name="normal"):
    return Quota("train", name, count, tuple(images))


def _first(quota, count, config=CONFIG):
    return list(itertools.islice(draws_of(quota, config), count))


def test_splits_have_their_share_and_depend_on_the_client_alone():
    clients = [f"demd{number}" for number in range(5000)]
    splits = collections.Counter(split_of(client, CONFIG) for client in clients)
    assert splits["train"] / 5000 == pytest.approx(0.6, abs=0.03)
    assert splits["validation"] / 5000 == pytest.approx(0.2, abs=0.03)
    other = dataclasses.replace(CONFIG, train_normal=7, size=32)
    assert [split_of(c, CONFIG) for c in clients] == [split_of(c, other) for c in clients]
    seeded = dataclasses.replace(CONFIG, seed=1)
    assert [split_of(c, CONFIG) for c in clients] != [split_of(c, seeded) for c in clients]


def test_all_in_one_split():
    config = dataclasses.replace(CONFIG, all_in_split="test")
    assert {split_of(str(number), config) for number in range(100)} == {"test"}


def test_a_prescribed_split_is_kept_and_the_others_share_in_proportion():
    clients = [f"P_{number:05d}" for number in range(5000)]
    assert {split_of(client, CONFIG, ("test",)) for client in clients} == {"test"}
    splits = collections.Counter(
        split_of(client, CONFIG, ("train", "validation")) for client in clients
    )
    assert set(splits) == {"train", "validation"}
    assert splits["validation"] / 5000 == pytest.approx(0.25, abs=0.03)  # 0.2 of 0.6 + 0.2
    config = dataclasses.replace(CONFIG, all_in_split="train")
    assert split_of("P_00001", config, ("test",)) == "train"
    assert split_of("", CONFIG, ()) == ""  # of nobody


def test_lesion_images_give_normals_where_the_source_says_so():
    beside = dataclasses.replace(_image(1, "a", LESION, ("benign_mass",)), normals_beside=True)
    images = [beside, _image(2, "b", LESION, ("benign_mass",)), _image(3, "c")]
    config = dataclasses.replace(CONFIG, all_in_split="train", train_source=0)
    quotas = {quota.group: quota.images for quota in quotas_of(images, config)}
    assert quotas["train/normal"] == (beside, images[2])
    assert quotas["train/benign_mass"] == (beside, images[1])


def lesion_women(bounds, images):
    config = dataclasses.replace(
        CONFIG, all_in_split="train", train_source=0, train_lesion_clients=bounds
    )
    quotas = {quota.group: quota for quota in quotas_of(images, config)}
    assert {image.client_id for image in quotas["train/normal"].images} == {"healthy"}
    return {image.client_id for image in quotas["train/malignant_mass"].images}


def test_few_women_with_lesions_and_further_ones_share_nobody():
    images = [_image(9, "healthy")]
    images += [_image(n, f"w{n % 10}", LESION, ("malignant_mass",)) for n in range(10, 40)]
    everyone = lesion_women("", images)
    few, further = lesion_women("0:3", images), lesion_women("3:10", images)
    assert len(few) == 3
    assert few | further == everyone == {f"w{n}" for n in range(10)}
    assert few < lesion_women("0:4", images)
    assert lesion_women("0:3", images[::-1]) == few
    with pytest.raises(UserError, match="has 10 clients with lesions"):
        lesion_women("0:11", images)


@pytest.mark.parametrize("bounds", ["20", "3:3", "5:2", "a:b", "-1:4", "0:"])
def test_a_malformed_choice_of_women_is_refused(bounds):
    with pytest.raises(UserError, match="expected FIRST:END"):
        lesion_women(bounds, [])


def test_validation_and_test_keep_everyone():
    images = [_image(n, f"w{n}", LESION, ("malignant_mass",)) for n in range(60)]
    config = dataclasses.replace(CONFIG, train_lesion_clients="0:2")
    groups = {quota.group: len(quota.images) for quota in quotas_of(images, config)}
    whole = {quota.group: len(quota.images) for quota in quotas_of(images, CONFIG)}
    assert groups["train/malignant_mass"] == 2 < whole["train/malignant_mass"]
    for split in ("validation", "test"):
        assert groups[f"{split}/malignant_mass"] == whole[f"{split}/malignant_mass"] > 0


def test_draws_are_spread_evenly():
    images = [_image(number) for number in range(7)]
    counts = collections.Counter(image.sop_uid for image, _ in _first(_quota(images), 25))
    assert set(counts.values()) == {3, 4}
    assert len(counts) == 7


@pytest.mark.parametrize("sampling", ["even", "random"])
def test_a_lost_image_moves_the_others_up_and_changes_nothing_else(sampling):
    config = dataclasses.replace(CONFIG, image_sampling=sampling)
    images = [_image(number) for number in range(7)]
    whole = [pair for pair in _first(_quota(images), 120, config) if pair[0] is not images[3]]
    rest = [image for image in images if image is not images[3]]
    assert _first(_quota(rest), 60, config) == whole[:60]


def test_literal_sampling_is_with_replacement():
    config = dataclasses.replace(CONFIG, image_sampling="random")
    images = [_image(number) for number in range(50)]
    counts = collections.Counter(i.sop_uid for i, _ in _first(_quota(images), 200, config))
    assert max(counts.values()) > 5
    draws = [draw for _, draw in _first(_quota(images), 200, config)]
    assert len({draw.key for draw in draws}) == 200
    assert draws == sorted(draws, key=lambda draw: draw.place)


def test_literal_draws_are_independent_and_uniform():
    """The next image does not depend on the last one: as many repeats as 1 in 5, and each pair."""
    config = dataclasses.replace(CONFIG, image_sampling="random")
    images = [_image(number) for number in range(5)]
    order = [image.sop_uid for image, _ in _first(_quota(images), 25_001, config)]
    pairs = collections.Counter(itertools.pairwise(order))
    assert len(pairs) == 25
    # 1,000 of each expected; a chi-square with 24 degrees of freedom is below 52 (p = 0.0008).
    assert sum((count - 1000) ** 2 / 1000 for count in pairs.values()) < 52


def test_nothing_without_images():
    assert _first(_quota([]), 5) == []


def test_quotas_follow_the_flags_and_leave_out_zeros():
    config = dataclasses.replace(
        CONFIG, train_benign_mass=0, eval_malignant_mass=5, train_source=0, train_normal=3
    )
    images = [
        _image(n, f"demd{n}", LESION, ("malignant_mass", "benign_calcification")) for n in range(60)
    ]
    images += [_image(n, f"demd{n}") for n in range(100, 160)]
    quotas = {quota.group: quota for quota in quotas_of(images, config)}
    assert "train/benign_mass" not in quotas
    assert "train/source" not in quotas
    assert "validation/benign_calcification" not in quotas
    assert quotas["test/malignant_mass"].count == 5
    assert quotas["train/normal"].count == 3
    assert {i.use for i in quotas["train/malignant_mass"].images} == {LESION}
    assert {i.use for i in quotas["train/normal"].images} == {HEALTHY}
    assert not quotas["train/malignant_calcification"].images
    for split in SPLITS:
        for image in quotas[f"{split}/normal"].images:
            assert split_of(image.client_id, config) == split


@pytest.mark.parametrize("number", [2, 3, 200])
def test_source_images_are_set_aside(number):
    config = dataclasses.replace(
        CONFIG, all_in_split="train", train_normal=300, train_source=100, eval_normal=0
    )
    images = [_image(n, f"demd{n}") for n in range(number)]
    quotas = {quota.group: set(quota.images) for quota in quotas_of(images, config)}
    normal, source = quotas["train/normal"], quotas["train/source"]
    assert normal
    assert source
    assert not normal & source
    assert normal | source == set(images)
    if number == 200:
        assert len(source) == pytest.approx(50, abs=20)


def test_a_folder_counts_all_splits_together():
    config = dataclasses.replace(CONFIG, folder_patches=30)
    images = [_image(n, f"film{n}", UNKNOWN) for n in range(20)]
    (quota,) = quotas_of(images, config, labelled=False)
    assert (quota.group, quota.count) == ("any/unlabelled", 30)
    draws = [draw for _, draw in _first(quota, 30, config)]
    assert {draw.split for draw in draws} == set(SPLITS)
    labelled = dataclasses.replace(config, assume_normal=True)
    assert quotas_of(images, labelled, labelled=False)[0].group == "any/normal"
