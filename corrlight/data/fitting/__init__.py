"""What is found out about own pictures: where they lie, their sizes, the anchors for them."""
