"""Runs: configuration, run folder, training."""
