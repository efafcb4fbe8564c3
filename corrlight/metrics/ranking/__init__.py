"""Orders of detections, and the places of a ranking that decide measures."""
