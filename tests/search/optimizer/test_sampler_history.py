"""The sampler's history of a study that was searched under another budget, in other ranges, or by other drivers."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from objectives.budget import parse_budget
from objectives.cost import Cost
from search.config.trial_config import ARCHITECTURE
from search.optimizer.sampler_history import SamplerHistory
from search.optimizer.trial_store import TrialStore, widest
from search.optimizer.trial_table import TrialTable
from search.space.ranges import suggest
from search.study.optuna_private import CONSTRAINT_PREFIX
from search.study.study import StudyError
from spaces import Space
from tests.search.rows import row

NETWORKS = {
    "small": {"width": IntDistribution(1, 16), "norm": CategoricalDistribution(["batch", "none"])},
    "large": {"width": IntDistribution(8, 64, step=8)},
}
SPACE = Space(NETWORKS, ("dcase24", "tfsepnet"), {"rate": FloatDistribution(1e-3, 1e-1, log=True)})
WIDEST = widest(SPACE)
SMALL = {name: WIDEST[name] for name in ("small.width", "small.norm", "rate")}
LARGE = {name: WIDEST[name] for name in ("large.width", "rate")}
BOTH = {"small": SMALL, "large": LARGE}


def add(study, params, macs=1_000_000, state=TrialState.COMPLETE, values=(0.5, 1.0), **attributes):
    cost = Cost(macs, 10, 10, 10)
    budget = parse_budget("macs=2M")
    study.add_trial(
        create_trial(
            state=state, values=list(values) if state == TrialState.COMPLETE else None, params=params,
            distributions={name: WIDEST[name] for name in params},
            user_attrs={"cost": cost.to_dict(), **attributes},
            system_attrs={f"{CONSTRAINT_PREFIX}{name}": value for name, value in budget.excess(cost).items()},
        )
    )  # fmt: skip
    return len(study.trials) - 1


@pytest.fixture
def study():
    return optuna.create_study(directions=["maximize", "minimize"])


def history_of(study, ranges=BOTH, budget="macs=2M", architecture="small"):
    history = SamplerHistory(ranges, parse_budget(budget))
    store = TrialStore(study, "tpe", history, WIDEST)
    assert store.num_trials == len(study.trials)
    return {trial.number: (trial.state.name, trial.values, trial.constraints) for trial in history.trials(architecture)}


def small(width=4, norm="batch", rate=0.01):
    return {ARCHITECTURE: "small", "small.width": width, "small.norm": norm, "rate": rate}


def over(kind="over macs"):
    return {"kind": kind, "reason": "too much"}


def test_each_architecture_has_its_own_trials(study):
    add(study, small())
    add(study, {ARCHITECTURE: "large", "large.width": 8, "rate": 0.01})
    assert list(history_of(study)) == [0]
    assert list(history_of(study, architecture="large")) == [1]


def test_a_rejection_is_in_the_history_until_the_budget_allows_it(study):
    add(study, small(), 3_000_000, TrialState.PRUNED, rejected=over())
    assert history_of(study) == {0: ("PRUNED", None, {"macs": 0.5})}
    assert history_of(study, budget="macs=1M") == {0: ("PRUNED", None, {"macs": 2.0})}
    assert history_of(study, budget="macs=3M") == {}


def test_what_was_trained_and_does_not_fit_any_more_is_no_good_example(study):
    add(study, small())
    assert history_of(study) == {0: ("COMPLETE", [0.5, 1.0], {"macs": -0.5})}
    assert history_of(study, budget="macs=500K") == {0: ("PRUNED", None, {"macs": 1.0})}


def test_what_builds_no_network_is_in_the_history_under_every_budget(study):
    add(study, small(), state=TrialState.PRUNED, rejected=over("invalid"))
    assert history_of(study) == {0: ("PRUNED", None, {"macs": -0.5, "invalid": 1.0})}


def test_what_was_repeated_failed_or_stopped_is_in_the_history_but_is_no_good_example(study):
    add(study, small(), state=TrialState.PRUNED, rejected=over("repeated"))
    add(study, small(5), state=TrialState.FAIL, failure="loss nan")
    add(study, small(6), state=TrialState.PRUNED, stopped="epoch 3")
    assert {state for state, *_ in history_of(study).values()} == {"PRUNED"}
    assert list(history_of(study)) == [0, 1, 2]


def test_what_was_interrupted_before_its_verdict_is_not_in_the_history(study):
    add(study, small(), state=TrialState.PRUNED, rejected=over("interrupted"))
    assert history_of(study) == {}


def test_what_lies_outside_of_todays_ranges_is_not_in_the_history(study):
    add(study, small(width=4))
    add(study, small(width=12))
    add(study, small(width=4, norm="none"))
    narrowed = {**SMALL, "small.width": IntDistribution(1, 8), "small.norm": CategoricalDistribution(["batch"])}
    assert list(history_of(study, {"small": narrowed, "large": LARGE})) == [0]
    wider = {**SMALL, "small.depth": IntDistribution(1, 4)}  # which the trials do not have
    assert history_of(study, {"small": wider}) == {}


def test_a_trial_is_known_for_its_architectures_without_the_choice_of_one(study):
    named = small()
    del named[ARCHITECTURE]
    add(study, named, state=TrialState.PRUNED, rejected=over("invalid"))  # when nothing else fitted
    add(study, {"large.width": 8, "rate": 0.01}, config={"architecture": "large"})
    assert list(history_of(study)) == [0]
    assert list(history_of(study, architecture="large")) == [1]
    assert list(history_of(study, {"small": SMALL})) == [0]


def estimated(study, budget, objectives=None):
    """Return the first trial as the sampler's history has it, with an estimate of (0.7, 3e6)."""
    table = TrialTable()
    table.add(row(0, 3, 0.5, estimate=(0.7, 3e6)))
    history = SamplerHistory(BOTH, parse_budget(budget), objectives, table)
    TrialStore(study, "tpe", history, WIDEST)
    return history.trials("small")[0]


