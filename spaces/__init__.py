"""What is varied: one dict of ranges a file, over config fields."""
