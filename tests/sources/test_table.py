"""Images with a table: labels, places, splits, and a line for each thing that is wrong."""

import collections
import dataclasses
import json

import numpy as np
import pytest

from beam_pipelines.patches.cutting import mammogram_of
from beam_pipelines.patches.job import make_patches
from beam_pipelines.sources.base import HEALTHY, LESION, FileFacts
from beam_pipelines.sources.index import index_from, open_source
from beam_pipelines.sources.outlines import pixels_inside
from beam_pipelines.sources.table import draw_by_class
from beam_pipelines.sources.table_checks import Brightness, brightness_of
from beam_pipelines.storage import files
from cgan_tf.config import PatchesConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.labels import SPLITS
from cgan_tf.runs.errors import UserError
from tests.toys.omidb_tree import dataset, write
from tests.toys.table_tree import (
    BOX,
    MAPPING,
    config_of,
    index_of,
    reasons,
    write_image,
    write_table,
)
from tests.toys.table_tree import (
    drawn as drawing,
)

HEADING = "file,woman,side,view,kind,truth,x0,y0,x1,y1"


def _index(root, rows, mapping=MAPPING + BOX, heading=HEADING, **changes):
    path = write_table(root, [heading, *rows], mapping)
    return index_of(config_of(root, path, **changes))


def _images(root, *names):
    for name in names:
        write_image(root / name, drawing())


def test_marks_and_healthy_images_of_a_table(tmp_path):
    root = tmp_path / "set"
    _images(root, "a.png", "b.png")
    index = _index(
        root, ["a.png,w1,L,CC,mass,M,10,20,30,50", "a.png,w1,L,CC,calc,B,5,60,9,70",
               "b.png,w2,RIGHT,MLO,healthy,,,,,"]
    )  # fmt: skip
    a, b = index.images
    assert (a.use, a.client_id, a.laterality, a.view) == (LESION, "w1", "L", "CC")
    found = [(mark.mark_id, mark.patch_class, mark.box, mark.evidence) for mark in a.marks]
    assert found == [
        ("row 2", "malignant_mass", (10, 20, 30, 50), "kind mass, truth M"),
        ("row 3", "benign_calcification", (5, 60, 9, 70), "kind calc, truth B"),
    ]
    assert (b.use, b.evidence, b.laterality) == (HEALTHY, "kind healthy", "R")
    assert b.facts == FileFacts(plain=True, bits=12)  # of files of 16 bits, found
    assert index.read == {"images": 2, "marks": 2, "files": 1}
    assert index.counts == {"bits_found_in_16_bit_files": 12, "patients_split_by_class": 2}
    assert not index.rejections


def test_each_wrong_row_is_rejected_by_its_number(tmp_path):
    root = tmp_path / "set"
    _images(root, *(f"{name}.png" for name in "abcdefghij"))
    (root / "k.png").write_text("no image")
    index = _index(
        root,
        [
            "a.png,a,L,CC,lump,M,1,1,9,9",
            "b.png,b,L,CC,mass,maybe,1,1,9,9",
            "c.png,c,L,CC,mass,M,500,500,600,600",
            "d.png,d,L,CC,mass,M,x,1,9,9",
            "e.png,e,L,CC,mass,M,1,1,1,9",
            "f.png,f,L,CC,distortion,M,1,1,9,9",
            "g.png,g,L,CC,mass,M,,,,",
            "h.png,h,L,XX,mass,M,1,1,9,9",
            "i.png,i,middle,CC,healthy,,,,,",
            "missing.png,j,L,CC,mass,M,1,1,9,9",
            "k.png,k,L,CC,mass,M,1,1,9,9",
            "j.png,,L,CC,healthy,,,,,",
            ",l,L,CC,healthy,,,,,",
        ],
    )
    assert not index.images
    found = reasons(index)
    assert {name: found[name] for name in sorted(found) if "#" in name} == {
        "a.png#row 2": "unknown_word row 2: kind",
        "b.png#row 3": "unknown_word row 3: truth",
        "c.png#row 4": "box_outside_image row 4: image 200x160",
        "d.png#row 5": "broken_mark row 5: not a number",
        "e.png#row 6": "empty_box row 6",
        "f.png#row 7": "neither_mass_nor_calcification row 7",
        "g.png#row 8": "no_place row 8",
        "h.png#row 9": "image_rejected wrong_view",
        "k.png#row 12": "image_rejected broken_dicom",
        "missing.png#row 11": "image_rejected no_image_file",
        "table.csv#row 13": "broken_row row 13: no patient",
        "table.csv#row 14": "broken_row row 14: no path",
    }
    assert found["i.png"] == "unknown_word row 10: side"
    assert found["missing.png"] == "no_image_file row 11"
    assert found["g.png"] == "case_without_box malignant_mass"  # the image's label is told
    by_kind = collections.Counter(item.kind for item in index.rejections)
    assert by_kind["images"] == index.read["images"] == 11
    assert by_kind["marks"] == index.read["marks"] == 12


