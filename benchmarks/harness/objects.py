"""The five objects of every random image, for us and for a peer that has no corrlight beside it."""

__all__ = ["BOXES", "LABELS"]

# Left, top, right, bottom in pixels of an image of 256x320.
BOXES = [
    [10.3, 12.7, 98.9, 120.2],
    [60.5, 30.1, 250.8, 218.4],
    [200.2, 5.5, 262.7, 66.9],
    [20.6, 180.3, 54.4, 214.8],
    [150.0, 100.0, 310.0, 250.0],
]
LABELS = [0, 17, 3, 56, 2]
