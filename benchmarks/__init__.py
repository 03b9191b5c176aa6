"""Benchmarks of training, search and dashboard against baselines and goals: `python -m benchmarks`."""
