"""Inputs made by somebody who means harm: no code of theirs runs, no name of theirs is a path, and
nothing that they declare is believed before it costs memory."""

import ast
import json
import os
import struct
import zlib
from pathlib import Path

import imagecodecs
import keras
import numpy as np
import pytest

from beam_pipelines.dicom import reading
from beam_pipelines.patches.cutting import read_file
from beam_pipelines.patches.job import make_patches
from beam_pipelines.patches.listing import TABLES, table
from beam_pipelines.rejections import Reason, Rejected
from beam_pipelines.sources.base import HEALTHY, Image
from beam_pipelines.sources.index import read_index
from beam_pipelines.sources.omidb_files import find_tree
from beam_pipelines.sources.optimam import Optimam
from beam_pipelines.storage import files
from beam_pipelines.storage.local import LocalFiles
from cgan_tf.classifier.pipeline import keep_plan
from cgan_tf.classifier.results import ScoredTest, read_features
from cgan_tf.config import PatchesConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.data.records import MOST_PIXELS, decode_png
from cgan_tf.models.networks import load_weights
from cgan_tf.models.resnet import ResNetClassifier
from cgan_tf.runs.directory import read_json
from cgan_tf.runs.errors import UserError, contained
from tests.fuzz.seeds import file_bytes
from tests.toys.memory import memory_peak
from tests.toys.omidb_tree import MARK, breast, compressed, dataset, write, write_json
from tests.toys.patches import write_toy_patches

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for package in ("cgan_tf", "beam_pipelines") for path in (ROOT / package).rglob("*.py")
)
WAYS_OUT = (
    *("../../up", "/etc/passwd", "..", "a/../../b", "line\nbreak", "\x1b[2J", "zero\0byte", ""),
)
MEGABYTES = 200  # that a small file may cost


# Code


RUNS_CODE = {"eval", "exec", "compile", "__import__", "breakpoint"}
UNPICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
# Calls that need an argument to be safe.
MUST_SAY = {"np.load": ("allow_pickle", False), "load_model": ("safe_mode", True)}


def dangers(source: str) -> list[str]:
    """What in a source text could run code that comes from data."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            found += [f"imports {n}" for n in names if n.split(".")[0] in UNPICKLES]
        elif isinstance(node, ast.Call):
            found += _dangers_of_call(node)
    return found


def _dangers_of_call(node: ast.Call) -> list[str]:
    name = ast.unparse(node.func)
    said = {keyword.arg: getattr(keyword.value, "value", None) for keyword in node.keywords}
    if name in RUNS_CODE or name in ("os.system", "os.popen") or said.get("shell"):
        return [f"calls {name}"]
    return [
        f"calls {name} without {argument}={value}"
        for ending, (argument, value) in MUST_SAY.items()
        if (name == ending or name.endswith(f".{ending}")) and said.get(argument) is not value
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_source_can_run_code_that_comes_from_data(path):
    assert dangers(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "danger"),
    [
        ("import pickle", "imports pickle"),
        ("from joblib.numpy_pickle import load", "imports joblib.numpy_pickle"),
        ("eval(text)", "calls eval"),
        ("os.system(name)", "calls os.system"),
        ("subprocess.run(name, shell=True)", "calls subprocess.run"),
        ("np.load(path)", "calls np.load without allow_pickle=False"),
        ("np.load(path, allow_pickle=True)", "calls np.load without allow_pickle=False"),
        ("keras.saving.load_model(path)", "calls keras.saving.load_model without safe_mode=True"),
    ],
)
def test_the_search_finds_dangers(source, danger):
    assert dangers(source) == [danger]
    assert dangers("re.compile(x); model.evaluate(x); np.load(path, allow_pickle=False)") == []


def test_tensorflow_opens_files_in_few_places():
    """Each of them is tried with damaged files in test_damaged_inputs and test_networks."""
    found = set()
    for path in SOURCES:
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            calls = [ast.unparse(n.func) for n in ast.walk(function) if isinstance(n, ast.Call)]
            for call in calls:
                if call.split(".")[-1] in ("load_weights", "load_checkpoint", "load_model") or (
                    call.endswith(("saved_model.load", "checkpoint.read", "checkpoint.restore"))
                ):
                    found.add((path.name, function.name))
    assert found == {
        ("export.py", "load_generator"),
        ("training.py", "_read"),
        ("scoring.py", "load_classifier"),
        # Starting weights that a user names: no checksum of them is known, but ImageNet's.
        ("networks.py", "_load_file"),
        ("training.py", "__init__"),
        ("features.py", "_imagenet"),
        ("training.py", "_load_best"),  # a detector's own, from the run that wrote them
    }


def test_a_keras_file_cannot_bring_code(tmp_path):
    mark = tmp_path / "ran"
    layer = keras.layers.Lambda(
        lambda x, path=str(mark): (open(path, "w").close(), x)[1], output_shape=(2,)
    )
    model = keras.Sequential([keras.Input((2,)), layer])
    mark.unlink(missing_ok=True)
    model.save(tmp_path / "model.keras")
    mark.unlink(missing_ok=True)
    with pytest.raises(UserError, match=r"model\.keras: expected weights of ResNet-50"):
        load_weights(ResNetClassifier(), str(tmp_path / "model.keras"))
    assert not mark.exists()


class Payload:
    """Makes a directory when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def trap(tmp_path):
    """(array that holds a payload, the file that betrays it)."""
    return np.array([Payload(tmp_path / "ran")], dtype=object), tmp_path / "ran"


