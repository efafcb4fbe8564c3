"""Training and testing a run."""
