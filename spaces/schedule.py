"""Learning-rate schedule: the shape of its decay, the share of epochs at the peak, and the final rate.

Reports: cosine to 0 (ASCDomain, TF-SepNet) or to 0.01 of the peak (Xin et al.), a plateau, then linear (CP-JKU).
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution as Categorical
from optuna.distributions import FloatDistribution as Float

RANGES: dict[str, BaseDistribution] = {
    "schedule": Categorical(["cosine", "linear"]),
    "plateau_share": Float(0.0, 0.6),
    "final_share": Float(0.0, 0.2),
}
