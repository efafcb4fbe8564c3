"""Data: COCO-format folders and the embedded shapes."""
