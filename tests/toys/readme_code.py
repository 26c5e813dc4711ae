"""The examples of a README, run by a Python that cannot import this project."""

import re
import subprocess
import sys
from pathlib import Path

ALONE = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {missing}:
            raise ModuleNotFoundError(f"{{name}} is not installed here")

sys.meta_path.insert(0, NotInstalled())
"""
PROJECT = ("cgan_tf", "beam_pipelines")


def run_blocks(directory: Path, blocks: int, missing: tuple[str, ...] = ()) -> list[str]:
    """What each Python block of README.md prints, run in the directory.

    `blocks`: how many there must be. `missing`: packages that are not to be had either.
    """
    codes = re.findall(r"```python\n(.*?)```", (directory / "README.md").read_text(), re.DOTALL)
    assert len(codes) == blocks
    return [run_alone(code, directory, missing) for code in codes]


def run_alone(code: str, directory: Path, missing: tuple[str, ...] = ()) -> str:
    """What code prints, run in a directory without this project and `missing` packages."""
    start = ALONE.format(missing=PROJECT + missing)
    command = [sys.executable, "-I", "-c", start + code]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()
