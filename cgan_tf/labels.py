"""The words of the field as this project uses them: classes, splits, tasks."""

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
