"""The chaos finds what it looks for: programs that break a promise are told from others.

The programs here are stubs of a few lines; `make chaos` disturbs the real ones.
"""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.chaos import disturbances, results, small_disk
from tests.chaos.__main__ import deal, needed
from tests.chaos.chain import CHAIN, DISTURBED, Program
from tests.chaos.compare import differences, torn
from tests.chaos.disturbances import Laboratory, Result, Undisturbed
from tests.chaos.forks import ROOT

# Writes part-0 to part-7; a run goes on where the one before it was.
STUB = """
    import sys, time
    from pathlib import Path
    from cgan_tf.runs.errors import UserError
    from cgan_tf.runs.directory import locked, remove_leftovers, write_bytes

    def work(directory):
        with locked("out") as out:
            {cleaning}
            for number in range(8):
                path = out / f"part-{{number}}"
                {writing}
                time.sleep(0.02)

    if __name__ == "__main__":
        try:
            {reading}
            work("out")
        except UserError as error:
            sys.exit(f"stub: {{error}}")
"""
WRITING = """
                if not path.exists():
                    write_bytes(path, bytes([number]) * 6000)
"""
FAULTS = {
    "half-written": {
        "writing": """
                with path.open("ab", 0) as file:
                    for _ in range(60):
                        file.write(bytes([number]) * 100)
                        time.sleep(0.002)
"""
    },
    "temporary": {
        "cleaning": "pass",
        "writing": """
                temporary = out / f".{path.name}.{time.time_ns()}.tmp"
                if not path.exists():
                    temporary.write_bytes(bytes([number]) * 6000)
                    time.sleep(0.15)
                    temporary.replace(path)
""",
    },
    "other": {"writing": WRITING.replace("bytes([number])", "bytes([time.time_ns() % 256])")},
}


def stub(tmp_path: Path, **parts: str) -> Program:
    """A program of one module, on the path of what runs it."""
    lines = {
        "cleaning": "remove_leftovers(out)",
        "writing": WRITING,
        "reading": "pass",
    } | parts
    source = textwrap.dedent(STUB)
    for name, text in lines.items():
        indent = next(
            line[: line.index("{")] for line in source.splitlines() if line.strip() == f"{{{name}}}"
        )
        body = textwrap.indent(textwrap.dedent(text.strip("\n")), indent)
        source = source.replace(f"{indent}{{{name}}}", body)
    (tmp_path / "stub.py").write_text(source.replace("{{", "{").replace("}}", "}"))
    return Program("stub", "stub", (), "out", forks=False)


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(disturbances, "Forks", lambda: None)
    return Laboratory(tmp_path / "lab", seed=1)


@pytest.mark.slow
def test_an_honest_program_is_found_honest(tmp_path, lab):
    program = stub(tmp_path)
    run = lab.run_undisturbed(program)
    assert run.changes >= 8
    for disturbance in (disturbances.killed, disturbances.terminated):
        result = disturbance(lab, program, run, 3)
        assert (result.tried, result.problems) == (3, ())
    assert disturbances.second_copy(lab, program, run, 1).problems == ()


@pytest.mark.slow
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_program_that_breaks_a_promise_is_found_out(tmp_path, lab, fault):
    program = stub(tmp_path, **FAULTS[fault])
    run = lab.run_undisturbed(program)
    # A kill while the interpreter starts finds nothing out; on a busy machine most come then.
    problems = disturbances.killed(lab, program, run, 12).problems
    assert problems
    expected = {"half-written": "half-written: part-", "other": "other content"}
    assert any(expected.get(fault, ".tmp: too many") in problem for problem in problems)


@pytest.mark.slow
def test_a_program_without_a_lock_is_found_out(tmp_path, lab):
    program = stub(tmp_path)
    source = (tmp_path / "stub.py").read_text()
    (tmp_path / "stub.py").write_text(
        source.replace('with locked("out") as out:', 'with __import__("contextlib").nullcontext('
                       'Path("out")) as out:\n        out.mkdir(exist_ok=True)\n'
                       '        (out / ".lock").touch()')
    )  # fmt: skip
    run = lab.run_undisturbed(program)
    problems = disturbances.second_copy(lab, program, run, 1).problems
    assert "no lock was seen" in problems  # the file is there, and nobody holds it


