"""COCO and CSV, read back by readers written here."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest

from beam_pipelines.insertion.tables import (
    COLUMNS,
    KeptMark,
    MadeImage,
    PlacedLesion,
    Preview,
    Strip,
    boxes_csv,
    coco,
    made_image_from,
    mask_runs,
    whole_runs,
)


def decoded(counts: list[int], size: list[int]) -> np.ndarray:
    """COCO's uncompressed run lengths to a mask, as their definition says."""
    values = np.arange(len(counts)) % 2
    return np.repeat(values, counts).reshape(size[1], size[0]).T.astype(bool)


@pytest.mark.parametrize("corner", [(0, 0), (5, 3), (11, 13)])
@pytest.mark.parametrize("seed", range(4))
def test_runs_are_the_mask(corner, seed):
    left, top = corner
    support = np.random.default_rng(seed).random((7, 9)) < 0.5
    image = np.zeros((20, 20), bool)
    image[top : top + 7, left : left + 9] = support
    runs = whole_runs(mask_runs(support, left, top, 20), 20, 20)
    np.testing.assert_array_equal(decoded(runs, [20, 20]), image)
    assert sum(runs) == 400


def test_runs_by_hand():
    support = np.array([[1, 0], [1, 1]], bool)
    assert mask_runs(support, 1, 2, 4) == (6, 2, 3, 1)
    assert whole_runs([6, 2, 3, 1], 4, 3) == [6, 2, 3, 1, 0]
    assert mask_runs(np.ones((4, 2), bool), 0, 0, 4) == (0, 8)  # over the end of a column
    assert mask_runs(np.zeros((2, 2), bool), 1, 1, 4) == ()


def made(name: str, *boxes: tuple[int, int, int, int]) -> MadeImage:
    lesions = tuple(
        PlacedLesion(number, box, 12, (5, 12), str(number), (2, 3), 4, 9)
        for number, box in enumerate(boxes, 1)
    )
    return MadeImage(
        name, f"images/{name}.dcm", f"masks/{name}.png", 30, 40, "1.2", "demd1", "1", "2", "",
        "L", "CC", 0.1, lesions,
    )  # fmt: skip


IMAGES = [made("2.25.1", (3, 4, 10, 9), (11, 12, 20, 22)), made("2.25.2", (0, 0, 30, 40))]


def test_an_image_comes_back_from_json():
    strip = Strip("figure3/a", "figure3/b", 2, ((1.0, 2.0, 3.0, 4.5),))
    boxes = ((0.5, 1.0, 2.0, 3.0),)
    preview = Preview("2.25.1", "a", "b", 3, 4, "mass", "L", "CC", boxes, strip)
    whole = dataclasses.replace(
        IMAGES[0],
        kept_marks=(KeptMark("benign_mass", (0, 1.5, 2, 3)),),
        preview=preview,
        dicom_files=("DATA/x.json", "IMAGES/x.dcm"),
    )
    for image in (whole, IMAGES[1], dataclasses.replace(whole, preview=IMAGES[1].preview)):
        assert made_image_from(json.loads(json.dumps(dataclasses.asdict(image)))) == image
    pictures = ["a", "b", "figure3/a", "figure3/b"]
    assert whole.files == ["DATA/x.json", "IMAGES/x.dcm", "masks/2.25.1.png", *pictures]
    assert "figure3" not in dataclasses.replace(preview, figure3=None).as_json()


def test_coco_has_what_detectors_read():
    content = json.loads(json.dumps(coco(IMAGES, "calcification", {"seed": 3})))
    assert [image["file_name"] for image in content["images"]] == [
        "images/2.25.1.dcm",
        "images/2.25.2.dcm",
    ]
    assert all((image["width"], image["height"]) == (30, 40) for image in content["images"])
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert names == {1: "mass", 2: "calcification", 3: "removal"}
    found = content["annotations"]
    assert [item["id"] for item in found] == [1, 2, 3]
    assert [item["image_id"] for item in found] == [1, 1, 2]
    assert [item["bbox"] for item in found] == [[3, 4, 7, 5], [11, 12, 9, 10], [0, 0, 30, 40]]
    assert {item["category_id"] for item in found} == {2}
    for item in found:
        size = item["segmentation"]["size"]
        assert size == [40, 30]
        assert decoded(item["segmentation"]["counts"], size).sum() == item["area"] == 12
    assert content["info"]["seed"] == 3
    assert "research" in content["info"]["description"]


def test_csv_has_a_row_a_lesion():
    text = b"".join(boxes_csv(IMAGES, "mass")).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == COLUMNS
    boxes = [tuple(int(row[edge]) for edge in ("x0", "y0", "x1", "y1")) for row in rows]
    assert boxes == [(3, 4, 10, 9), (11, 12, 20, 22), (0, 0, 30, 40)]
    assert {row["category"] for row in rows} == {"mass"}
    assert [row["sop_uid"] for row in rows] == ["2.25.1", "2.25.1", "2.25.2"]
    assert rows[1]["label"] == "2"
    assert (rows[0]["patch_left"], rows[0]["patch_top"]) == ("2", "3")
