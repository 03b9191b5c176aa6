"""What a person types: parse, call, print, exit code."""
