"""Every default of the project: one frozen dataclass for each program.

The paper is Wu et al., "Synthesizing lesions using contextual GANs improves breast cancer
classification on mammograms". A default is the paper's sentence where it has one; the help text
quotes it in quotation marks. Where the paper is silent or contradicts itself, the help says what
was decided, and docs/decisions/ says why.

All pixel lengths are given for the paper's 256 px patches and scale with size / 256
(see `scaled_length`). Flags are generated from these classes by `runs.flags`.
"""

import dataclasses
import math
from typing import Any

from cgan_tf.labels import ARMS, FILLINGS, PAPER_SIZE, SPLITS, TASKS


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers that a flag may have: `least` to `most`, each excluded where so named; `also`
    stands for something else."""

    least: float
    most: float = math.inf
    without_least: bool = False
    without_most: bool = False
    also: float | None = None

    def __contains__(self, value: float) -> bool:
        if value == self.also:
            return True
        low = self.least < value if self.without_least else self.least <= value
        high = value < self.most if self.without_most else value <= self.most
        return low and high and math.isfinite(value)

    def __str__(self) -> str:
        low = f"more than {self.least:g}" if self.without_least else f"{self.least:g} or more"
        if self.without_most:
            text = f"{low} and below {self.most:g}"
        elif self.most < math.inf:
            most = f"{self.most:g}"
            text = f"{low}, at most {most}" if self.without_least else f"{self.least:g} to {most}"
        else:
            text = low
        return text if self.also is None else f"{text}, or {self.also:g}"


WHOLE = NOT_NEGATIVE = Range(0)
COUNT, TWO = Range(1), Range(2)
POSITIVE = Range(0, without_least=True)
FRACTION, BELOW_ONE = Range(0, 1), Range(0, 1, without_most=True)


def option(default: Any, help_text: str, allowed: tuple[str, ...] | Range = ()) -> Any:
    """A dataclass field that becomes a flag: its default, its help, its allowed values."""
    bounds = allowed if isinstance(allowed, Range) else None
    choices = () if isinstance(allowed, Range) else allowed
    return dataclasses.field(
        default=default, metadata={"help": help_text, "choices": choices, "range": bounds}
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every program takes that writes a run into a directory."""

    restart: bool = option(
        False,
        "Begin anew although --output_dir holds a run, which is kept as OUTPUT_DIR.1, or the next "
        "free number.",
    )


@dataclasses.dataclass(frozen=True)
class PhantomConfig(RunConfig):
    """`beam_pipelines.make_phantom`: a synthetic copy of OMI-DB's layout."""

    output_dir: str = option("", "Directory to write the phantom tree to (required).")
    clients: int = option(40, "Number of clients (women).", COUNT)
    first_client: int = option(
        0,
        "Number of the first: a further phantom with the same seed and other women begins here.",
        WHOLE,
    )
    seed: int = option(0, "The same seed gives the same bytes.", WHOLE)
    image_size: str = option(
        "clinical",
        "clinical: 3328x2560 at 0.07 mm; small: 832x640 at 0.28 mm, for quick runs; coarse: "
        "582x448 at 0.4 mm, for experiments on patches of 64 px.",
        ("clinical", "small", "coarse"),
    )
    difficulty: str = option(
        "easy",
        "easy: lesions that minutes of training can learn; screening: lesions of every conspicuity "
        "down to hardly visible, in tissue that imitates them.",
        ("easy", "screening"),
    )
    content: str = option(
        "full",
        "full: all that a collection has; lean: the two views of one breast a woman, malignant or "
        "normal, every lesion marked.",
        ("full", "lean"),
    )
    broken_files: int = option(4, "Number of damaged files (images and side-cars) to plant.", WHOLE)
    workers: int = option(0, "Processes to draw with; 0: one per core.", WHOLE)


@dataclasses.dataclass(frozen=True)
class PatchesConfig(RunConfig):
    """`beam_pipelines.make_patches`: DICOM tree to TFRecord patch shards."""

    source: str = option(
        "optimam",
        "The data set: optimam (OMI-DB), cbis_ddsm (CBIS-DDSM), table (DICOM, PNG, TIFF, PGM or "
        "JPEG files with a table), folder (any folder of mammogram DICOM files without "
        "annotations), or one's own as module:function, see docs/data.md.",
    )
    input_dir: str = option("", "Root of the data set (required).")
    mapping: str = option(
        "",
        "--source=table: the file that says what the table's columns mean, such as "
        "configs/sources/mini_mias.toml (required), see docs/table.md.",
    )
    table: str = option(
        "", "--source=table: the table, from --input_dir on; empty: the one that --mapping names."
    )
    bits: int = option(
        0,
        "--source=table: bits in use of PNG, TIFF and PGM files with 16 bits a pixel; 0: those of "
        "--mapping, of the file, or those that hold the largest values found.",
        Range(0, 16),
    )
    inverted: bool = option(
        False, "--source=table: the breast is dark in PNG, TIFF, PGM and JPEG files."
    )
    split_by: str = option(
        "",
        "--source=table: column: the split that the table prescribes; hash: drawn by patient, so "
        "that each split gets each class where patients allow. Empty: column where there is one.",
        ("", "column", "hash"),
    )
    output_dir: str = option("", "Directory for shards and manifest.json (required).")
    list_only: bool = option(
        False,
        "Write the index (images.csv, marks.csv, files.csv, listing.json) and stop before a pixel "
        "is read.",
    )
    seed: int = option(0, "Keys every random draw and the split.", WHOLE)
    size: int = option(PAPER_SIZE, "Patch side in pixels: '256x256px'.", COUNT)
    train_fraction: float = option(
        0.6,
        "Share of the clients in the training split: '60%/20%/20% training/validation/testing "
        "splits'.",
        FRACTION,
    )
    validation_fraction: float = option(
        0.2, "Share of the clients in the validation split; the rest are the test split.", FRACTION
    )
    all_in_split: str = option(
        "", "Put every client into this split (an external test set, say).", ("", *SPLITS)
    )
    train_normal: int = option(
        400_000, "Normal patches to cut: 'for training, we created 400,000 normals'.", WHOLE
    )
    train_malignant_mass: int = option(42_280, "Patches to cut: '42,280 malignant masses'.", WHOLE)
    train_benign_mass: int = option(3_500, "Patches to cut: '3,500 benign masses'.", WHOLE)
    train_malignant_calcification: int = option(
        24_100, "Patches to cut: '24,100 malignant calcifications'.", WHOLE
    )
    train_benign_calcification: int = option(
        6_580, "Patches to cut: '6,580 benign calcifications'.", WHOLE
    )
    train_source: int = option(
        20_000,
        "Normal windows of training images set aside for synthesis and used for nothing else "
        "(not in the paper, which does not say where its healthy patches come from).",
        WHOLE,
    )
    train_lesion_clients: str = option(
        "",
        "FIRST:END: of the training clients with lesions, in an order that the seed keys, only "
        "those from FIRST up to END give lesion patches. 0:20 and 20:200 have nobody in common, "
        "and the same validation and test patches. Empty: all.",
    )
    eval_normal: int = option(
        1_000,
        "Patches of each other split: 'validation and testing (each) ... 1,000 normals'.",
        WHOLE,
    )
    eval_malignant_mass: int = option(
        1_000, "Patches of each other split: '1,000 malignant masses'.", WHOLE
    )
    eval_malignant_calcification: int = option(
        1_000, "Patches of each other split: '1,000 malignant calcifications'.", WHOLE
    )
    allow_shortfall: bool = option(
        False, "Finish although the data cannot give the counts; the manifest records it."
    )
    min_tissue: float = option(
        0.9, "Normal patches: 'contains at least 90% breast tissue'.", FRACTION
    )
    min_tissue_lesion: float = option(
        0.0, "The same for lesion patches; the paper has no rule.", FRACTION
    )
    exclude_pectoral: bool = option(
        False,
        "Cut no normal patch from the pectoral muscle of an MLO view: it counts as no breast "
        "tissue there. The paper has no such rule.",
    )
    max_offset: int = option(
        128,
        "Farthest that a lesion's pixel lies from the centre of its patch: 'a random x and y "
        "offset is chosen between 0 to 128 pixels in either direction': drawn in "
        "[-(max_offset-1), max_offset-1] output pixels (at 256), so that the pixel stays in the "
        "patch.",
        COUNT,
    )
    flip_probability: float = option(
        0.5, "Probability of a mirrored patch: 'randomly flipped (left/right)'.", FRACTION
    )
    rotate: bool = option(
        True, "Turn patches by 0, 90, 180 or 270 degrees: 'rotated (90, 180, or 270 degrees)'."
    )
    scale_min: float = option(
        0.8, "Smallest scale of a patch: 'resized (uniformly from 0.8 to 1.2x)'.", POSITIVE
    )
    scale_max: float = option(1.2, "Largest scale of a patch, see --scale_min.", POSITIVE)
    augment_eval: bool = option(True, "Flip, rotate and resize validation and test patches too.")
    image_sampling: str = option(
        "even",
        "Which images patches are cut from, 'a random mammogram image': even spreads patches over "
        "the images, random is the literal reading (with replacement).",
        ("even", "random"),
    )
    normals_from_cases: bool = option(
        False,
        "Also cut normal patches from the contralateral breast of cases; with --source=table from "
        "every image of theirs that the table calls healthy, the same breast's left out.",
    )
    normal_follow_up: bool = option(
        False, "Normals only from clients with a later non-malignant episode."
    )
    normals_from_lesion_images: bool | None = option(
        None,
        "Also cut normal patches from images with lesions, at least 256 px (at 256) from each. "
        "Without it: on for --source=cbis_ddsm, which has no other normals, else off.",
    )
    normals_dir: str = option(
        "",
        "A folder of mammograms of healthy breasts, of the same kind as those of --source: its "
        "images give normal patches, too. Nobody checks that they are healthy.",
    )
    allow_synthetic: bool = option(
        False,
        "Use images that are marked as synthetic data (0008,001C) too; their patches have the "
        "feature synthetic=1.",
    )
    admit_special: tuple[str, ...] = option(
        (),
        "Kinds of images to use that no screening makes, by the reason for which they are left "
        "out: stereotactic, tomosynthesis_projection, synthesised_2d, subtraction, high_energy, "
        "quality_control.",
    )
    resample_spacing_mm: float = option(
        0.0,
        "Resample every image to this pixel spacing before cutting; 0: native spacing.",
        NOT_NEGATIVE,
    )
    reduction: int = option(
        1, "Average the decoded image over blocks of this many pixels a side before cutting.", COUNT
    )
    assume_normal: bool = option(
        False,
        "--source=folder: label the patches normal. Without it they are 'unlabelled' and no "
        "program trains on them.",
    )
    folder_patches: int = option(1_000, "--source=folder: patches to cut, in all.", COUNT)
    shard_megabytes: int = option(150, "Target size of a shard.", COUNT)
    beam: tuple[str, ...] = option(
        (), "A Beam pipeline option, e.g. --beam=--runner=FnApiRunner; may be repeated."
    )


