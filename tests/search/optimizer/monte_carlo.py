"""Hypervolume improvement by moocore."""

import moocore
import numpy as np


def improvements(front, points, reference):
    """Return the hypervolume improvement by each point, (N,), as moocore measures it: more is better."""
    if front.shape[1] == 1:
        return np.maximum(0.0, points[:, 0] - max([reference, *front[:, 0]]))
    worst = np.full(front.shape[1], -reference)
    before = moocore.hypervolume(-front, worst) if len(front) else 0.0
    return np.array([moocore.hypervolume(-np.vstack([front, point]), worst) - before for point in points])