def test_an_array_file_cannot_bring_code(trap, tmp_path):
    array, mark = trap
    np.savez(tmp_path / "features.npz", test=array)
    evaluation = ScoredTest(tmp_path, *[None] * 10)
    with pytest.raises(UserError, match=r"features\.npz: expected"):
        read_features(evaluation)
    np.save(tmp_path / "plan.npy", array, allow_pickle=True)
    write_json(tmp_path / "plan.json", {"sha256": "", "sets": {}})
    with pytest.raises(UserError, match=r"plan\.npy: expected"):
        keep_plan(tmp_path, None, _NoSets())
    assert not mark.exists()
    np.load(tmp_path / "plan.npy", allow_pickle=True)
    assert mark.exists()  # the trap works


class _NoSets:
    def description(self):
        return {}


# Names


@pytest.mark.parametrize("name", [*WAYS_OUT, None, 3, ["a"]])
def test_a_name_that_leads_out_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="expected the name of a file in it, found"):
        contained(tmp_path, name)


def test_a_name_that_stays_inside_is_its_file(tmp_path):
    assert contained(tmp_path, "train/normal.tfrecord") == tmp_path / "train" / "normal.tfrecord"
    assert contained(tmp_path, "Ünïcode, with spaces.png") == tmp_path / "Ünïcode, with spaces.png"


def test_a_manifest_cannot_name_shards_elsewhere(tmp_path):
    write_toy_patches(tmp_path / "patches", size=32, per_class=1)
    path = tmp_path / "patches" / "manifest.json"
    content = json.loads(path.read_text())
    shard = content["splits"]["train"]["normal"]["shards"][0]
    stolen = tmp_path / "elsewhere.tfrecord"
    (tmp_path / "patches" / shard["file"]).rename(stolen)
    for name in ("../elsewhere.tfrecord", str(stolen)):
        shard["file"] = name
        path.write_text(json.dumps(content))
        with pytest.raises(UserError, match="expected the name of a file in it"):
            PatchSet(tmp_path / "patches")


@pytest.fixture
def opened(monkeypatch):
    """Every path that the pipeline opens."""
    paths = []
    plain = LocalFiles.open_binary

    def noted(self, path, largest):
        paths.append(path)
        return plain(self, path, largest)

    monkeypatch.setattr(LocalFiles, "open_binary", noted)
    return paths


