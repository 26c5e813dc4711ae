"""From mammogram DICOM files to TFRecord patch shards: everything that touches DICOM or Beam."""
