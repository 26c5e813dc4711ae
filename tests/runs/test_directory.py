"""Run directories: started, resumed, refused, finished, and never half-written."""

import contextlib
import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cgan_tf import __version__
from cgan_tf.config import GanConfig, PatchesConfig
from cgan_tf.runs import directory as runs_directory
from cgan_tf.runs.directory import (
    finish_run,
    open_directory,
    open_run,
    read_json,
    read_manifest,
    remove_leftovers,
    run_to_the_end,
    sha256,
    write_bytes,
    write_json,
)
from cgan_tf.runs.errors import UserError

CONFIG = GanConfig(patches_dir="p", output_dir="w", size=64)


def start_with_a_result(directory, config=CONFIG):
    """An unfinished run of which a checkpoint is left."""
    with open_run(directory, "train_gan", config) as run:
        write_json(run.directory / "checkpoints.json", {"step": 1})


def files(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_run_starts_with_its_flags_and_ends_with_a_manifest(tmp_path):
    directory = tmp_path / "deep" / "run"
    with open_run(directory, "train_gan", CONFIG) as run:
        assert run.directory == directory
        assert not run.finished
        saved = read_json(directory / "run.json")
        assert saved == {
            "program": "train_gan",
            "version": __version__,
            "flags": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in dataclasses.asdict(CONFIG).items()
                if name != "restart"
            },
            "inputs": {"patches_dir": [{"path": str(Path("p").resolve()), "sha256": ""}]},
        }
        finish_run(directory, "train_gan", {"steps": 12})
    manifest = read_manifest(directory, "train_gan")
    assert manifest["steps"] == 12
    assert manifest["program"] == "train_gan"
    assert manifest["flags"]["size"] == 64
    with open_run(directory, "train_gan", CONFIG) as run:
        assert run.finished
    assert files(directory) == [".lock", "manifest.json", "run.json"]


def test_an_unfinished_run_goes_on(tmp_path):
    with (
        pytest.raises(RuntimeError, match="power cut"),
        open_run(tmp_path / "r", "train_gan", CONFIG),
    ):
        raise RuntimeError("power cut")
    (tmp_path / "r" / "metrics.csv").write_text("kept")
    with open_run(tmp_path / "r", "train_gan", CONFIG) as run:
        assert not run.finished


def test_other_flags_are_refused_and_only_they_are_named(tmp_path):
    start_with_a_result(tmp_path)
    other = dataclasses.replace(CONFIG, size=128, task="removal")
    with pytest.raises(UserError) as refusal, open_run(tmp_path, "train_gan", other):
        pass
    assert str(refusal.value) == (
        f"{tmp_path}: holds a run with other flags: "
        "--size was 64, is 128; --task was 'mass', is 'removal'; name another directory, or say "
        "--restart to begin anew here (the old run is kept, moved aside)"
    )
    assert read_json(tmp_path / "run.json")["flags"]["size"] == 64


def test_a_tuple_flag_is_equal_to_what_was_saved_of_it(tmp_path):
    config = PatchesConfig(input_dir="i", output_dir="o", beam=("--a=b",))
    with open_run(tmp_path, "make_patches", config):
        pass
    with open_run(tmp_path, "make_patches", config) as run:
        assert not run.finished


def test_flags_that_only_change_the_pace_may_differ(tmp_path):
    with open_run(tmp_path, "train_gan", CONFIG):
        pass
    with open_run(
        tmp_path, "train_gan", dataclasses.replace(CONFIG, checkpoint_minutes=0.5)
    ) as run:
        assert not run.finished


