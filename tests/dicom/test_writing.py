"""Headers and files of derived images: what is new, what is gone, what a validator says."""

import io
import uuid

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array
from pydicom.sequence import Sequence
from pydicom.uid import UID, ImplicitVRLittleEndian

from beam_pipelines.dicom import reading
from beam_pipelines.dicom.writing import Derivation, derived_dataset, derived_names, file_bytes
from beam_pipelines.phantom.dicom import MANUFACTURERS, GreyMapping, Header, dicom_dataset
from tests.toys.dicom_validator import errors_of
from tests.toys.omidb_tree import breast, dataset

DERIVATION = Derivation("What was done", "Synthetic mass:", "client-1", keep_patient=False)


def stored_of(header: Dataset) -> reading.Stored:
    """A data set as it is after writing and reading."""
    buffer = io.BytesIO()
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    pydicom.dcmwrite(buffer, header, enforce_file_format=True)
    return reading.read_stored(buffer.getvalue())


def derived_bytes(stored: reading.Stored, derivation: Derivation = DERIVATION) -> bytes:
    names = derived_names(stored.dataset, "fingerprint", derivation.keep_patient)
    made = derived_dataset(stored.dataset, names, derivation)
    return file_bytes(made, stored.values)


def derived(header: Dataset, **changes) -> pydicom.FileDataset:
    derivation = Derivation(**{**vars(DERIVATION), **changes})
    return pydicom.dcmread(io.BytesIO(derived_bytes(stored_of(header), derivation)))


def item(**values) -> Dataset:
    found = Dataset()
    for name, value in values.items():
        setattr(found, name, value)
    return found


# Headers


def test_it_says_that_it_is_derived_and_synthetic():
    source = dataset(ImageType=["ORIGINAL", "PRIMARY", "LEFT"], SeriesDescription="L CC")
    made = derived(source)
    assert list(made.ImageType) == ["DERIVED", "PRIMARY", "LEFT"]
    assert made.SyntheticData == "YES"
    assert made.ContentQualification == "RESEARCH"
    assert made.DerivationDescription == "What was done"
    assert made.SeriesDescription == "Synthetic mass: L CC"
    code = made.DerivationCodeSequence[0]
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("113042", "DCM")
    (origin,) = made.SourceImageSequence
    assert origin.ReferencedSOPInstanceUID == "1.2.3"
    assert origin.ReferencedSOPClassUID == source.SOPClassUID
    (equipment,) = made.ContributingEquipmentSequence
    assert equipment.Manufacturer == "contextual-gan-mammography"
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109103"
    assert made.file_meta.MediaStorageSOPInstanceUID == made.SOPInstanceUID
    for keyword in ("Rows", "Columns", "BitsStored", "ViewPosition", "ImageLaterality"):
        assert made[keyword].value == source[keyword].value


def test_earlier_equipment_and_no_image_type():
    before = item(Manufacturer="ACME", PurposeOfReferenceCodeSequence=Sequence([]))
    made = derived(dataset(ContributingEquipmentSequence=Sequence([before])))
    assert [e.Manufacturer for e in made.ContributingEquipmentSequence] == [
        "ACME",
        "contextual-gan-mammography",
    ]
    assert list(made.ImageType) == ["DERIVED", "SECONDARY"]


def test_uids_follow_from_the_source_and_from_what_is_done():
    source = stored_of(dataset(SeriesInstanceUID="1.2.9")).dataset
    other = stored_of(dataset(SeriesInstanceUID="1.2.9", SOPInstanceUID="1.2.4")).dataset
    names = derived_names(source, "a", keep_study=False)
    assert names == derived_names(source, "a", keep_study=False)
    changed = derived_names(source, "b", keep_study=False)
    assert not {names.sop, names.series, names.study} & {changed.sop, changed.series, changed.study}
    sibling = derived_names(other, "a", keep_study=False)
    assert (sibling.series, sibling.study) == (names.series, names.study)
    assert sibling.sop != names.sop
    assert derived_names(source, "a", keep_study=True).study == "1.2"
    for uid in vars(names).values():
        assert UID(uid).is_valid
        assert uid.startswith("2.25.")
        assert uuid.UUID(int=int(uid.removeprefix("2.25."))).version == 4


