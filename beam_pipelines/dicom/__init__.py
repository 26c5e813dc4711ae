"""Mammogram DICOM files: their headers, pixels and grey levels, and how derived ones are written.

A source of your own reads a file's header with `read_header`; `selection_fault` tells why an image
is not a screening mammogram.
"""

from beam_pipelines.dicom.header import Header, selection_fault
from beam_pipelines.dicom.reading import read_header

__all__ = ["Header", "read_header", "selection_fault"]
