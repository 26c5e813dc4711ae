"""AUCs and their tests, intervals, calibration, several seeds: pure functions of arrays."""
