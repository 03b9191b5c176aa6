"""Priced spaces for tests: what a space costs does not change, so that each is surveyed once per process."""

from search.config.trial_config import field_types
from search.space.priced_space import PricedSpace, price_space
from search.space.search_space import make_search_space
from search.space.subspace import PRUNE_TO
from training.recipe import Recipe

SURVEYS = {}
OF_TRAINING = field_types(Recipe).keys() - {PRUNE_TO}


def priced(settings, num_classes=10, num_clips=960, **options):
    """Return the priced space of a search; see `price_space` for the options."""
    space = make_search_space(settings, num_classes)
    costs = [
        (name, subspace.cost_ranges, {key: value for key, value in subspace.fixed.items() if key not in OF_TRAINING})
        for name, subspace in space.subspaces.items()
    ]
    key = str((settings.job, settings.budget, settings.precision, settings.seed, costs, options))
    if key not in SURVEYS:
        SURVEYS[key] = price_space(space, **options).surveys
    return PricedSpace.of(space, SURVEYS[key], num_clips)
