"""Width and kernel of TF-SepNet: all of the report's widths but the teacher's, and longer kernels.

Source: Cai et al., technical report for DCASE 2023 task 1: width 12 to 60, kernel 3; the dropout that it tuned is not
stated. Multiples of 4 give every stage two equal halves, so that every point builds a network. At 128 mel
bins and 44 frames two networks in five are over 30 M MACs or 128 K parameters.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution as Categorical
from optuna.distributions import FloatDistribution as Float
from optuna.distributions import IntDistribution as Int

RANGES: dict[str, BaseDistribution] = {
    "width": Int(8, 100, step=4),
    "kernel": Int(3, 9, step=2),
    "dropout": Float(0.0, 0.3, step=0.1),
    "norm": Categorical(["adaptive", "fixed"]),
}
