"""The names that the packages offer in Python."""