@pytest.mark.parametrize("name", WAYS_OUT)
def test_ids_of_omidb_are_no_paths(tmp_path, opened, name):
    """A client's JSON names studies and images that lead out of the tree, to a file there."""
    root = tmp_path / "root" / "deep"
    for place in (tmp_path, root / "IMAGES"):
        write(place / "up.dcm", dataset())
    write(root / "IMAGES" / "demd1" / "1.2" / "1.2.1.dcm", dataset())
    study = {"EpisodeID": "200", "1.2.3": {name: {"7": MARK}}}
    content = {"ClientID": name, "STUDIES": {name: study, "1.2": {"1.2.3": {name: {}}}}}
    write_json(root / "DATA" / "demd1" / "IMAGEDB_demd1.json", content)
    write_json(root / "DATA" / "demd1" / "NBSS_demd1.json", {"ClientID": name, name: {}})
    index = read_index(Optimam(find_tree(str(root))))
    assert not index.images
    assert opened
    assert all(Path(path).resolve().is_relative_to(root) for path in opened)
    for kind in TABLES:
        list(table(kind, index, PatchesConfig()))


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_ids_of_dicom_files_are_no_paths(tmp_path):
    folder = tmp_path / "deep" / "in"
    for number, name in enumerate(WAYS_OUT[:4]):
        identity = {"PatientID": name, "SOPInstanceUID": name, "StudyInstanceUID": name}
        header = dataset(breast(seed=number), **identity, Manufacturer=name)
        header.file_meta.MediaStorageSOPInstanceUID = "1.2"
        write(folder / f"{number}.dcm", header)
    before = _tree(tmp_path)
    config = PatchesConfig(
        source="folder", input_dir=str(folder), output_dir=str(tmp_path / "deep" / "out"),
        size=32, all_in_split="train", allow_shortfall=True, assume_normal=True, folder_patches=8,
    )  # fmt: skip
    make_patches(config)
    new = _tree(tmp_path) - before
    assert all(path.startswith(f"deep{os.sep}out") for path in new)
    patches = PatchSet(tmp_path / "deep" / "out").index("train", "normal")
    records = [patches.record(number) for number in range(len(patches))]
    assert len(records) == 8
    assert not [r for r in records if "/" in r.client_id + r.sop_uid or ".." in r.client_id]


def _tree(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def test_links_to_themselves_are_walked_once(tmp_path):
    """Two links to the directory they are in: by name there are 2^40 files."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.dcm").write_bytes(b"")
    for name in ("x", "y"):
        (tmp_path / "a" / name).symlink_to(tmp_path / "a")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert list(files.walk(str(tmp_path))) == [str(tmp_path / "a" / "one.dcm")]


# Bombs


def png(width, height, data, bits=16, colour=0, extra=b""):
    """A PNG by hand: what it declares need not be what it holds."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), extra, chunk(b"IDAT", data), chunk(b"IEND", b""))
    )


def zeros(megabytes: int) -> bytes:
    """Zlib's stream of so many zero bytes: a thousandth of it."""
    pack = zlib.compressobj(9)
    return b"".join(pack.compress(bytes(1 << 20)) for _ in range(megabytes)) + pack.flush()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (png(20_000, 20_000, b""), f"1 to {MOST_PIXELS} pixels, found 20000x20000"),
        (png(4096, 4097, b""), f"1 to {MOST_PIXELS} pixels"),
        (png(1 << 31, 1 << 31, b""), f"1 to {MOST_PIXELS} pixels"),
        (png(0, 5, b""), f"1 to {MOST_PIXELS} pixels"),
        (png(2, 2, zeros(50)), "bytes of PNG"),
        (png(2, 2, b"", bits=8), "expected a 16-bit grey PNG"),
        (png(2, 2, b"", colour=2), "expected a 16-bit grey PNG"),
        (imagecodecs.tiff_encode(np.zeros((4, 4), np.uint16)), "expected a 16-bit grey PNG"),
    ],
)
def test_a_patch_that_is_a_bomb_is_refused_before_it_is_decoded(monkeypatch, content, complaint):
    monkeypatch.setattr("cv2.imdecode", None)
    with pytest.raises(UserError, match=f"shard: feature 'patch': .*{complaint}"):
        decode_png(content, "patch", "shard")


