"""Stands for drawing figures, which takes longest of an analysis."""


def undrawn(figure, folder, name):
    """Write files that are no pictures; tests/analysis/test_figures.py and reporting draw."""
    for suffix in ("png", "svg"):
        (folder / f"{name}.{suffix}").write_bytes(b"<svg/>")
