"""The ready mappings on trees drawn in the layouts of the public sets."""

import dataclasses
import plistlib

import pytest

from beam_pipelines.rejections import FILES, IMAGES, MARKS
from beam_pipelines.sources.base import HEALTHY
from tests.toys.omidb_tree import breast, dataset, write
from tests.toys.table_tree import config_of, drawn, index_of, ready, reasons, write_image


def _write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _dicom(path, uid, **attributes):
    write(path, dataset(breast(), SOPInstanceUID=uid, **attributes))


def _checked(index):
    """The index, once its numbers add up."""
    rejected = [item.kind for item in index.rejections]
    marks = sum(len(image.marks) for image in index.images)
    assert index.read[IMAGES] == len(index.images) + rejected.count(IMAGES)
    assert index.read[MARKS] == marks + rejected.count(MARKS)
    assert rejected.count(FILES) == 0
    return index


def _marks(index):
    return [
        (image.client_id, image.laterality, image.view, mark.patch_class, mark.box)
        for image in index.images
        for mark in image.marks
    ]


def _healthy(index):
    return [(i.client_id, i.evidence) for i in index.images if i.use == HEALTHY]


@pytest.mark.parametrize("suffix", ["png", "pgm"])
def test_mini_mias(tmp_path, suffix):
    for number in range(1, 9):
        image = (drawn((256, 256)) >> 4).astype("uint8")
        write_image(tmp_path / f"mdb00{number}.{suffix}", image)
    _write(
        tmp_path / "Info.txt",
        ["INFORMATION:", "mdb001 G CIRC B 50 100 20", "mdb001 G CALC M 60 60 8", "mdb002 G NORM",
         "mdb003 D NORM ", "mdb004 D NORM", "mdb005 F ARCH M 50 100 20", "mdb006 F NORM",
         "mdb007 G CALC M *NOTE 3*", "mdb008 G NORM"],
    )  # fmt: skip
    index = _checked(index_of(config_of(tmp_path, ready("mini_mias"))))
    assert _marks(index) == [
        ("1", "", "MLO", "benign_mass", (30.5, 135.5, 70.5, 175.5)),
        ("1", "", "MLO", "malignant_calcification", (52.5, 187.5, 68.5, 203.5)),
    ]
    assert index.images[0].marks[0].outline == (50.5, 155.5, 20)  # row 255 - 100
    assert _healthy(index) == [("2", "class NORM")] * 2
    assert {image.facts.spacing_mm for image in index.images} == {0.2}
    found = reasons(index)
    assert found[f"mdb002.{suffix}"] == "case_in_other_image "
    assert found[f"mdb005.{suffix}#row 7"] == "neither_mass_nor_calcification row 7"
    assert found[f"mdb007.{suffix}#row 9"] == "no_place row 9"
    assert found[f"mdb007.{suffix}"] == "case_without_box malignant_calcification"


def test_vindr_mammo(tmp_path):
    heading = (
        "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,"
        "breast_density,finding_categories,finding_birads,xmin,ymin,xmax,ymax,split"
    )
    mass = "\"['Mass', 'Suspicious Calcification']\""
    _write(
        tmp_path / "finding_annotations.csv",
        [heading,
         f"s1,x,i1,L,CC,200,160,BI-RADS 4,DENSITY C,{mass},BI-RADS 4,10.5,20,30,40,training",
         "s1,x,i1,L,CC,200,160,BI-RADS 4,DENSITY C,['Mass'],BI-RADS 3,1,2,3,4,training",
         "s1,x,i2,R,CC,200,160,BI-RADS 1,DENSITY C,['No Finding'],,,,,,training",
         "s2,x,i3,R,MLO,200,160,BI-RADS 2,DENSITY A,['No Finding'],,,,,,test",
         "s3,x,i4,R,MLO,200,160,BI-RADS 3,DENSITY A,['No Finding'],,,,,,test"],
    )  # fmt: skip
    for number, study in enumerate(("s1", "s1", "s2", "s3"), 1):
        _dicom(tmp_path / "images" / study / f"i{number}.dicom", f"1.{number}")
    index = _checked(index_of(config_of(tmp_path, ready("vindr_mammo"))))
    assert _marks(index) == [("s1", "L", "CC", "malignant_mass", (10.5, 20, 30, 40))]
    case, healthy = index.images
    (mark,) = case.marks
    assert (mark.has_mass, mark.has_calcification) == (1, 1)
    assert mark.evidence.startswith("BI-RADS, no pathology, finding_categories Mass, ")
    assert (case.splits, healthy.splits) == (("train", "validation"), ("test",))
    assert (case.breast_density, healthy.breast_density) == ("3", "1")
    assert _healthy(index)[0][0] == "s2"
    found = reasons(index)
    assert found["i1.dicom#row 3"] == "no_pathology row 3"
    assert found["i2.dicom"] == "contralateral_of_case "
    assert found["i4.dicom"] == "not_normal "


