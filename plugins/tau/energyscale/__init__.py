"""The energy scale of taus: local calibration, combination, regression; applied, and derived from simulation."""
