"""Joint search of several architectures: each learns its own sizes, and none is abandoned for its rejections."""

import json
from collections import Counter
from dataclasses import dataclass, fields, make_dataclass

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState

from models import ARCHITECTURES, Architecture, Counts
from search.config.settings import SearchSettings
from search.config.trial_config import ARCHITECTURE
from search.optimizer.acquisition import MIN_TRAINING_TRIALS
from search.optimizer.scheduler import TrialScheduler
from search.optimizer.trial_table import State
from search.space.ranges import EmptySpaceError
from search.space.search_space import make_search_space
from spaces import SPACES, Space
from tests.search.priced import priced
from training.recipe import Recipe

# Two architectures that need no network: `width` is paid for, `tilt` alone decides how well it does.
BEST = {"shallow": 0.15, "steep": 0.85}
MACS = {"shallow": 1_000_000, "steep": 5_000_000}  # for each unit of width
MAX_WIDTH = 16
FITTING = {"shallow": 10, "steep": 2}  # widths that 10 M MACs allow


@dataclass(frozen=True)
class Count:
    """Price of a width."""

    macs: int

    def __call__(self, config, shape):
        return Counts(config.width * self.macs, config.width, config.width, config.width)


@pytest.fixture
def pair(monkeypatch):
    """Register both, and a space of them under each of their names."""
    sizes = [("num_classes", int, 10), ("in_channels", int, 1), ("width", int, 1), ("tilt", float, 0.5)]
    for name, macs in MACS.items():
        config = make_dataclass(name, sizes, frozen=True, kw_only=True)
        entry = Architecture(config, None, Count(macs), "dcase24")
        ranges = {"width": IntDistribution(1, MAX_WIDTH), "tilt": FloatDistribution(0.0, 1.0)}
        monkeypatch.setitem(ARCHITECTURES, name, entry)
        monkeypatch.setitem(SPACES, name, Space({name: ranges}, training={}))
    monkeypatch.setitem(SPACES, "pair", Space({name: SPACES[name].networks[name] for name in MACS}, training={}))


def settings(**values):
    return SearchSettings(**{"data": "nowhere", "space": "pair", "budget": "macs=10M", "epochs": 1, **values})


def start(search_settings, study=None):
    if study is None:
        study = optuna.create_study(directions=["maximize", "minimize"])
    return TrialScheduler(study, priced(search_settings, num_drawn=500))


def train(scheduler, proposal, ahead=None):
    """Report to the scheduler what a network of this tilt would reach; one architecture may be `ahead` of the other."""
    network = proposal.config.network
    accuracy = (
        0.1 * (proposal.config.architecture == ahead)
        + 0.8
        - 0.5 * abs(network.tilt - BEST[proposal.config.architecture])
        + 0.005 * network.width
    )
    epoch = {"epoch": 1, "train_loss": 1.0, "macro_accuracy": accuracy, "log_loss": 1.0, "duration_s": 0.1}
    quality = {"macro_accuracy": accuracy, "log_loss": 1.0}
    report = {"epochs": json.dumps([epoch]), "quality": json.dumps(quality), "versions": "{}"}
    assert scheduler.end(proposal.number, report) == "complete"


def search(seed, ahead=None, **values):
    """Search 60 networks; return the scheduler and what was trained."""
    scheduler = start(settings(trials=60, seed=seed, **values))
    proposals = []
    while (proposal := scheduler.propose()) is not None:
        proposals.append(proposal)
        train(scheduler, proposal, ahead)
    assert len(proposals) == 60
    return scheduler, proposals


@pytest.fixture
def searched(pair):
    return search(seed=5)


@pytest.mark.slow
@pytest.mark.parametrize("surrogate", [False, True])
def test_each_architecture_is_led_to_its_own_optimum(pair, surrogate):
    searches = [search(seed, "steep", surrogate=surrogate)[1] for seed in range(3)]  # the dearer one is worth its price
    for name, best in BEST.items():
        away = [
            [abs(each.config.network.tilt - best) for each in proposals if each.config.architecture == name]
            for proposals in searches
        ]
        random = (best**2 + (1 - best) ** 2) / 2  # how far a random tilt is away
        assert np.mean([each[-8:] for each in away]) < random / 2, name


