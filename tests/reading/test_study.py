"""The page: nothing of the truth in it, one path for all pictures, the same bytes again."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgan_tf.reading.run import run_reader_study
from cgan_tf.reading.study import (
    DEEPEST,
    checksum_of,
    decode_picture,
    encode_picture,
    read_key,
    read_pictures,
    wording_of,
)
from cgan_tf.runs.errors import UserError
from tests.toys.pages import PageReader
from tests.toys.reader_study import study_config, write_sets, write_study

HOSTILE = "</script><script>alert(1)</script><b>&"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def study(root):
    return write_study(root, root / "study", title=HOSTILE)


def data_of(study):
    page = (study / "study.html").read_text(encoding="utf-8")
    return json.loads(re.search(r'id="study">(.*?)</script>', page, re.DOTALL)[1])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_pictures_come_back_to_twelve_bits(size, seed):
    levels = np.random.default_rng(seed).integers(0, DEEPEST + 1, (size, size))
    text = encode_picture((levels / DEEPEST * 2 - 1).astype(np.float64))
    assert (decode_picture(text, size) == levels).all()


def test_all_pictures_are_of_one_length():
    flat, noise = np.zeros((32, 32)), np.random.default_rng(0).uniform(-1, 1, (32, 32))
    assert len(encode_picture(flat)) == len(encode_picture(noise)) == 2 * 32 * 32
    assert len(encode_picture(3 * noise)) == 2 * 32 * 32  # beyond the range: clipped


class TestPage:
    def test_it_names_no_patch_no_woman_no_set(self, study):
        page = (study / "study.html").read_text(encoding="utf-8")
        for case in read_key(study).cases:
            for picture in case.pictures:
                for name in (picture.patch_id, picture.client_id, picture.source_patch_id):
                    assert not name or name not in page
        assert "made_" not in page
        assert str(study.parent) not in page

    def test_cases_have_an_id_and_pixels_and_nothing_else(self, study):
        data = data_of(study)
        assert {frozenset(case) for case in data["cases"]} == {frozenset({"id", "pictures"})}
        assert {frozenset(case) for case in data["training"]} == {
            frozenset({"id", "pictures", "truth"})
        }
        lengths = {len(p) for case in data["cases"] + data["training"] for p in case["pictures"]}
        assert lengths == {2 * 32 * 32}

    def test_training_is_not_in_the_key_nor_the_study(self, study):
        key, data = read_key(study), data_of(study)
        assert {case.case for case in key.cases} == {case["id"] for case in data["cases"]}
        assert {case["id"] for case in data["training"]} & {
            case.case for case in key.cases
        } == set()
        assert {case["truth"] for case in data["training"]} == {0, 1}

    def test_it_is_whole_and_fetches_nothing(self, study):
        reader = PageReader((study / "study.html").read_text(encoding="utf-8"))
        policy = reader.values("meta", "content")[-1]
        assert policy.startswith(
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-"
        )
        assert reader.values("script", "src") == reader.values("link", "href") == []
        assert not {"img", "iframe"} & set(reader.tags)

    def test_it_says_what_it_is_for(self, study):
        assert "For research only, not for diagnosis." in (study / "study.html").read_text()

    def test_a_title_stays_text(self, study):
        reader = PageReader((study / "study.html").read_text(encoding="utf-8"))
        assert reader.tags.count("script") == 2
        assert "".join(reader.text).count(HOSTILE) == 2  # the title, and the first heading

    def test_it_knows_its_key(self, study):
        text = re.search(
            r'id="study">(.*?)</script>', (study / "study.html").read_text("utf-8"), re.DOTALL
        )[1]
        assert checksum_of(text) == read_key(study).study
        assert f'data-checksum="{read_key(study).study}"' in (study / "study.html").read_text(
            "utf-8"
        )

    def test_the_pictures_are_the_patches(self, root, study):
        from cgan_tf.data.patch_sets import PatchSet, whole_sets

        pool, _ = whole_sets([PatchSet(root / "real"), PatchSet(root / "made_mass")])
        records = {pool.record(n).patch_id: pool.record(n) for n in range(len(pool))}
        pictures = {case["id"]: case["pictures"] for case in data_of(study)["cases"]}
        compared = 0
        for case in read_key(study).cases:
            (picture,) = case.pictures
            if picture.patch_id in records:
                shown = decode_picture(pictures[case.case][0], 32) / DEEPEST * 2 - 1
                assert np.abs(shown - records[picture.patch_id].patch).max() <= 1 / DEEPEST
                compared += 1
        assert compared >= 12


def test_the_same_flags_give_the_same_bytes(root, study, tmp_path):
    again = write_study(root, tmp_path / "again", title=HOSTILE)
    for name in ("study.html", "key.json"):
        assert (again / name).read_bytes() == (study / name).read_bytes()


def test_a_second_time_there_is_nothing_to_do(root, study, capsys):
    config = study_config(root, study, title=HOSTILE)
    run_reader_study(config)
    assert capsys.readouterr().out.endswith("is finished; nothing to do\n")
    with pytest.raises(UserError, match="--cases was 24, is 30"):
        run_reader_study(study_config(root, study, title=HOSTILE, cases=30))


def test_a_run_that_was_interrupted_ends_with_the_same_bytes(root, study, tmp_path):
    again = write_study(root, tmp_path / "again", title=HOSTILE)
    for name in ("study.html", "manifest.json"):
        (again / name).unlink()  # killed after the key was written
    run_reader_study(study_config(root, again, title=HOSTILE))
    for name in ("study.html", "key.json"):
        assert (again / name).read_bytes() == (study / name).read_bytes()
    assert (again / "manifest.json").exists()


def test_another_page_than_the_keys_is_refused(root, study, tmp_path):
    other = write_study(root, tmp_path / "other", seed=3)
    with pytest.raises(UserError, match=r"expected the page that key\.json beside it"):
        read_pictures(other, read_key(study).study)


@pytest.mark.parametrize(
    ("question", "answers", "keys"),
    [
        ("real_or_synthetic", "rating", "123456"),
        ("real_or_synthetic", "yes_no", "ny"),
        ("lesion", "rating", "123456"),
        ("lesion", "yes_no", "ny"),
        ("two_alternatives", "rating", "12"),
    ],
)
def test_every_answer_has_a_key_and_a_truth(question, answers, keys):
    wording = wording_of(question, answers)
    assert "".join(option.key for option in wording.options) == keys
    assert [option.side for option in wording.options] == sorted(
        option.side for option in wording.options
    )
    assert {option.side for option in wording.options} == {0, 1}
