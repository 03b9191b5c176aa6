"""Cost report of a network: per layer, and in total by the challenge's rule and by fvcore."""

from dataclasses import asdict, replace
from typing import Any

from torch import nn

from objectives.budget import Budget
from objectives.measure import fvcore_macs, layer_costs, measure_cost
from search.config.errors import UserError
from search.config.trial_config import TrialConfig
from search.space.pricing import price
from training.pruning import count_nonzero

MAX_BUILT_PARAMS = 100_000_000  # 400 MB; networks of the spaces have a thousandth of it


def cost_report(
    config: TrialConfig, budget: Budget, precision: str, trained: nn.Module | None = None
) -> dict[str, Any]:
    """Return the cost of a network, layer by layer, by the challenge's rule and by fvcore's.

    Args:
        precision: Number format of the stored values, such as "fp16".
        trained: The network with its weights, whose nonzero values are counted; None: as many as the recipe's pruning
            leaves.

    Raises:
        UserError: The network does not fit the output of the front end.
    """
    priced = price(config, precision)
    if priced.params > MAX_BUILT_PARAMS:
        raise UserError(
            f"{config.architecture} has {priced.params:,} parameters here, too many to count layer by layer"
        )
    network = config.build()
    nonzero = priced.nonzero_values if trained is None else count_nonzero(trained)
    cost = replace(measure_cost(network, config.input_shape, precision), nonzero_values=nonzero)
    return {
        **cost.to_dict(),
        "fvcore_macs": fvcore_macs(network, config.input_shape),
        "input_shape": list(config.input_shape),
        "budget": str(budget),
        "limits": budget.limits(),
        "excess": budget.excess(cost),
        "violations": budget.violations(cost),
        "fits": budget.fits(cost),
        "layers": [asdict(layer) for layer in layer_costs(network, config.input_shape) if layer.params or layer.macs],
    }