def test_rsna_2022(tmp_path):
    heading = (
        "site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant,"
        "density,machine_id,difficult_negative_case"
    )
    rows = ["1,10,1,L,CC,50,0,0,0,1.0,0,B,1,False", "1,11,2,L,CC,50,1,1,1,0.0,0,,1,False",
            "1,12,3,L,AT,50,0,0,0,1.0,0,,1,False", "1,13,4,R,MLO,50,0,0,0,1.0,1,,1,False",
            "2,14,5,R,MLO,,0,0,0,,0,,1,False"]  # fmt: skip
    _write(tmp_path / "train.csv", [heading, *rows])
    for number in range(1, 6):
        path = tmp_path / "train_images" / str(9 + number) / f"{number}.dcm"
        _dicom(path, f"1.{number}", ViewPosition=None, ImageLaterality=None)
    index = _checked(index_of(config_of(tmp_path, ready("rsna_2022"))))
    assert _healthy(index) == [("10", "cancer 0, biopsy 0, BIRADS 1")]
    assert [(i.laterality, i.view, i.breast_density) for i in index.images] == [("L", "CC", "2")]
    assert [(i.facts.age_band, i.facts.site) for i in index.images] == [("50 to 59 years", "1")]
    found = reasons(index)
    assert found["2.dcm"] == "not_normal "
    assert found["3.dcm"] == "wrong_view row 4"
    assert found["4.dcm"] == "left_out_by_mapping row 5"
    assert found["5.dcm"] == "not_normal "


def test_cmmd(tmp_path):
    root = tmp_path / "manifest-1"
    _write(
        root / "CMMD_clinicaldata_revision.csv",
        ["ID1;LeftRight;Age;number;abnormality;classification;subtype",
         "D1-0001;R;44;2;calcification;Benign;", "D2-0001;L;50;4;mass;Malignant;Luminal A",
         "D2-0009;L;50;4;mass;Malignant;Luminal A"],
    )  # fmt: skip
    for number, (patient, side) in enumerate(
        (("D1-0001", "R"), ("D2-0001", "L"), ("D2-0001", "R"))
    ):
        path = root / "CMMD" / patient / "07-18-2010-NA" / "1.0-NA" / f"1-{number}.dcm"
        _dicom(path, f"1.{number + 1}", ImageLaterality=side, ViewPosition="CC")
    index = _checked(index_of(config_of(root, ready("cmmd"))))
    assert not index.images  # neither marks nor healthy images: the labels are told
    found = reasons(index)
    assert found["1-0.dcm"] == "case_without_box benign_calcification"
    assert found["1-1.dcm"] == "case_without_box malignant_mass"
    assert found["1-2.dcm"] == "not_normal no row is of this side"
    assert [reason for reason in found.values() if reason.startswith("no_image")] == [
        "no_image_file row 4"
    ]


def _inbreast(root, number, hash_, regions):
    _dicom(
        root / "AllDICOMs" / f"{number}_{hash_}_MG_L_CC_ANON.dcm", f"1.{number}", ViewPosition=None
    )
    if regions:
        rois = [{"Name": n, "NumberOfPoints": len(p), "Point_px": p} for n, p in regions]
        path = root / "AllXML" / f"{number}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(plistlib.dumps({"Images": [{"NumberOfROIs": len(rois), "ROIs": rois}]}))


