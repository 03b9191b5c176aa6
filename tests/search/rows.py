"""Rows of the trial table, as if they had been trained."""

from objectives.cost import Cost
from search.optimizer.trial_table import State, TrialRow


def row(number, epochs, accuracy, macs=10**9, *, state=State.PAUSED, rung=0, **more):
    """Return a row whose accuracy is the same after every epoch."""
    curve = [{"epoch": n, "macro_accuracy": accuracy, "log_loss": 2.3 - accuracy} for n in range(1, epochs + 1)]
    return TrialRow(number, f"config {number}", Cost(macs, 10, 10, 10), state=state, rung=rung, curve=curve, **more)
