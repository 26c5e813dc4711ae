"""Lesions into whole mammograms, or out of them."""
