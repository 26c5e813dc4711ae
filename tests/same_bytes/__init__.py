"""Do two commits write the same bytes? See `__main__`."""
