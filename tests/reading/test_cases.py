"""What a study shows: balanced, matched, nobody's patch twice, another draw for another seed."""

import dataclasses
import functools
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.reading.cases import REAL, Picture, Sets, draw_cases, matched_pairs, set_names
from cgan_tf.runs.errors import UserError
from tests.toys.reader_study import study_config, write_sets, write_synthetic

KINDS = ("mass", "calcification", "normal")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_sets(tmp_path_factory.mktemp("sets"))


@functools.cache
def drawn(root, secret="s", **flags):
    config = study_config(root, root / "unused", **flags)
    names = set_names(config.synthetic_dirs)
    synthetic = {name: PatchSet(d) for name, d in zip(names, config.synthetic_dirs, strict=True)}
    return draw_cases(config, Sets(PatchSet(config.patches_dir), synthetic), secret)


def pictures_of(cases):
    return [picture for case in cases for picture in case.pictures]


QUESTIONS = ("real_or_synthetic", "two_alternatives", "lesion")


@pytest.mark.parametrize("question", QUESTIONS)
class TestEveryQuestion:
    def test_real_and_synthetic_are_as_many_of_every_kind(self, root, question):
        found = Counter(
            (p.kind, p.synthetic) for p in pictures_of(drawn(root, question=question).study)
        )
        for kind in KINDS:
            assert found[kind, True] == found[kind, False] > 0

    def test_numbers_are_those_asked_for(self, root, question):
        cases = drawn(root, question=question)
        assert (len(cases.study), len(cases.training), len(cases.repeated)) == (24, 4, 6)
        assert set(cases.repeated) <= {case.case_id for case in cases.study}

    def test_nothing_is_seen_twice(self, root, question):
        """Neither a patch, nor the patch that a synthetic one was made from."""
        cases = drawn(root, question=question)
        seen = Counter(i for p in pictures_of((*cases.training, *cases.study)) for i in p.patches)
        assert set(seen.values()) == {1}

    def test_ids_and_order_say_nothing(self, root, question):
        ids = [case.case_id for case in drawn(root, question=question).study]
        assert ids == sorted(ids)
        assert all(len(i) == 10 and int(i, 16) >= 0 for i in ids)
        answers = []
        for secret in map(str, range(4)):
            cases = drawn(root, secret, question=question).study
            first = [case.pictures[0] for case in cases[:12]]
            answers.append(np.mean([p.synthetic for p in first]))
        assert 0.3 < np.mean(answers) < 0.7
        assert len(set(answers)) > 1

    def test_the_seed_and_the_secret_alone_decide(self, root, question):
        def ids(draw=drawn, **changes):
            return [
                [p.record.patch_id for p in case.pictures]
                for case in draw(root, question=question, **changes).study
            ]

        assert ids() == ids(drawn.__wrapped__)
        assert ids() != ids(seed=1)
        assert ids() != ids(secret="1")


def test_a_pair_is_of_one_kind_like_size_and_two_women(root):
    for case in drawn(root, question="two_alternatives", size_ratio=1.2).study:
        a, b = case.pictures
        assert a.kind == b.kind
        assert {a.synthetic, b.synthetic} == {True, False}
        assert max(a.size, b.size) / min(a.size, b.size) <= 1.2 + 1e-6
        assert a.record.client_id != b.record.client_id


def test_women_take_turns(root):
    """30 women have two masses each, and 4 are needed: no woman twice."""
    real = [p for p in pictures_of(drawn(root).study) if p.origin == REAL and p.kind == "mass"]
    assert len({p.record.client_id for p in real}) == len(real)


def test_a_lesion_is_never_beside_its_own_removal(root, tmp_path):
    """Removals of the very lesions that are tested: none of both is in one study."""
    for name in ("real", "made_mass"):
        (tmp_path / name).symlink_to(root / name)
    sources = [f"patch-mass-{number}" for number in range(40)]
    write_synthetic(tmp_path / "made_normal", "normal", sources=sources)
    cases = drawn(tmp_path, question="lesion", kinds=("mass", "normal"), cases=32)
    pictures = pictures_of((*cases.training, *cases.study))
    removed = {p.record.source_patch_id for p in pictures if p.origin == "made_normal"}
    assert removed
    assert removed & {p.record.patch_id for p in pictures} == set()


def test_lesions_without_removals_have_real_normals(root):
    found = Counter(
        (p.kind, p.origin)
        for p in pictures_of(drawn(root, question="lesion", kinds=("mass",)).study)
    )
    assert found == {("mass", "made_mass"): 6, ("mass", REAL): 6, ("normal", REAL): 12}


def picture(size, woman, turn=0, tissue=0.0):
    record = SimpleNamespace(
        box=(0.0, 0.0, size, size), client_id=woman, patch=np.full((8, 8), tissue)
    )
    return Picture(record, REAL, "mass", turn)


def test_matching_finds_as_many_pairs_as_there_can_be():
    """10 could have 9 or 11; 12 only 11: a greedy choice of the nearest may leave 12 alone."""
    synthetic = [picture(10.0, "a"), picture(12.0, "b")]
    real = [picture(9.0, "c"), picture(11.0, "d")]
    pairs = matched_pairs(synthetic, real, 1.15)
    assert [(a.size, b.size) for a, b in pairs] == [(10, 9), (12, 11)]
    assert matched_pairs(synthetic, [picture(10.0, "a"), picture(12.0, "b")], 1.05) == []
    assert matched_pairs(synthetic, [], 2) == []


def test_of_two_alike_the_woman_who_has_none_yet():
    pairs = matched_pairs([picture(10.0, "a")], [picture(10.0, "b", 1), picture(10.1, "c")], 1.2)
    assert pairs[0][1].record.client_id == "c"


class TestTooLittle:
    def test_too_many_cases(self, root):
        with pytest.raises(UserError, match=r"expected 71 patches of kind mass .* fewer --cases"):
            drawn(root, cases=400, training=20)

    def test_too_many_repeats(self, root):
        with pytest.raises(UserError, match="--repeats: expected at most 24"):
            drawn(root, repeats=25)

    def test_no_real_patches(self, root):
        with pytest.raises(UserError, match="found 0"):
            drawn(root, real_splits=("validation",))


def test_names_of_sets_are_told_apart(root, tmp_path):
    for place in ("a", "b"):
        write_synthetic(tmp_path / place / "mass", "mass", 2)
    write_synthetic(tmp_path / "real", "mass", 2)
    names = set_names([str(tmp_path / p) for p in ("a/mass", "b/mass", "real")])
    assert names == ["mass", "mass-2", "real-2"]


def test_pictures_without_a_box_have_the_size_of_their_change():
    found = picture(10.0, "a")
    changed = SimpleNamespace(box=(), lesion_area_px=49)
    assert dataclasses.replace(found, record=changed).size == 7


def test_of_two_of_a_size_the_one_in_like_tissue():
    dense, fat = picture(10.0, "b", tissue=0.3), picture(10.0, "c", tissue=-0.4)
    for tissue, expected in ((0.2, dense), (-0.3, fat)):
        ((_, chosen),) = matched_pairs([picture(10.0, "a", tissue=tissue)], [dense, fat], 1.2)
        assert chosen is expected