def test_inbreast(tmp_path):
    square = ["(10, 20)", "(30, 20)", "(30, 50)", "(10, 50)"]
    _inbreast(tmp_path, 11, "0" * 15 + "a", [("Mass", square), ("Asymmetry", square[:3])])
    _inbreast(tmp_path, 12, "0" * 15 + "b", [])
    _inbreast(tmp_path, 13, "0" * 15 + "c", [("Calcification", square[:1]), ("Strange", square)])
    _write(
        tmp_path / "INbreast.csv",
        ["Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads",
         "removed;removed;L;CC;201001;11;3;4a", "removed;removed;L;CC;201001;12;1;1",
         "removed;removed;L;CC;201001;13; ;2"],
    )  # fmt: skip
    index = _checked(index_of(config_of(tmp_path, ready("inbreast"))))
    hash_ = "0" * 15
    assert _marks(index) == [(f"{hash_}a", "L", "CC", "malignant_mass", (10.5, 20.5, 30.5, 50.5))]
    assert _healthy(index)[0][0] == f"{hash_}b"
    assert [image.breast_density for image in index.images] == ["3", "1"]
    name = f"{hash_}c_MG_L_CC_ANON.dcm"
    found = reasons(index)
    assert found[f"11_{hash_}a_MG_L_CC_ANON.dcm#row 2.2"] == "neither_mass_nor_calcification row 2"
    assert found[f"13_{name}#row 4.1"] == "empty_box row 4: 1 corners"
    assert found[f"13_{name}#row 4.2"] == "no_lesion_type row 4"
    assert found[f"13_{name}"] == "no_usable_mark "


def test_embed(tmp_path):
    stem = "/mnt/NAS2/mammo/anon_dicom"
    _write(
        tmp_path / "tables" / "EMBED_OpenData_metadata.csv",
        ["empi_anon,acc_anon,anon_dicom_path,FinalImageType,ImageLateralityFinal,ViewPosition,"
         "spot_mag,num_roi,ROI_coords",
         f"1,100.0,{stem}/cohort_1/1/100/a.dcm,2D,L,CC,,1,\"((20, 10, 40, 30),)\"",
         f"1,100.0,{stem}/cohort_1/1/100/b.dcm,cview,L,CC,,0,()",
         f"2,200.0,{stem}/cohort_1/2/200/c.dcm,2D,R,MLO,,0,()",
         f"3,300.0,{stem}/cohort_1/3/300/d.dcm,2D,R,MLO,,1,\"((20, 10, 40, 30),)\""],
    )  # fmt: skip
    _write(
        tmp_path / "tables" / "EMBED_OpenData_clinical.csv",
        ["empi_anon,acc_anon,tissueden,asses,side,massshape,calcfind,path_severity",
         "1,100,3,S,L,I,,0.0", "2,200,2,N,,,,", "3,300,1,S,R,,A,4", "3,300,1,S,B,R,,0"],
    )  # fmt: skip
    for number, path in enumerate(("1/100/a", "1/100/b", "2/200/c", "3/300/d"), 1):
        _dicom(tmp_path / "images" / "cohort_1" / f"{path}.dcm", f"1.{number}")
    index = _checked(index_of(config_of(tmp_path, ready("embed"))))
    assert _marks(index) == [("1", "L", "CC", "malignant_mass", (10, 20, 30, 40))]
    assert _healthy(index) == [("2", "asses N")]
    assert [image.breast_density for image in index.images] == ["3", "2"]
    found = reasons(index)
    assert found["b.dcm"] == "left_out_by_mapping row 3 with row 2"
    assert [name for name in found if found[name].startswith("contradicting_rows")] == [
        "d.dcm#row 5 with row 4", "d.dcm#row 5 with row 5",
    ]  # fmt: skip


def test_a_mapping_can_be_changed_by_flags(tmp_path):
    write_image(tmp_path / "mdb001.png", (drawn() >> 4).astype("uint8"))
    _write(tmp_path / "mine.txt", ["mdb001 G NORM"])
    config = config_of(tmp_path, ready("mini_mias"), table="mine.txt", inverted=True)
    (image,) = index_of(config).images
    assert dataclasses.asdict(image.facts)["inverted"]
