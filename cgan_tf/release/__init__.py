"""Packages for others: a generator or a synthetic set, its card, its metadata, its checksums."""