def test_columns_that_are_not_there_are_named_one_a_line(tmp_path):
    with pytest.raises(UserError) as caught:
        _index(tmp_path / "set", ["a.png,w"], heading="file,woman")
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("table.csv: no column 'side', which ")
    assert lines[0].endswith("set.toml reads for image.laterality")
    assert len(lines) == 9
    assert lines[-1] == "columns found: file, woman"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"mapping": ""}, "expected --mapping"),
        ({"table": "no.csv"}, r"no.csv: expected the table of the data set: No such file"),
        ({"table": "x.xlsx"}, "save the spreadsheet as CSV"),
        ({"input_dir": "/nowhere"}, "/nowhere: expected a directory"),
        ({"split_by": "column"}, "names no column"),
    ],
)
def test_a_users_mistake_is_one_line(tmp_path, changes, complaint):
    path = write_table(tmp_path / "set", [HEADING, "a.png,w,L,CC,healthy,,,,,"], MAPPING + BOX)
    with pytest.raises(UserError, match=complaint) as caught:
        open_source(dataclasses.replace(config_of(tmp_path / "set", path), **changes))
    assert "\n" not in str(caught.value)


def test_an_unmarked_image_of_a_woman_with_a_lesion_is_not_healthy(tmp_path):
    root = tmp_path / "set"
    _images(root, "a.png", "b.png", "c.png", "d.png", "e.png")
    rows = ["a.png,w,L,CC,mass,M,1,1,9,9", "b.png,w,L,MLO,healthy,,,,,",
            "c.png,w,R,CC,healthy,,,,,", "d.png,v,L,CC,lump,M,,,,",
            "e.png,v,,CC,healthy,,,,,"]  # fmt: skip
    found = reasons(_index(root, rows))
    assert found["b.png"] == "case_in_other_image "
    assert found["c.png"] == "contralateral_of_case "
    assert found["e.png"] == "case_in_other_image "  # what is unknown may be a lesion
    index = _index(root, rows, normals_from_cases=True)
    healthy = [image.path.rsplit("/")[-1] for image in index.images if image.use == HEALTHY]
    assert healthy == ["c.png", "e.png"]
    assert reasons(index)["b.png"] == "case_in_other_image "


def test_ids_and_paths_are_digests_unless_the_mapping_says_that_they_are_public(tmp_path):
    root = tmp_path / "set"
    _images(root, "jane_doe.png")
    mapping = (MAPPING + BOX).replace("pseudonyms = false\n", "")
    (image,) = _index(root, ["jane_doe.png,Jane Doe,L,CC,healthy,,,,,"], mapping).images
    said = dataclasses.replace(image, path="")
    assert "ane" not in repr(said)
    assert image.client_id.startswith("patient-")


def test_a_circle_stays_a_circle_and_counts_from_the_bottom(tmp_path):
    root = tmp_path / "set"
    _images(root, "a.png")
    circle = '[circle]\nx = "x"\ny = "y"\nradius = "r"\ny_from = "bottom"\n'
    heading = "file,woman,side,view,kind,truth,x,y,r"
    index = _index(root, ["a.png,w,L,CC,mass,M,60,49,20"], MAPPING + circle, heading)
    (mark,) = index.images[0].marks
    assert mark.outline == (60.5, 150.5, 20)  # row 199 - 49, and half a pixel to its middle
    assert mark.box == (40.5, 130.5, 80.5, 170.5)
    pixels = pixels_inside(mark.outline, mark.box)
    assert len(pixels) == pytest.approx(np.pi * 20**2, rel=0.01)
    assert len(pixels) * 1.27 == pytest.approx(40 * 40, rel=0.01)


def test_pixels_inside_outlines():
    square = (2.0, 3.0, 7.0, 3.0, 7.0, 9.0, 2.0, 9.0)
    found = {tuple(pixel) for pixel in pixels_inside(square, (2, 3, 7, 9))}
    assert found == {(x, y) for x in range(2, 7) for y in range(3, 9)}
    # Half the size: of the pixels of the box, those whose centres (2i + 1) are in the square.
    halved = pixels_inside(square, (1, 1.5, 3.5, 4.5), (0.5, 0.5))
    assert {tuple(pixel) for pixel in halved} == {(x, y) for x in (1, 2) for y in (1, 2, 3)}
    assert pixels_inside((5.0, 5.0, 0.1), (4.9, 4.9, 5.1, 5.1)).tolist() == [[5, 5]]


