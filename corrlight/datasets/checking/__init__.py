"""What is wrong with a set of pictures and annotations, and what it is like."""
