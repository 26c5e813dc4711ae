"""What gives a case away without its lesion is found; where nothing does, the AUC is chance."""

import numpy as np
import pytest

from cgan_tf.reading.leaks import (
    border_features,
    compressed_features,
    file_features,
    leak_of,
)
from cgan_tf.reading.study import decode_picture, encode_picture, read_key
from cgan_tf.runs.directory import read_json
from tests.reading.test_study import data_of
from tests.toys.reader_study import CLASSES, patch, write_real, write_study, write_synthetic

SIZE = 32


def pictures(count, change=None, seed=0):
    """(texts, labels, patients): half of them changed."""
    rng, kinds = np.random.default_rng(seed), list(CLASSES)
    patches = [patch(kinds[n % 3], str(n), f"w{n}", rng).patch for n in range(count)]
    labels = rng.permutation(np.arange(count) % 2)
    if change is not None:
        patches = [change(p) if label else p for p, label in zip(patches, labels, strict=True)]
    return [encode_picture(p) for p in patches], labels, [f"w{n}" for n in range(count)]


def leak(count=120, change=None, seed=0):
    texts, labels, patients = pictures(count, change, seed)
    return leak_of(border_features(texts, SIZE), labels, patients, seed)


def test_alike_pictures_are_told_apart_by_chance_alone():
    """Over 20 studies without a leak: the classifier is at chance, and p is even."""
    found = [leak(60, seed=seed) for seed in range(20)]
    assert np.mean([each.auc for each in found]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([each.p_value < 0.05 for each in found]) <= 0.17
    assert 0.3 < np.mean([each.p_value for each in found]) < 0.7


def framed(picture):
    """A generator whose border goes dark: a pixel wide, by a twentieth of the grey scale."""
    changed = picture.copy()
    changed[0] -= 0.1
    changed[-1] -= 0.1
    changed[:, 0] -= 0.1
    changed[:, -1] -= 0.1
    return changed


def smoother(picture):
    """Resampled once more than the others."""
    import cv2

    return cv2.GaussianBlur(picture, (0, 0), 0.6)


def coarser(picture):
    """Saved at 10 bits in between, the others at more."""
    return np.rint((picture + 1) / 2 * 1023) / 1023 * 2 - 1


def brighter(picture):
    """Of another normalisation."""
    return np.clip(picture + 0.25, -1, 1)


@pytest.mark.parametrize("change", [framed, smoother, coarser, brighter])
def test_what_gives_a_picture_away_is_found(change):
    found = leak(change=change)
    assert found.auc > 0.65
    assert found.p_value <= 0.01


def test_the_order_of_the_file_is_looked_at():
    texts, labels, patients = pictures(80)
    order = np.argsort(labels, kind="stable")
    sorted_by_truth = leak_of(file_features([texts[n] for n in order]), labels[order], patients, 0)
    assert sorted_by_truth.auc > 0.9
    assert leak_of(file_features(texts), labels, patients, 0).p_value > 0.05


def test_a_compressed_file_would_tell():
    """Why pictures are not compressed: smoother ones come out shorter, and length shows."""
    texts, labels, patients = pictures(120, smoother)
    assert leak_of(compressed_features(texts), labels, patients, 0).auc > 0.7
    assert len({len(text) for text in texts}) == 1
    assert leak_of(file_features(texts)[:, :1], labels, patients, 0).auc == 0.5


def test_a_woman_with_many_pictures_is_not_learnt_by_heart():
    """Every woman has one label and her own border: nothing that holds for other women."""
    rng = np.random.default_rng(4)
    women, labels = np.repeat(np.arange(20), 6), np.repeat(rng.permutation(20) % 2, 6)
    features = rng.standard_normal((20, 8))[women] + 0.05 * rng.standard_normal((120, 8))
    found = leak_of(features, labels, [str(woman) for woman in women], 0)
    assert found.p_value > 0.02
    own = leak_of(features, labels, [str(n) for n in range(120)], 0)
    assert own.p_value < 0.01  # the control: as if every picture had a woman of its own


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    write_real(root / "real", 120, each=1)
    write_synthetic(root / "made_mass", "mass", 80)
    return root


class TestStudy:
    """The whole way: from sets that differ in nothing but a name to the page."""

    def flags(self, **more):
        return {"kinds": ("mass",), "cases": 80, "training": 0, "repeats": 0, **more}

    def test_a_classifier_of_file_and_border_is_at_chance(self, root):
        study = write_study(root, root / "study", **self.flags())
        key, cases = read_key(study), {c["id"]: c["pictures"][0] for c in data_of(study)["cases"]}
        labels = np.array([int(case.pictures[0].origin != "real") for case in key.cases])
        texts = [cases[case.case] for case in key.cases]
        patients = [case.pictures[0].client_id for case in key.cases]
        features = np.hstack([file_features(texts), border_features(texts, SIZE)])
        found = leak_of(features, labels, patients, 0)
        assert abs(found.auc - 0.5) < 0.15
        assert found.p_value > 0.05
        sizes = read_json(study / "manifest.json")["median_sizes"]["mass"]
        assert sizes["real"] == pytest.approx(sizes["synthetic"], rel=0.15)
        told = read_json(study / "manifest.json")["leaks"]
        assert told["border"]["p_value"] > 0.05
        assert told["border"]["pictures"] == 80

    def test_a_planted_leak_is_told(self, root, capsys):
        write_synthetic(root / "made_framed", "mass", 80, change=framed)
        write_study(root, root / "leaking", **self.flags(kinds=("framed",)))
        assert "Beware: the border tells the answer" in capsys.readouterr().out
        leaks = read_json(root / "leaking" / "manifest.json")["leaks"]
        assert leaks["border"]["auc"] > 0.75
        assert leaks["file"]["p_value"] > 0.02

    def test_the_border_is_the_border(self):
        """Pixels further in than three rows change none of its features."""
        rng = np.random.default_rng(0)
        picture = rng.uniform(-1, 1, (SIZE, SIZE))
        inside = picture.copy()
        inside[3:-3, 3:-3] = 1
        one, two = (border_features([encode_picture(p)], SIZE) for p in (picture, inside))
        assert one == pytest.approx(two)
        assert decode_picture(encode_picture(inside), SIZE)[5, 5] == 4095


def test_women_with_other_numbers_of_pictures_hide_nothing():
    """Real women have 1 picture each, synthetic ones 4: what they differ in is found."""
    rng = np.random.default_rng(5)
    women = np.concatenate([np.arange(48), 48 + np.repeat(np.arange(12), 4)])
    labels = np.repeat([0, 1], 48)
    plain = rng.standard_normal((96, 5))
    names = [str(woman) for woman in women]
    assert leak_of(plain + 2 * labels[:, None], labels, names, 0).p_value <= 0.01
    assert leak_of(plain, labels, names, 0).p_value > 0.05
