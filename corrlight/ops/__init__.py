"""Fast CPU code: every operator here equals one of PyTorch."""
