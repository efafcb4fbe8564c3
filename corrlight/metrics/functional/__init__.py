"""Measures as functions on plain arrays."""
