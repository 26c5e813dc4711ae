"""The worker's image: what it installs is what a worker imports, and its steps work one by one."""

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from beam_pipelines.sources.index import SOURCES

ROOT = Path(__file__).parents[2]
START = "beam_pipelines.patches.job"
NOT_OURS = {"beam_pipelines", "cgan_tf"}


def _imports(module: str, found: dict[str, set[str]]) -> None:
    """Adds the packages that each of our modules imports, from `module` on."""
    path = ROOT / f"{module.replace('.', '/')}.py"
    if not path.exists():
        path = ROOT / module.replace(".", "/") / "__init__.py"
    if module in found or not path.exists():
        return
    found[module] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.partition(".")[0] in NOT_OURS:
                _imports(name, found)
            else:
                found[module].add(name.partition(".")[0])


def _required() -> set[str]:
    lines = (ROOT / "requirements-worker.txt").read_text(encoding="utf-8").splitlines()
    return {line.partition("[")[0] for line in lines if line and not line.startswith("#")}


def test_the_image_has_what_a_worker_imports_and_no_more():
    found: dict[str, set[str]] = {}
    for module in (START, *(place.partition(":")[0] for place in SOURCES.values())):
        _imports(module, found)
    assert "beam_pipelines.storage.objects" in found
    packages = set().union(*found.values()) - set(sys.stdlib_module_names)
    owners = importlib.metadata.packages_distributions() | {"google": ["protobuf"]}
    needed = {owners[package][0] for package in packages}
    assert needed == _required()


def test_the_image_is_of_our_beam():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (version,) = re.findall(r"^FROM apache/beam_python3\.11_sdk:(\S+)$", text, re.M)
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"apache-beam=={version}\n" in constraints


def test_a_worker_starts_without_tensorflow():
    code = f"import sys, {START}; print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (found.stdout.strip(), found.stderr) == ("[]", "")


def steps() -> list[tuple[str, list[str]]]:
    """(instruction, words) of the Dockerfile, without FROM."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith(("#", "FROM"))]
    return [(line.partition(" ")[0], line.partition(" ")[2].split()) for line in lines]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_images_steps_one_by_one(tmp_path):
    """In a clean virtual environment in the place of Beam's image, which has Beam and pip."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    environment = {**os.environ, "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    place = tmp_path
    for instruction, words in steps():
        if instruction == "WORKDIR":
            place = tmp_path / words[0].strip("/")
            place.mkdir(parents=True)
        elif instruction == "COPY":
            _copy(words[:-1], place / words[-1])
        else:
            assert instruction == "RUN"
            subprocess.run(" ".join(words), shell=True, cwd=place, env=environment, check=True)
    installed = subprocess.run(
        [venv / "bin" / "pip", "list"], capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert "contextual-gan-mammography" in installed
    assert "tensorflow" not in installed
    help_text = subprocess.run(
        [venv / "bin" / "python", "-m", "beam_pipelines.make_patches", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
    ).stdout
    assert "--input_dir" in help_text


def _copy(names: list[str], target: Path) -> None:
    for name in names:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
