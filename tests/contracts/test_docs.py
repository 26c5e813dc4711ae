"""README, CHANGELOG and docs/: every flag, file, command and link that they name exists."""

import ast
import dataclasses
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from absl import flags

from cgan_tf import config
from cgan_tf.runs.flags import config_from_flags, config_to_dict, define_flags
from tests.contracts.test_configs import config_class_of

ROOT = Path(__file__).parents[2]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CHANGELOG = ROOT / "CHANGELOG.md"
EVERY = [*DOCS, CHANGELOG]
FIELDS = [
    field
    for value in vars(config).values()
    if isinstance(value, type) and value.__name__.endswith("Config")
    for field in dataclasses.fields(value)
]
SWITCHES = {f"no{field.name}" for field in FIELDS if field.type in (bool, bool | None)}
KNOWN_FLAGS = {field.name for field in FIELDS} | SWITCHES
OTHERS = {
    "flagfile",
    "help",
    "version",
    "phantom_dir",
    "logdir",
    "constraint",
    "editable",
}  # of absl, TensorBoard, pip, benchmarks
FLAG = re.compile(r"--([a-z0-9_]+)")
# `name` or `name`, `name` ... in `some/file.py`
FUNCTION = re.compile(r"((?:`\w+`(?:, )?)+) in `([\w/]+\.py)`")
FILE = re.compile(r"`((?:cgan_tf|beam_pipelines|benchmarks|configs|tests|docs)/[\w./*]+)`")
LINK = re.compile(r"\]\((?!https?:)([^)\s#]*)(?:#([^)\s]+))?\)")
COMMAND = re.compile(r"python -m ([\w.]*\w)([^`\n]*)")
FENCE = re.compile(r"^```.*?^```", re.M | re.S)

every_document = pytest.mark.parametrize("path", EVERY, ids=lambda path: path.name)


def text_of(path: Path) -> str:
    """A document with its continued lines joined."""
    return re.sub(r"\s*\\\n\s*", " ", path.read_text(encoding="utf-8"))


@every_document
def test_every_flag_exists(path):
    text = re.sub(r"--beam=--\w+", "--beam", text_of(path))  # Beam's own options
    known = KNOWN_FLAGS | OTHERS
    if path == CHANGELOG:
        known = known | set(config.REPLACED_FLAGS).union(*config.ALIASES.values())
    assert sorted(set(FLAG.findall(text)) - known) == []


@every_document
def test_every_file_exists(path):
    named = FILE.findall(text_of(path))
    assert [name for name in named if not any(ROOT.glob(name))] == []


@every_document
def test_every_function_is_in_its_file(path):
    for names, file in FUNCTION.findall(text_of(path)):
        assert set(re.findall(r"`(\w+)`", names)) <= _names_in(ROOT / file), (names, file)


@every_document
def test_every_link_leads_somewhere(path):
    assert broken_links(path) == []


@every_document
def test_every_command_is_a_programs(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert wrong_commands(text_of(path)) == []


@every_document
def test_every_target_of_make_and_extra_of_pip_exists(path):
    text = text_of(path)
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.M)) <= set(targets)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(re.findall(r"'\.\[(\w+)\]'", text)) <= set(project["optional-dependencies"])


def test_every_program_is_in_the_readme():
    programs = {
        f"{path.parent.name}.{path.stem}"
        for package in ("cgan_tf", "beam_pipelines")
        for path in (ROOT / package).glob("*.py")
        if "\n    run_program(" in path.read_text(encoding="utf-8")
    }
    run_by_make = {"cgan_tf.demo"}
    assert programs > run_by_make
    named = {module for module, _ in COMMAND.findall(text_of(ROOT / "README.md"))}
    assert sorted(programs - named - run_by_make) == []


def test_every_document_has_a_place_on_the_site():
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"^ +- ([\w/]+\.md)$", settings[settings.index("\nnav:") :], re.M))
    documents = {str(path.relative_to(ROOT / "docs")) for path in DOCS[1:]}
    assert documents - listed == set(), "documents that are not in nav of mkdocs.yml"


