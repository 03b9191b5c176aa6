"""The figures that this project claims: `python -m benchmarks`."""
