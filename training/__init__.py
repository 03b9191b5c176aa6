"""How it learns: one training loop, one file a method."""
