"""Where images and marks come from: OMI-DB, CBIS-DDSM, a folder, or a source of your own.

A source of your own needs only these names; docs/data.md shows one.
"""

from beam_pipelines.rejections import FILES, IMAGES, MARKS, Reason, Rejected, Rejection
from beam_pipelines.sources.base import (
    HEALTHY,
    LESION,
    UNKNOWN,
    Box,
    FileFacts,
    Image,
    Mark,
    Source,
    UnitIndex,
    reject_image,
)

__all__ = [
    "FILES",
    "HEALTHY",
    "IMAGES",
    "LESION",
    "MARKS",
    "UNKNOWN",
    "Box",
    "FileFacts",
    "Image",
    "Mark",
    "Reason",
    "Rejected",
    "Rejection",
    "Source",
    "UnitIndex",
    "reject_image",
]
