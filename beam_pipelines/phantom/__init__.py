"""A drawn copy of OMI-DB; it knows nothing of the readers, whose oracle it is."""
