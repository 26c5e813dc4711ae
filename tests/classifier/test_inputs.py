"""Which patches train and validate the classifier, and what is refused before TensorFlow."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from cgan_tf.classifier.inputs import evenly, open_sets, validation_pool
from cgan_tf.config import PasteConfig
from cgan_tf.data.patch_sets import PatchPool, PatchSet, check_sizes, evaluation_pool
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import flags_text
from cgan_tf.synthesis.pasting import paste_lesions
from tests.toys.classifier import toy_config
from tests.toys.patches import write_toy_patches, write_toy_synthetic


def test_streams_hold_the_classes_they_should(toy_sets, tmp_path):
    streams = open_sets(toy_config(toy_sets, tmp_path)).streams
    classes = [{pool.record(n).patch_class for n in range(len(pool))} for pool in streams]
    assert classes[0] == {"normal", "benign_mass", "benign_calcification"}
    assert classes[1] == classes[3] == {"malignant_mass", "malignant_calcification"}
    assert classes[2] == {"normal"}
    assert [len(pool) for pool in streams] == [60, 40, 10, 20]
    assert all(streams[2].record(n).synthetic for n in range(10))
    without = open_sets(toy_config(toy_sets, tmp_path, benign="exclude")).streams
    assert len(without[0]) == 20


def test_the_description_names_every_set(toy_sets, tmp_path):
    description = open_sets(toy_config(toy_sets, tmp_path)).description()
    assert {name: entry["patches"] for name, entry in description.items()} == {
        "real negative": 60,
        "real positive": 40,
        "synthetic negative": 10,
        "synthetic positive": 20,
        "validation": 60,
    }
    assert len({entry["sha256"] for entry in description.values()}) == 5


def test_only_the_set_that_changed_has_another_checksum(toy_sets, tmp_path):
    before = open_sets(toy_config(toy_sets, tmp_path)).description()
    without_benign = open_sets(toy_config(toy_sets, tmp_path, benign="exclude")).description()
    assert [name for name in before if before[name] != without_benign[name]] == ["real negative"]
    write_toy_patches(tmp_path / "patches", per_class=20, seed=1)  # as many, but others
    other = toy_config(tmp_path, tmp_path, synthetic_fraction=0.0, synthetic_dirs=())
    found = open_sets(other).description()
    for name in ("real negative", "real positive", "validation"):
        assert found[name]["patches"] == before[name]["patches"]
        assert found[name]["sha256"] != before[name]["sha256"]


def test_the_whole_validation_set_is_the_default(toy_sets):
    patches = PatchSet(toy_sets / "patches")
    everything, labels = evaluation_pool(patches, "validation")
    for limit in (0, 60, 1000):
        pool, found = validation_pool(patches, limit)
        assert len(pool) == len(everything) == 60
        assert found.tolist() == labels.tolist()


@pytest.mark.parametrize("limit", [12, 30, 59])
def test_a_capped_validation_set_keeps_the_proportions(toy_sets, limit):
    pool, labels = validation_pool(PatchSet(toy_sets / "patches"), limit)
    records = [pool.record(number) for number in range(len(pool))]
    assert len({record.patch_id for record in records}) == limit
    classes = [record.patch_class for record in records]
    for name in ("normal", "malignant_mass", "malignant_calcification"):
        assert abs(classes.count(name) - limit / 3) < 1
        numbers = [int(r.patch_id.split("-")[-1]) for r in records if r.patch_class == name]
        assert max(np.diff([-1, *numbers, 20])) <= -(-60 // limit) + 1  # spread, not a first part
    assert labels.tolist() == [int(name != "normal") for name in classes]


def test_the_cap_does_not_depend_on_the_seed(toy_sets, tmp_path):
    ids = []
    for seed in (0, 1):
        config = toy_config(toy_sets, tmp_path, seed=seed, validation_patches=12)
        pool = open_sets(config).validation
        ids.append([pool.record(number).patch_id for number in range(len(pool))])
    assert ids[0] == ids[1]


def test_a_cap_that_leaves_one_class_is_refused(toy_sets):
    with pytest.raises(UserError, match=r"--validation_patches: .*20 normal, 40 malig.*found 1"):
        validation_pool(PatchSet(toy_sets / "patches"), 1)


def test_an_empty_stream_is_refused(toy_sets, tmp_path):
    only_positive = toy_config(toy_sets, tmp_path, synthetic_dirs=(str(toy_sets / "mass"),))
    with pytest.raises(UserError, match=r"synthetic negative stream is empty.*removal"):
        open_sets(only_positive)
    never_drawn = toy_config(toy_sets, tmp_path, synthetic_fraction=0.0, synthetic_dirs=())
    assert [len(pool) for pool in open_sets(never_drawn).streams] == [60, 40, 0, 0]


def filled(toy_sets, tmp_path, filling, **changes):
    return open_sets(toy_config(toy_sets, tmp_path, filling=filling, **changes))


def ids_of(pool):
    return [pool.record(number).patch_id for number in range(len(pool))]


def test_what_each_filling_draws_from(toy_sets, tmp_path):
    both = filled(toy_sets, tmp_path, "both")
    assert both.changes == {}
    for name in ("lesions", "removal"):
        sets = filled(toy_sets, tmp_path, name)
        assert (sets.names, sets.checksums) == (both.names, both.checksums)

    augmented = filled(toy_sets, tmp_path, "augmented")
    assert augmented.names[2:] == ("augmented negative", "augmented positive")
    assert ids_of(augmented.streams[2]) == ids_of(both.streams[0])
    assert ids_of(augmented.streams[3]) == ids_of(both.streams[1])
    assert set(augmented.changes) == {2, 3}

    paste_lesions(
        PasteConfig(patches_dir=str(toy_sets / "patches"), output_dir=str(tmp_path / "p"), count=12)
    )
    pasted = filled(toy_sets, tmp_path, "pasted", pasted_dirs=(str(tmp_path / "p"),))
    assert len(pasted.streams[2]) == 0  # its negatives are real ones
    assert all("~" in patch_id for patch_id in ids_of(pasted.streams[3]))


def test_oversampling_takes_both_types_evenly_and_nothing_benign(toy_sets, tmp_path):
    """20 masses and 5 calcifications: each calcification has four places."""
    patches = PatchSet(toy_sets / "patches")
    mass, calcification = (
        patches.index("train", f"malignant_{name}") for name in ("mass", "calcification")
    )
    few = dataclasses.replace(calcification, places=calcification.places[:5])
    ids = ids_of(evenly([mass, few]))
    assert ids[:20] == [f"train-malignant_mass-{n:05d}" for n in range(20)]
    assert ids[20:] == [f"train-malignant_calcification-{n:05d}" for n in range(5)] * 4
    sets = filled(toy_sets, tmp_path, "oversampled")
    assert {name.split("-")[1] for name in ids_of(sets.streams[2])} == {"normal"}
    assert len(sets.streams[3]) == 40


def test_an_oracle_of_women_to_be_tested_is_refused(toy_sets, tmp_path):
    others = write_toy_patches(tmp_path / "others", per_class=9, seed=5, women={"train": "more"})
    sets = filled(toy_sets, tmp_path, "oracle", oracle_dirs=(str(others),))
    assert len(sets.streams[3]) == 18
    leaking = write_toy_patches(tmp_path / "leak", per_class=9, seed=6, women={"train": "test"})
    with pytest.raises(UserError, match=r"leak: 6 of its 6 women are in the test split"):
        filled(toy_sets, tmp_path, "oracle", oracle_dirs=(str(leaking),))


@pytest.mark.parametrize("filling", ["pasted", "oracle"])
def test_a_filling_without_its_sets_is_refused(toy_sets, tmp_path, filling):
    with pytest.raises(UserError, match=rf"{filling} positive stream is empty; --{filling}_dirs"):
        filled(toy_sets, tmp_path, filling)


def test_a_set_of_women_to_be_tested_is_refused_before_it_is_drawn_from(toy_sets, tmp_path):
    """Fault M1: cut again with another seed, a fifth of the positives came from test women."""
    write_toy_patches(tmp_path / "patches", per_class=9, women={"train": "validation"})
    write_toy_synthetic(tmp_path / "mass", tmp_path / "patches", "mass", 6)
    dirs = (str(tmp_path / "mass"), *(str(toy_sets / t) for t in ("calcification", "removal")))
    leaking = toy_config(toy_sets, tmp_path, synthetic_dirs=dirs)
    with pytest.raises(UserError, match=r"mass: 2 of its 2 women are in the validation split"):
        open_sets(leaking)
    assert open_sets(dataclasses.replace(leaking, synthetic_fraction=0.0)).overlaps == ()
    (overlap,) = open_sets(dataclasses.replace(leaking, allow_overlap=True)).overlaps
    assert (overlap.split, overlap.patches) == ("validation", 6)


def test_sets_of_different_sizes_are_refused(toy_sets, tmp_path):
    write_toy_patches(tmp_path / "large", size=64, per_class=3)
    pools = [
        PatchPool((PatchSet(directory).index("train", "normal"),))
        for directory in (toy_sets / "patches", tmp_path / "large")
    ]
    with pytest.raises(UserError, match=r"expected 32 px patches.*found 64 px"):
        check_sizes(pools)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patches_dir": "nowhere"}, "nowhere: expected an output directory"),
        ({"synthetic_dirs": ("nowhere",)}, "nowhere: expected an output directory"),
        ({"synthetic_dirs": ()}, "the synthetic negative stream is empty"),
        ({"weights": "nowhere.keras"}, "nowhere.keras: no such file"),
        ({"samples": 0}, "--samples: expected 1 or more"),
        ({"intra_op_threads": -1}, "--intra_op_threads: expected 0 or more"),
    ],
    ids=str,
)
def test_mistakes_are_named_before_tensorflow_is_imported(toy_sets, tmp_path, changes, words):
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('TensorFlow was imported')")
    (tmp_path / "keras.py").write_text("raise SystemExit('Keras was imported')")
    config = toy_config(toy_sets, tmp_path / "w", **changes)
    start = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import runpy; "
    program = "runpy.run_module('cgan_tf.train_classifier', run_name='__main__', alter_sys=True)"
    process = subprocess.run(
        [sys.executable, "-c", start + program, *flags_text(config).splitlines()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1, process.stderr
    assert words in process.stderr
    assert process.stderr.count("\n") == 1
    assert not (tmp_path / "w").exists()
