"""A data set and stored values to the bytes of a DICOM file."""

import io

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from beam_pipelines.derived_dicom import derived_uid

_IMPLEMENTATION = derived_uid("implementation of contextual-gan-mammography")


def file_bytes(dataset: Dataset, values: np.ndarray) -> bytes:
    """The DICOM file of `values` [H, W], uncompressed: every bit as it is, and every software reads
    it, pydicom without another package too."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(_IMPLEMENTATION)
    meta.ImplementationVersionName = "CGAN_MAMMO_1"
    dataset.file_meta = meta
    data = values.astype(values.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW"
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
