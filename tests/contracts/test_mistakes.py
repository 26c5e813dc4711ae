"""What people type wrongly: one line, the right exit code, and a directory that is still free.

Every row is a command that somebody typed. All of them run in this process, as their program would
run them.
"""

import ast
import dataclasses
import importlib
import json
import re
from pathlib import Path

import pytest
from absl import flags

from cgan_tf import config
from cgan_tf.gan.card import directory_checksum
from cgan_tf.runs.directory import write_json
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import (
    WrongCommand,
    config_of_command,
    define_flags,
    parse_arguments,
    run_target,
)
from cgan_tf.runs.help import programs_of
from tests.toys.patches import write_toy_patches, write_toy_synthetic

PROGRAMS = programs_of("beam_pipelines", "cgan_tf")


@dataclasses.dataclass(frozen=True)
class Call:
    """The arguments that a program hands to `run_program`."""

    config_class: type
    target: str
    required: tuple[str, ...]
    positional: str = ""


def call_of(program: str) -> Call:
    source = importlib.util.find_spec(PROGRAMS[program].module).origin
    for node in ast.walk(ast.parse(Path(source).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "run_program":
            named = {word.arg: ast.literal_eval(word.value) for word in node.keywords}
            return Call(getattr(config, node.args[0].id), ast.literal_eval(node.args[1]), **named)
    raise AssertionError(program)


def outcome(command: str) -> tuple[int, str]:
    """(exit code, line) of a command, as `run_program` gives them."""
    program, *arguments = command.split(" ")
    call, values = call_of(program), flags.FlagValues()
    define_flags(call.config_class, values)
    try:
        rest = parse_arguments(arguments, values)
        found = config_of_command(call.config_class, rest, call.required, call.positional, values)
        run_target(call.target, found)
    except WrongCommand as error:
        return 2, str(error)
    except UserError as error:
        return 1, str(error)
    return 0, ""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """Patches of 32 px, a synthetic set, directories of other programs, pictures, nothing."""
    root = tmp_path_factory.mktemp("workshop")
    write_toy_patches(root / "patches", size=32, per_class=3)
    write_toy_synthetic(root / "syn", root / "patches", "mass", 2)
    for program in ("make_phantom", "train_gan", "train_classifier", "evaluate"):
        directory = root / program
        directory.mkdir()
        content = {"program": program, "flags": {"synthetic_fraction": 0.5}}
        write_json(directory / "manifest.json", content)
        write_json(directory / "run.json", {"program": program, "flags": {}})
    generator = root / "train_gan" / "generator"
    generator.mkdir()
    (generator / "saved_model.pb").write_bytes(b"not opened")
    card = {"task": "mass", "size": 32, "z_width": 6, "checksum": directory_checksum(generator)}
    write_json(generator / "model.json", card)
    (root / "train_gan" / "metrics.csv").write_text("step,loss_d\n1,2\n")
    (root / "jpegs").mkdir()
    (root / "jpegs" / "1.jpg").write_bytes(b"\xff\xd8")
    (root / "empty").mkdir()
    (root / "a_file").write_text("x")
    return root


GAN = "train_gan --patches_dir=patches --output_dir=out"
SYN = "synthesize --generator=train_gan/generator --patches_dir=patches --output_dir=out"
CUT = "make_patches --source=folder --input_dir=jpegs --output_dir=out"
STUDY = "reader_study --real=patches --synthetic=syn --output_dir=out"
ROWS = (
    # The command line itself
    ("train_gan", 2, "--patches_dir and --output_dir required; see --help"),
    ("train_gan --patches_dir= --output_dir=out", 2, "^--patches_dir required; see --help"),
    (f"{GAN} --size=64 --dry_run", 1, r"expected patches of 64 px \(--size\), found 32"),
    ("train_gan --patchs_dir=patches", 2, r"flag 'patchs_dir'\. Did you mean: patches_dir"),
    (f"{GAN} --batch_size=four", 2, "--batch_size=four: invalid literal"),
    (f"{GAN} --batch_size", 2, "Missing value for flag --batch_size"),
    (f"{GAN} --task=masses", 2, "one of <mass|calcification|removal>"),
    ("train_gan patches out", 2, "unexpected argument 'patches'"),
    (f"{GAN} --flagfile=configs/nothing.cfg", 2, "expected a flag file, found none"),
    (f"{GAN} --flagfile --size=3", 2, "expected a flag file, found none"),
    (f"{GAN} --dry_run=yes", 2, "Non-boolean argument"),
    (f"{GAN} --learning_rate=1e-4,1e-5", 2, "could not convert string to float"),
    (f"{GAN} --nogrow=true", 2, "--nogrow=true does not take an argument"),
    ("train_gan --patches-dir=patches", 2, "'patches-dir'. Did you mean: patches_dir"),
    ("make_phantom --output_dir=out --image_size=medium", 2, "one of <clinical|small>"),
    (f"{CUT} --direct_num_workers=3", 2, "flag 'direct_num_workers'"),
    # Numbers out of range
    (f"{GAN} --batch_size=-3", 1, "--batch_size: expected 1 or more, found -3"),
    (f"{GAN} --learning_rate=0", 1, "--learning_rate: expected more than 0, found 0"),
    (f"{GAN} --size=100", 1, "--size: expected a power of two, 32 or more, found 100"),
    (f"{SYN} --min_area_fraction=10", 1, "--min_area_fraction: expected 0 to 1, found 10"),
    (f"{CUT} --train_fraction=60", 1, "--train_fraction: expected 0 to 1, found 60"),
    (f"{CUT} --train_fraction=0.9", 1, "expected 1 or less in all, found 1.1"),
    (f"{CUT} --min_tissue=90", 1, "--min_tissue: expected 0 to 1, found 90"),
    (f"{CUT} --resample_spacing_mm=-1", 1, "--resample_spacing_mm: expected 0 or more, found -1"),
    (f"{CUT} --folder_patches=0", 1, "--folder_patches: expected 1 or more, found 0"),
    (f"{CUT} --scale_min=2", 1, "--scale_max: expected --scale_min=2 or more, found 1.2"),
    (
        "train_classifier --patches_dir=patches --output_dir=out --synthetic_fraction=50",
        1,
        "--synthetic_fraction: expected 0 to 1, found 50",
    ),
    (
        "insert_lesions --generator=g --input_dir=jpegs --output_dir=out --lesions_per_image=-1",
        1,
        "--lesions_per_image: expected 1 or more, found -1",
    ),
    ("evaluate --output_dir=out", 2, "--classifier and --patches_dir required; see --help"),
    (
        "evaluate --images=nowhere --classifier=train_classifier --output_dir=out",
        1,
        "--classifier: not with --prediction_dirs, which are scored already",
    ),
    (
        "evaluate --images=p --least_iou=0 --output_dir=out",
        1,
        "expected more than 0, at most 1, found 0",
    ),
    ("evaluate --images=p --hit=corner --output_dir=out", 2, "one of <centre|iou>"),
    # Directories that are not what they should be
    (
        "predict_images --classifier=evaluate --input_dir=phantom --output_dir=out",
        1,
        "expected a manifest of train_classifier, found 'evaluate'",
    ),
    (
        "predict_images --classifier=nowhere --input_dir=phantom --output_dir=out --stride=0",
        1,
        "--stride: expected 1 or more, found 0",
    ),
    (
        "predict --classifier=evaluate --patches_dir=patches --output_dir=out",
        1,
        "expected a manifest of train_classifier, found 'evaluate'",
    ),
    ("predict --patches_dir=patches --output_dir=out", 2, "--classifier required; see --help"),
    ("evaluate --images=patches --output_dir=out", 1, "expected a manifest of predict_images or"),
    ("evaluate --images=nowhere --output_dir=out", 1, "nowhere: expected an output directory of"),
    (
        "train_gan --patches_dir=nowhere --output_dir=out",
        1,
        "nowhere: expected an output directory of make_patches .* found no such directory",
    ),
    (
        "train_gan --patches_dir=make_phantom --output_dir=out",
        1,
        "expected a manifest of make_patches .* found 'make_phantom'",
    ),
    ("train_gan --patches_dir=a_file --output_dir=out", 1, "a_file: expected .*, found a file"),
    (f"{GAN} --size=64", 1, r"expected patches of 64 px \(--size\), found 32"),
    ("train_gan --patches_dir=patches --size=32 --output_dir=a_file", 1, "a_file: .* File exists"),
    (
        "train_gan --patches_dir=patches --size=32 --output_dir=make_phantom",
        1,
        "holds a run of make_phantom, not of train_gan; name another directory",
    ),
    (
        "synthesize --generator=train_gan --patches_dir=patches --output_dir=out",
        1,
        "train_gan: expected a generator directory .* it is in train_gan/generator",
    ),
    (
        "synthesize --generator=nowhere --patches_dir=patches --output_dir=out",
        1,
        "nowhere: expected a generator directory of train_gan, found no such directory",
    ),
    (f"{SYN} --source_split=test", 1, "--allow_evaluation_split permits it"),
    (f"{SYN} --task=removal", 1, "--task: expected mass for .*, found removal"),
    (f"{SYN} --source_classes=normals", 1, "train/normals: expected patches, found none"),
    (
        "train_classifier --patches_dir=patches --output_dir=out --weights=foo.h5",
        1,
        "--weights=foo.h5: no such file",
    ),
    (
        "train_classifier --patches_dir=patches --output_dir=out --weights=none "
        "--synthetic_fraction=0.5",
        1,
        "the synthetic negative stream is empty; --synthetic_dirs names no set of the removal",
    ),
    (
        "evaluate --classifier=train_gan --patches_dir=patches --output_dir=out",
        1,
        "expected a manifest of train_classifier, found 'train_gan'",
    ),
    (
        "evaluate --classifier=a_file --patches_dir=patches --output_dir=out",
        1,
        "a_file: expected an output directory of train_classifier, found a file",
    ),
    (
        "quality --patches_dir=patches --synthetic_dirs=patches --output_dir=out",
        1,
        "expected a manifest of synthesize.*, found 'make_patches'",
    ),
    # Reader studies
    ("reader_study --output_dir=out", 1, "--patches_dir is required to make a study"),
    ("reader_study --real=patches --output_dir=out", 1, "--synthetic_dirs is required"),
    (f"{STUDY} --cases=2", 1, "--cases: expected 4 to 2000, found 2"),
    (f"{STUDY} --size_ratio=0.8", 1, "--size_ratio: expected 1 or more, found 0.8"),
    (f"{STUDY} --question=2afc", 2, "one of <real_or_synthetic|two_alternatives|lesion>"),
    (f"{STUDY} --real_splits=tests", 1, "--real_splits: expected train or .*, found tests"),
    (STUDY, 1, "expected 43 patches of kind mass with a real one of like size, found"),
    (
        "reader_study --real=patches --synthetic=patches --output_dir=out",
        1,
        "expected a set of synthesize or paste_lesions, found real patches of make_patches",
    ),
    (
        "reader_study --analyse=answers --output_dir=nowhere",
        1,
        "nowhere: expected an output directory of reader_study, found no such directory",
    ),
    (
        "reader_study --analyse=answers --output_dir=patches",
        1,
        "expected a manifest of reader_study, found 'make_patches'",
    ),
    ("show_patches nowhere", 1, "nowhere: expected an output directory"),
    ("show_patches patches --classes=mass --output_dir=out", 1, "--classes: expected some of"),
    # Outputs that could not be written
    ("report --evaluations=a --patches_dir=p --output=empty", 1, "found a directory"),
    ("report --evaluations=a --patches_dir=p --output=r.pdf", 1, r"ends with \.html"),
    ("plot_curves --gan_dirs=train_gan --output=c.jpg", 1, r"ends with \.png"),
    (
        "plot_curves --gan_dirs=train_gan --columns=loss --output=c.png",
        1,
        "expected column 'loss', found step, loss_d",
    ),
    # Packages
    ("package --output_dir=out", 1, "expected --generator or --synthetic_dir, found neither"),
    (
        "package --generator=train_gan/generator --synthetic_dir=syn --output_dir=out",
        1,
        "expected --generator or --synthetic_dir, found both",
    ),
    ("package --synthetic_dir=syn", 2, "^--output_dir required; see --help"),
    ("package --synthetic_dir=syn --output_dir=empty", 1, "empty: expected no such directory"),
    ("package --synthetic_dir=nowhere --output_dir=out", 1, "nowhere: expected an output direc"),
    ("package --synthetic_dir=patches --output_dir=out", 1, "of synthesize, found one of make_"),
    ("package --generator=empty --output_dir=out", 1, "empty: expected a generator directory"),
    (
        "package --generator=train_gan/generator --output_dir=out",
        1,
        "expected the patches that train_gan/generator was made from",
    ),
    (
        "package --synthetic_dir=syn --quality_dir=evaluate --output_dir=out",
        1,
        "expected a manifest of quality, found 'evaluate'",
    ),
    (
        "quality --patches_dir=patches --synthetic_dirs=syn --gan_dirs=evaluate --output_dir=out",
        1,
        "expected a manifest of train_gan, found 'evaluate'",
    ),
    (
        "quality --patches_dir=patches --synthetic_dirs=syn --gan_dirs=train_gan --output_dir=out",
        1,
        "expected a run whose generator made one of --synthetic_dirs",
    ),
    ("export_onnx --generator=train_gan/generator --output=m.pb", 1, r"ends with \.onnx"),
    # Films
    ("make_patches --source=folder --input_dir=empty --output_dir=out", 1, "found no file"),
    (CUT, 1, "found 1 JPG; --source=table reads"),
    ("make_patches --input_dir=jpegs --output_dir=out", 1, "--source=folder"),
    ("make_patches --input_dir=nowhere --output_dir=out", 1, "nowhere: expected a directory"),
    (
        "make_patches --source=cbis --input_dir=jpegs --output_dir=out",
        1,
        "--source=cbis: expected optimam, cbis_ddsm",
    ),
    (
        "make_patches --source=no_module:f --input_dir=jpegs --output_dir=out",
        1,
        "--source=no_module:f: cannot be imported",
    ),
    (f"{CUT} --beam=--num_workers_typo=3", 1, "Beam has no such option"),
)


@pytest.mark.parametrize(("command", "code", "line"), ROWS, ids=[row[0][:60] for row in ROWS])
def test_a_mistake_is_one_line_and_locks_nothing(
    workshop, monkeypatch, capsys, command, code, line
):
    monkeypatch.chdir(workshop)
    before = contents(workshop)
    found, message = outcome(command)
    assert (found, bool(re.search(line, message))) == (code, True), message
    assert "\n" not in message
    assert "Errno" not in message
    assert "Traceback" not in capsys.readouterr().err
    assert not (workshop / "out" / "run.json").exists()
    assert contents(workshop) == before


def contents(root: Path) -> dict[str, bytes]:
    """Every file but locks, which hold nothing."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_the_advice_of_a_mistake_works_in_the_same_directory(workshop, monkeypatch):
    """The wrong size, then what the message says: not refused for the flags of the first."""
    monkeypatch.chdir(workshop)
    monkeypatch.setattr("cgan_tf.gan.training.Training.__init__", lambda *_: None)
    monkeypatch.setattr("cgan_tf.gan.training.Training.run", lambda *_: None)
    command = "train_gan --patches_dir=patches --output_dir=advised"
    assert outcome(command)[0] == 1
    assert outcome(f"{command} --size=32") == (0, "")
    assert outcome(f"{command} --size=32 --benign_weight=0") == (0, "")
    flags_now = json.loads((workshop / "advised" / "run.json").read_text())["flags"]
    assert (flags_now["size"], flags_now["benign_weight"]) == (32, 0.0)
