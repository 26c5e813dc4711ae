"""A patch classifier at work on whole mammograms."""
