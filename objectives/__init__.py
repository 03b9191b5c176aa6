"""What a trial is worth: cost, budgets, quality, Pareto front and hypervolume."""
