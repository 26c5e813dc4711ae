"""The vocabulary of the project, and the classes, splits and tasks it names.

patient: the person whose breasts were imaged. Code says patient; files, records and flags say
  client (`client_id`, `--clients`), as OMI-DB does.
study: the images of one patient from one visit (DICOM's Study Instance UID).
image: one mammogram: a breast (laterality, L or R) in one projection (view, CC or MLO).
mark: what a data set says of one lesion in an image: its place and what it is.
box: (x0, y0, x1, y1) in pixels around a lesion; x1 and y1 are exclusive.
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
regime: a classifier's initial synthetic share; the baseline's is 0.
run: one start of a program in a directory, resumed until its manifest says that it is finished.
card: the JSON beside an exported generator that says what it is.
"""

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


def scaled_length(pixels_at_256: float, size: int) -> int:
    """A pixel length of the paper at another patch size: at least 1 px, 0 stays 0."""
    if pixels_at_256 == 0:
        return 0
    return max(1, round(pixels_at_256 * size / PAPER_SIZE))