@pytest.mark.parametrize(
    ("geometry", "cells", "box"),
    [
        ('[box]\nx0="a"\ny0="b"\nwidth="c"\nheight="d"', "1,2,30,40", (1, 2, 31, 42)),
        ('[box]\nx0="a"\ny0="b"\nx1="c"\ny1="d"\ny_from="bottom"', "1,20,9,50", (1, 150, 9, 180)),
        ('[box]\nx0="a"\ny0="b"\nx1="c"\ny1="d"', "30,40,-1,2", (0, 2, 30, 40)),
        ('[polygon]\npoints="a"', "1 2 9 2 9 12,,,", (1.5, 2.5, 9.5, 12.5)),
        ('[boxes]\nnumbers="a"\norder=["y0","x0","y1","x1"]', "[[5 6 15 26]],,,", (6, 5, 26, 15)),
    ],
)
def test_every_geometry_by_hand(tmp_path, geometry, cells, box):
    _images(tmp_path / "set", "a.png")
    heading = "file,woman,side,view,kind,truth,a,b,c,d"
    row = f"a.png,w,L,CC,mass,M,{cells}"
    index = _index(tmp_path / "set", [row], f"{MAPPING}{geometry}\n", heading)
    assert index.images[0].marks[0].box == box


def test_rows_that_say_the_same_twice_and_rows_that_contradict_each_other(tmp_path):
    _images(tmp_path / "set", "a.png")
    index = _index(
        tmp_path / "set",
        ["a.png,w,L,CC,mass,M,1,1,9,9", "a.png,w,L,CC,mass,M,1,1,9,9",
         "a.png,w,L,CC,mass,M,20,20,30,30", "a.png,w,L,CC,mass,B,20,20,30,30"],
    )  # fmt: skip
    assert [mark.mark_id for mark in index.images[0].marks] == ["row 2"]
    assert reasons(index) == {
        "a.png#row 3": "duplicate_mark row 2",
        "a.png#row 4": "contradicting_rows row 4",
        "a.png#row 5": "contradicting_rows row 4",
    }


@pytest.mark.parametrize("name", ["table.tsv", "table.parquet", "semicolons.csv"])
def test_the_same_rows_in_other_formats(tmp_path, name):
    import pyarrow as pa
    from pyarrow import parquet

    root = tmp_path / "set"
    _images(root, "a.png")
    cells = ["a.png", "w", "L", "CC", "mass", "M", 1, 2.5, 9, 9]
    path = write_table(root, [HEADING], MAPPING + BOX)
    if name.endswith("parquet"):
        columns = {key: [cell, None] for key, cell in zip(HEADING.split(","), cells, strict=True)}
        columns["file"] = ["a.png", "a.png"]
        columns["woman"] = ["w", "w"]
        parquet.write_table(pa.table(columns), root / name)
    else:
        sign = "\t" if name.endswith("tsv") else ";"
        lines = [sign.join(HEADING.split(",")), sign.join(map(str, cells)), sign * 9]
        (root / name).write_text("﻿" + "\n".join(lines), encoding="utf-8")
    (image,) = index_of(config_of(root, path, table=name)).images
    assert image.marks[0].box == (1, 2.5, 9, 9)


def test_dicom_files_say_what_the_table_does_not(tmp_path):
    root = tmp_path / "set"
    header = {"ImagerPixelSpacing": None, "Manufacturer": None, "ViewPosition": "MLO"}
    write(root / "a.dcm", dataset(SOPInstanceUID="1.2.7", **header))
    mapping = (MAPPING + BOX).replace('view = "view"', 'spacing_mm = "mm"\nmanufacturer = "firm"')
    index = _index(
        root, ["a.dcm,w,,0.07,ACME,mass,M,1,1,9,9"], mapping,
        "file,woman,side,mm,firm,kind,truth,x0,y0,x1,y1",
    )  # fmt: skip
    (image,) = index.images
    assert (image.sop_uid, image.laterality, image.view) == ("1.2.7", "L", "MLO")
    assert image.facts == FileFacts(spacing_mm=0.07, manufacturer="ACME")
    assert index_from(dataclasses.asdict(index)) == index


