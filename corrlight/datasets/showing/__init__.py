"""Pictures of a set with what is annotated in them, as one HTML page."""