class TestRunToTheEnd:
    """What is opened, written and said, in this order, each time a program is started."""

    @staticmethod
    def program(directory, calls, inputs="inputs", config=CONFIG, broken=False):
        def open_inputs():
            calls.append(("open", (directory / "run.json").exists()))
            if inputs is None:
                raise UserError("--patches_dir: no such directory")
            return inputs

        def work(opened, run):
            calls.append(("work", opened, (run.directory / "run.json").exists()))
            (run.directory / "table.csv").write_text("step\n1\n")
            if broken:
                raise KeyboardInterrupt
            finish_run(run.directory, "train_gan", {})

        return run_to_the_end(directory, "train_gan", config, open_inputs, work)

    def test_inputs_are_opened_before_the_run_is_written(self, tmp_path):
        calls = []
        assert self.program(tmp_path / "r", calls)
        assert calls == [("open", False), ("work", "inputs", True)]
        assert files(tmp_path / "r") == [".lock", "manifest.json", "run.json", "table.csv"]

    def test_inputs_that_are_not_there_leave_nothing(self, tmp_path):
        with pytest.raises(UserError, match="no such directory"):
            self.program(tmp_path / "r", [], inputs=None)
        assert not (tmp_path / "r").exists()

    def test_finished_it_says_so_and_opens_nothing(self, tmp_path, capsys):
        self.program(tmp_path, [])
        calls = []
        assert not self.program(tmp_path, calls)
        assert calls == []
        assert capsys.readouterr().out == f"train_gan: {tmp_path} is finished; nothing to do\n"

    def test_killed_between_the_manifest_and_the_scratch(self, tmp_path):
        """What only an unfinished run needs goes when the run is finished, or at the next call."""

        def work(opened, run):
            (run.directory / "scratch").write_text(opened)
            finish_run(run.directory, "train_gan", {})

        def run(drop_scratch):
            open_inputs = lambda: "inputs"  # noqa: E731
            frame = (tmp_path, "train_gan", CONFIG, open_inputs, work)
            return run_to_the_end(*frame, drop_scratch=drop_scratch)

        def killed():
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(killed)
        assert (tmp_path / "scratch").exists()
        assert not run((tmp_path / "scratch").unlink)
        assert not (tmp_path / "scratch").exists()

    def test_interrupted_it_goes_on(self, tmp_path):
        calls = []
        with pytest.raises(KeyboardInterrupt):
            self.program(tmp_path, calls, broken=True)
        assert self.program(tmp_path, calls)
        assert [call[0] for call in calls] == ["open", "work", "open", "work"]

    @pytest.mark.parametrize("broken", [False, True])
    def test_other_flags_are_refused_before_inputs_are_opened(self, tmp_path, broken):
        with contextlib.suppress(KeyboardInterrupt):
            self.program(tmp_path, [], broken=broken)
        calls, other = [], dataclasses.replace(CONFIG, border=5)
        with pytest.raises(UserError, match="--border was 10, is 5"):
            self.program(tmp_path, calls, config=other)
        assert calls == []


def test_a_flag_that_the_saved_run_did_not_have_had_its_default(tmp_path):
    start_with_a_result(tmp_path)
    saved = read_json(tmp_path / "run.json")
    del saved["flags"]["border"]
    write_json(tmp_path / "run.json", saved)
    with open_run(tmp_path, "train_gan", CONFIG) as run:
        assert not run.finished
    with (
        pytest.raises(UserError, match="--border was 10, is 5"),
        open_run(tmp_path, "train_gan", dataclasses.replace(CONFIG, border=5)),
    ):
        pass


def test_a_flag_that_is_no_more_is_a_difference(tmp_path):
    start_with_a_result(tmp_path)
    saved = read_json(tmp_path / "run.json")
    saved["flags"]["gone"] = 1
    write_json(tmp_path / "run.json", saved)
    with (
        pytest.raises(UserError, match="--gone was 1, is None"),
        open_run(tmp_path, "train_gan", CONFIG),
    ):
        pass


class TestDirectoriesWithoutResults:
    """A first command that failed does not lock its directory against the right one."""

    OTHER = dataclasses.replace(CONFIG, size=128)

    def other_flags_are_taken(self, directory):
        with open_run(directory, "train_gan", self.OTHER) as run:
            assert not run.finished
        assert read_json(directory / "run.json")["flags"]["size"] == 128

    def test_nothing_but_its_flags(self, tmp_path):
        with open_run(tmp_path, "train_gan", CONFIG) as run:
            write_json(
                run.directory / "run.json", read_json(tmp_path / "run.json") | {"threads": 3}
            )
        self.other_flags_are_taken(tmp_path)
        assert "threads" not in read_json(tmp_path / "run.json")

    def test_plans_of_the_old_flags_go(self, tmp_path):
        with open_run(tmp_path, "train_gan", CONFIG):
            (tmp_path / "metrics.csv").write_text("step,loss\n")
            (tmp_path / "accepted.tfrecord").touch()
            (tmp_path / "grids").mkdir()
            for name in ("plan.json", "plan.npy", "progress.json"):
                (tmp_path / name).write_text("{}")
            (tmp_path / "tensorboard").mkdir()
            (tmp_path / "tensorboard" / "events").write_text("x")
        self.other_flags_are_taken(tmp_path)
        left = [".lock", "accepted.tfrecord", "grids", "metrics.csv", "run.json"]
        assert files(tmp_path) == left

    def test_the_same_flags_keep_the_plans(self, tmp_path):
        for _ in range(2):
            with open_run(tmp_path, "train_gan", CONFIG) as run:
                (run.directory / "plan.json").touch()
        assert "plan.json" in files(tmp_path)

    @pytest.mark.parametrize(
        "made", ["checkpoints/step-1/state.json", "train/normal.tfrecord", "metrics.csv", "a.png"]
    )
    def test_a_result_is_kept(self, tmp_path, made):
        with open_run(tmp_path, "train_gan", CONFIG):
            path = tmp_path / made
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("step\n1\n")
        with pytest.raises(UserError, match="--size was 64, is 128"):
            self.other_flags_are_taken(tmp_path)
        assert path.read_text() == "step\n1\n"

    def test_another_programs_is_refused(self, tmp_path):
        with open_run(tmp_path, "synthesize", CONFIG):
            pass
        with pytest.raises(UserError, match="holds a run of synthesize"):
            self.other_flags_are_taken(tmp_path)


