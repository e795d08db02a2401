"""Mutants of the sources, and the tests that run over each: see ``benchmarks/mutants.py``."""