def test_every_section_of_the_report_is_explained():
    guide = text_of(ROOT / "docs" / "experiment.md").split("## How to read the report")[1]
    rows = re.findall(r"^\| ([^|]+) \|", guide, re.M)[1:]  # without the heading
    sections = _report_sections()
    assert sections - set(rows) == set(), "sections without a row in docs/experiment.md"
    assert sorted(rows) == sorted(sections)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("`python -m cgan_tf.nothing --x=1`", "no program cgan_tf.nothing"),
        ("python -m cgan_tf.evaluate --classifier=C --patches_dir=P", "--output_dir is required"),
        ("python -m cgan_tf.train_gan --patches_dir=P --output_dir=W --siz=64", "siz"),
        ("python -m cgan_tf.train_gan --patches_dir=P --output_dir=W --size=N", "size"),
        ("python -m cgan_tf.train_gan --patches_dir=P --output_dir=W --task=masses", "task"),
        ("python -m cgan_tf.train_gan --patches_dir=P --output_dir=W more", "left over: more"),
        ("python -m cgan_tf.show_patches P more --count=3", "left over: more"),
        ("python -m cgan_tf.show_patches more --patches_dir=P", "left over: more"),
        ("python -m cgan_tf.show_patches --count=3", "--patches_dir is required"),
        ("python -m cgan_tf.train_gan --flagfile=configs/no.cfg --output_dir=W", "no.cfg"),
        ("python -m benchmarks.no_such", "no program benchmarks.no_such"),
    ],
)
def test_wrong_commands_are_found(text, complaint, monkeypatch):
    monkeypatch.chdir(ROOT)
    (found,) = wrong_commands(text)
    assert complaint in found


def test_right_commands_pass(monkeypatch):
    monkeypatch.chdir(ROOT)
    text = (
        "`python -m cgan_tf.experiment`, `python -m pytest -m slow`\n"
        "python -m cgan_tf.train_gan --flagfile=configs/paper_mass.cfg --patches_dir=P "
        "--output_dir=W  # the paper's\n"
        "python -m cgan_tf.show_patches P --count=3\n"
    )
    assert wrong_commands(text) == []


def test_broken_links_are_found(tmp_path):
    (tmp_path / "other.md").write_text("# Title\n## 10% of it: a, b\n```\n# No heading\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "## Twice\n## Twice\n"
        "[a](other.md) [b](other.md#10-of-it-a-b) [c](#twice-1) [d](https://x.y/z#w)\n"
        "[e](none.md) [f](other.md#open) [g](#thrice) [h](other.md#no-heading)\n"
    )
    assert broken_links(page) == ["none.md", "other.md#open", "#thrice", "other.md#no-heading"]


def broken_links(path: Path) -> list[str]:
    """The relative links of a document whose file or heading is not there."""
    broken = []
    for file, anchor in LINK.findall(FENCE.sub("", text_of(path))):
        target = path.parent / file if file else path
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(f"{file}#{anchor}" if anchor else file)
    return broken


def wrong_commands(text: str) -> list[str]:
    """What is wrong with the `python -m ...` of a text, a line each.

    A program without flags is only named; with flags it must be one that a user can run.
    """
    wrong = []
    for module, rest in COMMAND.findall(text):
        package = module.partition(".")[0]
        if package not in ("cgan_tf", "beam_pipelines", "benchmarks"):
            continue
        path = ROOT / f"{module.replace('.', '/')}.py"
        if module == package:  # lists its programs
            continue
        if not path.exists():
            wrong.append(f"no program {module}")
        elif package != "benchmarks" and (arguments := shlex.split(rest, comments=True)):
            complaint = _complaint(module, path, arguments)
            if complaint:
                wrong.append(f"{module}: {complaint}")
    return wrong


def _complaint(module: str, path: Path, arguments: list[str]) -> str:
    values = flags.FlagValues()
    define_flags(config_class_of(module), values)
    try:
        rest = values(["program", *values.read_flags_from_files(arguments)])[1:]
    except flags.Error as error:
        return str(error)
    given = config_to_dict(config_from_flags(config_class_of(module), values))
    positional = _argument_of_run_program(path, "positional", "")
    if positional and rest and not given[positional]:
        given[positional] = rest.pop(0)
    if rest:
        return f"left over: {' '.join(rest)}"
    missing = [name for name in _argument_of_run_program(path, "required") if not given[name]]
    return f"--{missing[0]} is required" if missing else ""


def _argument_of_run_program(path: Path, name: str, default: Any = None) -> Any:
    """What a program hands to run_program under a name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "run_program":
            given = {k.arg: ast.literal_eval(k.value) for k in node.keywords}
            return given.get(name, default)
    raise AssertionError(f"{path} has no run_program")


def _anchors(path: Path) -> set[str]:
    """The headings of a document as GitHub names them in links."""
    anchors: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text(encoding="utf-8")), re.M):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number, name = 0, slug
        while name in anchors:
            number += 1
            name = f"{slug}-{number}"
        anchors.add(name)
    return anchors


def _report_sections() -> set[str]:
    """The titles that the report's modules give to `section_of`."""
    titles = set()
    for path in (ROOT / "cgan_tf").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {
            node.targets[0].id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "section_of":
                title = node.args[0]
                titles.add(title.value if isinstance(title, ast.Constant) else constants[title.id])
    return titles


def _names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
    }
    targets = [
        *(target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets),
        *(node.target for node in tree.body if isinstance(node, ast.AnnAssign)),
    ]
    return names | {target.id for target in targets if isinstance(target, ast.Name)}
