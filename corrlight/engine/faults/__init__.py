"""What ends a run from outside of it, told in one line with the way out."""
