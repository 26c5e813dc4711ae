"""The vocabulary of the project, and the classes, splits and tasks it names.

patient: the person whose breasts were imaged. Code says patient; files, records and flags say
  client (`client_id`, `--clients`), as OMI-DB does.
study: the images of one patient from one visit (DICOM's Study Instance UID).
image: one mammogram: a breast (laterality, L or R) in one projection (view, CC or MLO).
mark: what a data set says of one lesion in an image: its place and what it is.
box: (x0, y0, x1, y1) in pixels around a lesion; x1 and y1 are exclusive.
candidate: a scored box that may be a malignant lesion; it hits one, or is a false positive.
patch: a square cut from an image, float32 in [-1, 1]; its class is one of `PATCH_CLASSES`.
source patch: the patch that a synthetic one was made from.
lesion: a mass or a calcification; malignant or benign.
lesion channel: what a generator adds to a patch, float32 in [-1, 1]; negative where it removes.
mask: the soft region of a lesion, in [0, 1]; the breast mask is 1 where an image shows breast.
random scalars (z): what a generator draws, in [-1, 1], so that one patch gives many lesions.
task: what a generator is for, one of `TASKS`; a conditional generator is told which.
condition: random scalars and task as the one tensor that a network is given beside its image.
split: training, validation or test part of a data set; a patient is in one of them only.
synthetic share: the fraction of a classifier's training samples that are synthetic, 0 to 1.
filling: what a classifier sees in that share of its samples, one of `FILLINGS`.
arm: a filling with its share; the baseline's is 0. Arms are compared with one another.
run: one start of a program in a directory, resumed until its manifest says that it is finished.
model: a classifier or detector by what it was trained on, the same for all of its seeds.
reader: a person who looks at the cases of a reader study and answers its question.
case: what a reader answers at a time: one picture, or two to choose from.
card: the JSON beside an exported generator that says what it is.
"""

import dataclasses

PAPER_SIZE = 256

NORMAL = "normal"
MALIGNANT_MASS = "malignant_mass"
BENIGN_MASS = "benign_mass"
MALIGNANT_CALCIFICATION = "malignant_calcification"
BENIGN_CALCIFICATION = "benign_calcification"
SOURCE = "source"  # normal windows set aside for the generator; used for nothing else
UNLABELLED = "unlabelled"  # patches of films nobody vouched for; never used for training
PATCH_CLASSES = (
    NORMAL,
    MALIGNANT_MASS,
    BENIGN_MASS,
    MALIGNANT_CALCIFICATION,
    BENIGN_CALCIFICATION,
    SOURCE,
    UNLABELLED,
)
LESION_CLASSES = (MALIGNANT_MASS, BENIGN_MASS, MALIGNANT_CALCIFICATION, BENIGN_CALCIFICATION)
MALIGNANT_CLASSES = (MALIGNANT_MASS, MALIGNANT_CALCIFICATION)
# What is found on a patch with a malignant lesion, as tables and reports call it.
LESION_TYPES = {MALIGNANT_MASS: "mass", MALIGNANT_CALCIFICATION: "calcification"}
SPLITS = ("train", "validation", "test")
TASKS = ("mass", "calcification", "removal")
FILLINGS = ("oversampled", "augmented", "pasted", "lesions", "removal", "both", "oracle")
REAL_ONLY, DECAYED, ONLY = "real_only", "both_decayed", "only_"
# Of these a classifier is also given nothing else: how far do they stand in for real lesions?
SUBSTITUTES = ("pasted", "lesions", "both")
ARMS = (REAL_ONLY, *FILLINGS[:-1], DECAYED, FILLINGS[-1], *(ONLY + name for name in SUBSTITUTES))


@dataclasses.dataclass(frozen=True)
class Arm:
    """What a classifier is trained on; arms sort in the order of `ARMS`, then by their share.

    Attributes:
      filling: one of `FILLINGS`; any for the baseline. share: of it at the start, 0 to 1.
      decayed: whether the share decays, as the paper's does.
    """

    filling: str
    share: float
    decayed: bool = False

    @property
    def is_baseline(self) -> bool:
        """Whether all samples are real."""
        return self.share == 0

    @property
    def is_substitute(self) -> bool:
        """Whether no lesion in it is a real one of the patch set, from beginning to end."""
        return self.share == 1 and not self.decayed and self.filling in SUBSTITUTES

    @property
    def name(self) -> str:
        """One of `ARMS`."""
        if self.is_baseline:
            return REAL_ONLY
        if self.is_substitute:
            return ONLY + self.filling
        return f"{self.filling}_decayed" if self.decayed else self.filling

    def __str__(self) -> str:
        return self.name if self.is_baseline else f"{self.name} {self.share:.0%}"

    def __lt__(self, other: "Arm") -> bool:
        return self._place() < other._place()

    def _place(self) -> tuple[int, float]:
        return (ARMS.index(self.name) if self.name in ARMS else len(ARMS), self.share)


def arm_of(filling: str, share: float, decay: str) -> Arm:
    """The arm that a classifier's flags describe."""
    return Arm(filling, share, decay != "constant") if share else Arm("both", 0.0)


def arm_named(name: str, share: float) -> Arm:
    """The arm of `ARMS` with this name; `share` where the name leaves it open."""
    if name == REAL_ONLY:
        return Arm("both", 0.0)
    if name.startswith(ONLY):
        return Arm(name.removeprefix(ONLY), 1.0)
    return Arm(name.removesuffix("_decayed"), share, decayed=name == DECAYED)


ARM_TITLES = {
    "oversampled": "Oversampled",
    "augmented": "Classical augmentation",
    "pasted": "Pasted real lesions",
    "lesions": "Synthetic lesions",
    "removal": "Lesions removed",
    "both": "Synthetic and removed",
    "oracle": "Lesions of other women",
}


def arm_title(arm: Arm) -> str:
    """For tables and curves; the paper's as its Table 1 calls them: Baseline, 50% w/ decay."""
    if arm.is_baseline:
        return "Baseline"
    if arm.decayed and arm.filling == "both":
        return f"{arm.share:.0%} w/ decay"
    return f"{ARM_TITLES[arm.filling]}, {arm.share:.0%}" + (" w/ decay" if arm.decayed else "")


# What --augment of train_gan takes.
AUGMENTATIONS = ("dihedral", "translation", "contrast", "cutout")


def scaled_length(pixels_at_256: float, size: int) -> int:
    """A pixel length of the paper at another patch size: at least 1 px, 0 stays 0."""
    if pixels_at_256 == 0:
        return 0
    return max(1, round(pixels_at_256 * size / PAPER_SIZE))
