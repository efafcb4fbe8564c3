"""Sweeps: many runs as processes of this machine or submissions to a cluster."""
