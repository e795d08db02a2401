"""The command line ``supsup-store``."""
