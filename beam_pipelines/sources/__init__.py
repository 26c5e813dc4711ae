"""Where images and marks come from: OMI-DB, CBIS-DDSM, a folder, or a source of your own."""