def kinds(scheduler, proposals):
    trials = scheduler.study.get_trials()
    return [trials[each.number].user_attrs.get("origin", {}).get("kind", "sampled") for each in proposals]


def test_every_sixth_proposal_is_the_samplers_and_each_architecture_has_its_share(searched):
    scheduler, proposals = searched
    found = kinds(scheduler, proposals)
    turns = range(5, len(proposals), 6)
    assert [place for place, kind in enumerate(found) if kind == "sampled" and place >= MIN_TRAINING_TRIALS] == [
        place for place in turns if place >= MIN_TRAINING_TRIALS
    ]
    assert set(found[MIN_TRAINING_TRIALS:]) == {"sampled", "acquisition"}
    sampled = Counter(proposals[place].config.architecture for place in turns)
    assert min(sampled[name] for name in MACS) >= len(turns) / 4


@pytest.mark.parametrize("values", [{"surrogate": False}, {"sampler": "random"}, {"sampler": "nsga2"}])
def test_another_sampler_or_no_surrogate_makes_every_proposal(pair, values):
    scheduler, proposals = search(5, **values)
    assert scheduler.ranks_by_prediction == values.get("surrogate", True)
    assert set(kinds(scheduler, proposals)) <= {"published", "sampled", "projected"}
    trained = Counter(each.config.architecture for each in proposals)
    assert min(trained[name] for name in MACS) >= 15
    trials = scheduler.study.get_trials()
    rejected = Counter(trial.params[ARCHITECTURE] for trial in trials if "rejected" in trial.user_attrs)
    assert rejected["steep"] > rejected["shallow"]


def test_what_is_rejected_is_never_trained(searched):
    scheduler, proposals = searched
    for proposal in proposals:
        assert scheduler.space.budget.fits(proposal.cost)
        assert proposal.config.network.width <= FITTING[proposal.config.architecture]
    trials = scheduler.study.get_trials()
    rejected = {trial.number for trial in trials if "rejected" in trial.user_attrs}
    assert rejected.isdisjoint(each.number for each in proposals)
    assert rejected | {each.number for each in proposals} == {trial.number for trial in trials}
    for number in rejected:
        assert trials[number].state == TrialState.PRUNED
        assert "config" not in trials[number].user_attrs
    assert len({each.config for each in proposals}) == len(proposals)


def test_a_trial_has_the_values_of_its_architecture_alone(searched):
    for trial in searched[0].study.get_trials():
        name = trial.params[ARCHITECTURE]
        assert set(trial.params) == {ARCHITECTURE, f"{name}.width", f"{name}.tilt"}


def test_the_search_starts_with_the_published_settings_of_each(searched):
    _, proposals = searched
    first = [(each.config.architecture, each.config.network.width, each.config.network.tilt) for each in proposals[:2]]
    assert first == [("shallow", 1, 0.5), ("steep", 1, 0.5)]


def test_a_joint_search_resumes_where_it_was_left(pair):
    search_settings = settings(trials=20, seed=5)
    first = start(search_settings)
    done = [first.propose() for _ in range(8)]
    for proposal in done[:6]:
        train(first, proposal)
    second = start(search_settings, first.study)
    assert (second.num_ended, second.table.count(State.COMPLETE)) == (6, 6)
    proposals = []
    while (proposal := second.propose()) is not None:
        proposals.append(proposal)
        train(second, proposal)
    assert [each.number for each in proposals[:2]] == [each.number for each in done[6:]]
    assert [each.config for each in proposals[:2]] == [each.config for each in done[6:]]
    assert len(proposals) == 14
    every = {each.number: each.config for each in (*done, *proposals)}
    assert len(set(every.values())) == len(every) == 20
    origins = [trial.user_attrs.get("origin", {}) for trial in second.study.get_trials()]
    assert [each["architecture"] for each in origins if each.get("kind") == "published"] == ["shallow", "steep"]


def test_a_driver_that_was_killed_before_a_published_start_was_proposed_loses_none_of_them(pair):
    search_settings = settings(trials=6, seed=1)
    first = start(search_settings)
    train(first, first.propose())
    second = start(search_settings, first.study)
    assert second.propose().config.architecture == "steep"


