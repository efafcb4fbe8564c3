"""COCO annotation files: their three lists, checked, as one table."""
