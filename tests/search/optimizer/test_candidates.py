"""Candidates: random ones, neighbours of incumbents, crossovers, recipes about the published one."""

import moocore
import numpy as np
from acquisitions import make_acquisition, trained


def num_different(values, others):
    return min(sum(values[name] != other[name] for name in values) for other in others)


def test_a_local_search_changes_one_or_two_settings_of_the_front_of_each_architecture():
    acquisition, tried = trained(24, noise=0.05)
    posterior = acquisition.predict()
    for architecture, subspace in acquisition.space.subspaces.items():
        own = [number for number, config in enumerate(tried) if config.architecture == architecture]
        points = np.array([[-posterior[n]["macro_accuracy"], acquisition._table[n].costs["macs"]] for n in own])
        on_front = moocore.is_nondominated(points)
        incumbents = [subspace.values(tried[n]) for n, is_on in zip(own, on_front, strict=True) if is_on]
        others = [subspace.values(tried[n]) for n, is_on in zip(own, on_front, strict=True) if not is_on]
        candidates = list(acquisition.candidates(architecture, np.random.default_rng(0)))
        changed = np.array([num_different(candidate.values, incumbents) for candidate in candidates])
        assert 0.15 < ((changed > 0) & (changed <= 2)).mean() < 0.5
        assert {1, 2} <= set(changed)
        assert (changed > 4).mean() > 0.4  # random, and crossovers
        if others:
            assert min(num_different(candidate.values, others) for candidate in candidates) > 1


def test_a_crossover_has_the_network_of_one_incumbent_and_the_recipe_of_another():
    acquisition, _ = trained(24, noise=0.05)
    fronts = {name: acquisition._incumbents(name) for name in acquisition.space.subspaces}
    recipes = [values for own in fronts.values() for values in own]
    crossed = 0
    for name, subspace in acquisition.space.subspaces.items():
        recipe_names = [each for each in subspace.ranges if each not in subspace.cost_ranges]
        for candidate in acquisition.candidates(name, np.random.default_rng(0)):
            network = any(
                all(candidate.values[each] == own[each] for each in subspace.cost_ranges) for own in fronts[name]
            )
            donors = [
                other
                for other in recipes
                if all(candidate.values[each] == other[each] for each in recipe_names if each in other)
            ]
            crossed += network and bool(donors) and candidate.values not in fronts[name]
    assert crossed >= 5


def test_about_a_quarter_of_the_random_candidates_has_most_of_its_recipe_from_the_report():
    acquisition = make_acquisition()
    subspace = acquisition.space.subspaces["isotropic"]
    published = acquisition.space.published["isotropic"].values
    names = [name for name in subspace.ranges if name not in subspace.cost_ranges]
    candidates = list(acquisition.sampler.draw("isotropic", [], [], np.random.default_rng(0)))
    same = np.array([sum(each.values[name] == published[name] for name in names) for each in candidates])
    assert 0.3 < (same >= 3).mean() < 0.6
    assert ((same > 0) & (same < len(names))).sum() > 20


def test_the_costs_that_are_kept_are_bounded_and_the_proposals_the_same(monkeypatch):
    (one, tried), (other, _) = trained(), trained()
    proposed = one.propose(5, tried)
    monkeypatch.setattr("search.optimizer.candidates.MAX_PRICED", 7)
    assert other.propose(5, tried) == proposed
    assert len(other.sampler._priced) <= 7 < len(one.sampler._priced)
