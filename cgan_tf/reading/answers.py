"""What readers answered: the files that the page saves, checked against the key."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cgan_tf.reading.study import Key, levels_of_answers
from cgan_tf.runs.directory import Json, read_json
from cgan_tf.runs.errors import UserError

_CODE = re.compile(r"[A-Za-z0-9_-]{1,20}")


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer to a case of the study.

    Attributes:
      case: its id. value: a rating, 0 or 1 for no or yes, or the number of the picture chosen.
      seconds: that the case was in view. timed: whether they are all of them: not where the page
        was closed over the case. left: which picture stood on the left, 0 or 1; 0 without two.
    """

    case: str
    value: int
    seconds: float
    timed: bool
    left: int


@dataclasses.dataclass(frozen=True)
class Reader:
    """A reader's answers.

    Attributes:
      code: the reader's. file: it was read from. finished: whether every case has its answer.
      answers: to cases seen for the first time. again: to cases seen for the second time.
    """

    code: str
    file: str
    finished: bool
    answers: Mapping[str, Answer]
    again: Mapping[str, Answer]


def read_answers(paths: Sequence[str], key: Key) -> list[Reader]:
    """The readers of some files, or of every JSON file of some folders, in the order of codes.

    Of several files of one reader, saved at a rest and at the end say, the longest counts. Raises
    `UserError` naming the file for answers to another study and for what is none.
    """
    readers: dict[str, Reader] = {}
    for path in _files(paths):
        reader = _reader(path, key)
        other = readers.setdefault(reader.code, reader)
        shorter, longer = sorted((other, reader), key=lambda each: len(each.answers))
        for case, answer in shorter.answers.items():
            if longer.answers.get(case) != answer:
                raise UserError(
                    f"{path}: expected the answers of reader {reader.code} to go on from "
                    f"{other.file}, found others; give each reader a code of her own"
                )
        readers[reader.code] = max(
            (other, reader), key=lambda each: (len(each.answers), len(each.again))
        )
    return [readers[code] for code in sorted(readers)]


def _files(paths: Sequence[str]) -> list[Path]:
    files: list[Path] = []
    for name in paths:
        path = Path(name)
        if path.is_dir():
            found = sorted(path.glob("*.json"))
            if not found:
                raise UserError(f"{path}: expected files of answers (*.json), found none")
            files += found
        elif path.is_file():
            files.append(path)
        else:
            raise UserError(f"{path}: expected a file of answers or a folder, found nothing")
    return files


def _reader(path: Path, key: Key) -> Reader:
    content = read_json(path)
    if not isinstance(content.get("answers"), list) or "study" not in content:
        raise UserError(f"{path}: expected answers that the page of a study saved")
    if content["study"] != key.study:
        raise UserError(
            f"{path}: expected answers to study {key.study[:8]}, found answers to study "
            f"{str(content['study'])[:8]!r}"
        )
    code = content.get("reader")
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise UserError(f"{path}: expected a reader code of letters and digits, found {code!r:.40}")
    answers: dict[str, Answer] = {}
    again: dict[str, Answer] = {}
    cases, allowed = {case.case for case in key.cases}, levels_of_answers(key.question, key.answers)
    for entry in content["answers"]:
        if isinstance(entry, dict) and entry.get("training"):
            continue
        answer = _answer(entry, cases, allowed, path)
        seen = again if entry.get("repeat") else answers
        if answer.case in seen:
            raise UserError(f"{path}: expected one answer to case {answer.case}, found two")
        seen[answer.case] = answer
    finished = bool(content.get("finished")) and len(answers) == len(cases)
    return Reader(code, str(path), finished, answers, again)


def _answer(entry: Any, cases: set[str], allowed: Sequence[int], path: Path) -> Answer:
    try:
        return _checked(entry, cases, allowed)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: expected an answer to a case of the study: {error!r:.80}"
        ) from error


def _checked(entry: Json, cases: set[str], allowed: Sequence[int]) -> Answer:
    case, value, seconds = entry["case"], entry["answer"], float(entry["seconds"])
    left = entry.get("left", 0)
    if case not in cases:
        raise ValueError(f"case {case!r}")
    if type(value) is not int or value not in allowed or left not in (0, 1):
        raise ValueError(f"answer {value!r} to case {case}")
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"{seconds} seconds for case {case}")
    return Answer(case, value, seconds, not entry.get("interrupted"), int(left))
