"""What the machine offers, with the processes that are asked put in their place."""

import subprocess

import pytest

from cgan_tf.runs import machine
from cgan_tf.runs.errors import UserError


@pytest.fixture
def answers(monkeypatch):
    """Lets a test say what TensorFlow answers in its process."""

    def answer(text, code=0):
        monkeypatch.setattr(
            machine.subprocess,
            "run",
            lambda command, **_: subprocess.CompletedProcess(command, code, text, "no TensorFlow"),
        )

    return answer


@pytest.mark.parametrize(
    ("visible", "count", "names"),
    [
        (None, 0, []),
        (None, 3, ["0", "1", "2"]),
        ("", 0, []),
        ("2,5", 2, ["2", "5"]),  # another person has the rest
        ("GPU-8932f937,GPU-1f3a", 2, ["GPU-8932f937", "GPU-1f3a"]),
        ("0,1,2,3", 0, []),  # a TensorFlow without CUDA
        ("1,-1,2", 1, ["1"]),  # CUDA stops at the first that it does not know
    ],
)
def test_gpus_are_called_what_the_environment_calls_them(
    answers, monkeypatch, visible, count, names
):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    answers(f"chatter\n{count}\n")
    assert machine.gpu_names() == names


def test_a_tensorflow_that_does_not_start(answers):
    answers("", 1)
    with pytest.raises(UserError, match="TensorFlow cannot be started: no TensorFlow"):
        machine.gpu_names()


@pytest.mark.slow
def test_without_a_visible_gpu_there_is_none(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert machine.gpu_names() == []


@pytest.mark.parametrize(
    ("bfloat16", "precision"),
    [(0.012, "mixed_bfloat16"), (0.020, "float32"), (0.090, "float32")],
)
def test_bfloat16_must_be_worth_its_rounding(bfloat16, precision):
    assert machine.faster_precision({"float32": 0.024, "mixed_bfloat16": bfloat16}) == precision
