"""Optimization: proposing configurations, successive halving, surrogates; no Ray, no networks."""