def test_text_in_a_png_does_not_swell():
    text = png(2, 2, zlib.compress(bytes(10)), extra=_chunk(b"zTXt", b"k\0\0" + zeros(100))[:4000])
    with memory_peak() as peak, pytest.raises(UserError):
        decode_png(text, "patch", "shard")
    assert peak.megabytes < MEGABYTES


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + bytes(4)


_JPEG = "1.2.840.10008.1.2.4."


def _with_size(stream: bytes, marker: bytes, offset: int, form: str, *size: int) -> bytes:
    place = stream.find(marker) + offset
    return stream[:place] + struct.pack(form, *size) + stream[place + struct.calcsize(form) :]


def bombs():
    """DICOM files of a few kilobytes that declare gigabytes, by what declares them."""
    pixels = breast((64, 48))
    lossless = imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=12)
    j2k = imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", level=0)
    big = {"Rows": 65535, "Columns": 65535}
    edge = {"Rows": 8000, "Columns": 8000}  # 64 million pixels: what is allowed at most
    lied = _with_size(lossless, b"\xff\xc3", 5, ">HH", 8000, 8000)
    lied_2000 = _with_size(j2k, b"\xff\x51", 6, ">II", 8000, 8000)
    runs = struct.pack("<16I", 2, 64, 64 + 512, *[0] * 13) + b"\x81\0" * 512
    return {
        "raw of 8 GB": dataset(pixels, **big),
        "JPEG of 8 GB": compressed(dataset(pixels, **big), f"{_JPEG}70", lossless),
        "JPEG, header too": compressed(dataset(pixels, **edge), f"{_JPEG}70", lied),
        "JPEG, header alone": compressed(dataset(pixels, **edge), f"{_JPEG}70", lossless),
        "JPEG 2000": compressed(dataset(pixels, **edge), f"{_JPEG}90", lied_2000[:-2]),
        "JPEG-LS": compressed(
            dataset(pixels, **edge), f"{_JPEG}80", imagecodecs.jpegls_encode(pixels)
        ),
        "RLE": compressed(dataset(pixels, **edge), "1.2.840.10008.1.2.5", runs),
        "deflated": _deflated(pixels),
        "frames": dataset(pixels, NumberOfFrames=100_000),
    }


def _deflated(pixels):
    header = dataset(pixels)
    header.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    return header


@pytest.mark.parametrize("name", sorted(bombs()))
def test_a_dicom_file_that_is_a_bomb_is_rejected(name):
    data = file_bytes(bombs()[name])
    assert len(data) < 20_000
    with memory_peak() as peak, pytest.raises(Rejected) as fault:
        reading.read_mammogram(data, strict=False)
    assert isinstance(fault.value.reason, Reason)
    assert fault.value.detail != "MemoryError"
    assert peak.megabytes < MEGABYTES


def test_deep_json_is_refused(tmp_path):
    (tmp_path / "deep.json").write_bytes(b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(UserError, match=r"deep\.json: expected a JSON object"):
        read_json(tmp_path / "deep.json")


# Files that go away


def test_an_image_that_goes_away_stops_the_run_and_a_dead_link_does_not(tmp_path):
    """A run without it would leave other patches than one with it; a link was always dead."""
    image = Image(str(tmp_path / "gone.dcm"), "c", "1.2", "1.2.3", "L", "CC", HEALTHY)
    with pytest.raises(UserError, match=r"gone\.dcm: was in the index and is gone"):
        read_file(image)
    (tmp_path / "gone.dcm").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Rejected) as fault:
        read_file(image)
    assert fault.value.reason == Reason.UNREADABLE_FILE
