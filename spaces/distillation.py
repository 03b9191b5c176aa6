"""Knowledge distillation: the weight of the KL divergence from the teacher, and the temperature; needs a teacher.

The TF-SepNet report of DCASE 2023 (section 3.3) has 20 and 5; a weight of 0 is off.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution as Float

RANGES: dict[str, BaseDistribution] = {
    "distill_weight": Float(0.0, 50.0),
    "distill_temperature": Float(1.0, 10.0),
}
