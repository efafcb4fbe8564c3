"""Runs: their folders, their ids, and the command that lists, compares and deletes them."""
