"""What `--help` prints: what a program does, and its flags by what they are about."""

import ast
import dataclasses
import difflib
import importlib
import inspect
import runpy
import shutil
import sys
import textwrap
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from cgan_tf import __version__
from cgan_tf.config import Range

VERSION = f"contextual-gan-mammography {__version__}"
_MORE = "Flags of a program: %s PROGRAM --help\n"

REQUIRED = "Required"
_REQUIRED = "(required)."
OTHER = "Of every program"
# A flag means the same in every program that has it, so its group is told once, by name.
GROUPS: dict[str, str] = {
    "Input and output": """
        output_dir output restart evaluations input_dir source mapping table normals_dir patches_dir
        synthetic_dirs pasted_dirs oracle_dirs scored_dirs showcase_dirs showcase_patches_dir
        prediction_dirs froc_dir heat_map_dirs insertion_dirs images_dir inserted_dirs synthetic_dir
        quality_dir reader_study_dir analyse gan_dirs classifier critic generator generators weights
        init_from imagenet_weights report_flagfile quality_flagfile paste_flagfile failed_runs
        list_only keep_patient previews structured_reports overlays heat_maps calibration_dir
        shard_megabytes title notice authors licence columns contact_sheet list_patients""",
    "Task": """
        task conditional count images lesions_per_image places split split_by all_in_split classes
        source_classes source_split real_splits seeds synthetic_fractions synthetic_fraction filling
        inserted_fraction lesion_share
        arms arm_share question answers cases training repeats break_every quality seed clients
        first_client image_size difficulty content broken_files folder_patches train_normal
        train_malignant_mass train_benign_mass train_malignant_calcification
        train_benign_calcification train_source train_lesion_clients eval_normal eval_malignant_mass
        eval_malignant_calcification allow_shortfall draws patches real_lesions splits grad_cams
        hit least_iou false_positives_on benign_marks rounds
        tsne_normal tsne_mass tsne_calcification tsne_synthetic_mass tsne_synthetic_calcification
        corrections stride dense separation candidate_side candidates both_views""",
    "Data": """
        size bits inverted train_fraction validation_fraction min_tissue min_tissue_lesion
        exclude_pectoral max_offset flip_probability rotate scale_min scale_max augment_eval
        image_sampling normals_from_cases normal_follow_up normals_from_lesion_images
        size_ratio
        allow_synthetic admit_special resample_spacing_mm reduction assume_normal allow_overlap
        allow_evaluation_split benign validation_patches""",
    "Lesions": """
        threshold dilation smoothing objects near min_area_fraction max_area_fraction texture
        min_share_removed max_critic_score patience min_acceptance feather size_quantiles
        contrast_quantiles""",
    "Networks": """
        network generator_filters bottleneck_filters embedding_channels leaky_relu_slope
        attention_size lesion_channel border spectral_norm discriminator_multiplier
        discriminator_input discriminator_noise noise_maps minibatch_deviation batch_norm
        batch_norm_momentum min_level max_level anchor_size anchor_scales aspect_ratios positive_iou
        negative_iou head_convolutions head_norm candidate_iou""",
    "Training": """
        batch_size learning_rate beta_1 beta_2 epsilon samples validate_every
        early_stopping_validations decay decay_rate decay_every augment_elastic augment_contrast
        augment_noise generator_steps grow half_steps fade_in_steps full_steps ema benign_weight
        normal_weight penalty_weight penalty_target penalty_squared penalty_noise penalty_logit
        penalty_every augment mode_seeking_weight mode_seeking_margin collapse_steps
        checkpoint_minutes log_every grid_every dry_run warm_up clip_norm augment_scale window""",
    "Machine": """
        precision strategy deterministic parallel workers intra_op_threads inter_op_threads beam""",
}
GROUP_OF = {name: group for group, names in GROUPS.items() for name in names.split()}
COMMON = (
    ("--flagfile=FILE", "Read flags from a file, one --name=value a line."),
    ("--version", "Print the version."),
    ("-h, --help", "Print this."),
)


def help_text(doc: str, config_class: type, required: Collection[str] = ()) -> str:
    """The whole text, wrapped to the terminal; `doc` says what the program does and how.

    What is required comes first: the flags named so, and those whose help ends with the word.
    """
    width = min(100, shutil.get_terminal_size((100, 24)).columns)
    groups: dict[str, list[str]] = {name: [] for name in (REQUIRED, *GROUPS, OTHER)}
    fields = {field.name: field for field in dataclasses.fields(config_class)}
    said = [name for name, field in fields.items() if field.metadata["help"].endswith(_REQUIRED)]
    required = dict.fromkeys((*required, *said))
    for name in (*required, *(n for n in fields if n not in required)):
        group = REQUIRED if name in required else GROUP_OF.get(name, OTHER)
        heading, text = _entry(fields[name])
        groups[group].append(_paragraph(heading, text, width))
    groups[OTHER] += [_paragraph(*entry, width) for entry in COMMON]
    parts = [inspect.cleandoc(doc)]
    parts += [f"{group}\n" + "\n".join(lines) for group, lines in groups.items() if lines]
    return "\n\n".join(parts) + "\n"


@dataclasses.dataclass(frozen=True)
class Program:
    """A program of a package: its module, and what it does in a line."""

    module: str
    line: str


def programs_of(*packages: str) -> dict[str, Program]:
    """The programs of packages by name; they are read, not imported."""
    found = {}
    for package in packages:
        (folder,) = importlib.import_module(package).__path__
        for path in sorted(Path(folder).glob("*.py")):
            source = path.read_text(encoding="utf-8")
            if "run_program(" in source:
                doc = ast.get_docstring(ast.parse(source)) or ""
                found[path.stem] = Program(f"{package}.{path.stem}", doc.partition("\n")[0])
    return found


def run_named(command: str, *packages: str) -> None:
    """Runs the program that the first argument names, with the rest; lists them without one."""
    programs = programs_of(*packages)
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(overview(command, programs), end="")
    elif name == "--version":
        print(VERSION)
    elif name in programs:
        del sys.argv[1]
        runpy.run_module(programs[name].module, run_name="__main__", alter_sys=True)
    else:
        near = difflib.get_close_matches(name, programs, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; see {command} --help"
        print(f"{command}: no program {name!r}{hint}", file=sys.stderr)
        sys.exit(2)


def overview(command: str, programs: Mapping[str, Program]) -> str:
    """The programs with a line each, and how one is started."""
    width = max(map(len, programs))
    lines = [f"  {name:<{width}}  {each.line}" for name, each in programs.items()]
    return "\n".join(
        [f"usage: {command} PROGRAM --flag=value ...", "", *lines, "", _MORE % command]
    )


def _entry(field: dataclasses.Field[Any]) -> tuple[str, str]:
    """(the flag with its default, what it does and what it may be)."""
    name, default, bounds = field.name, field.default, field.metadata["range"]
    text = field.metadata["help"].replace(" (required)", "")
    if isinstance(default, bool) or default is None:
        state = {True: "on", False: "off", None: "as the text says"}[default]
        return f"--[no]{name}", f"{text} Default: {state}."
    value = ",".join(default) if isinstance(default, tuple) else default
    heading = f"--{name}={value}"
    if field.metadata["choices"]:
        choices = ", ".join(choice or "empty" for choice in field.metadata["choices"])
        return heading, f"{text} One of: {choices}."
    return heading, f"{text} Range: {bounds}." if isinstance(bounds, Range) else text


def _paragraph(heading: str, text: str, width: int) -> str:
    body = textwrap.fill(text, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return f"  {heading}\n{body}"
