"""Why something was not used: one enum of reasons, one ledger whose numbers add up."""

import collections
import dataclasses
import enum
from collections.abc import Iterable, Mapping

from cgan_tf.labels import SPLITS
from cgan_tf.runs.directory import Json

IMAGES, MARKS, FILES = "images", "marks", "files"
KINDS = (IMAGES, MARKS, FILES)


class Reason(enum.StrEnum):
    """Every reason for which a file, an image or a mark is left out."""

    # Files
    UNREADABLE_FILE = "unreadable_file"
    BROKEN_JSON = "broken_json"
    UNEXPECTED_FILE = "unexpected_file"
    SIDE_CAR_WITHOUT_IMAGE = "side_car_without_image"
    NOT_DICOM = "not_dicom"
    BROKEN_ROW = "broken_row"
    CROPPED_IMAGE = "cropped_image"
    # Images: where they belong
    CLIENT_WITHOUT_IMAGEDB = "client_without_imagedb"
    NO_SOP_UID = "no_sop_uid"
    NOT_IN_IMAGEDB = "not_in_imagedb"
    NO_IMAGE_FILE = "no_image_file"
    LEFT_OUT_BY_MAPPING = "left_out_by_mapping"
    UNKNOWN_WORD = "unknown_word"
    DUPLICATE_IMAGE = "duplicate_image"
    NO_EPISODE = "no_episode"
    NOT_SCREENING = "not_screening"
    # Images: what they are
    NO_HEADER = "no_header"
    WRONG_SOP_CLASS = "wrong_sop_class"
    NOT_MAMMOGRAPHY = "not_mammography"
    FOR_PROCESSING = "for_processing"
    TOMOSYNTHESIS = "tomosynthesis"
    SYNTHESISED_2D = "synthesised_2d"
    STEREOTACTIC = "stereotactic"
    TOMOSYNTHESIS_PROJECTION = "tomosynthesis_projection"
    SUBTRACTION = "subtraction"
    HIGH_ENERGY = "high_energy"
    QUALITY_CONTROL = "quality_control"
    MULTI_FRAME = "multi_frame"
    WRONG_LATERALITY = "wrong_laterality"
    WRONG_VIEW = "wrong_view"
    MAGNIFICATION_VIEW = "magnification_view"
    SPOT_VIEW = "spot_view"
    IMPLANT = "implant"
    NON_SQUARE_PIXELS = "non_square_pixels"
    SYNTHETIC_IMAGE = "synthetic_image"
    SIDE_CAR_DISAGREES = "side_car_disagrees"
    # Images: what they are good for
    CASE_WITHOUT_BOX = "case_without_box"
    CASE_IN_OTHER_IMAGE = "case_in_other_image"
    CONTRALATERAL_OF_CASE = "contralateral_of_case"
    NOT_NORMAL = "not_normal"
    NO_FOLLOW_UP = "no_follow_up"
    NO_USABLE_MARK = "no_usable_mark"
    UNUSABLE_MARK = "unusable_mark"
    # Images: their pixels
    BROKEN_DICOM = "broken_dicom"
    BROKEN_IMAGE = "broken_image"
    NO_PIXEL_DATA = "no_pixel_data"
    UNSUPPORTED_TRANSFER_SYNTAX = "unsupported_transfer_syntax"
    UNSUPPORTED_PHOTOMETRIC = "unsupported_photometric"
    UNSUPPORTED_PIXELS = "unsupported_pixels"
    BROKEN_PIXEL_DATA = "broken_pixel_data"
    SIZE_MISMATCH = "size_mismatch"
    IMAGE_TOO_LARGE = "image_too_large"
    IMAGE_TOO_SMALL = "image_too_small"
    BAD_GREY_LEVELS = "bad_grey_levels"
    UNKNOWN_SPACING = "unknown_spacing"
    IMPLAUSIBLE_TISSUE_MASK = "implausible_tissue_mask"
    UNKNOWN_VIEW = "unknown_view"
    TOO_FEW_REAL_LESIONS = "too_few_real_lesions"
    NO_OTHER_VIEW = "no_other_view"
    UNKNOWN_NIPPLE = "unknown_nipple"
    NO_VALID_WINDOW = "no_valid_window"
    NO_LESION_ACCEPTED = "no_lesion_accepted"
    # Marks
    BROKEN_MARK = "broken_mark"
    MISSING_CORNERS = "missing_corners"
    EMPTY_BOX = "empty_box"
    BOX_OUTSIDE_IMAGE = "box_outside_image"
    DOUBTFUL_BOX = "doubtful_box"
    DUPLICATE_MARK = "duplicate_mark"
    CONTRADICTING_ROWS = "contradicting_rows"
    NO_PLACE = "no_place"
    NO_MASK_FILE = "no_mask_file"
    MASK_SIZE_MISMATCH = "mask_size_mismatch"
    MASK_NOT_BINARY = "mask_not_binary"
    EMPTY_MASK = "empty_mask"
    NO_LESION_TYPE = "no_lesion_type"
    NEITHER_MASS_NOR_CALCIFICATION = "neither_mass_nor_calcification"
    BENIGN_CALCIFICATION_IN_MALIGNANT_LESION = "benign_calcification_in_malignant_lesion"
    NO_PATHOLOGY = "no_pathology"
    LESION_TOO_LARGE = "lesion_too_large"
    IMAGE_REJECTED = "image_rejected"