@dataclasses.dataclass(frozen=True)
class ImagesConfig(RunConfig):
    """`beam_pipelines.make_images`: whole mammograms to TFRecord shards with boxes."""

    source: str = option(
        "optimam",
        "The data set, as in make_patches: optimam (OMI-DB, or the images of insert_lesions), "
        "cbis_ddsm (CBIS-DDSM), table (DICOM, PNG, TIFF, PGM or JPEG files with a table), or one's "
        "own as module:function.",
    )
    input_dir: str = option("", "Root of the data set (required).")
    mapping: str = option("", "--source=table: as in make_patches.")
    table: str = option("", "--source=table: as in make_patches.")
    bits: int = option(0, "--source=table: as in make_patches.", Range(0, 16))
    inverted: bool = option(False, "--source=table: as in make_patches.")
    split_by: str = option("", "--source=table: as in make_patches.", ("", "column", "hash"))
    output_dir: str = option("", "Directory for shards and manifest.json (required).")
    seed: int = option(
        0, "Keys the split; with that of a patch set every woman is in the same one.", WHOLE
    )
    train_fraction: float = option(0.6, "As in make_patches.", FRACTION)
    validation_fraction: float = option(0.2, "As in make_patches.", FRACTION)
    all_in_split: str = option("", "Put every client into this split.", ("", *SPLITS))
    train_lesion_clients: str = option(
        "",
        "FIRST:END: as in make_patches, of the training images with lesions only those of some "
        "clients. Empty: all.",
    )
    resample_spacing_mm: float = option(
        0.0, "Resample every image to this pixel spacing; 0: native spacing.", NOT_NEGATIVE
    )
    reduction: int = option(
        1, "Average the decoded image over blocks of this many pixels a side before that.", COUNT
    )
    normals_from_cases: bool = option(False, "Also use the contralateral breast of cases.")
    normal_follow_up: bool = option(
        False, "Normals only from clients with a later non-malignant episode."
    )
    allow_synthetic: bool = option(
        False, "Use images that are marked as synthetic data, those of insert_lesions for one."
    )
    admit_special: tuple[str, ...] = option(
        (), "Kinds of images to use that no screening makes, as in make_patches."
    )
    shard_megabytes: int = option(150, "Target size of a shard.", COUNT)
    beam: tuple[str, ...] = option(
        (), "A Beam pipeline option, e.g. --beam=--runner=FnApiRunner; may be repeated."
    )


@dataclasses.dataclass(frozen=True)
class ShowPatchesConfig(RunConfig):
    """`cgan_tf.show_patches`: a patch set as pictures to look at."""

    patches_dir: str = option(
        "",
        "Output directory of make_patches or synthesize (required); may be given without the "
        "flag's name.",
    )
    output_dir: str = option(
        "", "Directory for the pictures; empty: contact_sheets/ in the patch set."
    )
    split: str = option("", "Split to show; empty: every one.", ("", *SPLITS))
    classes: tuple[str, ...] = option((), "Classes to show; empty: every one.")
    count: int = option(40, "Patches of each split and class, at most.", COUNT)
    seed: int = option(0, "Keys the choice of the patches.", WHOLE)


