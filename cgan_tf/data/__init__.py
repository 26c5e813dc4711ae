"""Patch records and sets of them, on disk and as arrays; no TensorFlow."""
