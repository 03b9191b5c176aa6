"""Training: the training loop, and the training methods, one a file."""
