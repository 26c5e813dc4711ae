"""The folder beside a page: its plots as PNG and PDF, its tables as CSV, its documents.

`contents.json` in it lists what the report wrote, so that the next report removes the files that
it no longer has, and no others.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from cgan_tf.pages import style
from cgan_tf.pages.html import Document, Gallery, Plot, Section, Table
from cgan_tf.pages.patches import decode
from cgan_tf.runs.directory import csv_bytes, read_json, write_bytes, write_json
from cgan_tf.runs.errors import UserError, contained

CONTENTS = "contents.json"
SHEET_GAP_PX = 12


def files_directory(output: str | Path) -> Path:
    """report.html → report_files, beside it."""
    output = Path(output)
    return output.with_name(f"{output.stem}_files")


def section_files(sections: Iterable[Section | None]) -> dict[str, bytes]:
    """Files by name: plots and galleries as PNG and PDF, tables as CSV, documents as Markdown."""
    files: dict[str, bytes] = {}
    for part in (part for section in sections if section for part in section.parts):
        if isinstance(part, Plot):
            files[f"{part.name}.png"] = part.png
            files[f"{part.name}.pdf"] = style.pdf(part.figure)
        elif isinstance(part, Table):
            files[f"{part.name}.csv"] = table_csv(part)
        elif isinstance(part, Gallery):
            figure = sheet_figure(part.pictures)
            files[f"{part.name}.png"] = style.png(figure)
            files[f"{part.name}.pdf"] = style.pdf(figure)
        elif isinstance(part, Document):
            files[f"{part.name}.md"] = part.text.encode()
    return files


def sheet_figure(pictures: Sequence[tuple[bytes, str]]) -> Figure:
    """(PNG, what it shows) each, two in a row, pixel for pixel at the resolution of PNG files.

    Raises `UserError` for a damaged PNG.
    """
    views = [decode(png, what) for png, what in pictures]
    height, width = np.max([view.shape[:2] for view in views], axis=0) + SHEET_GAP_PX
    sheet = np.full((height * -(-len(views) // 2), width * 2, 3), 255, np.uint8)
    for number, view in enumerate(views):
        row, column = divmod(number, 2)
        place = sheet[row * height :, column * width :]
        place[: view.shape[0], : view.shape[1]] = view
    figure = Figure(figsize=(sheet.shape[1] / style.DPI, sheet.shape[0] / style.DPI))
    figure.figimage(cv2.cvtColor(sheet, cv2.COLOR_BGR2RGB))
    return figure


def table_csv(table: Table) -> bytes:
    """A table as CSV in UTF-8; the minus signs of the page become plain ones."""
    if table.records:
        return csv_bytes([table.records[0], *(record.values() for record in table.records)])
    rows = ([str(cell).replace("−", "-") for cell in row] for row in table.rows)
    return csv_bytes([table.headings, *rows])


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Writes the files, each whole or not at all, and removes old ones of the report before."""
    contents = directory / CONTENTS
    before = read_json(contents).get("files", []) if contents.exists() else []
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{directory}: cannot be written: {error.strerror}") from error
    # First a list that holds old and new: whatever interrupts, no file is left unaccounted for.
    write_json(contents, {"files": sorted({*before, *files})})
    for name, content in files.items():
        write_bytes(contained(directory, name), content)
    for name in set(before) - set(files):
        (directory / Path(name).name).unlink(missing_ok=True)
    write_json(contents, {"files": sorted(files)})
