"""BC-ResNets: around the published width and depths, with and without a head, from one sub-band to eight.

At 128 mel bins, three channels and 44 frames two networks in five are over 30 M MACs or 128 K parameters. All of
these sub-bands divide the mel bins there, and at 256; at 280, which are 35 behind the second pool, only one does.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution as Categorical
from optuna.distributions import IntDistribution as Int

RANGES: dict[str, BaseDistribution] = {
    "width": Int(8, 64, step=4),
    "stem_ratio": Int(1, 2),
    "depth_1": Int(1, 4),
    "depth_2": Int(1, 4),
    "depth_3": Int(1, 4),
    "depth_4": Int(1, 4),
    "kernel": Int(3, 7, step=2),
    "sub_bands": Categorical([1, 2, 4, 8]),
    "pointwise_norm": Categorical([False, True]),
    "res_norm": Categorical([False, True]),
    "head_width": Int(0, 512, step=64),
}
