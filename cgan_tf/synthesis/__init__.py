"""A trained generator at work: candidates, their post-processing, a synthetic patch set."""