@dataclasses.dataclass(frozen=True)
class GanConfig(RunConfig):
    """`cgan_tf.train_gan`: the contextual GAN."""

    task: str = option(
        "mass",
        "What the model learns to do: 'We train separate models for generating masses, "
        "calcifications, and removing lesions.'",
        TASKS,
    )
    conditional: bool = option(
        False,
        "One model for the three tasks, which take turns in a batch: 'a conditional formulation, "
        "where one central model was used along with a category-specific input label'; --task is "
        "not used.",
    )
    patches_dir: str = option("", "Output directory of make_patches (required).")
    output_dir: str = option("", "Directory for checkpoints, logs and the generator (required).")
    init_from: str = option(
        "",
        "Output directory of a finished train_gan, from whose generator and discriminator this "
        "run starts; not in the paper.",
    )
    allow_overlap: bool = option(
        False,
        "Start from an --init_from that learnt from women of the validation or test split of "
        "--patches_dir, for a deliberate study; the manifest says so.",
    )
    seed: int = option(0, "Keys weights, data order and every draw of a step.", WHOLE)
    size: int = option(
        PAPER_SIZE, "Full resolution in pixels; a power of two, 32 or more.", Range(32)
    )
    # Generator
    generator_filters: int = option(
        16,
        "Filters of the first block: 'starts with 16 filters at the first convolutional layer "
        "block'.",
        COUNT,
    )
    bottleneck_filters: int = option(
        2048, "Filters at 4x4: 'a 4x4x2048 tensor is compressed into a 1x1x4 embedding'.", COUNT
    )
    embedding_channels: int = option(
        4, "Channels of the embedding, see --bottleneck_filters.", COUNT
    )
    leaky_relu_slope: float = option(0.2, "Slope of LeakyReLU; not in the paper.", NOT_NEGATIVE)
    attention_size: int = option(
        0,
        "Resolution of the self-attention: 'At the 32x32 resolution' of 256; 0: size / 8 (8 at "
        "least); -1: no attention.",
        Range(-1),
    )
    lesion_channel: bool = option(
        True,
        "The output is a lesion, added to the input ('the neural network output only synthesizes "
        "the lesion'); off: it is the combined image, and the lesion is what it changed.",
    )
    border: int = option(
        10,
        "Pixels at 256 without a lesion along the edges: 'followed by a 10px border cropping'.",
        WHOLE,
    )
    spectral_norm: str = option(
        "both",
        "Which networks have it: 'self-attention modules in both the generator and "
        "discriminators, as well as spectral normalization'.",
        ("both", "discriminator", "none"),
    )
    # Discriminator
    discriminator_multiplier: int = option(
        8,
        "Its filters as a multiple of the generator's: '8x the number of filters per layer'.",
        COUNT,
    )
    discriminator_input: str = option(
        "combined",
        "combined: one channel. triplet: the literal three channels; real patches have an empty "
        "lesion channel, which gives the fakes away.",
        ("combined", "triplet"),
    )
    discriminator_noise: bool = option(False, "Random scalars in the discriminator's blocks too.")
    noise_maps: bool = option(
        False,
        "A map of random pixels beside the scalar of every block, part of z; not in the paper.",
    )
    minibatch_deviation: bool = option(
        False,
        "Tell the discriminator how much the patches of a batch differ (Karras et al. 2018); not "
        "in the paper.",
    )
    # Losses
    benign_weight: float = option(
        0.2,
        "Weight of benign patches in the discriminator's loss: 'the losses from benign and normal "
        "examples scaled by a factor of 0.2'. 0: uses none.",
        NOT_NEGATIVE,
    )
    normal_weight: float = option(
        0.2, "Weight of normal patches there, see --benign_weight.", NOT_NEGATIVE
    )
    penalty_weight: float = option(
        10.0, "Weight of the gradient penalty: 'where lambda = 10'.", NOT_NEGATIVE
    )
    penalty_target: float = option(
        1.0, "Length that the penalty pulls the gradient to: 'and k = 1'.", NOT_NEGATIVE
    )
    penalty_squared: bool = option(
        True, "Square the penalty (DRAGAN); the printed form without a square falls for ever."
    )
    penalty_noise: str = option(
        "uniform_std",
        "Scale of delta in 'x + delta': uniform_std is DRAGAN's alpha * 0.5 * std(x) * U(0,1), "
        "uniform the printed U(0,1), gaussian N(0,1) * 0.5 * std(x).",
        ("uniform_std", "uniform", "gaussian"),
    )
    penalty_logit: str = option(
        "real", "The output whose gradient is penalised.", ("real", "real_minus_fake")
    )
    penalty_every: int = option(
        1,
        "Iterations from one gradient penalty to the next, which then weighs as many times as much "
        "(Karras et al. 2020); the paper's has it in each.",
        COUNT,
    )
    mode_seeking_weight: float = option(
        0.0,
        "Weight of a mode-seeking term (Mao et al. 2019) in the generator's loss, which rewards "
        "different lesions for different random scalars; not in the paper, 0 turns it off.",
        NOT_NEGATIVE,
    )
    mode_seeking_margin: float = option(
        0.02, "Keeps the mode-seeking ratio away from zero.", NOT_NEGATIVE
    )
    # Training
    learning_rate: float = option(
        1e-5, "Step size: 'Adam optimizer with a learning rate of 1e-5'.", POSITIVE
    )
    beta_1: float = option(0.0, "Adam's memory of gradients: 'beta1 = 0.0'.", BELOW_ONE)
    beta_2: float = option(0.99, "Adam's memory of squared gradients: 'beta2 = 0.99'.", BELOW_ONE)
    epsilon: float = option(
        1e-8, "Adam's guard against a division by zero: 'epsilon = 1e-8'.", POSITIVE
    )
    batch_size: int = option(16, "Patches of each class in a step; not in the paper.", COUNT)
    augment: tuple[str, ...] = option(
        (),
        "For few lesions, not in the paper: dihedral (turn and flip patches before the networks), "
        "and before the discriminator, real and fake alike (Zhao et al. 2020), translation, "
        "contrast (with brightness) and cutout. Empty: none.",
    )
    generator_steps: int = option(
        0,
        "Generator updates for each discriminator update; 0: 'For masses, we train the generator "
        "twice for every one iteration of the discriminator', once for the others.",
        WHOLE,
    )
    grow: bool = option(
        True, "Train at half resolution first: 'we used progressive growing from 128px to 256px'."
    )
    half_steps: int = option(100_000, "Iterations at half resolution; not in the paper.", WHOLE)
    fade_in_steps: int = option(
        3_000,
        "Iterations of the change to full resolution: 'Over 3000 iterations, the weight on the "
        "128px layer decreases from 1 to 0'.",
        WHOLE,
    )
    full_steps: int = option(100_000, "Iterations at full resolution after the fade-in.", COUNT)
    ema: float = option(
        0.999,
        "Decay of the averaged generator used for pictures and export; 0 turns it off.",
        BELOW_ONE,
    )
    precision: str = option(
        "float32", "Arithmetic of the convolutions.", ("float32", "mixed_bfloat16")
    )
    strategy: str = option(
        "mirrored",
        "tf.distribute strategy; mirrored: all GPUs of this machine; multi_worker: those of every "
        "process in TF_CONFIG, of which the first alone writes to the --output_dir they share.",
        ("mirrored", "multi_worker", "none"),
    )
    deterministic: bool = option(
        False,
        "TensorFlow's deterministic operations: bit-identical repetition on GPUs too, where it "
        "costs time. On CPUs the thread counts, which a run keeps, are enough.",
    )
    intra_op_threads: int = option(
        0, "TensorFlow threads within an operation; 0: all cores.", WHOLE
    )
    inter_op_threads: int = option(0, "TensorFlow threads across operations; 0: all cores.", WHOLE)
    checkpoint_minutes: float = option(
        10.0,
        "Minutes between checkpoints; more where saving would take over 3% of the time. 0: after "
        "every iteration.",
        NOT_NEGATIVE,
    )
    collapse_steps: int = option(
        1_000,
        "Iterations in a row with an empty lesion channel, or with a loss or a gradient of "
        "nothing, after which the run stops; 0: never.",
        WHOLE,
    )
    licence: str = option(
        "", "Licence of the exported generator, for its model.json, e.g. CC-BY-4.0; empty: unsaid."
    )
    log_every: int = option(
        50, "Iterations between rows of metrics.csv and TensorBoard scalars.", COUNT
    )
    grid_every: int = option(1_000, "Iterations between image grids.", COUNT)
    dry_run: bool = option(
        False, "Print the layers of each phase, with shapes and parameters, and stop."
    )

    def tasks(self) -> tuple[str, ...]:
        """What the model is trained for: one task, or every category of a conditional one."""
        return TASKS if self.conditional else (self.task,)

    def model_name(self) -> str:
        """The task, or "conditional"."""
        return "conditional" if self.conditional else self.task

    def attention_resolution(self) -> int:
        """Side of the maps that the self-attention looks at, in pixels; negative without it."""
        return self.attention_size or max(8, self.size // 8)


@dataclasses.dataclass(frozen=True)
class OnnxConfig:
    """`cgan_tf.export_onnx`: an exported generator as one ONNX file."""

    generator: str = option("", "Generator directory written by train_gan (required).")
    output: str = option("", "The ONNX file to write (required).")


@dataclasses.dataclass(frozen=True)
class LesionsConfig:
    """Which generator, and how its lesions are cut out of the lesion channel."""

    generator: str = option("", "Generator directory written by train_gan (required).")
    task: str = option(
        "",
        "Category to ask a conditional generator for; empty: the one task of the generator.",
        ("", *TASKS),
    )
    threshold: float = option(
        0.1,
        "Strength from which a pixel of the lesion channel counts: 'applying a threshold of 0.1'; "
        "'a < -0.1' for removal.",
        Range(-1, 1),
    )
    dilation: int = option(
        5, "Pixels at 256 that an object grows by: 'Expand the edges of the object by 5px'.", WHOLE
    )
    smoothing: float = option(
        10.0,
        "Sigma in pixels at 256 of the mask's edge: 'a 10px Gaussian smoothing filter'.",
        NOT_NEGATIVE,
    )
    objects: str = option(
        "largest",
        "Which objects are kept. largest: 'pick the largest object in the binary mask'; near: the "
        "largest group, which an expansion by --near makes one; in_box: all in the annotated box "
        "(removal). A cluster of calcifications is many objects.",
        ("largest", "near", "in_box"),
    )
    near: int = option(10, "--objects=near: pixels at 256; not in the paper.", WHOLE)


@dataclasses.dataclass(frozen=True)
class GeneratedLesionsConfig(LesionsConfig):
    """What a generator is given besides: for synthesize and diversity."""

    patches_dir: str = option("", "Output directory of make_patches (required).")


@dataclasses.dataclass(frozen=True)
class InsertionConfig(LesionsConfig, RunConfig):
    """`beam_pipelines.insert_lesions`: lesions into, or out of, whole mammograms."""

    source: str = option(
        "optimam",
        "The data set, as in make_patches: optimam (OMI-DB), cbis_ddsm (CBIS-DDSM), table (DICOM "
        "files with a table), folder (any folder of mammogram DICOM files; it names no lesions, so "
        "none can be removed), or one's own as module:function.",
    )
    input_dir: str = option("", "Root of the data set (required).")
    mapping: str = option("", "--source=table: as in make_patches.")
    table: str = option("", "--source=table: as in make_patches.")
    output_dir: str = option("", "Directory for images, boxes, masks and manifest.json (required).")
    seed: int = option(
        0, "Keys the choice of the images, the places and the random scalars.", WHOLE
    )
    images: int = option(
        0, "Images to make, drawn at random from the fitting ones; 0: every fitting one.", WHOLE
    )
    lesions_per_image: int = option(1, "Lesions to insert into an image, at most.", COUNT)
    places: str = option(
        "random",
        "Where lesions are inserted; random: patches anywhere, none overlapping; row: 'contiguous "
        "boxes in a mammogram ... patches in a row'; like_real: as dense as the data set's own "
        "malignant lesions, by view, depth and height in the breast; or a CSV file with columns "
        "image (SOP instance uid, or name of the file), x and y (pixels).",
    )
    both_views: bool = option(
        False,
        "Insert the same lesions into the CC and the MLO view of a breast, as far from the nipple "
        "on both. Images without their other view are left out.",
    )
    size_quantiles: tuple[str, ...] = option(
        (),
        "LOW,HIGH: lesions are as large as the data set's own malignant ones between these "
        "quantiles, e.g. 0,0.5. Not in the paper.",
    )
    contrast_quantiles: tuple[str, ...] = option(
        (), "LOW,HIGH: the same for the contrast of lesions with what is around them."
    )
    min_tissue: float = option(
        0.9, "Of a patch that gets a lesion: 'at least 90% breast tissue'.", FRACTION
    )
    exclude_pectoral: bool | None = option(
        None,
        "Insert nothing into the pectoral muscle of an MLO view: it counts as no breast tissue. "
        "The paper has no such rule; on with --places=like_real and with a file, else off.",
    )
    min_area_fraction: float = option(
        0.1,
        "Smallest share of the patch that a lesion may cover: 'Discard the object if it is too "
        "small (< 10% of the patch area)'.",
        FRACTION,
    )
    max_area_fraction: float = option(
        1.0,
        "Largest share of the patch that a lesion may cover; 1: any, as in the paper. A lesion "
        "that fills its patch ends at the frame.",
        FRACTION,
    )
    draws: int = option(
        20,
        "Draws of the random scalars for a place before it is given up; not in the paper.",
        COUNT,
    )
    resample_spacing_mm: float = option(
        -1.0,
        "Pixel spacing that the generator is shown; its lesion is resampled back. 0: native; "
        "-1: as its training patches were.",
        Range(0, also=-1),
    )
    reduction: int = option(
        0,
        "Side in pixels of the blocks whose averages the generator is shown, for files without a "
        "spacing; 0: as its training patches were.",
        WHOLE,
    )
    keep_patient: bool = option(
        False,
        "Keep the patient's attributes, the study and private elements; off: they are blanked, "
        "and the study gets a UID of its own.",
    )
    normals_from_cases: bool = option(False, "Also insert into the contralateral breast of cases.")
    normal_follow_up: bool = option(
        False, "Insert only into images with a later non-malignant episode."
    )
    allow_synthetic: bool = option(
        False, "Use images that are marked as synthetic data (0008,001C) too."
    )
    admit_special: tuple[str, ...] = option(
        (),
        "Kinds of images to use that no screening makes, by the reason for which they are left "
        "out: stereotactic, tomosynthesis_projection, synthesised_2d, subtraction, high_energy, "
        "quality_control.",
    )
    previews: int = option(24, "Images shown before and after as PNG, at most.", WHOLE)
    structured_reports: bool = option(
        False,
        "Also write the boxes as DICOM Structured Reports (TID 1500), one file per study; needs "
        "the extra sr.",
    )
    intra_op_threads: int = option(
        1, "TensorFlow threads within an operation of a worker; 0: all cores.", WHOLE
    )
    inter_op_threads: int = option(
        1, "TensorFlow threads across operations of a worker; 0: all cores.", WHOLE
    )
    beam: tuple[str, ...] = option(
        (), "A Beam pipeline option, e.g. --beam=--direct_num_workers=2; may be repeated."
    )


@dataclasses.dataclass(frozen=True)
class DiversityConfig(GeneratedLesionsConfig, RunConfig):
    """`cgan_tf.measure_diversity`: how far a generator's lesions differ, beside real ones.

    --threshold is also that of the real lesions.
    """

    output_dir: str = option("", "Directory for the figures, tables and pictures (required).")
    seed: int = option(0, "Keys the choice of patches and the random scalars.", WHOLE)
    draws: int = option(64, "Draws of the random scalars on one patch; not in the paper.", TWO)
    patches: int = option(64, "Training patches that the generator is tried on.", TWO)
    real_lesions: int = option(500, "Real lesions of the training split measured, at most.", TWO)


@dataclasses.dataclass(frozen=True)
class QualityConfig(RunConfig):
    """`cgan_tf.quality`: how good synthetic sets are, beside what real patches reach."""

    patches_dir: str = option(
        "", "Output directory of make_patches that the sets were made from (required)."
    )
    synthetic_dirs: tuple[str, ...] = option((), "Output directories of synthesize (required).")
    output_dir: str = option("", "Directory for numbers, verdicts and pictures (required).")
    classifier: str = option(
        "",
        "Output directory of train_classifier, or output directory of an evaluate that scored the "
        "sets, whose features are then read: a baseline, in whose features patches are compared.",
    )
    imagenet_weights: str = option(
        "",
        "Compare patches in the features of an ImageNet network too: imagenet, or the path of a "
        "ResNet-50 weights file.",
    )
    critic: str = option(
        "",
        "Output directory of train_classifier, a baseline: how many cleaned patches it calls "
        "malignant, beside real normal ones. Not the one that chose them, if there is another.",
    )
    generators: tuple[str, ...] = option(
        (), "Generator directories of train_gan: how far lesions differ over the random scalars."
    )
    gan_dirs: tuple[str, ...] = option(
        (),
        "Output directories of train_gan with their checkpoints: does the discriminator tell the "
        "patients it learned from?",
    )
    real_splits: tuple[str, ...] = option(
        ("validation", "test"), "Splits of the real patches that synthetic ones are compared with."
    )
    seed: int = option(0, "Keys the halves of the real patches, permutations and scalars.", WHOLE)
    splits: int = option(
        5, "Random halves of the real patches; measures are means over them.", COUNT
    )
    draws: int = option(64, "Draws of the random scalars on one patch, with --generators.", TWO)
    batch_size: int = option(64, "Patches a batch, where features are computed.", COUNT)


@dataclasses.dataclass(frozen=True)
class CurvesConfig:
    """`cgan_tf.plot_curves`: the curves of several GAN runs in one picture."""

    gan_dirs: tuple[str, ...] = option((), "Output directories of train_gan (required).")
    columns: tuple[str, ...] = option(
        ("loss_d", "loss_g", "penalty"), "Columns of metrics.csv, a panel each."
    )
    output: str = option("", "The PNG file to write (required).")


@dataclasses.dataclass(frozen=True)
class SynthesisConfig(GeneratedLesionsConfig, RunConfig):
    """`cgan_tf.synthesize`: a trained generator to a synthetic patch set."""

    output_dir: str = option("", "Directory for the synthetic shards and manifest.json (required).")
    seed: int = option(0, "Keys the choice of source patches and the random scalars.", WHOLE)
    count: int = option(5_000, "Patches to make: 'we generated 5000 examples each'.", COUNT)
    source_classes: tuple[str, ...] = option(
        (),
        "Classes of the patches fed to the generator; empty: source for synthesis, "
        "malignant_mass and malignant_calcification for removal.",
    )
    source_split: str = option("train", "Split of the patches fed to the generator.", SPLITS)
    allow_evaluation_split: bool = option(
        False, "Permit --source_split other than train; such a set must never be trained on."
    )
    allow_overlap: bool = option(
        False,
        "Use a generator that learnt from women of the validation or test split of --patches_dir, "
        "for a deliberate study; the manifest says so.",
    )
    min_area_fraction: float = option(
        0.1,
        "Smallest share of the patch that a lesion may cover: 'Discard the object if it is too "
        "small (< 10% of the patch area)'.",
        FRACTION,
    )
    max_area_fraction: float = option(
        1.0,
        "Largest share of the patch that a lesion may cover; 1: any, as in the paper. A lesion "
        "that fills its patch ends at the frame.",
        FRACTION,
    )
    texture: str = option(
        "none",
        "Removal: what the lesion's place shows. none: what the generator makes of it, as in the "
        "paper; tissue: that of a healthy patch (class source; of other splits than train, "
        "normal) that fits its surroundings, in the objects that the generator darkens and "
        "wherever else the box is brighter than the tissue around it.",
        ("none", "tissue"),
    )
    min_share_removed: float = option(
        0.0,
        "Removal: reject a patch of whose lesion's bright part a smaller share is gone, as it is "
        "estimated in the annotated box; 0: not asked, as in the paper.",
        FRACTION,
    )
    min_tissue: float = option(
        0.0,
        "Removal: reject a patch with less breast tissue, 0 to 1, where the patches of the class "
        "that it joins have as much (see make_patches); 0: not asked, as in the paper.",
        FRACTION,
    )
    critic: str = option(
        "",
        "Removal: output directory of train_classifier, a baseline (--network=small will do), that "
        "scores every cleaned patch; best one that learned from other women.",
    )
    max_critic_score: float = option(
        0.0,
        "Removal: reject a patch with a higher score of --critic, 0 to 1; 0: not asked, as in the "
        "paper.",
        FRACTION,
    )
    batch_size: int = option(64, "Candidates a batch.", COUNT)
    patience: int = option(
        2_000, "Candidates after which almost no acceptance stops the program.", COUNT
    )
    min_acceptance: float = option(
        0.01, "Acceptance rate below which --patience stops it.", FRACTION
    )
    shard_megabytes: int = option(150, "Target size of a shard.", COUNT)


@dataclasses.dataclass(frozen=True)
class PasteConfig(RunConfig):
    """`cgan_tf.paste_lesions`: real lesions of training patches on other healthy tissue."""

    patches_dir: str = option("", "Output directory of make_patches (required).")
    output_dir: str = option("", "Directory for the shards and manifest.json (required).")
    seed: int = option(0, "Keys the lesions, the healthy patches and the places.", WHOLE)
    count: int = option(
        10_000,
        "Patches to make. Lesions take turns, those of both types in the proportion of the set.",
        COUNT,
    )
    feather: float = option(
        0.0,
        "Width in pixels at 256 over which a lesion fades towards the edges of its box, added to "
        "the tissue there; 0: Poisson blending, in which its own tissue stands in the box.",
        NOT_NEGATIVE,
    )
    shard_megabytes: int = option(150, "Target size of a shard.", COUNT)


@dataclasses.dataclass(frozen=True)
class ReaderStudyConfig(RunConfig):
    """`cgan_tf.reader_study`: patches to a page that readers read, and their answers to results."""

    output_dir: str = option(
        "", "Directory for the page and its key; with --analyse, that of the study (required)."
    )
    patches_dir: str = option("", "Output directory of make_patches: the real patches.")
    synthetic_dirs: tuple[str, ...] = option(
        (), "Output directories of synthesize or paste_lesions, compared with one another."
    )
    analyse: tuple[str, ...] = option(
        (),
        "Files of answers, or folders of them: writes the results of the study in --output_dir "
        "into its folder analysis, anew each time.",
    )
    question: str = option(
        "real_or_synthetic",
        "What readers are asked. real_or_synthetic: of one picture; two_alternatives: which of two "
        "is the synthetic one; lesion: whether the picture shows a lesion, real or synthetic.",
        ("real_or_synthetic", "two_alternatives", "lesion"),
    )
    answers: str = option(
        "rating",
        "How they answer, unless there are two pictures: a rating from 1 to 6, or yes and no.",
        ("rating", "yes_no"),
    )
    cases: int = option(
        80,
        "Cases, half of them real, as many of each kind; with two_alternatives, pairs.",
        Range(4, 2_000),
    )
    training: int = option(6, "Cases before them whose answer is shown.", Range(0, 100))
    repeats: int = option(
        10, "Cases that come a second time, for agreement of a reader with herself.", Range(0, 500)
    )
    break_every: int = option(20, "Cases after which a rest is offered; 0: never.", WHOLE)
    size_ratio: float = option(
        1.25,
        "A synthetic lesion and the real one matched to it differ in size by this factor at most.",
        Range(1),
    )
    real_splits: tuple[str, ...] = option(
        ("validation", "test"), "Splits of the real patches that synthetic ones are compared with."
    )
    seed: int = option(0, "Keys the cases drawn.", WHOLE)
    title: str = option("Reader study", "Title of the page.")


@dataclasses.dataclass(frozen=True)
class ClassifierTrainingConfig:
    """How a classifier learns, whatever its seed and share: for train_classifier and experiment."""

    patches_dir: str = option("", "Output directory of make_patches (required).")
    synthetic_dirs: tuple[str, ...] = option((), "Output directories of synthesize.")
    pasted_dirs: tuple[str, ...] = option(
        (), "Output directories of paste_lesions, for the filling pasted."
    )
    oracle_dirs: tuple[str, ...] = option(
        (),
        "Output directories of make_patches with other women's lesions, for the filling oracle.",
    )
    augment_elastic: float = option(
        4.0,
        "Filling augmented: standard deviation of the displacement of pixels by a smooth random "
        "field, in pixels at 256. No augmentation of training patches is in the paper.",
        NOT_NEGATIVE,
    )
    augment_contrast: float = option(
        0.2, "Filling augmented: contrast is multiplied by 1 plus or minus up to this.", FRACTION
    )
    augment_noise: float = option(
        0.02,
        "Filling augmented: standard deviation of added noise, in grey levels of [-1, 1].",
        FRACTION,
    )
    allow_overlap: bool = option(
        False,
        "Train on sets that rest on women of the validation or test split of --patches_dir, for a "
        "deliberate study; manifest and report say so.",
    )
    network: str = option(
        "resnet50",
        "resnet50: the paper's; small: a residual network of 0.3 million parameters for small "
        "patches, which starts at random and learns with a larger learning rate "
        "(configs/small_classifier.cfg).",
        ("resnet50", "small"),
    )
    weights: str = option(
        "imagenet",
        "Weights to start from: imagenet, none, or the path of a weights file: 'ResNet-50, "
        "initialized with weights trained from ImageNet'.",
    )
    decay: str = option(
        "multiplicative",
        "How the synthetic share falls, 'decayed by 10% every 5000 training samples': times 0.9, "
        "or minus 10 points; constant: no decay.",
        ("multiplicative", "subtractive", "constant"),
    )
    decay_rate: float = option(0.1, "Share lost each time, see --decay.", FRACTION)
    decay_every: int = option(5_000, "Training samples between two times, see --decay.", COUNT)
    samples: int = option(
        500_000, "Training samples in all: 'Models are trained for 500K samples'.", COUNT
    )
    validate_every: int = option(
        5_000, "Training samples between validations: 'evaluated every 5000 samples'.", COUNT
    )
    validation_patches: int = option(
        0,
        "Validation patches scored each time, evenly from every class and the same for every "
        "seed; 0: all.",
        WHOLE,
    )
    early_stopping_validations: int = option(
        0,
        "Stop after so many validations in a row without a new best; 0: never, as in the paper.",
        WHOLE,
    )
    batch_size: int = option(1, "Patches a step: 'We train with a batch size of one'.", COUNT)
    learning_rate: float = option(
        1e-5, "Step size: 'Adam optimizer with a learning rate 1e-5'.", POSITIVE
    )
    beta_1: float = option(0.9, "Adam's memory of gradients: 'beta1 = 0.9'.", BELOW_ONE)
    beta_2: float = option(0.999, "Adam's memory of squared gradients: 'beta2 = 0.999'.", BELOW_ONE)
    epsilon: float = option(1e-7, "Adam's epsilon; not in the paper, Keras' default.", POSITIVE)
    batch_norm: str = option(
        "inference",
        "Of ResNet-50. inference: moving statistics, trained scale and offset; frozen: nothing "
        "of it learns; batch: batch statistics (wants a batch size of 8 or more).",
        ("inference", "frozen", "batch"),
    )
    batch_norm_momentum: float = option(
        0.99,
        "Momentum of the moving statistics with --batch_norm=batch; a run of a few hundred steps "
        "wants less.",
        FRACTION,
    )
    benign: str = option(
        "negative", "Benign patches in training: negatives, or left out.", ("negative", "exclude")
    )
    precision: str = option(
        "float32", "Arithmetic of the convolutions.", ("float32", "mixed_bfloat16")
    )
    intra_op_threads: int = option(
        0, "TensorFlow threads within an operation; 0: all cores.", WHOLE
    )
    inter_op_threads: int = option(0, "TensorFlow threads across operations; 0: all cores.", WHOLE)
    checkpoint_minutes: float = option(10.0, "Minutes between checkpoints.", NOT_NEGATIVE)


@dataclasses.dataclass(frozen=True)
class ClassifierConfig(ClassifierTrainingConfig, RunConfig):
    """`cgan_tf.train_classifier`: ResNet-50 or a small network, cancer or no cancer."""

    output_dir: str = option("", "Directory for checkpoints, logs and the best weights (required).")
    seed: int = option(0, "Keys weights and the sampling plan.", WHOLE)
    synthetic_fraction: float = option(
        0.0, "Share of synthetic samples at the start: 'an initial proportion is chosen'.", FRACTION
    )
    filling: str = option(
        "both",
        "What that share of the samples is. both: synthetic lesions and removed ones, as in the "
        "paper; lesions, removal: one of them, the other class real; pasted: real lesions on other "
        "tissue; oversampled: real patches again, masses and calcifications evenly; augmented: "
        "real patches bent, with other contrast and noise; oracle: lesions of other women. Real "
        "samples stand in the same places in all of them.",
        FILLINGS,
    )


@dataclasses.dataclass(frozen=True)
class DetectorConfig(RunConfig):
    """`cgan_tf.train_detector`: RetinaNet on whole mammograms, with real and inserted lesions.

    Nothing of it is in the paper, which names such a detector as its next step.
    """

    images_dir: str = option(
        "", "Output directory of make_images: real mammograms and their lesions (required)."
    )
    inserted_dirs: tuple[str, ...] = option(
        (), "Output directories of make_images whose images insert_lesions made."
    )
    inserted_fraction: float = option(
        0.0,
        "Share of the training images with lesions that are inserted ones; 1: no real lesion is "
        "seen. The others, and the images without lesions, are real.",
        FRACTION,
    )
    allow_overlap: bool = option(
        False,
        "Train on images of women, or on lesions that learnt from women, of the validation or test "
        "split of --images_dir, for a deliberate study; the manifest says so.",
    )
    output_dir: str = option(
        "", "Directory for checkpoints, logs, weights and predictions (required)."
    )
    seed: int = option(0, "Keys weights, the order of the images and their augmentation.", WHOLE)
    network: str = option(
        "resnet50",
        "The network below the pyramid: resnet18 or resnet50, cut off at --max_level.",
        ("resnet18", "resnet50"),
    )
    min_level: int = option(
        3, "Finest level of the pyramid; a place of level n is 2^n px wide.", Range(2, 5)
    )
    max_level: int = option(6, "Coarsest level of the pyramid.", Range(2, 7))
    anchor_size: float = option(
        4.0, "Side of the smallest anchor of a level, in its places.", POSITIVE
    )
    anchor_scales: int = option(3, "Sizes of anchors on a level, up to twice the smallest.", COUNT)
    aspect_ratios: tuple[str, ...] = option(
        ("0.5", "1", "2"), "Height by width of the anchors at each size."
    )
    positive_iou: float = option(
        0.5, "An anchor stands for a lesion from this overlap (IoU) on.", FRACTION
    )
    negative_iou: float = option(
        0.4,
        "An anchor stands for no lesion below this overlap; in between it is left out.",
        FRACTION,
    )
    head_convolutions: int = option(4, "Convolutions of a head before its last.", WHOLE)
    head_norm: bool = option(
        True,
        "Normalise the heads' convolutions by groups over the image. Not with --window: an image "
        "has other statistics than its windows.",
    )
    window: int = option(
        0,
        "Train on square windows of this side instead of whole images, in pixels: around a lesion "
        "or around a place of the breast. Whole images are scored all the same. 0: whole images.",
        WHOLE,
    )
    lesion_share: float = option(
        0.5, "Share of the images of a batch that show a malignant lesion.", FRACTION
    )
    samples: int = option(80_000, "Training images in all.", COUNT)
    validate_every: int = option(
        4_000,
        "Training images between validations: the mean sensitivity up to one false "
        "positive an image. The best weights are kept.",
        COUNT,
    )
    batch_size: int = option(8, "Images a step.", COUNT)
    learning_rate: float = option(
        1e-4, "Highest step size of Adam, which rises and falls as a cosine.", POSITIVE
    )
    warm_up: float = option(0.05, "Share of the run in which the step size rises.", BELOW_ONE)
    clip_norm: float = option(1.0, "Longest gradient of a step.", POSITIVE)
    flip_probability: float = option(
        0.5, "Probability of a mirrored training image (left/right).", FRACTION
    )
    rotate: bool = option(False, "Turn training windows by 0, 90, 180 or 270 degrees.")
    augment_scale: float = option(
        0.1, "A training image is resized by 1 plus or minus up to this.", BELOW_ONE
    )
    augment_contrast: float = option(
        0.1, "Its contrast is multiplied by 1 plus or minus up to this.", BELOW_ONE
    )
    candidates: int = option(20, "Boxes kept of an image, from the highest score down.", COUNT)
    candidate_iou: float = option(
        0.2,
        "Of two boxes that overlap by more (IoU), the one with the higher score is kept.",
        FRACTION,
    )
    precision: str = option(
        "float32", "Arithmetic of the convolutions.", ("float32", "mixed_bfloat16")
    )
    intra_op_threads: int = option(
        0, "TensorFlow threads within an operation; 0: all cores.", WHOLE
    )
    inter_op_threads: int = option(0, "TensorFlow threads across operations; 0: all cores.", WHOLE)
    checkpoint_minutes: float = option(10.0, "Minutes between checkpoints.", NOT_NEGATIVE)


@dataclasses.dataclass(frozen=True)
class ExperimentConfig(ClassifierTrainingConfig, RunConfig):
    """`cgan_tf.experiment`: Table 1, a classifier for every seed and synthetic share, or arm."""

    output_dir: str = option("", "Directory for the runs and the report (required).")
    seeds: tuple[str, ...] = option(("0",), "Every share is trained once for each of these.")
    synthetic_fractions: tuple[str, ...] = option(
        ("0", "0.1", "0.25", "0.5", "0.75", "1"),
        "Shares to train with: 'For initial proportions of synthetic data, we use 0% (all real), "
        "25%, 50%, 75%, and 100%'; Table 1 also has 10%. Whole per cents; 0 is the baseline and "
        "must be among them.",
    )
    arms: tuple[str, ...] = option(
        (),
        "Arms to train in place of --synthetic_fractions; real_only, the baseline, must be among "
        f"them. Of {', '.join(ARMS)}. Not in the paper, whose recipe is both_decayed.",
    )
    arm_share: float = option(
        0.5,
        "Share of the samples that an arm fills with what it is named after, the same in all arms "
        "and to the end; both_decayed begins with it, and those named only_ have nothing else.",
        FRACTION,
    )
    paste_flagfile: str = option(
        "",
        "Flag file of cgan_tf.paste_lesions with its own flags, for the arm pasted without "
        "--pasted_dirs; without it as many patches as there are synthetic lesions.",
    )
    scored_dirs: tuple[str, ...] = option(
        (), "Output directories of synthesize that are scored only, never trained on."
    )
    gan_dirs: tuple[str, ...] = option((), "Output directories of train_gan, for the report.")
    report_flagfile: str = option("", "Flag file of cgan_tf.report with the report's own flags.")
    quality: bool = option(
        True, "Measure the synthetic sets in the features of the first baseline, for the report."
    )
    quality_flagfile: str = option("", "Flag file of cgan_tf.quality with its own flags.")
    parallel: int = option(
        0,
        "Runs at a time, the GPUs dealt out among them; 0: one a GPU, one where there is none.",
        WHOLE,
    )
    precision: str = option(
        "float32",
        "Arithmetic of the convolutions; auto: bfloat16 where a probe finds it faster.",
        ("float32", "mixed_bfloat16", "auto"),
    )
    intra_op_threads: int = option(
        0,
        "TensorFlow threads within an operation of a run; 0: the cores divided by --parallel.",
        WHOLE,
    )
    inter_op_threads: int = option(
        0,
        "TensorFlow threads across operations of a run; 0: the cores divided by --parallel.",
        WHOLE,
    )


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(RunConfig):
    """`cgan_tf.evaluate`: one classifier on real test patches and on synthetic sets, or the
    predictions of several on whole mammograms."""

    classifier: str = option("", "Output directory of train_classifier, to score patches.")
    patches_dir: str = option("", "Output directory of make_patches, to score patches.")
    synthetic_dirs: tuple[str, ...] = option(
        (), "Output directories of synthesize: scored beside their source patches."
    )
    prediction_dirs: tuple[str, ...] = option(
        (),
        "In the place of a classifier and patches: output directories of predict_images, or of a "
        "detector, on the same mammograms; the first is the one that others are compared with. "
        "Gives FROC and the AUCs of images, breasts and patients.",
    )
    output_dir: str = option("", "Directory for tables and metrics (required).")
    split: str = option("test", "Split to score.", SPLITS)
    hit: str = option(
        "centre",
        "With --prediction_dirs: when a candidate hits a lesion. centre: its centre is in the "
        "lesion's box; iou: the boxes overlap by --least_iou.",
        ("centre", "iou"),
    )
    least_iou: float = option(
        0.2, "With --hit=iou: the least intersection over union.", Range(0, 1, without_least=True)
    )
    false_positives_on: str = option(
        "healthy",
        "With --prediction_dirs: images on which false positives are counted. healthy: those "
        "without a malignant lesion; all: beside lesions, too.",
        ("healthy", "all"),
    )
    benign_marks: str = option(
        "false_positive",
        "With --prediction_dirs: what a candidate on a benign lesion is; neither: it counts "
        "nowhere, and images with benign lesions alone are in no AUC.",
        ("false_positive", "neither"),
    )
    rounds: int = option(2_000, "With --prediction_dirs: bootstrap samples of patients.", COUNT)
    seed: int = option(
        0, "With --prediction_dirs: keys the bootstrap, and where chance puts candidates.", WHOLE
    )
    grad_cams: int = option(
        12,
        "Grad-CAM pictures of the surest mistakes, half false negatives and half false positives, "
        "at most one of each kind for a patient; not in the paper, 0 turns them off.",
        WHOLE,
    )
    batch_size: int = option(64, "Patches a batch.", COUNT)
    precision: str = option(
        "float32", "Arithmetic of the convolutions.", ("float32", "mixed_bfloat16")
    )


@dataclasses.dataclass(frozen=True)
class PredictConfig(RunConfig):
    """`cgan_tf.predict`: the scores of a classifier for every patch of a set, labelled or not."""

    classifier: str = option("", "Output directory of train_classifier (required).")
    patches_dir: str = option(
        "", "Output directory of make_patches, synthesize or paste_lesions (required)."
    )
    output_dir: str = option("", "Directory for scores.csv and manifest.json (required).")
    split: str = option("", "Split to score; empty: every one.", ("", *SPLITS))
    classes: tuple[str, ...] = option((), "Classes to score; empty: every one.")
    batch_size: int = option(64, "Patches a batch.", COUNT)
    precision: str = option(
        "float32", "Arithmetic of the convolutions.", ("float32", "mixed_bfloat16")
    )


@dataclasses.dataclass(frozen=True)
class PredictImagesConfig(RunConfig):
    """`beam_pipelines.predict_images`: whole mammograms scored by a patch classifier."""

    classifier: str = option("", "Output directory of train_classifier (required).")
    source: str = option(
        "optimam",
        "The data set, as in make_patches: optimam (OMI-DB), cbis_ddsm (CBIS-DDSM), table (files "
        "with a table), folder (any folder of mammogram DICOM files), or one's own as "
        "module:function.",
    )
    input_dir: str = option("", "Root of the data set (required).")
    mapping: str = option("", "--source=table: as in make_patches.")
    table: str = option("", "--source=table: as in make_patches.")
    bits: int = option(0, "--source=table: as in make_patches.", Range(0, 16))
    inverted: bool = option(False, "--source=table: as in make_patches.")
    split_by: str = option("", "--source=table: as in make_patches.", ("", "column", "hash"))
    output_dir: str = option(
        "", "Directory for tables, heat maps, pictures and manifest.json (required)."
    )
    split: str = option(
        "",
        "Score only the patients of this split of --patches_dir. Empty: every image, those of "
        "women that the classifier has learnt from too.",
        ("", *SPLITS),
    )
    patches_dir: str = option(
        "",
        "Output directory of make_patches, which says who is in which split; empty: the one that "
        "the classifier was trained on, where it was then.",
    )
    images: int = option(0, "Images to score, at most, drawn at random; 0: every one.", WHOLE)
    seed: int = option(0, "Keys the choice of the images and of those shown.", WHOLE)
    stride: int = option(
        64,
        "Pixels from a window to the next, at 256. Half of it is four times the work for a finer "
        "heat map.",
        COUNT,
    )
    dense: bool = option(
        False,
        "Run ResNet-50 over whole images in place of windows: less work, other and worse scores, "
        "see docs/mammograms.md. The stride and the patch size must be multiples of 32 pixels.",
    )
    min_tissue: float = option(
        0.9,
        "Of a window that is scored, as of normal training patches: 'contains at least 90% breast "
        "tissue'. A classifier that has seen background only beside lesions calls it malignant.",
        FRACTION,
    )
    separation: int = option(
        128, "Two candidates of an image are farther apart than so many pixels, at 256.", COUNT
    )
    candidate_side: int = option(192, "Side of a candidate's box in pixels, at 256.", COUNT)
    candidates: int = option(20, "Candidates of an image, at most.", COUNT)
    calibration_dir: str = option(
        "",
        "Output directory of predict_images on labelled images of other women, scored in the same "
        "way: gives the calibrated scores. Empty: there are none.",
    )
    resample_spacing_mm: float = option(
        -1.0,
        "Pixel spacing that the classifier is shown. 0: native; -1: as its training patches were.",
        Range(0, also=-1),
    )
    reduction: int = option(
        0,
        "Side in pixels of the blocks whose averages the classifier is shown; 0: as its training "
        "patches were.",
        WHOLE,
    )
    normals_from_cases: bool = option(
        False, "Also score the contralateral breast of cases, as healthy."
    )
    normal_follow_up: bool = option(
        False, "Of healthy images, score only those with a later non-malignant episode."
    )
    allow_synthetic: bool = option(
        False, "Score images that are marked as synthetic data (0008,001C) too."
    )
    admit_special: tuple[str, ...] = option(
        (),
        "Kinds of images to score that no screening makes, by the reason for which they are left "
        "out: stereotactic, tomosynthesis_projection, synthesised_2d, subtraction, high_energy, "
        "quality_control.",
    )
    heat_maps: bool = option(True, "Keep the heat map of every image.")
    overlays: int = option(
        24,
        "Images shown with their heat maps as PNG and in viewer.html, at most: half of them with "
        "malignant lesions, where there are so many.",
        WHOLE,
    )
    batch_size: int = option(64, "Windows a batch.", COUNT)
    precision: str = option(
        "float32", "Arithmetic of the convolutions.", ("float32", "mixed_bfloat16")
    )
    intra_op_threads: int = option(
        1, "TensorFlow threads within an operation of a worker; 0: all cores.", WHOLE
    )
    inter_op_threads: int = option(
        1, "TensorFlow threads across operations of a worker; 0: all cores.", WHOLE
    )
    beam: tuple[str, ...] = option(
        (), "A Beam pipeline option, e.g. --beam=--direct_num_workers=2; may be repeated."
    )


@dataclasses.dataclass(frozen=True)
class ReportConfig:
    """`cgan_tf.report`: evaluations and synthetic sets to one self-contained HTML file."""

    evaluations: tuple[str, ...] = option(
        (), "Output directories of evaluate; the first is the baseline (required)."
    )
    patches_dir: str = option("", "Output directory of make_patches (required).")
    synthetic_dirs: tuple[str, ...] = option((), "Output directories of synthesize, for Figure 1.")
    showcase_dirs: tuple[str, ...] = option(
        (), "Output directories of synthesize on real mammograms, shown before and after."
    )
    showcase_patches_dir: str = option("", "The patches that --showcase_dirs started from.")
    gan_dirs: tuple[str, ...] = option(
        (), "Output directories of train_gan, for Figure 2 and the loss curves."
    )
    quality_dir: str = option("", "Output directory of quality, for the section on it.")
    reader_study_dir: str = option(
        "", "Output directory of reader_study, for its page and what its readers answered."
    )
    froc_dir: str = option(
        "", "Output directory of evaluate --prediction_dirs, for the section on whole mammograms."
    )
    heat_map_dirs: tuple[str, ...] = option(
        (), "Output directories of predict_images, whose heat maps that section shows."
    )
    insertion_dirs: tuple[str, ...] = option(
        (), "Output directories of insert_lesions, for Figure 3."
    )
    failed_runs: str = option(
        "", "failed.json of experiment: the runs that the report shows as failed."
    )
    output: str = option("", "The HTML file to write (required).")
    title: str = option("Contextual GAN on mammograms", "Title of the report.")
    notice: str = option("", "A sentence shown under the title, e.g. what the data are.")
    seed: int = option(0, "Keys the choice of the examples shown and the t-SNE start.", WHOLE)
    tsne_normal: int = option(
        2_000,
        "Patches on the t-SNE map, at most: 'From the validation data, we sampled 2000 normal'.",
        WHOLE,
    )
    tsne_mass: int = option(1_000, "On the map, at most: '1000 real malignant mass'.", WHOLE)
    tsne_calcification: int = option(
        1_000, "On the map, at most: '1000 real malignant calcifications'.", WHOLE
    )
    tsne_synthetic_mass: int = option(
        3_560, "On the map, at most: '3560 synthetic malignant mass'.", WHOLE
    )
    tsne_synthetic_calcification: int = option(
        4_000, "On the map, at most: '4000 synthetic malignant calcifications patches'.", WHOLE
    )
    corrections: int = option(
        5,
        "Patches shown in Figures 5 and 6: 'we highlight five misclassified malignant examples'.",
        WHOLE,
    )


@dataclasses.dataclass(frozen=True)
class PackageConfig:
    """`cgan_tf.package`: a generator or a synthetic set as a directory for others."""

    output_dir: str = option("", "Directory to write, which must not exist yet (required).")
    generator: str = option("", "Generator directory of train_gan: packs the generator.")
    synthetic_dir: str = option("", "Output directory of synthesize: packs the synthetic set.")
    patches_dir: str = option(
        "",
        "The patches that it was made from, which say what the data are; empty: where the run's "
        "flags say.",
    )
    quality_dir: str = option(
        "", "Output directory of quality that measured the set, or a set of the generator."
    )
    title: str = option("", "Title of the card; empty: one made of the task.")
    authors: tuple[str, ...] = option(
        (), "Whom to cite: entities, or persons as Family, Given, each of these in double quotes."
    )
    licence: str = option(
        "",
        "Licence of the package by its SPDX name, such as CC-BY-4.0; empty: that of the "
        "generator's card, or unsaid. The licence of the images must permit it.",
    )
    notice: str = option("", "A sentence on the card, e.g. what the data are and who may use them.")
    contact_sheet: bool = option(
        True, "With pictures of patches. They show tissue of the women of the patch set."
    )
    list_patients: bool = option(
        False,
        "Keep the digests of the patients in the generator's model.json: whoever has the same data "
        "can keep them out of a test, and tell of any patient whether she is among them.",
    )
    seed: int = option(0, "Keys the patches and random scalars of the contact sheet.", WHOLE)


# Flags of released versions that have another name now: the name, and what takes its place.
REPLACED_FLAGS: dict[str, str] = {}


@dataclasses.dataclass(frozen=True)
class DemoConfig:
    """`cgan_tf.demo`: every program in turn on a phantom."""

    output_dir: str = option("demo", "Directory for everything the demo makes.")
    precision: str = option(
        "auto",
        "Arithmetic of the convolutions; auto: bfloat16 where a probe finds it faster.",
        ("auto", "float32", "mixed_bfloat16"),
    )


# Other names that a program takes for a flag, from before every program called one thing the same.
ALIASES: dict[type, dict[str, str]] = {
    GanConfig: {"workdir": "output_dir"},
    ClassifierConfig: {"workdir": "output_dir"},
    QualityConfig: {"real": "patches_dir", "synthetic": "synthetic_dirs"},
    EvaluateConfig: {"images": "prediction_dirs"},
    CurvesConfig: {"runs": "gan_dirs"},
    ReaderStudyConfig: {"real": "patches_dir", "synthetic": "synthetic_dirs"},
}
