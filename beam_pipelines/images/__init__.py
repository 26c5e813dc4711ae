"""Whole mammograms at a reduced size, with their boxes: from images and marks to shards."""