class TestRestart:
    """`--restart` loses nothing."""

    AGAIN = dataclasses.replace(CONFIG, size=128, restart=True)

    def test_the_old_run_is_moved_aside(self, tmp_path, capsys):
        directory = tmp_path / "r"
        for number in (1, 2):
            start_with_a_result(directory, dataclasses.replace(self.AGAIN, seed=number))
        with open_run(directory, "train_gan", self.AGAIN) as run:
            assert not run.finished
        assert files(tmp_path) == ["r", "r.1", "r.2"]
        seeds = [read_json(tmp_path / n / "run.json")["flags"]["seed"] for n in files(tmp_path)]
        assert seeds == [0, 1, 2]
        assert (tmp_path / "r.2" / "checkpoints.json").exists()
        assert f"the earlier run is now {directory}.2" in capsys.readouterr().out

    def test_a_finished_run_of_the_same_flags_begins_anew(self, tmp_path):
        calls = []
        for config in (CONFIG, dataclasses.replace(CONFIG, restart=True)):
            TestRunToTheEnd.program(tmp_path / "r", calls, config=config)
        assert [call[0] for call in calls] == ["open", "work"] * 2
        assert files(tmp_path) == ["r", "r.1"]

    def test_wrong_inputs_leave_it_where_it_is(self, tmp_path):
        start_with_a_result(tmp_path / "r")
        with pytest.raises(UserError, match="no such directory"):
            TestRunToTheEnd.program(tmp_path / "r", [], inputs=None, config=self.AGAIN)
        assert files(tmp_path) == ["r"]

    def test_another_programs_run_stays(self, tmp_path):
        with open_run(tmp_path / "r", "make_patches", CONFIG):
            pass
        with (
            pytest.raises(UserError, match="holds a run of make_patches"),
            open_run(tmp_path / "r", "train_gan", self.AGAIN),
        ):
            pass
        assert files(tmp_path) == ["r"]

    def test_a_process_at_work_keeps_its_directory(self, tmp_path):
        with (
            open_run(tmp_path / "r", "train_gan", CONFIG),
            pytest.raises(UserError, match="another process is working in it"),
            open_run(tmp_path / "r", "train_gan", self.AGAIN),
        ):
            pass
        assert files(tmp_path) == ["r"]

    def test_without_a_run_it_is_a_start(self, tmp_path):
        start_with_a_result(tmp_path / "r", self.AGAIN)
        assert files(tmp_path) == ["r"]


def test_another_programs_directory_is_refused(tmp_path):
    with open_run(tmp_path, "synthesize", CONFIG):
        pass
    with (
        pytest.raises(UserError, match="holds a run of synthesize, not of train_gan"),
        open_run(tmp_path, "train_gan", CONFIG),
    ):
        pass


def test_a_directory_with_a_strangers_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.docx").write_text("precious")
    with (
        pytest.raises(UserError, match=r"expected an empty directory .* found thesis\.docx"),
        open_run(tmp_path, "train_gan", CONFIG),
    ):
        pass
    assert "run.json" not in files(tmp_path)


def test_files_that_the_program_writes_without_a_run_are_no_strangers(tmp_path):
    (tmp_path / "images.csv").write_text("file")
    with open_run(tmp_path, "make_patches", CONFIG, beside=("images.csv",)) as run:
        assert not run.finished
    assert (tmp_path / "images.csv").read_text() == "file"


def test_a_directory_is_opened_without_a_run(tmp_path):
    with open_directory(tmp_path / "a", "make_patches") as directory:
        assert files(directory) == [".lock"]
        with (
            pytest.raises(UserError, match="another process is working"),
            open_run(directory, "make_patches", CONFIG),
        ):
            pass
    (tmp_path / "a" / "other.csv").write_text("")
    with (
        pytest.raises(UserError, match=r"found other\.csv"),
        open_directory(tmp_path / "a", "make_patches", ("images.csv",)),
    ):
        pass


def test_what_a_killed_process_left_under_a_temporary_name_is_no_strangers(tmp_path):
    (tmp_path / ".run.json.4711.tmp").write_text('{"progr')
    with open_run(tmp_path, "train_gan", CONFIG) as run:
        assert not run.finished