def test_what_no_longer_fits_is_gone():
    source = dataset(
        SmallestImagePixelValue=0,
        LargestImagePixelValue=4000,
        IconImageSequence=Sequence([item(Rows=8, Columns=8)]),
        MACParametersSequence=Sequence([item(MACIDNumber=1)]),
        InstanceCreationDate="20120301",
        HistogramSequence=Sequence([item(HistogramNumberOfBins=2)]),
    )
    source.add_new(0x60000010, "US", 200)
    source.add_new(0x60023000, "OW", b"\0\1" * 8)
    made = derived(source)
    for keyword in (
        "SmallestImagePixelValue", "LargestImagePixelValue", "IconImageSequence",
        "MACParametersSequence", "InstanceCreationDate", "HistogramSequence",
    ):  # fmt: skip
        assert keyword not in made
    assert not [element for element in made if element.tag.group >> 8 in (0x60, 0x50)]


NAMED = {
    "PatientName": "Doe^Jane",
    "PatientBirthDate": "19500101",
    "PatientAge": "062Y",
    "PatientSex": "F",
    "OtherPatientIDs": "77",
    "PatientComments": "Jane",
    "AccessionNumber": "A1",
    "ReferringPhysicianName": "Who^Doctor",
    "OperatorsName": "Smith^Ann",
    "StudyID": "S1",
    "RequestingPhysician": "Who^Doctor",
}


def test_the_patient_is_blanked():
    source = dataset(**NAMED)
    source.add_new(0x00091001, "LO", "private")
    made = derived(source)
    assert (made.PatientID, made.PatientAge, made.PatientSex) == ("client-1", "062Y", "F")
    for keyword in ("PatientName", "PatientBirthDate", "AccessionNumber", "StudyID"):
        assert not made[keyword].value
    text = str(made)
    for word in ("Jane", "Who", "Smith", "19500101", "demd1", "private"):
        assert word not in text
    assert made.StudyInstanceUID != "1.2"


def test_the_patient_is_kept_on_request():
    source = dataset(**NAMED)
    source.add_new(0x00091001, "LO", "private")
    made = derived(source, keep_patient=True)
    assert {name: str(made[name].value) for name in NAMED} == NAMED
    assert (made.PatientID, made.StudyInstanceUID) == ("demd1", "1.2")
    assert made[0x00091001].value == "private"


def test_other_characters_and_private_elements():
    source = dataset(SpecificCharacterSet="ISO_IR 100", SeriesDescription="Größe")
    source.add_new(0x00091010, "OB", bytes(range(256)) * (8 << 10))
    source.add_new(0x00091011, "OB", bytes(5 << 20))  # more than is ever read
    made = derived(source, keep_patient=True)
    assert made.SeriesDescription == "Synthetic mass: Größe"
    assert made[0x00091010].value == bytes(range(256)) * (8 << 10)
    assert 0x00091011 not in made


def test_lossy_once_is_lossy_for_ever():
    import imagecodecs

    from tests.toys.omidb_tree import compressed

    pixels = (breast() >> 4).astype(np.uint8)
    source = compressed(
        dataset(pixels), "1.2.840.10008.1.2.4.50", imagecodecs.jpeg8_encode(pixels, level=95)
    )
    made = derived(source)
    assert made.LossyImageCompression == "01"
    assert made.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian


# Files


def pixels_of(bits: int, dtype: str) -> np.ndarray:
    return np.random.default_rng(bits).integers(0, 1 << bits, (40, 31)).astype(dtype)


