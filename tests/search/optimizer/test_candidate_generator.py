"""The candidate generator: what is proposed fits, is new, and follows from what is in the study."""

from dataclasses import replace

import pytest
from optuna.trial import TrialState

from objectives.cost import Cost
from search.config.settings import SearchSettings
from search.optimizer import candidate_generator
from search.study.study import StudyFolder
from search.study.table import rejection_kinds
from tests.search.scheduled import SETTINGS, ask, epochs, start, start_values


@pytest.fixture
def folder(tmp_path):
    return StudyFolder(tmp_path / "study")


def test_what_breaks_the_budget_is_rejected_with_its_costs_and_never_proposed(folder):
    scheduler = start(folder)
    for _ in range(4):
        assert scheduler.space.budget.fits(scheduler.propose().cost)
    trials = scheduler.study.get_trials()
    rejected = [trial for trial in trials if "rejected" in trial.user_attrs]
    assert rejected
    assert sum(scheduler.rejections.values()) == len(rejected) == sum(rejection_kinds(scheduler.study).values())
    for trial in rejected:
        assert trial.state == TrialState.PRUNED
        cost = trial.user_attrs["cost"]
        over = trial.constraints
        assert over["macs"] == pytest.approx(cost["macs"] / 30_000_000 - 1)
        assert max(over.values()) > 0
        assert "over budget dcase2022" in trial.user_attrs["rejected"]["reason"]


@pytest.mark.parametrize(
    ("space", "rule"),
    [
        ("cp_resnet: {width: 32, groups: [8, 7]}", "groups must divide width, got groups 7 and width 32"),
        ("cp_resnet: {width: 16, rho: [8, 9]}", "rho must be at most 8 + 2 x tail_blocks"),
        ("tf_sepnet: {width: [12, 11]}", "width must give every stage an even number of channels, got 11"),
        (
            "isotropic: {patch: [8, 100]}",
            "patch must be at most the shorter side of the input, 256 mel bins x 65 frames",
        ),
    ],
)
def test_what_builds_no_network_is_rejected_as_invalid_with_the_rule(folder, tmp_path, space, rule):
    file = tmp_path / "space.yaml"
    file.write_text(f"networks:\n  {space}\n")
    scheduler = start(folder, SearchSettings(data="nowhere", space=str(file), trials=6, epochs=9, seed=3))
    for _ in range(6):
        assert scheduler.space.budget.fits(scheduler.propose().cost)
    assert scheduler.rejections["invalid"] > 0
    reasons = {
        trial.user_attrs["rejected"]["reason"]
        for trial in scheduler.study.get_trials()
        if "rejected" in trial.user_attrs
    }
    assert any(reason.startswith(rule) for reason in reasons)


def test_the_first_configuration_is_the_published_one_with_a_batch_for_small_data(folder):
    config = start(folder).propose().config
    assert (config.network.patch, config.network.width, config.network.kernel, config.network.depth) == (5, 64, 3, 9)
    assert (config.recipe.learning_rate, config.recipe.batch_size) == (0.005, 19)


def test_a_killed_search_proposes_the_same_as_one_that_was_not(tmp_path):
    settings = replace(SETTINGS, trials=9, space="isotropic,cp_mobile", early_stopping=False)
    proposed = []
    for restarts in (False, True):
        folder = StudyFolder(tmp_path / str(restarts))
        scheduler = start(folder, settings)
        for _ in range(9):
            proposal = scheduler.propose()
            scheduler.end(proposal.number, epochs(1, 9, 0.1 + proposal.cost.params / 2**20))
            if restarts:
                scheduler = start(folder, settings)
        proposed.append([trial.params for trial in scheduler.study.get_trials()])
    assert proposed[0] == proposed[1]


def test_a_configuration_that_was_trained_is_not_trained_again(folder):
    held = {name: value for name, value in start_values().items() if name != "depth"}
    settings = SearchSettings(data="nowhere", space="isotropic", trials=5, epochs=9, set=held, ranges={"depth": [2, 6]})
    scheduler = start(folder, settings)
    assert sorted(scheduler.propose().config.network.depth for _ in range(5)) == [2, 3, 4, 5, 6]
    assert set(scheduler.rejections) == {"repeated"}


def test_after_enough_rejections_a_proposal_is_projected_and_that_is_recorded(folder, monkeypatch):
    monkeypatch.setattr(candidate_generator, "MAX_REJECTIONS", 5)
    settings = SearchSettings(data="nowhere", space="isotropic", trials=2, budget="macs=800K", epochs=9)
    scheduler = start(folder, settings)
    proposals = [scheduler.propose(), scheduler.propose()]
    assert all(proposal.cost.macs <= 800_000 for proposal in proposals)
    origins = [scheduler.study.get_trials()[proposal.number].user_attrs.get("origin", {}) for proposal in proposals]
    assert "projected" in [origin.get("kind") for origin in origins]
    assert all(origin["changes"] for origin in origins if origin.get("kind") == "projected")


def test_a_search_ends_when_nothing_new_is_left(folder):
    held = {name: value for name, value in start_values().items() if name != "depth"}
    settings = SearchSettings(data="nowhere", space="isotropic", trials=9, epochs=9, set=held, ranges={"depth": [2, 4]})
    scheduler = start(folder, settings)
    assert sorted(scheduler.propose().config.network.depth for _ in range(3)) == [2, 3, 4]
    assert scheduler.propose() is None
    assert scheduler.end_reason == "the space holds no feasible configurations but the 3 already tried"


def test_the_published_start_is_not_lost_to_a_kill_before_it_was_priced(folder):
    first = start(folder)
    ask(first)
    again = start(folder).propose()
    assert again.number == 1
    published = start_values() | {"width": 64, "patch": 5}
    assert {name: again.config.to_dict()[name] for name in published} == published


def test_the_reason_of_a_rejection_names_the_limits_that_are_exceeded(folder):
    scheduler = start(folder)
    for _ in range(3):
        scheduler.propose()
    trial = next(
        t for t in scheduler.study.get_trials() if t.user_attrs.get("rejected", {}).get("kind", "")[:4] == "over"
    )
    recorded = trial.user_attrs["cost"]
    cost = Cost(**{name: recorded[name] for name in ("macs", "params", "stored_values", "peak_bytes", "precision")})
    assert not scheduler.space.budget.fits(cost)
    assert trial.user_attrs["rejected"]["reason"] == scheduler.space.budget.over_budget_message(cost)


def test_the_sampler_proposes_other_configurations_after_a_restart(folder):
    first = start(folder)
    for _ in range(2):
        first.propose()
    second = start(folder)
    proposed = [trial.params for trial in second.study.get_trials()]
    for _ in range(4):
        second.propose()
    new = [trial.params for trial in second.study.get_trials()[len(proposed) :]]
    assert new
    assert all(params not in proposed for params in new)


def test_a_search_without_limits_rejects_nothing_for_its_cost(folder):
    settings = SearchSettings(data="nowhere", space="cp_resnet", trials=6, epochs=9, seed=3, budget="none")
    scheduler = start(folder, settings)
    proposals = [scheduler.propose() for _ in range(6)]
    assert max(proposal.cost.macs for proposal in proposals) > 30_000_000
    assert set(scheduler.rejections) <= {"invalid", "repeated"}
