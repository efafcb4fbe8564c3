"""Experiments: each a command that runs what is missing and prints a table."""