@pytest.mark.parametrize(
    ("values", "attributes"),
    [
        *((pixels_of(b, "u2"), {"BitsStored": b}) for b in (10, 12, 14, 16)),
        (pixels_of(8, "u1"), {"BitsStored": 8}),
        (pixels_of(8, "u1")[:39], {"BitsStored": 8}),
        (pixels_of(16, "u2"), {"BitsStored": 12}),  # bits above the value
        (pixels_of(16, "u2"), {"BitsStored": 10, "HighBit": 13}),
        (pixels_of(16, "u2"), {"BitsStored": 12, "PixelRepresentation": 1}),
    ],
)
def test_every_bit_comes_back(values, attributes):
    stored = stored_of(dataset(values, **attributes))
    content = derived_bytes(stored)
    reread = reading.read_stored(content, allow_synthetic=True)
    np.testing.assert_array_equal(reread.values, values)
    np.testing.assert_array_equal(reread.mammogram().grey, stored.mammogram().grey)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, pydicom.uid.RLELossless])
def test_sources_of_other_syntaxes(syntax):
    source = dataset()
    lut = item(LUTDescriptor=[4096, 0, 12], LUTData=np.arange(4096, dtype="<u2").tobytes())
    lut["LUTData"].VR = "OW"
    source.VOILUTSequence = Sequence([lut])
    if syntax == pydicom.uid.RLELossless:
        source.compress(syntax, generate_instance_uid=False)
    source.file_meta.TransferSyntaxUID = syntax
    stored = stored_of(source)
    reread = reading.read_stored(derived_bytes(stored), allow_synthetic=True)
    np.testing.assert_array_equal(reread.values, breast())
    np.testing.assert_array_equal(reread.mammogram().grey, stored.mammogram().grey)


def test_pydicom_decodes_it():
    values = pixels_of(16, "u2")
    made = derived(dataset(values, BitsStored=12))
    np.testing.assert_array_equal(pixel_array(made, raw=True), values & 0xFFF)


# The validator


def phantom_header(number: int) -> Header:
    return Header(
        client_id="demd100001", study_uid="1.2.3.4", series_uid=f"1.2.3.4.{number}",
        sop_uid=f"1.2.3.4.{number}.1", study_date="20120301", age=55, side="L", view="CC",
        purpose="presentation", shot="", instance=1, spacing_mm=0.07, thickness_mm=55,
        exposure_mas=84.6, labelled=False,
    )  # fmt: skip


def mappings(manufacturer) -> list[GreyMapping]:
    levels = 1 << manufacturer.bits
    return [
        GreyMapping(manufacturer.bits, manufacturer.photometric, voi, levels // 2, levels * 0.8)
        for voi in manufacturer.voi
    ]


@pytest.mark.parametrize("keep_patient", [False, True], ids=["blanked", "kept"])
@pytest.mark.parametrize("manufacturer", MANUFACTURERS, ids=lambda item: item.name)
def test_the_validator_finds_no_new_error(manufacturer, keep_patient, tmp_path):
    display = (breast().astype(np.float32) / 2048 - 1).clip(-1, 1)
    for number, mapping in enumerate(mappings(manufacturer)):
        source = dicom_dataset(phantom_header(number), manufacturer, mapping, display)
        path = tmp_path / "source.dcm"
        pydicom.dcmwrite(path, source, enforce_file_format=True)
        before = errors_of(path)
        derivation = Derivation(**{**vars(DERIVATION), "keep_patient": keep_patient})
        made = tmp_path / "made.dcm"
        made.write_bytes(derived_bytes(reading.read_stored(path.read_bytes()), derivation))
        assert errors_of(made) <= before


def test_the_validator_does_find_errors(tmp_path):
    source = dicom_dataset(
        phantom_header(0), MANUFACTURERS[0], mappings(MANUFACTURERS[0])[0], np.zeros((40, 30))
    )
    path = tmp_path / "image.dcm"
    pydicom.dcmwrite(path, source, enforce_file_format=True)
    before = errors_of(path)
    del source.PatientID
    pydicom.dcmwrite(path, source, enforce_file_format=True)
    assert len(errors_of(path) - before) == 1
