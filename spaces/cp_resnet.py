"""CP-ResNets: the report's widths, groups and receptive fields, and narrower ones that fit without pruning.

Source: CP-JKU, technical report for DCASE 2021 task 1A: width 128 to 384, 1 to 32 groups, rho 7 and 8, no tail or one
block. Every number of groups divides every width, and rho stops where a network without a tail has no kernel left to
grow, so that every point builds a network. At 256 mel bins and 44 frames four networks in five are over 30 M MACs or
128 K parameters.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution as Categorical
from optuna.distributions import IntDistribution as Int

RANGES: dict[str, BaseDistribution] = {
    "width": Int(16, 256, step=16),
    "groups": Categorical([1, 2, 4, 8, 16]),
    "rho": Int(0, 8),
    "tail_blocks": Int(0, 2),
    "damped": Categorical([False, True]),
    "block_scale": Categorical([False, True]),
}
