"""The generator as an ONNX file, run without TensorFlow."""

import contextlib
import io
import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from cgan_tf.config import OnnxConfig
from cgan_tf.gan.export import export_onnx, load_generator
from cgan_tf.runs.directory import read_json
from cgan_tf.runs.errors import UserError
from tests.toys.small_gan import random_images, random_scalars

pytest.importorskip("tf2onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


@pytest.fixture(scope="module")
def generator(gan_run):
    return gan_run.finished / "generator"


@pytest.fixture(scope="module")
def onnx_path(generator, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "generator.onnx"
    with contextlib.redirect_stderr(io.StringIO()) as told:
        export_onnx(OnnxConfig(generator=str(generator), output=str(path)))
    assert f"ONNX of {generator}: 100%" in told.getvalue()
    return path


@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_it_gives_what_the_saved_model_gives(generator, onnx_path, batch):
    image, z = random_images(batch, 32, 32, 1), random_scalars(batch, 6)
    function, _ = load_generator(generator)
    expected = function(image=image, z=z)
    session = onnxruntime.InferenceSession(str(onnx_path), providers=["CPUExecutionProvider"])
    inputs = {"image": np.asarray(image), "z": np.asarray(z)}
    for name, found in zip(
        ("lesion", "combined"), session.run(["lesion", "combined"], inputs), strict=True
    ):
        assert found.shape == (batch, 32, 32, 1)
        np.testing.assert_allclose(found, expected[name], rtol=0, atol=1e-5)
    assert np.ptp(expected["lesion"]) > 1e-3  # not two empty channels


def test_it_runs_where_there_is_no_tensorflow_and_knows_its_origin(generator, onnx_path):
    script = textwrap.dedent("""
        import sys
        sys.modules["tensorflow"] = sys.modules["cgan_tf"] = None
        import onnxruntime
        session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
        print([[i.name, i.shape[0]] for i in session.get_inputs()])
        print(session.get_modelmeta().custom_metadata_map["model.json"])
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, onnx_path], capture_output=True, text=True, check=True
    )
    inputs, card = done.stdout.splitlines()
    assert inputs == "[['image', 'batch'], ['z', 'batch']]"
    assert json.loads(card) == read_json(generator / "model.json")


def test_nothing_is_overwritten_and_nothing_half_written(generator, onnx_path, tmp_path):
    before = onnx_path.read_bytes()
    with pytest.raises(UserError, match="expected no such file"):
        export_onnx(OnnxConfig(generator=str(generator), output=str(onnx_path)))
    assert onnx_path.read_bytes() == before
    with pytest.raises(UserError, match="expected a generator directory"):
        export_onnx(OnnxConfig(generator=str(tmp_path), output=str(tmp_path / "x.onnx")))
    with pytest.raises(UserError, match="found a file"):
        export_onnx(OnnxConfig(generator=str(generator), output=str(onnx_path / "x.onnx")))
    assert not list(tmp_path.iterdir())
