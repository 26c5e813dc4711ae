"""Front matter that hubs read, the citation, and what a card says of the data."""

import dataclasses
import json
from types import SimpleNamespace

import pytest

from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.data.records import encode_record
from cgan_tf.release.cards import citation, front_matter, licence_fields, tags_of, to_yaml
from cgan_tf.release.measured import criterion_of
from cgan_tf.release.origin import Licence, data_source, released_flags
from cgan_tf.runs.directory import read_json, write_json
from tests.toys.patches import write_toy_patches

yaml = pytest.importorskip("yaml")

TRICKY = {
    "title": 'a: "quoted" title, #1 – with − signs',
    "list": ["no", "1.0", "null", "-"],
    "empty": [],
    "numbers": [1, 0.25, -3e-05],
    "deep": [{"task": {"type": "x", "names": ["a", "b"]}, "flag": True}, {"value": None}],
}


def test_yaml_is_what_was_meant():
    assert yaml.safe_load(to_yaml(TRICKY)) == TRICKY
    text = front_matter(TRICKY)
    assert text.startswith("---\n")
    assert text.endswith("\n---")
    assert yaml.safe_load(text.strip("-")) == TRICKY


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("", {"license": "unknown"}),
        ("CC-BY-4.0", {"license": "cc-by-4.0"}),
        ("Ours 1.0", {"license": "other", "license_name": "Ours 1.0", "license_link": "LICENSE"}),
    ],
)
def test_licences_as_hubs_call_them(name, fields):
    assert licence_fields(Licence(name)) == fields


def test_the_citation_is_cff():
    content = yaml.safe_load(
        citation("A set", ["Curie, Marie", "A Trust"], Licence("CC-BY-4.0"), "dataset", "What.")
    )
    assert content["cff-version"] == "1.2.0"
    assert content["authors"] == [
        {"family-names": "Curie", "given-names": "Marie"}, {"name": "A Trust"}
    ]  # fmt: skip
    assert (content["type"], content["license"]) == ("dataset", "CC-BY-4.0")
    assert content["references"][0]["url"] == "https://arxiv.org/abs/2006.00086"


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    return write_toy_patches(tmp_path_factory.mktemp("cards") / "patches", per_class=3)


def told(directory, **changes):
    """What the data are called when the manifest of patches says so."""
    manifest = read_json(directory / "manifest.json")
    patch_set = PatchSet(directory)
    patch_set.manifest = {**manifest, **changes}
    return data_source(patch_set)


def test_a_phantom_is_called_one(patches, tmp_path):
    source = told(patches, phantom=True)
    assert (source.phantom, source.slug, source.real) == (True, "phantom", "phantom")
    assert "phantom" in tags_of(source, "mass")
    # An older set: the tree beside it says what it is.
    tree = patches.parent / "drawn"
    tree.mkdir()
    write_json(tree / "manifest.json", {"program": "make_phantom"})
    flags = {"source": "optimam", "input_dir": "elsewhere/drawn"}
    assert told(patches, flags=flags).phantom is True


def test_real_data_are_called_by_their_name(patches):
    flags = {"source": "cbis_ddsm", "input_dir": "gone"}
    source = told(patches, phantom=False, flags=flags)
    assert (source.name, source.slug, source.phantom) == ("CBIS-DDSM", "cbis-ddsm", False)
    assert "phantom" not in tags_of(source, "mass")
    flags = {"source": "optimam", "input_dir": str(patches.parent / "omidb")}
    (patches.parent / "omidb").mkdir()
    assert told(patches, flags=flags).phantom is False  # its images are there, and not drawn
    flags = {"source": "table", "mapping": "configs/sources/mini_mias.toml"}
    assert told(patches, flags=flags).name == "mini-mias"


def test_a_public_set_is_named_with_its_licence(tmp_path):
    directory = write_toy_patches(tmp_path / "patches", per_class=1)
    patch_set = PatchSet(directory)
    real = patch_set.index

    def index(split, *classes):
        found = real(split, *classes)
        record = dataclasses.replace(found.record(0), sop_uid="1.3.6.1.4.1.9590.100.1.2.77")
        return SimpleNamespace(payload=lambda _: encode_record(record), name=found.name)

    assert data_source(patch_set).attribution == ""
    patch_set.index = index
    assert "CC BY 3.0" in data_source(patch_set).attribution


def test_what_nobody_recorded_is_not_made_up(patches):
    """OMI-DB's layout may be the phantom's."""
    source = told(patches, flags={"source": "optimam", "input_dir": "gone"})
    assert source.phantom is None
    assert "phantom" in source.name
    assert "OMI-DB" in source.name


def test_no_path_of_a_machine_is_released():
    flags = {"task": "mass", "patches_dir": "/home/me/x", "output_dir": "/home/me/y", "ema": 0.9}
    assert released_flags(flags) == {"task": "mass", "ema": 0.9}
    assert "/home" not in json.dumps(released_flags(flags))


@pytest.mark.parametrize(
    ("measure", "check", "criterion"),
    [
        ("overlap", "low recall (x features)", "Coverage"),
        ("overlap", "low precision (x features)", "Congruence"),
        ("change", "a change outside the mask", "Constraint"),
        ("membership", "training patients recognisable in the set", "Compliance"),
        ("mine", "something", "Congruence"),
    ],
)
def test_every_verdict_has_its_c(measure, check, criterion):
    assert criterion_of(measure, check) == criterion


def test_women_are_counted_as_the_manifest_counts_them(patches):
    origins = {"train": {"malignant_mass": {"patches": 9, "images": 4, "clients": 2}}}
    source = told(patches, origins=origins)
    assert (dict(source.women), dict(source.images)) == (
        {"malignant_mass": 2}, {"malignant_mass": 4}
    )  # fmt: skip
