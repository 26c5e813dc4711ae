"""The report's section on a reader study: a link to its page, and what its readers answered."""

import os
from pathlib import Path
from urllib.parse import quote

from cgan_tf.pages.html import Links, Paragraph, Section, section_of
from cgan_tf.reading.results import page_of, study_parts
from cgan_tf.reporting.inputs import ReportInputs
from cgan_tf.runs.directory import read_manifest

NOBODY_YET = (
    "A page that asks readers about synthetic and real patches is ready; nobody's answers have "
    "been analysed yet. Only they can tell whether synthetic lesions look real to a radiologist; "
    "no number above can."
)


def section(inputs: ReportInputs) -> Section | None:
    """The section; None without a study."""
    directory = inputs.config.reader_study_dir
    if not directory:
        return None
    read_manifest(directory, "reader_study")
    place = Path(inputs.config.output).absolute().parent
    address = os.path.relpath(page_of(directory).absolute(), place)
    return section_of(
        "Reader study",
        *(study_parts(directory) or [Paragraph(NOBODY_YET, "lead")]),
        Links([("The page of the study", quote(address))]),
    )
