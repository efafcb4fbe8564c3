"""Losses: Correlation Loss, its coefficients, soft rank, and dense losses."""
