"""What goes from step to step of a Beam job can be pickled, whatever pydicom made of it."""

import copy
import io
import pickle

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from beam_pipelines.dicom import reading
from tests.toys.omidb_tree import breast, dataset


def _with_table(syntax):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 16])
    item.add_new("LUTData", "OW", (np.linspace(0, 1, 4096) ** 2 * 65535).astype("<u2").tobytes())
    header = dataset(VOILUTSequence=[item])
    header.file_meta.TransferSyntaxUID = syntax
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header["PixelData"].VR = "OW"
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, header, enforce_file_format=True)
    return buffer.getvalue()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("again", [lambda s: pickle.loads(pickle.dumps(s)), copy.deepcopy])
def test_an_image_with_a_voi_lut_that_was_read(syntax, again):
    """pydicom issue 2160: such a data set cannot be pickled once its LUT Descriptor was read."""
    stored = reading.read_stored(_with_table(syntax))
    before = stored.mammogram().grey[:]  # reads the table
    after = again(stored)
    np.testing.assert_array_equal(after.mammogram().grey[:], before)
    np.testing.assert_array_equal(after.values, breast())
    assert after.header == stored.header
    assert after.dataset.file_meta.TransferSyntaxUID == syntax
    assert after.dataset.VOILUTSequence[0].LUTData == stored.dataset.VOILUTSequence[0].LUTData
