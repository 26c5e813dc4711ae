"""What the fuzzer found, as cases, and that its targets can fail.

A file under tests/fuzz/found/ is an input that once broke a promise, by the reader's name.
"""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from beam_pipelines.dicom import reading
from beam_pipelines.sources.omidb_files import Tree
from beam_pipelines.sources.optimam import Optimam
from tests.fuzz import targets
from tests.fuzz.seeds import CLIENT, SEPARATOR, client_documents, dicom_files, json_seeds
from tests.toys.random_damage import change_value

FOUND = Path(__file__).parents[1] / "fuzz" / "found"
READERS = {"dicom": targets.read_dicom, "json": targets.read_client}


def cases(reader: str) -> list[Path]:
    return sorted((FOUND / reader).glob("*"))


@pytest.mark.parametrize("path", cases("dicom"), ids=lambda path: path.name)
def test_what_broke_the_dicom_reader_does_so_no_more(path):
    targets.read_dicom(path.read_bytes())


@pytest.mark.parametrize("path", cases("json"), ids=lambda path: path.name)
def test_what_broke_the_json_reader_does_so_no_more(path):
    targets.read_client(path.read_bytes())


@pytest.mark.parametrize("name", sorted(dicom_files()))
def test_the_dicom_seeds_are_pictures_or_of_a_view_that_is_left_out(name):
    targets.read_dicom(dicom_files()[name])
    if name != "view codes":
        assert reading.read_mammogram(dicom_files()[name], strict=False).grey.shape == (24, 20)


def test_the_json_seeds_are_what_their_names_say():
    found = {}
    for name, data in json_seeds().items():
        targets.read_client(data)
        root = targets._client_on_disk()
        tree = Tree(str(root / "DATA"), str(root / "IMAGES"))
        images = Optimam(tree).read_unit(CLIENT).images
        found[name] = [(image.use, *(m.patch_class for m in image.marks)) for image in images]
    assert found == {
        "case": [("lesion", "malignant_mass")],
        "no side-car": [("lesion", "malignant_mass")],
        "benign": [("lesion", "benign_mass")],
        "healthy": [("healthy",)],
        "empty": [],
    }


def test_a_hundred_random_changes_of_the_json_keep_every_promise():
    for seed in range(100):
        rng = random.Random(seed)
        documents = list(client_documents())
        place = rng.randrange(3)
        content = json.loads(documents[place])
        for _ in range(3):
            change_value(content, rng)
        documents[place] = json.dumps(content).encode()
        targets.read_client(SEPARATOR.join(documents))


def _worse(mammogram, **changes):
    for name, value in changes.items():
        object.__setattr__(mammogram, name, value)
    return mammogram


@pytest.mark.parametrize(
    "grey",
    [
        np.full((24, 20), np.nan, np.float32),
        np.full((24, 20), 1.5, np.float32),
        np.zeros((24, 20)),
        np.zeros((20, 24), np.float32),
    ],
    ids=["no numbers", "too bright", "double", "turned"],
)
def test_the_dicom_target_fails_where_a_promise_is_broken(monkeypatch, grey):
    read = reading.read_mammogram
    monkeypatch.setattr(reading, "read_mammogram", lambda *a, **k: _worse(read(*a, **k), grey=grey))
    with pytest.raises(AssertionError):
        targets.read_dicom(dicom_files()["voi window"])


def test_the_json_target_fails_where_something_is_lost(monkeypatch):
    read_unit = Optimam.read_unit

    def forgetful(self, unit):
        index = read_unit(self, unit)
        object.__setattr__(index, "rejections", ())
        return index

    monkeypatch.setattr(Optimam, "read_unit", forgetful)
    with pytest.raises(AssertionError):
        targets.read_client(json_seeds()["empty"])
