"""dciodvfy of David Clunie's dicom3tools, which the tests need."""

import shutil
import subprocess
from pathlib import Path

# The Debian package is of 2022; Synthetic Data became an attribute of the SOP Common module later.
UNKNOWN_TO_IT = (
    "Error - Attribute with an even group number is not a recognized standard attribute - "
    "(0x0008,0x001c)  ? "
)


def errors_of(path: Path) -> set[str]:
    """The lines in which it finds an error; AssertionError where it is not installed."""
    program = shutil.which("dciodvfy")
    assert program, "dciodvfy is missing: apt-get install dicom3tools (see README.md)"
    run = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    lines = (run.stdout + run.stderr).splitlines()
    assert any(line.startswith(("Warning", "Error")) or "Mammo" in line for line in lines), lines
    return {line for line in lines if line.startswith("Error")}