def test_a_trial_that_is_not_trained_to_the_end_counts_with_its_estimate_if_it_fits(study):
    add(study, small(), 3_000_000, TrialState.RUNNING)
    assert estimated(study, "macs=2M").state == TrialState.PRUNED
    seen = estimated(study, "macs=3M", [0])
    assert (seen.state, seen.values) == (TrialState.COMPLETE, [0.7])


def test_a_trial_that_ended_has_its_own_values_and_no_estimate(study):
    add(study, small(), values=(0.4, 2e6))
    assert estimated(study, "none").values == [0.4, 2e6]


def test_values_are_recorded_with_the_widest_ranges_that_the_space_has(study):
    narrowed = {"small.width": IntDistribution(1, 8), "small.norm": CategoricalDistribution(["none"])}
    store = TrialStore(study, "random", SamplerHistory({"small": narrowed}, parse_budget("none")), WIDEST)
    trial = store.ask(0)
    for name, each in narrowed.items():
        suggest(trial, name, each)
    store.create(trial, is_rejected=False)
    assert study.trials[0].distributions == {name: WIDEST[name] for name in narrowed}
    assert study.trials[0].params["small.norm"] == "none"
    whole = TrialStore(study, "random", SamplerHistory({"small": SMALL}, parse_budget("none")), WIDEST)
    for seed in range(8):
        trial = whole.ask(seed)
        for name, each in SMALL.items():
            suggest(trial, name, each)
        whole.create(trial, is_rejected=False)
    assert {each.params["small.norm"] for each in study.trials} == {"batch", "none"}


def test_a_choice_that_got_new_values_is_refused(study):
    add(study, small())
    new = {**SMALL, "small.norm": CategoricalDistribution(["batch", "none", "layer"])}
    with pytest.raises(StudyError) as caught:
        TrialStore(study, "tpe", SamplerHistory({"small": new}, parse_budget("none")), WIDEST)
    assert str(caught.value) == (
        "small.norm was a choice of batch, none when the study was started, and layer is new: a choice cannot get "
        "other values; start a new study, from this one's configurations with --start"
    )


def test_the_widest_ranges_of_a_space_have_the_name_and_the_whole_of_each_range():
    assert set(WIDEST) == {ARCHITECTURE, "front_end", "rate", "small.width", "small.norm", "large.width"}
    assert WIDEST[ARCHITECTURE] == CategoricalDistribution(["small", "large"])
    assert set(widest(Space({"small": {}}, training={}))) == set()
