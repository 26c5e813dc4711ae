"""Pictures before and after: what the HTML holds, with or without a browser to try it in."""

import base64
import dataclasses
import hashlib
import re

import cv2
import numpy as np
import pytest

from cgan_tf.pages import html
from cgan_tf.pages.html import Comparison, Picture, Sliders, embedded, section_of
from tests.toys.pages import PageReader, levels_of

HOSTILE = "\"><script>alert('x')</script> & <b>"


def picture(level: int, height: int = 20, width: int = 30) -> Picture:
    return embedded(cv2.imencode(".png", np.full((height, width), level, np.uint8))[1].tobytes())


def compare(content: Comparison) -> str:
    """The comparison as it is on a page, with its switches."""
    page = html.page("A page", (), [section_of("A section", Sliders([content]))])
    found = re.search(r'<div class="sliders".*?</figure>\s*</div></div>', page, re.S)
    assert found
    return found[0]


@pytest.fixture
def content():
    return Comparison(
        key="pair-1",
        title="Patch 7",
        caption="a woman, R CC",
        before=picture(0),
        after=picture(255),
        labels=("real", "synthetic"),
        boxes=[((3, 4, 13, 10), "added lesion"), ((1.5, 0, 2, 20), "another")],
        layers=[("Lesion channel", picture(128))],
    )


def test_a_picture_is_inside_the_page_with_its_size():
    shown = picture(9)
    assert (shown.width, shown.height) == (30, 20)
    assert (levels_of(shown.address) == 9).all()


def test_both_pictures_are_there_before_first(content):
    reader = PageReader(compare(content))
    pictures = [content.before, content.after, content.layers[0][1]]
    assert reader.values("img", "src") == [picture.address for picture in pictures]
    assert reader.values("img", "alt") == [
        "Patch 7, real", "Patch 7, synthetic", "Patch 7, Lesion channel",
    ]  # fmt: skip
    assert {"real", "synthetic", "a woman, R CC"} <= set(reader.text)


def test_keys_and_screen_readers_have_a_range_and_a_box_for_each_switch(content):
    reader = PageReader(compare(content))
    assert reader.values("input", "type") == ["checkbox", "checkbox", "range"]
    assert reader.values("input", "aria-label") == ["Patch 7: real or synthetic"]
    assert reader.values("input", "id") == reader.values("label", "for") == ["pair-1-1", "pair-1-2"]
    assert ("input", "checked", None) in reader.attributes
    assert len(reader.values("input", "checked")) == 1  # the boxes are on, the layer is off
    assert not reader.values("input", "tabindex")


def test_comparisons_of_one_group_share_their_switches(content):
    others = [
        dataclasses.replace(content, key="pair-2", boxes=()),
        dataclasses.replace(content, key="pair-3", layers=()),
    ]
    page = page_of([content, *others])
    reader = PageReader(page)
    assert reader.values("input", "type").count("checkbox") == 2
    assert (
        "".join(re.findall(r"over over-\d", page)) == "over over-1over over-2over over-2over over-1"
    )


def test_boxes_are_where_they_are_in_the_picture(content):
    reader = PageReader(compare(content))
    assert reader.values("svg", "viewbox") == ["0 0 30 20"]
    sides = [reader.values("rect", name) for name in ("x", "y", "width", "height")]
    assert list(zip(*sides, strict=True)) == [("3", "4", "10", "6"), ("1.5", "0", "0.5", "20")]
    assert {"added lesion", "another"} <= set(reader.text)
    plain = PageReader(compare(dataclasses.replace(content, boxes=(), layers=())))
    assert "svg" not in plain.tags
    assert plain.values("input", "type") == ["range"]


def test_the_switch_of_a_layer_shows_that_layer(content):
    """Whatever comes before it: the style knows switches and layers by their order."""
    for boxes in (content.boxes, ()):
        page = compare(dataclasses.replace(content, boxes=boxes))
        number = 2 if boxes else 1
        assert f'<img class="over over-{number}"' in page
        assert f'<label for="pair-1-{number}">Lesion channel</label>' in page
    rules = re.findall(r"nth-of-type\((\d)\):not\(:checked\) ~ \.grid \.over-(\d)", page_of([]))
    assert rules == [("1", "1"), ("2", "2"), ("3", "3")]


def page_of(comparisons):
    return html.page("T", "", [section_of("S", Sliders(comparisons))])


def test_every_string_is_escaped(content):
    texts = {"key": HOSTILE, "title": HOSTILE, "caption": HOSTILE, "boxes_label": HOSTILE}
    hostile = dataclasses.replace(
        content, **texts, labels=(HOSTILE, HOSTILE), boxes=[((0, 0, 1, 1), HOSTILE)],
        layers=[(HOSTILE, Picture(HOSTILE, 30, 20))],
    )  # fmt: skip
    reader = PageReader(page_of([hostile]))
    assert reader.tags.count("script") == 1
    assert reader.tags.count("b") == 1  # research only
    assert reader.text.count(HOSTILE) == 5  # two labels, one switch, the box, the caption
    assert f"{HOSTILE}: {HOSTILE} or {HOSTILE}" in reader.values("input", "aria-label")
    assert reader.values("img", "src")[-1] == HOSTILE


def test_the_browser_is_told_to_run_this_script_alone_and_to_fetch_nothing(content):
    page = page_of([content])
    (policy,) = PageReader(page).values("meta", "content")[1:]
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    assert not re.search(r"url\(|@import|https?:", page)
    without = html.page("T", "", [section_of("S", html.Paragraph("x"))])
    assert "<script" not in without
    assert PageReader(without).values("meta", "content")[1].endswith("script-src 'none'")


def test_pictures_beside_the_page_are_fetched_when_they_are_looked_at(content):
    beside = dataclasses.replace(content, after=Picture("previews/a b_after.png", 30, 20))
    page = compare(beside)
    assert page.count('loading="lazy"') == 1
    assert 'src="previews/a b_after.png" alt="Patch 7, synthetic" loading="lazy"' in page


def test_where_the_edge_begins(content):
    assert PageReader(compare(content)).values("input", "value") == ["50"]
    assert html.middle_of([], 300) == 50
    assert html.middle_of([(90, 0, 120, 10), (120, 0, 150, 10)], 300) == 40
    start = html.middle_of([(30, 0, 60, 10)], 300)
    moved = compare(dataclasses.replace(content, start=start))
    assert PageReader(moved).values("input", "value") == ["15"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"after": picture(0, height=21)}, "pair-1: expected pictures of one size"),
        ({"layers": [("x", picture(0, width=31))]}, "pair-1: expected pictures of one size"),
        ({"layers": [("x", picture(0))] * 3}, "pair-1: expected 3 switches at most"),
    ],
)
def test_what_cannot_be_compared_is_refused(content, changes, words):
    with pytest.raises(ValueError, match=words):
        compare(dataclasses.replace(content, **changes))


def test_the_style_and_the_script_are_on_the_page_once(content):
    page = page_of([content, dataclasses.replace(content, key="pair-2")])
    assert page.count(html.COMPARISON_STYLE) == page.count(html.COMPARISON_SCRIPT) == 1
    assert page.count('<figure class="compare"') == 2
