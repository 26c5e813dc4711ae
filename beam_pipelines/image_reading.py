"""The file of an indexed image, read, decoded, or rejected."""

import os

from beam_pipelines import dicom, files
from beam_pipelines.rejections import Reason, Rejected, Rejection
from beam_pipelines.sources import Image, reject_image
from cgan_tf.errors import UserError


def read_file(image: Image) -> bytes:
    """The file; `Rejected` when it cannot be read.

    Raises `UserError` when it is no longer there: the run would end with other patches than one
    that finds it, and goes on when it is back.
    """
    try:
        return files.read_bytes(image.path)
    except OSError as error:
        if not files.is_remote(image.path) and not os.path.lexists(image.path):
            raise UserError(f"{image.path}: was in the index and is gone") from error
        raise Rejected(Reason.UNREADABLE_FILE, error.strerror or str(error)) from error


def decode(image: Image, data: bytes, allow_synthetic: bool) -> dicom.Stored:
    """The image of its file; `Rejected` for whatever is wrong with it, or with the index."""
    stored = dicom.read_stored(data, image.strict, allow_synthetic)
    found = stored.header
    if image.strict and (found.laterality, found.view) != (image.laterality, image.view):
        raise Rejected(Reason.SIDE_CAR_DISAGREES, f"{found.laterality} {found.view}")
    return stored


def reject_whole(
    image: Image, fault: Rejected, rejections: list[Rejection]
) -> tuple[Rejection, ...]:
    """`rejections` of some of an image's marks, with those of the image and its other marks."""
    known = {item.name for item in rejections}
    whole = reject_image(image, fault.reason, fault.detail)
    return (*rejections, *(item for item in whole if item.name not in known))
