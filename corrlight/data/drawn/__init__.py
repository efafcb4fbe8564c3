"""The embedded shapes: pictures that are drawn from a seed."""
