"""The classifier of patches: its training on real and synthetic patches, its evaluation."""
