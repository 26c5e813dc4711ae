"""What is installed is what works in a checkout: configs, page assets, the command, the README."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from cgan_tf.runs.help import programs_of

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def build():
    """setup.py as a module, without building anything."""
    setuptools = pytest.importorskip("setuptools")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **_: None)
        spec = importlib.util.spec_from_file_location("setup_script", ROOT / "setup.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


def built(build, target, editable):
    """What build_py leaves in `target`."""
    from setuptools.dist import Distribution

    command = build.BuildWithConfigs(Distribution({"packages": []}))
    command.ensure_finalized()
    command.build_lib, command.editable_mode = str(target), editable
    command.run()
    return sorted(p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file())


def test_the_citation_names_the_paper_and_this_version():
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "license"} <= citation.keys()
    assert (citation["title"], citation["version"]) == (
        PROJECT["project"]["name"], PROJECT["project"]["version"]
    )  # fmt: skip
    paper = citation["preferred-citation"]
    assert paper["url"] == "https://arxiv.org/abs/2006.00086"
    assert [author["family-names"] for author in paper["authors"]] == ["Wu", "Wu", "Lotter"]


def test_issue_forms_are_whole():
    yaml = pytest.importorskip("yaml")
    folder = ROOT / ".github" / "ISSUE_TEMPLATE"
    forms = {p.stem: yaml.safe_load(p.read_text(encoding="utf-8")) for p in folder.glob("*.yml")}
    assert forms.pop("config") == {"blank_issues_enabled": False}
    assert set(forms) == {"bug", "data_format", "question"}
    for form in forms.values():
        assert form["name"]
        assert form["description"]
        fields = [field for field in form["body"] if field["type"] != "markdown"]
        assert all(field["attributes"]["label"] for field in fields)
        assert len({field["id"] for field in fields}) == len(fields)


def test_a_wheel_holds_every_config(build, tmp_path):
    names = {p.relative_to(ROOT).as_posix() for p in (ROOT / "configs").rglob("*") if p.is_file()}
    assert set(built(build, tmp_path, False)) == {f"cgan_tf/{name}" for name in names}
    assert any(name.endswith(".toml") for name in names)


def test_an_editable_install_keeps_them_where_they_are(build, tmp_path):
    assert built(build, tmp_path, True) == []


def test_the_readme_of_an_index_has_no_link_into_the_repository(build, monkeypatch):
    targets = re.findall(r"\]\(([^)\s]+)\)", build.readme())
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
    assert "docs/experiment.md" in build.readme()  # the text of the link stays
    project = 'version = "1"\n[project]\n[project.urls]\nSource = "https://forge.example/o/p"\n'
    monkeypatch.setattr(build, "ROOT", _with_project(monkeypatch, project))
    assert "(https://forge.example/o/p/blob/main/docs/experiment.md)" in build.readme()
    assert "(https://forge.example/o/p/raw/main/docs/images/figure1.png)" in build.readme()


def _with_project(monkeypatch, project):
    read = Path.read_text

    def instead(path, *arguments, **named):
        return project if path.name == "pyproject.toml" else read(path, *arguments, **named)

    monkeypatch.setattr(Path, "read_text", instead)
    return ROOT


def test_the_command_runs_every_program(monkeypatch, capsys):
    name, _, function = PROJECT["project"]["scripts"]["cgan"].partition(":")
    monkeypatch.setattr("sys.argv", ["cgan"])
    getattr(importlib.import_module(name), function)()
    shown = capsys.readouterr().out
    assert all(f"  {program} " in shown for program in programs_of("cgan_tf", "beam_pipelines"))


@pytest.mark.parametrize("package", ["cgan_tf", "beam_pipelines"])
def test_types_are_shipped(package):
    assert (ROOT / package / "py.typed").exists()
    shipped = PROJECT["tool"]["setuptools"]["package-data"][package]
    assert {"py.typed", "*.pyi"} <= set(shipped)
    assert (ROOT / package / "__init__.pyi").exists()
