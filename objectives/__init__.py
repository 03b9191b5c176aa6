"""Objectives of a trial: cost, budgets, classification metrics, Pareto front and hypervolume."""
