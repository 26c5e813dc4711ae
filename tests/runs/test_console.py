"""What a person sees: one bar, or a share in a file, and no chatter."""

import os
import re
import subprocess
import sys
import textwrap

import pytest

from cgan_tf.runs import console


def test_a_parent_program_gets_the_share_in_a_file(tmp_path, monkeypatch, capsys):
    path = tmp_path / "step.share"
    monkeypatch.setenv(console.PROGRESS_VARIABLE, str(path))
    with console.progress_bar(200, "mass GAN", "units", done=50) as bar:
        assert float(path.read_text()) == 0.25
        bar.update(50)
        bar.refresh()
        assert float(path.read_text()) == 0.5
        bar.update(100)
    assert float(path.read_text()) == 1.0
    assert [p.name for p in tmp_path.iterdir()] == ["step.share"]
    assert capsys.readouterr().err.strip() == ""


def test_nothing_to_do_is_no_share(tmp_path, monkeypatch):
    path = tmp_path / "step.share"
    monkeypatch.setenv(console.PROGRESS_VARIABLE, str(path))
    with console.progress_bar(0, "x", "patches"):
        assert float(path.read_text()) == 0.0


def test_without_a_parent_the_bar_is_drawn(monkeypatch, capsys):
    monkeypatch.delenv(console.PROGRESS_VARIABLE, raising=False)
    with console.progress_bar(10, "mass patches", "patches", done=3) as bar:
        bar.update(7)
    shown = capsys.readouterr().err
    assert "mass patches" in shown
    assert "3/10" in shown
    assert "10/10" in shown


def test_a_log_file_gets_whole_lines_at_the_start_every_half_minute_and_at_the_end(
    monkeypatch, capsys
):
    monkeypatch.delenv(console.PROGRESS_VARIABLE, raising=False)
    now = [0.0]
    with console.progress_bar(1000, "x", "patches") as bar:
        bar._time = lambda: now[0]
        bar.start_t = bar.last_print_t = 0.0
        for _ in range(1000):
            now[0] += 0.125  # 125 seconds in all
            bar.update()
    text = capsys.readouterr().err
    assert "\r" not in text
    counts = [re.search(r"(\d+)/1000", line)[1] for line in text.splitlines()]
    assert counts == ["0", "240", "480", "720", "960", "1000"]


def test_without_a_unit_the_share_alone_is_shown(monkeypatch, capsys):
    monkeypatch.delenv(console.PROGRESS_VARIABLE, raising=False)
    with console.progress_bar(22, "mass GAN", "") as bar:
        bar.set_postfix_str("step 3 (half)", refresh=False)
        bar.update(11)
        bar.refresh()
    shown = capsys.readouterr().err
    assert " 50%|" in shown
    assert "step 3 (half)" in shown
    assert "/22" not in shown


def test_a_users_log_level_is_left_alone(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    monkeypatch.setattr(console.logging, "set_verbosity", lambda level: None)
    console.quiet_tensorflow()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"


CHATTER = textwrap.dedent("""
    import os, sys
    from cgan_tf.runs.console import separate_native_stderr
    separate_native_stderr()
    os.write(2, b"chatter of a C++ library\\n")
    print("a message", file=sys.stderr)
    print("a result")
    raise SystemExit(3)
""")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (None, "a message\n"),
        ("2", "a message\n"),
        ("0", "chatter of a C++ library\na message\n"),
    ],
    ids=["quiet", "quieter", "asked for"],
)
def test_native_chatter_goes_away_and_messages_stay(level, expected):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    if level is not None:
        environment["TF_CPP_MIN_LOG_LEVEL"] = level
    done = subprocess.run(
        [sys.executable, "-c", CHATTER],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "a result\n", expected)
