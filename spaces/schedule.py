"""How the learning rate runs: its fall, how long it stays at its peak, and where it ends.

Reports: a cosine to 0 (ASCDomain, TF-SepNet) or to 0.01 of the peak (Xin et al.), a plateau and a line (CP-JKU).
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution as Categorical
from optuna.distributions import FloatDistribution as Float

RANGES: dict[str, BaseDistribution] = {
    "schedule": Categorical(["cosine", "linear"]),
    "plateau_share": Float(0.0, 0.6),
    "final_share": Float(0.0, 0.2),
}
