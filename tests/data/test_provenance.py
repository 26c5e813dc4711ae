"""Whose patches a set was made from: overlaps are counted by hand and named, or allowed."""

import pytest

from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.data.provenance import (
    Origin,
    Overlap,
    are_drawn,
    attribution,
    check_origins,
    is_drawn,
    manifest_sha256,
    origins_of_set,
    patient_digest,
    patients_of,
)
from cgan_tf.runs.directory import MANIFEST_FILE, read_json, write_json
from cgan_tf.runs.errors import UserError
from tests.toys.patches import write_toy_patches, write_toy_synthetic


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """patches/, swapped/ whose training women are patches/' test women, and a set of each."""
    root = tmp_path_factory.mktemp("provenance")
    write_toy_patches(root / "patches", per_class=9)
    write_toy_patches(root / "swapped", per_class=9, seed=1, women={"train": "test"})
    write_toy_synthetic(root / "mass", root / "patches", "mass", 9)
    write_toy_synthetic(root / "leaking", root / "swapped", "mass", 7)
    return root


def test_women_are_counted_with_their_patches(root):
    patients = patients_of(PatchSet(root / "patches"), "train", ["malignant_mass"])
    women = [f"train-case-000{number}" for number in range(3)]  # three patches each
    assert patients == {patient_digest(woman): 3 for woman in women}
    assert len(patient_digest(women[0])) == 16


def test_a_phantom_is_known_by_what_made_it(tmp_path):
    """Of make_phantom, or of insert_lesions on a phantom, whose readers are given its images/."""
    assert not is_drawn(str(tmp_path))  # no manifest: mammograms
    write_json(tmp_path / MANIFEST_FILE, {"program": "insert_lesions"})
    assert not is_drawn(str(tmp_path))
    write_json(tmp_path / MANIFEST_FILE, {"program": "insert_lesions", "phantom": True})
    assert is_drawn(str(tmp_path))
    assert is_drawn(str(tmp_path / "images"))
    write_json(tmp_path / MANIFEST_FILE, {"program": "make_phantom"})
    assert is_drawn(str(tmp_path))


def test_patches_say_that_they_are_drawn_or_what_they_were_cut_from(tmp_path):
    write_toy_patches(tmp_path / "patches", per_class=1)
    patches, manifest = PatchSet(tmp_path / "patches"), tmp_path / "patches" / MANIFEST_FILE
    assert not are_drawn(patches)
    content = read_json(manifest)
    write_json(manifest, content | {"phantom": True})
    assert are_drawn(PatchSet(tmp_path / "patches"))
    (tmp_path / "drawn").mkdir()
    write_json(tmp_path / "drawn" / MANIFEST_FILE, {"program": "make_phantom"})
    flags = content.get("flags", {}) | {"input_dir": str(tmp_path / "drawn")}
    write_json(manifest, content | {"flags": flags})
    assert are_drawn(PatchSet(tmp_path / "patches"))


def test_films_that_their_uids_tell_are_named_with_their_licence():
    known = "1.3.6.1.4.1.9590.100.1.2.5"
    assert "CC BY 3.0" in attribution(["1.2.3", known])
    assert attribution([known, known]) == attribution([known])
    assert attribution(["1.2.3", "1.3.6.1.4.1.9590.100.1.25"]) == ""


def test_a_digest_never_changes():
    """It is in published cards."""
    assert patient_digest("demd100003") == "f856abb9209a0956"


def test_a_set_of_other_women_passes(root):
    patches = PatchSet(root / "patches")
    assert check_origins(patches, origins_of_set(PatchSet(root / "mass")), False) == ()


def test_a_set_of_another_split_is_refused_by_name_and_count(root):
    patches, leaking = PatchSet(root / "patches"), PatchSet(root / "leaking")
    with pytest.raises(UserError) as caught:
        check_origins(patches, origins_of_set(leaking), False)
    message = str(caught.value)
    # Seven patches of source women 0, 0, 0, 1, 1, 1, 2, who are normal.
    assert message == (
        f"made from another split than {patches.directory}: {leaking.directory}: 3 of its 3 women "
        "are in the test split (test-normal-0000, test-normal-0001, test-normal-0002, 7 patches). "
        "Make it anew from these patches; --allow_overlap admits it for a deliberate study"
    )


def test_an_overlap_that_is_allowed_is_told(root):
    patches, leaking = PatchSet(root / "patches"), PatchSet(root / "leaking")
    women = tuple(f"test-normal-000{number}" for number in range(3))
    found = check_origins(patches, origins_of_set(leaking), True)
    assert found == (Overlap(str(leaking.directory), "test", women, 7, 3),)


def test_the_women_behind_the_generator_count_too(root):
    patches = PatchSet(root / "patches")
    synthetic = PatchSet(root / "mass")  # whose sources are all right
    women = ["validation-case-0000", "train-case-0001", "validation-normal-0002"]
    synthetic.manifest |= {
        "generator_patients": [patient_digest(woman) for woman in women],
        "generator_patches_manifest_sha256": "a" * 64,
    }
    (found,) = check_origins(patches, origins_of_set(synthetic), True)
    assert found.name == f"the generator of {synthetic.directory}"
    assert found.patients == ("validation-case-0000", "validation-normal-0002")
    assert str(found) == (
        "2 of its 3 women are in the validation split (validation-case-0000, "
        "validation-normal-0002)"
    )


def test_the_same_patch_set_needs_no_search(root):
    """At the paper's size the search reads gigabytes."""
    patches = PatchSet(root / "patches")

    def never():
        raise AssertionError

    assert check_origins(patches, [Origin("G", manifest_sha256(patches), never)], False) == ()


def test_many_women_are_counted_and_three_named():
    overlap = Overlap("S", "test", tuple("abcde"), 9, 20)
    assert str(overlap) == "5 of its 20 women are in the test split (a, b, c and 2 more, 9 patches)"
