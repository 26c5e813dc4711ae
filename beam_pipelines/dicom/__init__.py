"""Mammogram DICOM files: reading them, their pixels and grey levels, writing derived ones."""
