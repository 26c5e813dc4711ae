"""The runner with steps that take no time: order, failure, interruption, going on."""

import dataclasses
import os
import select
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from cgan_tf.runs.errors import UserError
from cgan_tf.runs.steps import Failure, Running, Step, StepRunner, expected_seconds, minutes
from tests.toys.waiting import wait_until


@dataclasses.dataclass(frozen=True)
class FakeStep(Step):
    """Runs a few lines of Python instead of a program."""

    code: str = ""

    def command(self):
        return [sys.executable, "-S", "-c", textwrap.dedent(self.code)]


PATIENCE = 60  # seconds


@pytest.fixture
def root(tmp_path):
    (tmp_path / "logs").mkdir()
    return tmp_path


def fake(root, name, after=(), code="", **settings):
    """A step that notes its start and end in `events` and writes its result."""
    result = root / f"{name}.done"
    body = f"""
        import os, signal, sys
        name = {name!r}
        def note(what):
            with open({str(root / "events")!r}, "a") as file:
                file.write(f"{{what}} {{name}}\\n")
        note("start")
        {code or "pass"}
        note("end")
        open({str(result)!r}, "w").close()
    """
    return FakeStep(name, "", (), result, tuple(after), code=body, **settings)


def meet(root, one, other):
    """Code with which two steps wait for each other; one whom nobody joins dies."""
    place = root / f"{one}-{other}"
    if not place.exists():
        os.mkfifo(place)  # opened for reading it waits for a writer, and the other way round
    return f"signal.alarm({PATIENCE}); open({str(place)!r}, 'rw'['{other}' == name]).close()"


def events(root):
    return [tuple(line.split()) for line in (root / "events").read_text().splitlines()]


def runner(root, *steps, lanes=2, **settings):
    return StepRunner(root, steps, [{}] * lanes, **settings)


def run(root, *steps):
    runner(root, *steps).run()


def test_steps_run_after_those_they_need_two_at_a_time(root):
    steps = [
        fake(root, "report", after=("c", "d")),
        fake(root, "a", code=meet(root, "a", "b")),
        fake(root, "b", code=meet(root, "a", "b")),
        fake(root, "c", after=("a",), code=meet(root, "c", "d")),
        fake(root, "d", after=("a", "b"), code=meet(root, "c", "d")),
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
    together = []

    class Watched(StepRunner):
        def _start_ready(self):
            super()._start_ready()
            together.append(set(self.running))

    steps = [fake(root, name, whole_machine=name == "whole") for name in order.split()]
    Watched(root, steps, [{}, {}]).run()
    assert {"a", "b"} in together
    assert {frozenset(names) for names in together if "whole" in names} == {frozenset({"whole"})}
    seen = events(root)
    assert seen[seen.index(("start", "whole")) + 1] == ("end", "whole")


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
    os.mkfifo(root / "ready")
    waiting = f"""
        import signal, sys
        def stop(number, frame):
            open({str(root / "saved")!r}, "w").close()
            sys.exit(130)
        signal.signal(signal.SIGTERM, stop)
        signal.alarm({PATIENCE})
        open({str(root / "ready")!r}, "w").close()
        signal.pause()
    """
    failing = f"""
        import signal, sys
        signal.alarm({PATIENCE})
        open({str(root / "ready")!r}).close()
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
    ending = f"signal.alarm({PATIENCE}); os.kill({os.getpid()}, 15); signal.pause()"
    before = signal.getsignal(signal.SIGTERM)
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(root, fake(root, "a", code=ending))
    assert time.monotonic() - begin < 30
    assert signal.getsignal(signal.SIGTERM) == before
    assert events(root) == [("start", "a")]


@pytest.mark.skipif(sys.platform != "linux", reason="the signal at a parent's death is Linux's")
def test_its_steps_die_with_it(root):
    place, half = root / "pid", str(root / "half")
    driver = f"""
        from pathlib import Path
        from tests.runs.test_steps import fake, run
        code = "signal.alarm({2 * PATIENCE}); open({half!r}, 'w').write(str(os.getpid()))"
        code += "; os.rename({half!r}, {str(place)!r}); signal.pause()"
        run(Path({str(root)!r}), fake(Path({str(root)!r}), "a", code=code))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(driver)], stderr=subprocess.PIPE
    )
    try:
        wait_until(place.exists, process)
        step = os.pidfd_open(int(place.read_text()))
    finally:
        process.kill()
        process.communicate()
    assert select.select([step], [], [], PATIENCE)[0]  # it has ended
    os.close(step)


def test_the_last_line_of_an_earlier_attempt_is_no_reason(root):
    code = f"""
        import os, sys
        if os.path.exists({str(root / "second")!r}): sys.exit(3)
        open({str(root / "second")!r}, "w").close()
        sys.exit("out of disk")
    """
    step = FakeStep("a", "", (), root / "never", code=code)
    with pytest.raises(UserError, match="'a' failed: out of disk"):
        run(root, step)
    with pytest.raises(UserError, match="'a' failed: exit code 3 "):
        run(root, step)


def test_a_killed_step_says_so_whatever_it_said_last(root):
    code = "print('loading', flush=True); os.kill(os.getpid(), 9)"
    with pytest.raises(UserError, match=r"step 'a' failed: ended by signal 9 \(Killed\)"):
        run(root, fake(root, "a", code=code))


