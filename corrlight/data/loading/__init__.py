"""Batches: in which order, by how many processes, and whether they fit into shared memory."""
