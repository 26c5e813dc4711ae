"""HTML read back: tags, attributes and text, with nothing left open; pictures inside it."""

import base64
import html.parser

import cv2
import numpy as np

VOID = ("meta", "img", "br", "link", "input")


class PageReader(html.parser.HTMLParser):
    """Collects tags, (tag, attribute, value) and text; fails on what is left open."""

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def values(self, tag: str, name: str) -> list[str | None]:
        """An attribute of every tag of a kind that has it."""
        return [value for found, key, value in self.attributes if (found, key) == (tag, name)]


def levels_of(address: str) -> np.ndarray:
    """The grey levels of a PNG inside the page, float [height, width]."""
    png = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED).astype(float)
