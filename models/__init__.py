"""What can be built: one architecture a file, each a frozen config and its network."""