def test_an_architecture_of_which_nothing_fits_is_left_out(pair):
    search_settings = settings(trials=6, budget="macs=4M")
    assert list(priced(search_settings, num_drawn=500).subspaces) == ["shallow"]
    scheduler = start(search_settings)
    proposals = [scheduler.propose() for _ in range(6)]
    assert {each.config.architecture for each in proposals} == {"shallow"}
    assert all(set(trial.params) == {"shallow.width", "shallow.tilt"} for trial in scheduler.study.get_trials())


def test_where_nothing_fits_of_any_the_nearest_of_all_is_reported(pair):
    space = priced(settings(budget="macs=900K"), num_drawn=500)
    with pytest.raises(EmptySpaceError) as caught:
        space.require_feasible()
    tilt = str(caught.value).partition("tilt=")[2].partition(")")[0]
    assert str(caught.value) == (
        "nothing in the space pair fits the budget macs=900K: 1,000 random configurations are over it (1,000 by macs). "
        f"The limit that binds is macs 900,000: the nearest configuration (shallow width=1 tilt={tilt}) has 1,000,000. "
        "Relax the budget to macs=1000000, or widen the space"
    )


def test_a_size_is_fixed_or_narrowed_by_the_name_of_its_architecture(pair):
    search_settings = settings(set={"shallow.tilt": 0.25}, ranges={"steep.width": [1, 2]})
    subspaces = make_search_space(search_settings, num_classes=10).subspaces
    assert list(subspaces["shallow"].ranges) == ["shallow.width"]
    assert subspaces["shallow"].config({}).network.tilt == 0.25
    assert subspaces["steep"].ranges["steep.width"] == IntDistribution(1, 2)
    assert subspaces["steep"].config({}).network.tilt == 0.5


KEYS_OF_STEEP = {"front_end", "in_channels", "num_classes", "tilt", "width", *(field.name for field in fields(Recipe))}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"set": {"width": 3}}, "width is a size of several architectures; say which: shallow.width or steep.width"),
        ({"set": {"shallow.widht": 3}}, "unknown config key 'shallow.widht'; did you mean 'shallow.width'?"),
        ({"set": {"shalow.width": 3}}, "unknown config key 'shalow.width'; did you mean 'shallow.width'?"),
        ({"set": {"architecture": "step"}}, "unknown architecture of the space 'step'; did you mean 'steep'?"),
        ({"set": {"steep.num_classes": 3}}, "steep.num_classes cannot be set here: it comes from the data"),
        (
            {"set": {"architecture": "steep", "shallow.width": 3}},
            f"unknown config key 'shallow.width'; there are: {', '.join(sorted(KEYS_OF_STEEP))}",
        ),
        (
            {"ranges": {"steep.tilt": [0.5, 2.0]}},
            "ranges: steep.tilt from 0.5 to 2.0 leaves the space's 0.0 to 1.0",
        ),
        (
            {"ranges": {"learning_rate": [1e-3, 2e-3]}},
            "ranges: learning_rate cannot be narrowed: the space does not vary it",
        ),
    ],
)
def test_a_value_that_belongs_to_no_architecture_is_refused(pair, values, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        make_search_space(settings(**values), num_classes=10)
    assert str(caught.value) == message


def test_real_architectures_are_searched_together_within_the_budget(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(
        "networks:\n"
        "  isotropic: {width: {low: 32, high: 96, step: 16}, depth: {low: 2, high: 10}}\n"
        "  cp_mobile: {base_channels: {low: 8, high: 64, step: 8}}\n"
        "front_ends: [dcase24, tfsepnet]\n"
    )
    search_settings = SearchSettings(
        data="nowhere", space=str(path), trials=12, epochs=1, budget="macs=12M,params=40K", seed=2
    )
    scheduler = start(search_settings)
    proposals = [scheduler.propose() for _ in range(12)]
    assert {each.config.architecture for each in proposals} == {"isotropic", "cp_mobile"}
    for proposal in proposals:
        assert scheduler.space.budget.fits(proposal.cost)
    for trial in scheduler.study.get_trials():
        name = trial.params[ARCHITECTURE]
        assert set(trial.params) == {ARCHITECTURE, *scheduler.space.subspaces[name].ranges}
