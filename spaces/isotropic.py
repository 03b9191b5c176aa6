"""Isotropic networks: the report's grid with the sizes between its steps, wider ones, and recursiv's columns.

Source: ASCDomain, technical report for DCASE 2024 task 1: width 32 to 128, depth 4 to 10, kernel 3 to 6,
patch 4 to 16. Depth starts lower here because a recursiv network has that many blocks in each column.
At 256 mel bins and 65 frames two networks in three are over 30 M MACs or 128 K parameters.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import IntDistribution as Int

RANGES: dict[str, BaseDistribution] = {
    "patch": Int(4, 16),
    "width": Int(32, 192, step=16),
    "kernel": Int(3, 6),
    "depth": Int(2, 10),
    "columns": Int(1, 4),
}
