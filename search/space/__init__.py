"""Search spaces: subspaces and ranges, costs, feasibility surveys, projection to the budget."""