def test_columns_may_say_how_an_image_was_acquired(tmp_path):
    """Where they hold something else, it is unknown, and the image is used all the same."""
    root = tmp_path / "set"
    _images(root, "a.png", "b.png")
    write(root / "c.dcm", dataset(SOPInstanceUID="1.2.7", PatientAge="049Y", Exposure=30))
    columns = {"age": "years", "thickness_mm": "thick", "exposure_mas": "mas"}
    extra = "".join(f'{key} = "{column}"\n' for key, column in columns.items())
    words = (
        'site = { column = "clinic", words = { "Mrs Smith" = "A", "" = "", "Other" = "a name" } }'
    )
    mapping = (MAPPING + BOX).replace("pseudonyms", f"{extra}{words}\npseudonyms")
    rows = ["a.png,v,L,CC,healthy,,,,,,61,57.0,84.56,Mrs Smith",
            "b.png,w,L,CC,healthy,,,,,,Mrs Smith,5.7,n/a,Other",
            "c.dcm,x,L,CC,healthy,,,,,,61,57,85,"]  # fmt: skip
    index = _index(root, rows, mapping, f"{HEADING},years,thick,mas,clinic")
    assert not index.rejections
    facts = {image.client_id: image.facts for image in index.images}
    known = {"age_band": "60 to 69 years", "thickness_mm": 57.0}
    assert facts["v"] == FileFacts(True, 12, exposure_mas=84.6, site="A", **known)
    assert facts["w"] == FileFacts(True, 12)
    assert facts["x"] == FileFacts(exposure_mas=85.0, **known)
    assert index_from(json.loads(json.dumps(dataclasses.asdict(index)))) == index
    for image in index.images:
        header = mammogram_of(image, files.read_bytes(image.path), False, ()).header
        found = header.age_band, header.thickness_mm, header.exposure_mas
        assert (
            found
            == {
                "v": ("60 to 69 years", 57.0, 84.6),
                "w": ("", 0.0, 0.0),
                "x": ("under 50 years", 57.0, 30.0),  # the file's own come first
            }[image.client_id]
        )


def test_a_column_prescribes_the_split_by_patient(tmp_path):
    root = tmp_path / "set"
    _images(root, "a.png", "b.png", "c.png")
    words = '{ column = "part", words = { dev = "development", test = "test", t = "train" } }'
    mapping = (MAPPING + BOX).replace("pseudonyms", f"split = {words}\npseudonyms")
    heading = f"{HEADING},part"
    rows = ["a.png,v,L,CC,healthy,,,,,,dev", "b.png,w,L,CC,healthy,,,,,,test"]
    index = _index(root, rows, mapping, heading)
    assert [image.splits for image in index.images] == [("train", "validation"), ("test",)]
    assert index.counts["patients_split_by_column"] == 2
    with pytest.raises(UserError, match="patient w: expected one split, found test and train"):
        _index(root, [*rows, "c.png,w,R,CC,healthy,,,,,,t"], mapping, heading)
    with pytest.raises(UserError, match="unknown word for a split, row 4: part"):
        _index(root, [*rows, "c.png,x,R,CC,healthy,,,,,,later"], mapping, heading)
    drawn_index = _index(root, rows, mapping, heading, split_by="hash")
    assert all(len(image.splits) == 1 for image in drawn_index.images)


def test_a_draw_gives_each_split_each_class_where_patients_allow():
    config = PatchesConfig(train_fraction=0.9, validation_fraction=0.05)
    classes = {f"n{number}": frozenset({"normal"}) for number in range(40)}
    classes |= {f"m{number}": frozenset({"malignant_mass"}) for number in range(3)}
    classes |= {f"b{number}": frozenset({"benign_mass"}) for number in range(2)}
    for seed in range(5):
        splits, remarks = draw_by_class(classes, dataclasses.replace(config, seed=seed))
        assert {splits[f"m{number}"] for number in range(3)} == set(SPLITS)
        normals = collections.Counter(splits[f"n{number}"] for number in range(40))
        assert normals == {"train": 36, "validation": 2, "test": 2}
        assert remarks
        assert all(line.startswith("too few patients with benign_mass") for line in remarks)
    assert draw_by_class(classes, config) == draw_by_class(dict(reversed(classes.items())), config)
    assert (
        draw_by_class(classes, config)[0]
        != draw_by_class(classes, dataclasses.replace(config, seed=1))[0]
    )


def _bright(root, count, y_from):
    """Films with one bright disc each, in the upper part; and their rows."""
    rows = []
    for number in range(count):
        x, y = 30 + 3 * number, 60 + number
        write_image(root / f"{number}.png", drawing(bright=[(x + 0.5, y + 0.5, 8)]))
        told = 199 - y if y_from == "bottom" else y
        rows.append(f"{number}.png,w{number},L,CC,mass,M,{x},{told},8")
    return rows