def test_what_a_killed_process_left_is_dropped_in_the_directory_and_its_folders(tmp_path):
    own, others = tmp_path / "pictures", tmp_path / "other_run"
    of_workers = tmp_path / "images" / "demd1"  # Beam's, who may have made thousands
    for folder in (tmp_path, own, others, of_workers):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".a.png.4711.tmp").write_text("half")
        (folder / "a.png").write_text("whole")
    (tmp_path / ".generator.4711.tmp").mkdir()
    (tmp_path / "run.json").write_text("{}")
    (others / ".lock").touch()  # somebody else's: it may be at work
    with open_directory(tmp_path, "train_gan"):
        left = [path.parent for path in tmp_path.rglob(".*.tmp")]
    assert sorted(left) == [of_workers, others]
    assert len(list(tmp_path.rglob("a.png"))) == 4


def test_the_leftovers_of_one_file_are_dropped_alone(tmp_path):
    for name in (".report[1].html.4711.tmp", ".report1.html.4711.tmp"):
        (tmp_path / name).write_text("half")
    remove_leftovers(tmp_path, "report[1].html.")
    assert [path.name for path in tmp_path.iterdir()] == [".report1.html.4711.tmp"]


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="cannot be written"),
        open_run(tmp_path / "file" / "run", "train_gan", CONFIG),
    ):
        pass


SECOND_OPENER = """
import sys
from cgan_tf.config import GanConfig
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.directory import open_run
try:
    with open_run(sys.argv[1], "train_gan", GanConfig(patches_dir="p", output_dir="w", size=64)):
        print("opened")
except UserError as error:
    print(error)
"""


def test_two_processes_cannot_work_in_one_directory(tmp_path):
    def second():
        command = [sys.executable, "-c", SECOND_OPENER, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with open_run(tmp_path, "train_gan", CONFIG):
        assert second() == f"{tmp_path}: another process is working in it\n"
    assert second() == "opened\n"


def test_a_full_disk_leaves_the_old_file_and_no_part_of_the_new(tmp_path, monkeypatch):
    path = tmp_path / "manifest.json"
    write_json(path, {"old": 1})

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(runs_directory.os, "fsync", full)
    with pytest.raises(UserError, match=r"manifest\.json: cannot be written: No space left"):
        write_json(path, {"new": 2})
    assert read_json(path) == {"old": 1}
    assert files(tmp_path) == ["manifest.json"]


def test_a_disk_that_became_read_only_is_a_line(tmp_path, monkeypatch):
    def refuse(path, *_arguments, **_named):  # as Linux does, to remove what is not there, too
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(UserError, match=r"manifest\.json: cannot be written: Read-only file"):
        write_bytes(tmp_path / "manifest.json", b"{}")


def test_a_process_killed_while_it_writes_leaves_the_final_name_free(tmp_path, monkeypatch):
    def killed(_descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs_directory.os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "shard", b"half")
    assert not (tmp_path / "shard").exists()


class TestReadManifest:
    def write(self, directory, text):
        (directory / "manifest.json").write_text(text)

    def test_missing(self, tmp_path):
        with pytest.raises(UserError, match=r"manifest\.json: .*of synthesize: no such file"):
            read_manifest(tmp_path, "synthesize")

    def test_unfinished(self, tmp_path):
        with open_run(tmp_path, "train_gan", CONFIG):
            pass
        with pytest.raises(UserError, match="unfinished run"):
            read_manifest(tmp_path, "train_gan")

    @pytest.mark.parametrize("text", ['{"program": "synth', "\0\0\0", ""])
    def test_broken(self, tmp_path, text):
        self.write(tmp_path, text)
        with pytest.raises(UserError, match=r"manifest\.json: expected a JSON object"):
            read_manifest(tmp_path, "synthesize")

    def test_not_text(self, tmp_path):
        (tmp_path / "manifest.json").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(UserError, match="expected a JSON object"):
            read_manifest(tmp_path, "synthesize")

    def test_not_an_object(self, tmp_path):
        self.write(tmp_path, "[1, 2]")
        with pytest.raises(UserError, match="found list"):
            read_manifest(tmp_path, "synthesize")

    def test_another_programs(self, tmp_path):
        self.write(tmp_path, json.dumps({"program": "evaluate"}))
        with pytest.raises(
            UserError, match="expected a manifest of make_patches or synthesize, found 'evaluate'"
        ):
            read_manifest(tmp_path, ("make_patches", "synthesize"))

    def test_one_of_several(self, tmp_path):
        self.write(tmp_path, json.dumps({"program": "synthesize", "task": "mass"}))
        assert read_manifest(tmp_path, ("make_patches", "synthesize"))["task"] == "mass"


def test_sha256_of_the_standards_example(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