class Rejected(Exception):
    """Raised where an image turns out to be of no use; carries the reason for the ledger."""

    def __init__(self, reason: Reason, detail: str = ""):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """Whose a rejected image or mark is; empty where that is unknown.

    Attributes:
      laterality, view: L or R, CC or MLO. mark_id: of a mark.
      splits: those that the patient may be in.
    """

    client_id: str
    study_uid: str = ""
    sop_uid: str = ""
    laterality: str = ""
    view: str = ""
    mark_id: str = ""
    splits: tuple[str, ...] = SPLITS


@dataclasses.dataclass(frozen=True, order=True, slots=True)
class Rejection:
    """One thing left out.

    Attributes:
      kind: images, marks or files. name: the path, or an id where there is no file.
      detail: what was found; never a value that could identify a patient.
      origin: of an image or a mark that the index rejects.
    """

    kind: str
    name: str
    reason: Reason
    detail: str = ""
    origin: Origin | None = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass(frozen=True)
class Tally:
    """The account of one kind of thing: what was read is used, not needed or rejected.

    Attributes:
      rejected: how many, by reason, sorted.
    """

    read: int
    used: int
    not_needed: int
    rejected: dict[str, int]

    def as_json(self) -> Json:
        """The tally in the ledger of a manifest."""
        return dataclasses.asdict(self)

    def line(self, kind: str) -> str:
        """The sum as a person reads it."""
        return (
            f"{kind}: {self.read} read = {self.used} used + {self.not_needed} not needed "
            f"+ {sum(self.rejected.values())} rejected"
        )


def counted_reasons(rejections: Iterable[Rejection]) -> str:
    """How many of each reason, the most frequent first; empty without any."""
    counts = collections.Counter(item.reason.value for item in rejections)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {count}" for reason, count in ordered)


def left_out(rejections: Iterable[Rejection]) -> str:
    """The end of a message that refuses a run: why things were left out, if any were."""
    reasons = counted_reasons(rejections)
    return f"; left out: {reasons}" if reasons else ""


def ledger(
    read: Mapping[str, int],
    used: Mapping[str, int],
    not_needed: Mapping[str, int],
    rejected: Iterable[Rejection],
) -> dict[str, Tally]:
    """The account of every file, image and mark, by kind.

    Raises `AssertionError` when the numbers do not add up: that would be a silent loss.
    """
    reasons: dict[str, collections.Counter[str]] = {kind: collections.Counter() for kind in KINDS}
    for item in rejected:
        reasons[item.kind][item.reason.value] += 1
    account = {}
    for kind in KINDS:
        tally = Tally(
            read.get(kind, 0),
            used.get(kind, 0),
            not_needed.get(kind, 0),
            dict(sorted(reasons[kind].items())),
        )
        total = tally.used + tally.not_needed + reasons[kind].total()
        assert total == tally.read, (kind, tally)
        account[kind] = tally
    return account


def rejection_from(values: Json) -> Rejection:
    """The inverse of `dataclasses.asdict` after JSON."""
    origin = values["origin"]
    if origin:
        origin = Origin(**{**origin, "splits": tuple(origin["splits"])})
    return Rejection(**{**values, "reason": Reason(values["reason"]), "origin": origin})
