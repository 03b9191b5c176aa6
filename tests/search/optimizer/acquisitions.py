"""Acquisition functions over made-up trials, whose accuracy follows from their MACs."""

import itertools
from functools import lru_cache

import numpy as np

from search.config.settings import SearchSettings
from search.optimizer.acquisition import Acquisition
from search.optimizer.successive_halving import Rung
from search.optimizer.trial_table import State, TrialRow, TrialTable
from search.space.pricing import price
from search.space.ranges import draw
from tests.search.priced import priced

RUNGS = Rung("5", 0, 3), Rung("5", 0, 9)
EPOCHS = 9


price_once = lru_cache(price)


def make_acquisition(**values):
    settings = SearchSettings(**{"data": "nowhere", "space": "isotropic,tf_sepnet", "epochs": EPOCHS, **values})
    return Acquisition(priced(settings, max_enumerated=500, num_drawn=300), TrialTable(), RUNGS)


@lru_cache
def feasible_configs(count, seed=0):
    space = make_acquisition().space
    rng = np.random.default_rng(seed)
    found = []
    architectures = itertools.cycle(space.subspaces)
    while len(found) < count:
        architecture = next(architectures)
        subspace, feasible = space.subspaces[architecture], space.surveys[architecture].feasible
        values = {name: draw(distribution, rng) for name, distribution in subspace.ranges.items()}
        values |= dict(zip(subspace.cost_ranges, feasible[rng.integers(len(feasible))], strict=True))
        config = subspace.config(values)
        if config not in found:
            found.append(config)
    return found


def accuracy_of(config):
    return 0.1 * np.log10(price_once(config, "int8").macs) - 0.3


def learning_curve(best, epochs):
    return tuple(
        {
            "macro_accuracy": best - 0.02 * (EPOCHS - n),
            "log_loss": 2 - best + 0.05 * (EPOCHS - n),
            "worst_device_accuracy": best / 2,
        }
        for n in range(1, epochs + 1)
    )


def record(acquisition, number, config, epochs=EPOCHS, best=None):
    cost = price_once(config, acquisition.space.settings.precision)
    costs = {**cost.to_dict(), "latency_ms": cost.macs / 1e7}
    curve = learning_curve(accuracy_of(config) if best is None else best, epochs)
    state = State.COMPLETE if epochs == EPOCHS else State.PAUSED
    row = TrialRow(number, config, cost, acquisition.space.budget.fits(cost), state, curve=list(curve))
    row.costs.update(costs)
    acquisition._table.add(row)


def trained(count=12, noise=0.0, **values):
    """Return an acquisition function of trials whose accuracy follows from their MACs, a third of them finished."""
    acquisition, rng = make_acquisition(**values), np.random.default_rng(1)
    tried = feasible_configs(count)
    for number, config in enumerate(tried):
        best = accuracy_of(config) + noise * rng.normal()
        record(acquisition, number, config, EPOCHS if number % 3 == 0 else 3, best=best)
    return acquisition, tried


def config_of(acquisition, proposal):
    architecture, values = proposal
    return acquisition.space.config(acquisition.space.params(acquisition.space.subspaces[architecture], values))


def all_candidates(acquisition, seed=0):
    rng = np.random.default_rng(seed)
    return [each for architecture in acquisition.space.subspaces for each in acquisition.candidates(architecture, rng)]
