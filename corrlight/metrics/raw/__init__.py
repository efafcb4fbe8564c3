"""Dumps of a detector before post-processing."""
