"""Every flag file in configs/, line by line: absl takes a misspelt line for an argument."""

import ast
import importlib.util
import json
import re
from pathlib import Path

import pytest
from absl import flags

from cgan_tf import config
from cgan_tf.classifier.inputs import schedule_of
from cgan_tf.gan.schedules import generator_updates
from cgan_tf.runs.flags import config_from_flags, config_to_dict, define_flags, renamed
from cgan_tf.workflows.cells import cells_of, classifier_config

ROOT = Path(__file__).parents[2]
FILES = sorted(path for path in (ROOT / "configs").iterdir() if path.name != "sources")
COMMAND = re.compile(r"python -m (\S+) .*--flagfile=(\S+)")
# What a paper's run may set to something else than its default, and why.
OWN_OF_A_RUN = {"task", "generator_steps", "synthetic_fraction"}


def config_class_of(module: str) -> type:
    """The dataclass that the program `module` hands to run_program, read from its source."""
    spec = importlib.util.find_spec(module)
    assert spec is not None, f"no program {module}"
    for node in ast.walk(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "run_program":
            return getattr(config, node.args[0].id)
    raise AssertionError(f"{module} has no run_program")


def program_of(path: Path) -> str:
    """The module that the header's command runs."""
    header = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        header.append(line)
    commands = [COMMAND.search(line) for line in header]
    found = [match for match in commands if match]
    assert found, f"{path.name}: its header names no command `python -m MODULE --flagfile=...`"
    assert found[0][2] == f"configs/{path.name}", f"{path.name}: its header names another file"
    return found[0][1]


def parse_strictly(path: Path, directory: Path = ROOT):
    """The config that a flag file gives; AssertionError for anything that absl would let pass."""
    values = flags.FlagValues()
    define_flags(config_class_of(program_of(path)), values)
    arguments = _arguments(path, directory, frozenset(values), ())
    rest = values(["program", *arguments])
    assert rest == ["program"], f"{path.name}: left over: {rest[1:]}"
    return config_from_flags(config_class_of(program_of(path)), values)


def _arguments(path: Path, directory: Path, known: frozenset, within: tuple) -> list[str]:
    assert path not in within, f"{path.name}: includes itself"
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n"), f"{path.name}: no newline at its end"
    arguments, seen = [], set()
    for number, line in enumerate(text.split("\n")[:-1], 1):
        where = f"{path.name}:{number}: {line!r}"
        assert line == line.rstrip(), f"{where}: ends with a blank"
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"--([a-z0-9_]+)=(.*)", line)
        assert match, f"{where}: expected --name=value"
        name, value = match.groups()
        assert value[:1] not in ("'", '"', " "), f"{where}: quotes and blanks would be kept"
        assert " #" not in value, f"{where}: a comment here is part of the value"
        if name == "flagfile":
            arguments += _arguments(directory / value, directory, known, (*within, path))
            continue
        assert name in known, f"{where}: not a flag of the program"
        assert name == "beam" or name not in seen, f"{where}: given twice"
        seen.add(name)
        arguments.append(line)
    return arguments


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_a_strict_flag_file(path):
    assert path.suffix == ".cfg"
    parse_strictly(path)


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.name.startswith("paper_")], ids=lambda path: path.name
)
def test_the_papers_runs_are_the_defaults(path):
    parsed = parse_strictly(path)
    defaults = type(parsed)()
    different = {
        name for name in vars(defaults) if getattr(parsed, name) != getattr(defaults, name)
    }
    assert different <= OWN_OF_A_RUN


GOLDEN = json.loads((ROOT / "tests" / "golden" / "paper_flags.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", GOLDEN)
def test_the_papers_flags_never_change(name):
    """Values at commit d0ea0c3; a flag that came later is off, as its default is, too."""
    parsed = parse_strictly(ROOT / "configs" / name)
    values, defaults = config_to_dict(parsed), config_to_dict(type(parsed)())
    golden = renamed(type(parsed), GOLDEN[name])
    later = {flag: defaults[flag] for flag in values if flag not in golden}
    assert values == golden | later


def test_every_file_of_the_paper_has_golden_values():
    assert sorted(GOLDEN) == sorted(path.name for path in FILES if path.name.startswith("paper_"))


@pytest.mark.parametrize("name", ["demo_table1.cfg", "phantom_table1.cfg"])
def test_arms_see_enough_of_what_they_are_named_after(name):
    """At least a quarter of all samples; with the paper's decay it is 5%, most of them early."""
    parsed = parse_strictly(ROOT / "configs" / name)
    shares = {}
    for cell in cells_of(parsed):
        training = classifier_config(parsed, cell, "float32", 1)
        drawn = schedule_of(training).expected_synthetic(training.samples)
        shares[cell.arm] = drawn / training.samples
    assert shares.pop("real_only") == 0
    assert shares.pop("both_decayed") == pytest.approx(0.05, abs=0.002)
    assert min(shares.values()) >= 0.25
    assert len(parsed.seeds) == 5


@pytest.mark.parametrize(("task", "updates"), [("mass", 2), ("calcification", 1), ("removal", 1)])
def test_the_papers_gans(task, updates):
    parsed = parse_strictly(ROOT / "configs" / f"paper_{task}.cfg")
    assert parsed.task == task
    assert generator_updates(parsed) == updates


@pytest.mark.parametrize("percent", [10, 25, 50, 75, 100])
def test_the_papers_classifiers(percent):
    parsed = parse_strictly(ROOT / "configs" / f"paper_classifier_{percent}.cfg")
    assert parsed.synthetic_fraction == percent / 100
    baseline = parse_strictly(ROOT / "configs" / "paper_classifier_baseline.cfg")
    assert baseline.synthetic_fraction == 0


HEADER = "#  python -m cgan_tf.train_gan --flagfile=configs/x.cfg --output_dir=W\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("--size=64\n", "names no command"),
        ("# python -m cgan_tf.train_gan --flagfile=configs/y.cfg\n", "names another file"),
        ("# python -m cgan_tf.nothing --flagfile=configs/x.cfg\n", "no program"),
        (HEADER + "  # indented\n", "expected --name=value"),
        (HEADER + "size=64\n", "expected --name=value"),
        (HEADER + "--grow\n", "expected --name=value"),
        (HEADER + "--size=64 \n", "ends with a blank"),
        (HEADER + "--size=64 # why\n", "part of the value"),
        (HEADER + "--task='mass'\n", "quotes"),
        (HEADER + "--clients=3\n", "not a flag of the program"),
        (HEADER + "--size=64\n--size=32\n", "given twice"),
        (HEADER + "--size=64", "no newline"),
        (HEADER + "--flagfile=x.cfg\n", "includes itself"),
    ],
)
def test_the_check_finds(text, complaint, tmp_path):
    path = tmp_path / "x.cfg"
    path.write_text(text)
    with pytest.raises(AssertionError, match=complaint):
        parse_strictly(path, tmp_path)


def test_wrong_values_are_found(tmp_path):
    path = tmp_path / "x.cfg"
    path.write_text(HEADER + "--task=masses\n")
    with pytest.raises(flags.IllegalFlagValueError, match="should be one of"):
        parse_strictly(path, tmp_path)


def test_includes_are_read_in_place(tmp_path):
    (tmp_path / "common.cfg").write_text("# shared\n--size=64\n--border=3\n")
    path = tmp_path / "x.cfg"
    path.write_text(HEADER + "--flagfile=common.cfg\n--border=4\n")
    parsed = parse_strictly(path, tmp_path)
    assert (parsed.size, parsed.border) == (64, 4)
