"""How good a synthetic set is, compared with what real patches reach."""
