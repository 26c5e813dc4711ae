"""From mammogram DICOM files to TFRecord patch shards: everything that touches DICOM or Beam."""

import logging

logging.getLogger().setLevel(logging.ERROR)  # before Beam is imported: it warns while it is
