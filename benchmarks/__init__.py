"""Figures of merit, one script each: ``python -m benchmarks.NAME``."""