class TestKeepGoing:
    def test_a_failure_stops_only_what_needs_it(self, root, capsys):
        runs = runner(
            root,
            fake(root, "bad", code="sys.exit('no such file')"),
            fake(root, "needs bad", after=("bad",)),
            fake(root, "needs that", after=("needs bad",)),
            fake(root, "good"),
            fake(root, "needs good", after=("good",)),
            keep_going=True,
        )
        runs.run()
        assert runs.done == {"good", "needs good"}
        assert runs.failed == {"bad": Failure("no such file", root / "logs" / "bad.log")}
        said = capsys.readouterr().err.splitlines()
        assert said[0].startswith("step 'bad' failed: no such file (see ")
        assert said[-1].startswith("[####################] 100%")
        assert "0:00 left  1 failed" in said[-1]

    def test_the_same_steps_again_try_only_what_failed(self, root):
        flaky = f"if not os.path.exists({str(root / 'mended')!r}): sys.exit('broken')"
        steps = [fake(root, "a"), fake(root, "b", code=flaky), fake(root, "c", after=("b",))]
        runner(root, *steps, keep_going=True).run()
        (root / "mended").touch()
        again = runner(root, *steps, keep_going=True)
        again.run()
        assert again.done == {"a", "b", "c"}
        assert again.failed == {}
        assert [name for what, name in events(root) if what == "start"].count("a") == 1

    def test_all_may_fail(self, root, capsys):
        runs = runner(root, fake(root, "a", code="sys.exit(1)"), keep_going=True)
        runs.run()
        assert capsys.readouterr().err.splitlines()[-1].startswith("[                    ]   0%")

    def test_work_that_is_lost_is_not_waited_for(self, root):
        runs = runner(
            root, fake(root, "a"), fake(root, "b", after=("a",)), fake(root, "c"), keep_going=True
        )
        assert runs._work_in_all() == 3 * 10.0 / 2
        runs.failed["a"] = Failure("", root)
        assert runs._work_in_all() == 10.0 / 2


def test_every_process_has_a_lane_of_its_own(root):
    """The first step is at work as long as the others, one after another."""
    wait = {"a": meet(root, "a", "d"), "d": meet(root, "a", "d")}
    steps = [
        fake(root, name, code=f"note('GPU' + os.environ['GPU']); {wait.get(name, 'pass')}")
        for name in "abcd"
    ]
    StepRunner(root, steps, [{"GPU": "0"}, {"GPU": "1"}]).run()
    given = {name: what for what, name in events(root) if what.startswith("GPU")}
    assert given == {"a": "GPU0", "b": "GPU1", "c": "GPU1", "d": "GPU1"}


class TestProgress:
    def test_a_steps_share_counts(self, root):
        steps = [fake(root, "a"), fake(root, "b")]
        runs = runner(root, *(dataclasses.replace(s, seconds=100.0) for s in steps))
        assert runs._work_done() == 0.0
        runs.running["a"] = Running(steps[0], None, time.monotonic() - 1, 0)
        (root / "logs" / "a.share").write_text("0.5")
        assert runs._work_done() == pytest.approx(0.95 * 0.5 * 50)
        runs.done.add("b")
        assert runs._work_done() == pytest.approx(0.95 * 0.5 * 50 + 50)

    def test_a_share_of_an_earlier_attempt_does_not(self, root):
        step = fake(root, "a")
        runs = runner(root, step)
        share = root / "logs" / "a.share"
        share.write_text("0.9")
        os.utime(share, (time.time() - 100, time.time() - 100))
        runs.running["a"] = Running(step, None, time.monotonic(), 0)
        assert runs._share("a") == 0.0

    def test_the_pace_is_that_of_this_run(self, root):
        """A step that was half done when it was started again is no work of ours."""
        steps = [dataclasses.replace(fake(root, name), seconds=200.0) for name in "abc"]
        (root / "a.done").touch()
        runs = runner(root, *steps)
        runs.running["b"] = Running(steps[1], None, time.monotonic() - 1, 0)
        share = root / "logs" / "b.share"
        share.write_text("0.5")
        assert runs._pace(runs._work_done(), 30.0) is None
        share.write_text("0.7")
        assert runs._pace(runs._work_done(), 30.0) == pytest.approx(30 / (0.95 * 0.2 * 100))
        assert runs._pace(runs._work_done(), 5.0) is None  # too early to say
        share.write_text("0.501")
        assert runs._pace(runs._work_done(), 60.0) is None  # a hair's breadth tells no pace

    def test_the_expected_pace_counts_until_enough_is_measured(self, root):
        step = dataclasses.replace(fake(root, "a"), seconds=400.0)
        runs = runner(root, step, slowness=3.0)
        assert runs._pace(0.0, 0.0) == pytest.approx(3.0)
        assert runs._pace(140.0, 280.0) == pytest.approx((280 + 180) / 200)

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
        assert expected_seconds(steps, 2) == 50 + 30 + 20
        (root / "a.done").touch()
        assert expected_seconds(steps, 2) == 50

    @pytest.mark.parametrize(
        ("seconds", "text"), [(0, "0:00"), (65.9, "1:05"), (3600, "60:00"), (45_240, "12 h 34 min")]
    )
    def test_minutes(self, seconds, text):
        assert minutes(seconds) == text