@pytest.mark.parametrize("y_from", ["top", "bottom"])
def test_marks_that_are_counted_from_the_other_end_bring_a_warning(tmp_path, y_from):
    root = tmp_path / "set"
    rows = _bright(root, 16, "bottom")
    circle = f'[circle]\nx = "x"\ny = "y"\nradius = "r"\ny_from = "{y_from}"\n'
    heading = "file,woman,side,view,kind,truth,x,y,r"
    index = _index(root, rows, MAPPING + circle, heading)
    assert bool(index.warnings and "y_from" in index.warnings[-1]) == (y_from == "top")
    found = brightness_of(index.images)
    assert (found.marks, found.dim == 0) == (16, y_from == "bottom")


@pytest.mark.parametrize(
    ("found", "warned"),
    [
        (Brightness(32, 2, 11, 1, 10), False),  # half of mini-MIAS as it is,
        (Brightness(32, 11, 2, 10, 1), True),  # and upside down
        (Brightness(20, 11, 11, 5, 5), True),  # most are dim
        (Brightness(20, 10, 10, 5, 5), False),
        (Brightness(7, 7, 0, 7, 0), False),  # too few to say
        (Brightness(0, 0, 0, 0, 0), False),
    ],
)
def test_when_dim_marks_bring_a_warning(found, warned):
    assert bool(found.warning()) == warned


def test_patches_are_cut_from_inside_the_circle_and_have_what_the_table_says(tmp_path):
    root = tmp_path / "set"
    circle = '[circle]\nx = "x"\ny = "y"\nradius = "r"\n'
    mapping = (MAPPING + circle).replace("pseudonyms", 'spacing_mm = "mm"\npseudonyms')
    rows = [f"{row},0.2" for row in _bright(root, 2, "top")]
    path = write_table(root, ["file,woman,side,view,kind,truth,x,y,r,mm", *rows], mapping)
    counts = {n: 0 for n in vars(PatchesConfig()) if n.startswith(("train_", "eval_"))}
    counts |= {"train_fraction": 0.6, "train_malignant_mass": 12}
    out = tmp_path / "patches"
    make_patches(
        config_of(root, path, output_dir=str(out), size=32, all_in_split="train", **counts)
    )
    index = PatchSet(str(out)).index("train", "malignant_mass")
    assert len(index) == 12
    for number in range(12):
        record = index.record(number)
        assert record.pixel_spacing_mm == pytest.approx(0.2)
        assert record.lesion_size_mm == pytest.approx(3.2)
        x0, y0, x1, y1 = (round(edge) for edge in record.box)
        bright = index.pixels(number) > 0.3  # the disc has 3500 of 4095, 0.71; the rest is below 0
        assert bright.any()
        assert (
            bright[y0 - 1 if y0 else 0 : y1 + 1, x0 - 1 if x0 else 0 : x1 + 1].sum() == bright.sum()
        )


@pytest.mark.parametrize("double", [False, True], ids=["same size", "twice the size"])
def test_a_mask_file_gives_the_box_of_its_lesion_in_every_patch(tmp_path, double):
    """The bright pixels of an image are those of its mask: the box must bound them exactly."""
    root = tmp_path / "set"
    mask = np.zeros((200, 160), np.uint8)
    mask[90:93, 40:49] = mask[90:102, 40:42] = 255  # an L of 9x12
    write_image(root / "a.png", np.where(mask, 3500, drawing()).astype(np.uint16))
    write_image(root / "masks" / "a.png", np.kron(mask, np.ones((1 + double,) * 2, np.uint8)))
    mapping = MAPPING + '[mask]\npath = "masks/{file}"\n'
    path = write_table(root, ["file,woman,side,view,kind,truth", "a.png,w,L,CC,mass,M"], mapping)
    counts = {n: 0 for n in vars(PatchesConfig()) if n.startswith(("train_", "eval_"))}
    counts |= {"train_fraction": 0.6, "train_malignant_mass": 16}
    out = tmp_path / "patches"
    make_patches(
        config_of(root, path, output_dir=str(out), size=32, all_in_split="train",
                  scale_min=1.0, scale_max=1.0, max_offset=24, **counts)
    )  # fmt: skip
    index = PatchSet(str(out)).index("train", "malignant_mass")
    records = [index.record(number) for number in range(len(index))]
    assert len({(record.flip, record.rotation) for record in records}) > 4
    for number, record in enumerate(records):
        rows, columns = np.nonzero(index.pixels(number) > 0.3)
        bounds = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        assert record.box == pytest.approx(bounds)
        assert record.mark_id == "row 2"
