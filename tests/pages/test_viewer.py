"""The page for whole images: what it says, and that its pictures are those of the run."""

import json
from urllib.parse import unquote

import pytest

from cgan_tf.data.provenance import PHANTOM_NOTICE
from cgan_tf.pages.viewer import GENERATOR_NOTICE, PREVIEWS, PatchRow, read_images, write_viewer
from cgan_tf.runs.errors import UserError
from tests.toys.insertions import BOXES, HEIGHT, LONG_NAME, WIDTH, write_toy_insertions
from tests.toys.pages import PageReader


@pytest.fixture
def directory(tmp_path):
    return write_toy_insertions(tmp_path / "run")


def test_every_image_is_there_with_its_boxes(directory):
    reader = PageReader(write_viewer(directory).read_text(encoding="utf-8"))
    pictures = [unquote(source) for source in reader.values("img", "src")]
    assert pictures == [f"previews/film {n}_{w}.png" for n in range(3) for w in ("before", "after")]
    assert all((directory / picture).is_file() for picture in pictures)
    assert reader.values("svg", "viewbox") == [f"0 0 {WIDTH} {HEIGHT}"] * 2
    corners = list(zip(reader.values("rect", "x"), reader.values("rect", "y"), strict=True))
    expected = [BOXES[0], BOXES[1], BOXES[0]]
    assert corners == [(str(x0), str(y0)) for x0, y0, *_ in expected]
    text = " ".join(reader.text)
    assert "3 images: 3 masses inserted." in text
    assert "R MLO film 0 & <b>: 2 masses inserted" in text
    assert f"R MLO {LONG_NAME}: nothing changed" in text
    assert "3. R MLO 2.25.7777777…777777777777" in reader.text  # in the list of links


def test_names_lead_to_their_images(directory):
    reader = PageReader(write_viewer(directory).read_text(encoding="utf-8"))
    links = [f"#{key}" for key in reader.values("figure", "id")]
    assert reader.values("a", "href") == ["#content", *links]


def test_files_have_the_names_that_the_user_gave(directory):
    spoil(directory, source_file="IMG0061 & co.dcm")
    text = " ".join(PageReader(write_viewer(directory).read_text(encoding="utf-8")).text)
    assert "R MLO IMG0061 & co.dcm: 1 mass inserted" in text


def test_every_page_says_what_it_is_not_for_and_what_the_data_are(directory):
    page = write_viewer(directory).read_text(encoding="utf-8")
    assert page.count("For research only, not for diagnosis.") >= 3  # above, below, on paper
    assert "phantom" not in page
    path = directory / PREVIEWS
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"phantom": True}), encoding="utf-8")
    page = write_viewer(directory).read_text(encoding="utf-8")
    assert page.count(PHANTOM_NOTICE) == 2  # above, and on paper
    assert page.count("<b>phantom</b>") == 6


def test_a_generator_of_a_phantom_is_called_so_on_mammograms(directory):
    path = directory / PREVIEWS
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"generator_phantom": True}), encoding="utf-8")
    page = write_viewer(directory).read_text(encoding="utf-8")
    assert page.count(GENERATOR_NOTICE) == 2
    assert "<span>before</span>" in page  # the images are mammograms


def test_every_lesion_follows_its_image_in_native_pixels(directory):
    detail = {
        "before": "previews/film 0_before.png", "after": "previews/film 0_after.png",
        "width": 60, "height": 50, "boxes": [[5, 6, 20, 30]],
    }  # fmt: skip
    spoil(directory, details=[detail])
    reader = PageReader(write_viewer(directory).read_text(encoding="utf-8"))
    assert reader.values("figure", "id") == ["image-1", "image-2", "image-2-1", "image-3"]
    assert "0 0 60 50" in reader.values("svg", "viewbox")
    (caption,) = [text for text in reader.text if "pixel for pixel" in text]
    assert caption.endswith("detail 1 of 1, pixel for pixel (60 × 50)")
    assert [link for link in reader.values("a", "href") if "image" in link] == [
        "#image-1", "#image-2", "#image-3",
    ]  # fmt: skip


def test_nothing_comes_from_elsewhere(directory):
    page = write_viewer(directory).read_text(encoding="utf-8")
    policy = PageReader(page).values("meta", "content")[1]
    assert policy.startswith("default-src 'none'; img-src 'self' file:;")
    assert "http" not in page.replace("http-equiv", "")


def test_rows_are_read_and_may_be_missing(directory, tmp_path):
    row = read_images(directory)[1].row
    assert row == PatchRow("figure3/film 1_before.png", "figure3/film 1_after.png", 5)
    plain = write_toy_insertions(tmp_path / "plain", rows=False)
    assert [image.row for image in read_images(plain)] == [None] * 3


def spoil(directory, **changes):
    path = directory / PREVIEWS
    content = json.loads(path.read_text(encoding="utf-8"))
    content["images"][1].update(changes)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": "wide"}, "previews.json: expected the previews of insert_lesions: ValueError"),
        ({"boxes": [[1, 2, 3]]}, "previews.json: expected the previews of insert_lesions"),
        ({"boxes": None}, "previews.json: expected the previews of insert_lesions: TypeError"),
        ({"figure3": {"patches": 5}}, r"previews.json: expected .*KeyError\('before'\)"),
        ({"after": "previews/gone.png"}, "previews/gone.png: expected a picture, found none"),
    ],
)
def test_previews_of_another_form_are_one_line(directory, changes, words):
    spoil(directory, **changes)
    with pytest.raises(UserError, match=words) as caught:
        write_viewer(directory)
    assert "\n" not in str(caught.value)
    assert not (directory / "viewer.html").exists()


def test_no_previews_are_one_line(tmp_path):
    with pytest.raises(UserError, match=r"previews.json: expected a JSON object"):
        read_images(tmp_path)
    (tmp_path / PREVIEWS).write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"expected the previews of insert_lesions.*'images'"):
        read_images(tmp_path)
