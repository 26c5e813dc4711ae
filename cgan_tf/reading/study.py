"""A reader study as files: the page that readers get, the key that they do not get, and back.

Every picture is put into the page by one path: the grey levels of [-1, 1] in 12 bits, two pixels in
three bytes, in base64. So all pictures have the same length, no compression tells anything of their
content, and window and level have more than a screen's 256 greys to work with.
"""

import base64
import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup

from cgan_tf.config import ReaderStudyConfig
from cgan_tf.pages.html import RESEARCH_ONLY, script_source
from cgan_tf.reading.cases import LESION, REAL, TWO_ALTERNATIVES, Case, Cases, Picture
from cgan_tf.runs.dataclass_json import from_json, to_json
from cgan_tf.runs.directory import Json, read_json
from cgan_tf.runs.errors import UserError, reading

PAGE, KEY = "study.html", "key.json"
DEEPEST = 4095  # the highest of 12-bit grey levels


def encode_picture(patch: np.ndarray) -> str:
    """Grey levels float [size, size] in [-1, 1] as text of a length that depends on size alone."""
    levels = np.rint((patch.astype(np.float64) + 1) / 2 * DEEPEST).clip(0, DEEPEST)
    pairs = np.pad(levels.astype(np.uint16).ravel(), (0, patch.size % 2)).reshape(-1, 2)
    packed = np.stack(
        [pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=1
    )
    return base64.b64encode(packed.astype(np.uint8).tobytes()).decode()


def decode_picture(text: str, size: int) -> np.ndarray:
    """The inverse of `encode_picture`: uint16 [size, size], levels of 0 to `DEEPEST`."""
    packed = np.frombuffer(base64.b64decode(text), np.uint8).reshape(-1, 3).astype(np.uint16)
    first, second = packed[:, 0] << 4 | packed[:, 1] >> 4, (packed[:, 1] & 15) << 8 | packed[:, 2]
    return np.stack([first, second], axis=1).ravel()[: size * size].reshape(size, size)


@dataclasses.dataclass(frozen=True)
class Option:
    """An answer: the key that gives it, its value and label, and the truth that it means."""

    key: str
    value: int
    label: str
    side: int


@dataclasses.dataclass(frozen=True)
class Wording:
    """What the page says. truths: the two things that a case can be. ends: of the scale."""

    prompt: str
    explanation: str
    truths: tuple[str, str]
    options: tuple[Option, ...]
    ends: tuple[str, ...] = ()


_RATING = tuple(Option(str(n), n, str(n), int(n > 3)) for n in range(1, 7))


def wording_of(question: str, answers: str) -> Wording:
    """The words of a question and a way to answer it."""
    if question == TWO_ALTERNATIVES:
        return Wording(
            "Which of the two is synthetic?",
            "Of every two pictures one is real and one was made, or changed, by a computer. If you "
            "cannot tell, guess.",
            ("real", "synthetic"),
            (Option("1", 0, "1  Left", 0), Option("2", 1, "2  Right", 1)),
        )
    if question == LESION:
        prompt, truths, ends = (
            "Does it show a lesion?",
            ("no lesion", "a lesion"),
            ("surely no lesion", "surely a lesion"),
        )
        explanation = "About half of the pictures show a lesion, a mass or calcifications."
    else:
        prompt, truths, ends = (
            "Is it synthetic?",
            ("real", "synthetic"),
            ("surely real", "surely synthetic"),
        )
        explanation = (
            "Half of the pictures are real. In the others a computer has put a lesion into a real "
            "picture, or taken one out of it."
        )
    if answers == "yes_no":
        yes_no = (Option("n", 0, "No", 0), Option("y", 1, "Yes", 1))
        return Wording(prompt, explanation, truths, yes_no)
    return Wording(prompt, explanation, truths, _RATING, ends)


def levels_of_answers(question: str, answers: str) -> tuple[int, ...]:
    """Every answer that a reader can give, ascending."""
    return tuple(sorted(option.value for option in wording_of(question, answers).options))


@dataclasses.dataclass(frozen=True)
class KeyPicture:
    """What a picture is: its origin and kind, what it was matched by, and where it is from."""

    origin: str
    kind: str
    size: float
    patch_id: str
    client_id: str
    source_patch_id: str


@dataclasses.dataclass(frozen=True)
class KeyCase:
    """A case of the study: its id in the page, and its pictures in the order of the page."""

    case: str
    pictures: tuple[KeyPicture, ...]


@dataclasses.dataclass(frozen=True)
class Key:
    """What the page does not say. study: checksum of its data. sets: of the synthetic pictures."""

    study: str
    question: str
    answers: str
    title: str
    sets: tuple[str, ...]
    cases: tuple[KeyCase, ...]


def key_of(config: ReaderStudyConfig, cases: Cases, sets: Sequence[str], checksum: str) -> Key:
    """The key of a study's cases; those of the training are in the page."""
    return Key(
        study=checksum,
        question=config.question,
        answers=config.answers,
        title=config.title,
        sets=tuple(sets),
        cases=tuple(
            KeyCase(case.case_id, tuple(map(_key_picture, case.pictures))) for case in cases.study
        ),
    )


def _key_picture(picture: Picture) -> KeyPicture:
    record = picture.record
    return KeyPicture(
        origin=picture.origin,
        kind=picture.kind,
        size=round(picture.size, 3),
        patch_id=record.patch_id,
        client_id=record.client_id,
        source_patch_id=record.source_patch_id if picture.synthetic else "",
    )


def read_key(directory: str | Path) -> Key:
    """The key of a study's directory; `UserError` where it is missing or damaged."""
    path = Path(directory) / KEY
    return from_json(Key, read_json(path), str(path))


def truth_of(question: str, pictures: Sequence[Picture]) -> int:
    """1 for what is asked after; of two pictures, the number of the synthetic one."""
    if question == TWO_ALTERNATIVES:
        return [picture.synthetic for picture in pictures].index(True)
    (picture,) = pictures
    return int(picture.kind != "normal" if question == LESION else picture.synthetic)


def study_data(config: ReaderStudyConfig, cases: Cases) -> str:
    """The page's data as JSON; the same cases give the same text."""
    wording = wording_of(config.question, config.answers)
    patches = [picture.record.patch for case in cases.study for picture in case.pictures]
    content = {
        "format": 1,
        "question": config.question,
        "size": len(patches[0]),
        "pictures": len(cases.study[0].pictures),
        "window": display_window(patches),
        "breakEvery": config.break_every,
        "truths": wording.truths,
        "options": [dataclasses.asdict(option) for option in wording.options],
        "training": [
            {**_case(case), "truth": truth_of(config.question, case.pictures)}
            for case in cases.training
        ],
        "cases": [_case(case) for case in cases.study],
        "repeated": cases.repeated,
    }
    # A reader's title cannot end the script that this stands in.
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


def _case(case: Case) -> Json:
    pictures = [encode_picture(picture.record.patch) for picture in case.pictures]
    return {"id": case.case_id, "pictures": pictures}


def display_window(patches: Sequence[np.ndarray]) -> list[int]:
    """The levels first shown as black and white, the same for every picture: a window of each
    picture's own would tell of its brightest spots."""
    low, high = np.quantile([np.quantile(p, [0.002, 0.998]) for p in patches], [0.1, 0.9])
    return [round(float((level + 1) / 2 * DEEPEST)) for level in (low, max(high, low + 0.05))]


def checksum_of(data: str) -> str:
    """By which page, key and answers know one another."""
    return hashlib.sha256(data.encode()).hexdigest()


_VIEWS = (
    (("smaller", "−", "Zoom out (−)"), ("larger", "+", "Zoom in (+)")),
    (("softer", "◐−", "Less contrast (←)"), ("harder", "◐+", "More contrast (→)")),
    (("darker", "☀−", "Darker (↓)"), ("brighter", "☀+", "Brighter (↑)")),
    (("invert", "Invert", "Invert (I)"), ("reset", "Reset", "Reset the view (0)")),
)
_KEYBOARD = (
    (("Enter", "Space"), "confirm and go on; the key of the chosen answer again does the same"),
    (("+", "−"), "zoom, as the wheel does"),
    (("Shift + arrows",), "move the picture, as dragging does"),
    (("←", "→"), "contrast (width of the window)"),
    (("↑", "↓"), "brightness (level); with Shift or the right button, dragging does both"),
    (("I",), "invert"),
    (("0",), "reset the view"),
    (("P",), "rest: the picture is covered and the clock stands"),
    (("S",), "save the answers, at a rest or at the end"),
    (("H", "?"), "these keys"),
)


def study_page(config: ReaderStudyConfig, data: str, instructions: Sequence[str]) -> str:
    """The whole page. It needs no network, and its Content-Security-Policy allows none."""
    wording = wording_of(config.question, config.answers)
    keys = tuple(option.key.upper() for option in wording.options)
    return (
        _environment()
        .get_template("study.html.j2")
        .render(
            title=config.title,
            notice=RESEARCH_ONLY,
            checksum=checksum_of(data),
            wording=wording,
            instructions=instructions,
            pictures=2 if config.question == TWO_ALTERNATIVES else 1,
            views=_VIEWS,
            keyboard=((keys, "answer"), *_KEYBOARD),
            data=Markup(data),
            style=_asset("study.css"),
            script=_asset("study.js"),
        )
    )


def instructions_of(config: ReaderStudyConfig, cases: Cases) -> list[str]:
    """What readers are told before they begin, beside the question."""
    count = len(cases.study) + len(cases.repeated)
    lines = [f"{count} cases, each by itself; you cannot go back. Take the time that you need."]
    if cases.training:
        lines.insert(0, f"{len(cases.training)} cases for training come first, with their answers.")
    if cases.repeated:
        lines.append("Some cases come twice. Answer as you see them then.")
    if config.break_every:
        lines.append(f"A rest is offered after every {config.break_every} cases; P takes one.")
    lines.append("Everything has a key: H shows them.")
    return lines


_DATA = re.compile(r'<script type="application/json" id="study">(.*?)</script>', re.DOTALL)


@dataclasses.dataclass(frozen=True, eq=False)
class PagePictures:
    """The pictures of a page, to be shown again: size in pixels, first window, text by case."""

    size: int
    window: tuple[int, int]
    cases: Mapping[str, Sequence[str]]

    def levels(self, case: str, number: int) -> np.ndarray:
        """A picture as the page first shows it: uint8 [size, size]."""
        low, high = self.window
        picture = decode_picture(self.cases[case][number], self.size).astype(np.float64)
        return np.rint(255 * (picture - low) / (high - low)).clip(0, 255).astype(np.uint8)


def read_pictures(directory: str | Path, checksum: str) -> PagePictures:
    """The pictures of the page in a study's directory; `UserError` where it is another page."""
    path = Path(directory) / PAGE
    with reading(path):
        page = path.read_text(encoding="utf-8")
    found = _DATA.search(page)
    if not found or checksum_of(found[1]) != checksum:
        raise UserError(f"{path}: expected the page that {KEY} beside it was made with")
    content = json.loads(found[1])
    cases = {case["id"]: case["pictures"] for case in content["cases"]}
    return PagePictures(content["size"], tuple(content["window"]), cases)


def key_json(key: Key) -> Json:
    """What the key's file holds."""
    return to_json(key)


def real(picture: KeyPicture) -> bool:
    """Whether no program made it."""
    return picture.origin == REAL


def _asset(name: str) -> Markup:
    path = resources.files("cgan_tf.reading").joinpath("assets", name)
    return Markup(path.read_text(encoding="utf-8"))


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cgan_tf.reading", "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["script_source"] = script_source
    return environment