def test_a_missing_input_must_be_named_in_a_line(tmp_path, lab):
    lab.run_undisturbed(stub(tmp_path))
    for name in ("a", "b"):
        (lab.reference / "in").mkdir(exist_ok=True)
        (lab.reference / "in" / name).write_text("x")
    reading = """
            for name in sorted(Path("in").iterdir()):
                (Path("in") / name.name).read_text()
            if len(list(Path("in").iterdir())) != 2:
                {complaint}
"""
    for complaint, words in (
        ('raise UserError("in: expected two files, found one")', None),
        ('raise ValueError("one")', "expected one line"),
        ('print("never mind", file=sys.stderr)', "said: never mind"),
    ):
        program = stub(tmp_path, reading=reading.replace("{complaint}", complaint))
        program = Program("stub", "stub", (), "out", ("in",), ("in/*",), forks=False)
        found = disturbances.input_gone(lab, program, Undisturbed(0.1, 1), 1).problems
        assert (not found) == (words is None), found
        assert words is None or words in found[0]


@pytest.mark.skipif(not small_disk.has_namespaces(), reason="needs user namespaces")
def test_a_small_disk_is_full_and_a_read_only_one_refuses(tmp_path, lab):
    program = stub(tmp_path)
    lab.run_undisturbed(program)
    for pages, words in ((5, small_disk.FULL), (0, small_disk.READ_ONLY)):
        directory = lab.trial(program)
        first, second = _on_a_small_disk(directory, pages)
        assert first.code == 1
        assert words in first.err
        assert second.code == 0
        assert torn(lab.expected(program), directory / "at_fault") == []
        assert differences(lab.expected(program), directory / "final") == []


# A process with one thread, as namespaces want it: libraries that this one has loaded may start
# threads in its forks.
INSIDE = """
import sys
from tests.chaos import small_disk
from tests.chaos.chain import Program
small_disk.BY_NAME["stub"] = Program("stub", "stub", (), "out", forks=False)
small_disk.inside("stub", sys.argv[1], int(sys.argv[2]), True)
"""


def _on_a_small_disk(directory, pages):
    subprocess.run([sys.executable, "-c", INSIDE, directory, str(pages)], check=True, cwd=ROOT)
    outcome = json.loads((directory / "outcome.json").read_text())
    return [disturbances.Ended(**ended) for ended in outcome]


def test_times_and_logs_are_no_difference(tmp_path):
    for name, seconds in (("a", 1.5), ("b", 2.5)):
        (tmp_path / name / "logs").mkdir(parents=True)
        (tmp_path / name / "logs" / "x.log").write_text(str(seconds))
        content = {"seconds": seconds, "steps": 3}
        (tmp_path / name / "manifest.json").write_text(json.dumps(content))
    assert differences(tmp_path / "a", tmp_path / "b") == []
    (tmp_path / "b" / "manifest.json").write_text(json.dumps({"seconds": 1.5, "steps": 4}))
    (tmp_path / "b" / "more").touch()
    assert differences(tmp_path / "a", tmp_path / "b") == [
        "manifest.json: other content",
        "more: too many",
    ]


def test_the_kills_are_dealt_out_whole():
    assert deal(50, [1.0]) == [50]
    assert deal(50, [9, 1, 30, 2, 3]) == [3, 15, 3, 15, 14]
    assert deal(3, [9, 1, 30]) == [1, 1, 1]


def test_every_program_of_the_chain_is_disturbed():
    assert {program.name for program in DISTURBED} >= {
        *("make_phantom", "make_patches", "train_gan", "synthesize", "train_classifier"),
        *("evaluate", "quality", "report", "experiment"),
    }
    made = {program.output for program in CHAIN}
    for program in DISTURBED:
        assert set(program.inputs) <= made
        assert all(any(v.startswith(f"{i}/") for i in program.inputs) for v in program.victims)
    names = [program.name for program in needed([DISTURBED[-1]])]
    assert names[:2] == ["inputs", "make_patches"]


def test_the_results_are_written_between_their_marks(tmp_path):
    found = [
        Result("evaluate", "kill -9", 5),
        Result("evaluate", "full disk", 2, ("3 pages: ended with 0",)),
        Result("report", "kill -9", 6),
    ]
    runs = {name: Undisturbed(2.4, 9) for name in ("evaluate", "report")}
    document = tmp_path / "reliability.md"
    document.write_text(f"Before.\n{results.BEGIN}\nold\n{results.END}\nAfter.\n")
    results.write_into(document, results.section(found, runs, 1, 600.0))
    text = document.read_text()
    assert text.startswith("Before.\n")
    assert text.endswith(f"{results.END}\nAfter.\n")
    assert "old" not in text
    assert "13 disturbances, 1 broken promises, 10 minutes in all on " in text
    assert "| `evaluate` | 2 s | 5 | 1 broken |" in text
    assert "| all |  | 11 | 2 |" in text
    assert "- `evaluate`, full disk: 3 pages: ended with 0" in text


def test_random_moments_are_the_same_for_a_seed(lab, tmp_path):
    program = stub(tmp_path)
    one, two = (lab.random(program, "kill -9").random() for _ in range(2))
    assert one == two != lab.random(program, "SIGTERM").random()
