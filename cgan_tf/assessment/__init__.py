"""How good a synthetic set is, beside what real patches reach."""
