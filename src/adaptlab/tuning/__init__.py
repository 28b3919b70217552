"""Training: the loop, and what is trained in it."""
