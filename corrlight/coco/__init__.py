"""COCO files as tables: annotations, results, masks."""
