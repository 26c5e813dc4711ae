"""The user's Keras settings change nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cgan_tf

_PROGRAM = """
import json, sys
from cgan_tf.runs.errors import UserError
try:
    from cgan_tf.models.keras_setup import keras, settings
except UserError as error:
    sys.exit(f"refused: {error}")
layer = keras.layers.Conv2D(2, 3)
layer.build((None, 8, 8, 1))
print(json.dumps([keras.config.backend(), list(layer.kernel.shape), layer.kernel.dtype,
                  layer.data_format, keras.config.epsilon(), settings()["floatx"]]))
"""


def _run(home, content, **environment):
    home.mkdir()
    (home / "keras.json").write_text(json.dumps(content), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False,
        env={**os.environ, "KERAS_HOME": str(home), "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
    )  # fmt: skip


@pytest.mark.slow
def test_the_users_settings_do_not_count(tmp_path):
    theirs = {
        "backend": "torch", "image_data_format": "channels_first", "floatx": "float16",
        "epsilon": 0.1,
    }  # fmt: skip
    done = _run(tmp_path / "a", theirs, KERAS_BACKEND="jax")
    found = json.loads(done.stdout)
    expected = ["tensorflow", [3, 3, 1, 2], "float32", "channels_last", 1e-7, "float32"]
    assert found == expected, done.stderr


def test_a_value_that_keras_does_not_know_is_named_in_one_line(tmp_path):
    done = _run(tmp_path / "b", {"floatx": "bfloat16"})
    assert done.returncode == 1
    assert "keras.json: Keras cannot be started: Invalid `floatx`" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("path", sorted(Path(cgan_tf.__file__).parent.rglob("*.py")), ids=str)
def test_keras_is_imported_in_one_place(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    imports = [line for line in lines if re.match(r"\s*(import|from) keras\b(?!_)", line)]
    assert bool(imports) == (path.name == "keras_setup.py")
