"""Cross-gradient training: the weight of the loss on perturbed inputs, and the step size of the perturbation.

The BC-ResNet-Mod report of DCASE 2022 (section 3.1.3) states neither; a weight of 0 is off.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution as Float

RANGES: dict[str, BaseDistribution] = {
    "cross_gradient_share": Float(0.0, 0.9),
    "cross_gradient_step": Float(0.1, 10.0, log=True),
}
