"""Confirmation of a front: candidates that are trained again from other seeds, means with confidence intervals."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from objectives.confidence import front_probability, intervals, measured
from search.config.errors import SettingsError
from search.config.settings import ConfirmSettings, SearchSettings, TrainSettings
from search.config.settings_file import read_job
from search.config.trial_config import TrialConfig
from search.engine.progress import network_text
from search.engine.summary import training_lines
from search.optimizer.scheduler import TrialScheduler
from search.report.tables import confirmation_table
from search.space.priced_space import price_space
from search.space.pricing import price
from search.space.search_space import make_search_space
from search.study.confirm import confirm_report, confirm_settings, confirm_table, free_name, select_candidates
from search.study.creation import create_study
from search.study.selection import best_trial
from search.study.study import CONFIG, COST, DATA, EPOCH, QUALITY, VERSIONS, StudyError, StudyFolder

CLIPS = 300  # of validation, three classes alike
WIDTHS = (16, 24, 32, 40, 48)  # the wider, the costlier


def quality_of(accuracy, log_loss=1.5, unseen=None):
    score = {"clips": CLIPS // 3, "accuracy": accuracy, "log_loss": log_loss}
    groups = {"real": score, "seen": score} | ({} if unseen is None else {"unseen": {**score, "accuracy": unseen}})
    return {
        "macro_accuracy": accuracy, "accuracy": accuracy, "log_loss": log_loss, "classes": ["a", "b", "c"],
        "by_class": dict.fromkeys("abc", score), "by_device": {"a": score}, "by_group": groups,
        "confusion": [[CLIPS // 3, 0, 0]] * 3,
    }  # fmt: skip


def figures_of(quality):
    return {
        "macro_accuracy": quality["macro_accuracy"], "log_loss": quality["log_loss"],
        "unseen_accuracy": quality["by_group"].get("unseen", {}).get("accuracy"), "worst_device_accuracy": 0.1,
    }  # fmt: skip


def isotropic(width, **values):
    sizes = {"num_classes": 3, "patch": 12, "width": width, "depth": 2, "epochs": 1, "seed": 5, **values}
    return TrialConfig.from_values("isotropic", {**sizes, "impulse_response_p": 0.0})


@pytest.fixture
def searched(tmp_path, tiny):
    """Make a search's study of fully trained trials with the given qualities, the cheapest first."""

    def make(*qualities, **settings):
        search_settings = SearchSettings(data=str(tiny), space="isotropic", epochs=1, seed=5, **settings)
        folder = StudyFolder(tmp_path / "first")
        study = create_study(folder, search_settings, {DATA: {"split": "fold1", "classes": ["airport", "bus", "park"]}})
        for number, each in enumerate(qualities):
            quality = each if isinstance(each, dict) else quality_of(each)
            config = isotropic(WIDTHS[number % 5]) if number < 5 else isotropic(WIDTHS[number % 5], depth=3)
            add(study, search_settings, config, quality)
        return folder

    return make


def add(study, settings, config, quality):
    cost = price(config, "fp16")
    known = {**cost.to_dict(), **figures_of(quality)}
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.COMPLETE,
            values=[float(known[name]) for name in settings.objectives],
            user_attrs={
                CONFIG: config.to_dict(), COST: cost.to_dict(), QUALITY: quality, VERSIONS: {},
                **{f"{EPOCH}{n}": {"epoch": n, **figures_of(quality)} for n in (1,)},
            },
        )
    )  # fmt: skip


def actor_report(epochs, accuracy, log_loss=1.5, unseen=0.2):
    quality = quality_of(accuracy, log_loss, unseen)
    curve = [
        {"epoch": n, "split": "fold1", "train_loss": 1.0, **figures_of(quality), "duration_s": 0.1}
        for n in range(1, epochs + 1)
    ]
    return {"epochs": json.dumps(curve), "quality": json.dumps(quality), "versions": "{}", "done": True}


def start(folder, settings):
    study = folder.open() if folder.database.exists() else create_study(folder, settings, {DATA: {}})
    return TrialScheduler(study, price_space(make_search_space(settings, num_classes=3), 48))


def confirmed(searched_folder, accuracies, seeds=2, **options):
    """Train the selected candidates, each from every seed; `accuracies` by trial of the search, a list over seeds."""
    settings = confirm_settings(searched_folder, select_candidates(searched_folder, near=4, **options), seeds=seeds)
    folder = StudyFolder(searched_folder.path.parent / f"{searched_folder.name}-confirm")
    scheduler = start(folder, settings)
    while (proposal := scheduler.propose()) is not None:
        width = proposal.config.network.width
        accuracy = accuracies[WIDTHS.index(width)][proposal.config.recipe.seed - settings.seed]
        if accuracy is None:
            continue
        assert scheduler.end(proposal.number, actor_report(1, accuracy)) == "complete"
    return folder


def standard_error(accuracy):
    share = (accuracy * CLIPS / 3 + 1) / (CLIPS / 3 + 2)
    return math.sqrt(share * (1 - share) / CLIPS)


def test_the_front_is_confirmed_and_what_misses_it_by_luck_alone(searched):
    # 0 and 2 are the front; 1 and 3 miss it by a little, 4 by far
    folder = searched(0.40, 0.37, 0.50, 0.45, 0.30)
    found = select_candidates(folder, near=4)
    assert [(each.number, each.role) for each in found] == [(0, "front"), (2, "front"), (1, "near"), (3, "near")]
    assert found[2].gap == pytest.approx(0.03 / math.hypot(standard_error(0.40), standard_error(0.37)))
    assert found[3].gap == pytest.approx(0.05 / math.hypot(standard_error(0.50), standard_error(0.45)))
    assert [each.number for each in select_candidates(folder, near=1)] == [0, 2, 1]
    assert [each.number for each in select_candidates(folder, near=0)] == [0, 2]


@pytest.mark.parametrize(("errors", "is_near"), [(1.9, True), (2.0, False)])
def test_the_limit_of_luck_is_where_one_difference_of_twenty_is_larger(searched, errors, is_near):
    below = 0.5 - errors * math.hypot(standard_error(0.5), standard_error(0.42))
    assert len(select_candidates(searched(0.5, below), near=4)) == 1 + is_near


def test_a_trial_is_as_near_as_its_nearest_quality(searched):
    # far behind in log loss, near in accuracy: with luck in accuracy alone it would be on the front
    folder = searched(quality_of(0.50, 1.0), quality_of(0.49, 3.0), objectives=("log_loss", "macro_accuracy", "macs"))
    near = select_candidates(folder, near=4)[-1]
    assert (near.number, near.role) == (1, "near")
    assert near.gap == pytest.approx(0.01 / math.hypot(standard_error(0.50), standard_error(0.49)))
    alone = searched_again(folder, ("log_loss", "macs"))
    assert [each.number for each in select_candidates(alone, near=4)] == [0]


def searched_again(folder, objectives):
    """Copy a study with other objectives."""
    other = StudyFolder(folder.path.parent / "second")
    settings = replace(folder.settings(), objectives=objectives)
    study = create_study(other, settings, {DATA: {"split": "fold1"}})
    for trial in folder.open().get_trials():
        add(study, settings, TrialConfig.from_dict(trial.user_attrs[CONFIG]), trial.user_attrs[QUALITY])
    return other


def test_trials_are_confirmed_by_their_numbers_and_only_what_is_trained(searched):
    folder = searched(0.40, 0.39, 0.50, 0.10)
    found = select_candidates(folder, near=0, requested=[3, 1, 2, 3])
    assert [(each.number, each.role) for each in found] == [(3, "requested"), (1, "near"), (2, "front")]
    with pytest.raises(
        StudyError, match=r"trial 9 of first cannot be confirmed; fully trained and within the budget are: 0, 1"
    ):
        select_candidates(folder, near=0, requested=[1, 9])


def test_nothing_that_is_over_the_budget_is_confirmed(searched):
    folder = searched(0.40, 0.50, budget=f"macs={price(isotropic(WIDTHS[0]), 'fp16').macs}")
    assert [each.number for each in select_candidates(folder, near=4)] == [0]


def test_a_study_without_a_front_has_nothing_to_confirm(searched, tmp_path):
    with pytest.raises(StudyError, match="the front of first is empty: no trial that fits is fully trained yet"):
        select_candidates(searched(), near=4)
    trained = StudyFolder(tmp_path / "trained")
    create_study(trained, TrainSettings(data="d", architecture="isotropic", set={"width": 32}), {})
    with pytest.raises(StudyError, match="trained is a train study: only the front of a search can be confirmed"):
        select_candidates(trained, near=4)


def test_a_confirmation_trains_on_all_clips_from_seeds_that_the_search_did_not_use(searched):
    folder = searched(0.40, 0.50, validation=0.4, objectives=("macro_accuracy", "params"), start=("x",), mode="best")
    settings = confirm_settings(folder, select_candidates(folder, near=4), seeds=3)
    assert (settings.validation, settings.early_stopping, settings.job) == (0, False, "confirm")
    assert list(settings.seeds) == [6, 7, 8]
    assert (settings.trials, settings.confirms, settings.start) == (6, "first", ())
    assert settings.objectives == ("macro_accuracy", "params")
    assert [(candidate["trial"], candidate["chosen_by"]["macro_accuracy"]) for candidate in settings.candidates] == [
        (0, 0.40), (1, 0.50),
    ]  # fmt: skip
    written = folder.path / "again.yaml"
    written.write_text(settings.to_yaml())
    assert read_job(written) == settings


def test_an_objective_that_the_evaluation_clips_cannot_measure_is_left_out(searched, tiny, tmp_path):
    known = tmp_path / "known"
    (known / "evaluation_setup").mkdir(parents=True)
    for name in ("meta.csv", "evaluation_setup/fold1_train.csv", "evaluation_setup/fold1_evaluate.csv"):
        lines = (tiny / name).read_text().splitlines()
        (known / name).write_text("\n".join(line for line in lines if "s4.wav" not in line))
    objectives = ("unseen_accuracy", "macro_accuracy", "macs")
    folder = searched(quality_of(0.4, unseen=0.3), objectives=objectives, unseen_devices=("s1",))
    candidates = select_candidates(folder, near=0)
    assert confirm_settings(folder, candidates, seeds=2).objectives == objectives
    assert confirm_settings(folder, candidates, seeds=2, data=str(known)).objectives == objectives[1:]
    alone = searched_again(folder, objectives[::2])
    with pytest.raises(
        StudyError, match="has accuracy, unseen devices as its only quality, and the evaluation clips have no"
    ):
        confirm_settings(alone, candidates, seeds=2, data=str(known))


def test_every_candidate_is_proposed_from_every_seed_and_only_the_seed_is_changed(searched, tmp_path):
    folder = searched(0.40, 0.35, 0.50)
    other = TrialConfig.from_values("tf_sepnet", {"num_classes": 3, "epochs": 1, "seed": 5, "impulse_response_p": 0.0})
    add(folder.open(), folder.settings(), other, quality_of(0.6))
    settings = confirm_settings(folder, select_candidates(folder, near=0), seeds=2)
    assert settings.space == "isotropic,tf_sepnet"
    scheduler = start(StudyFolder(tmp_path / "again"), settings)
    proposals = [scheduler.propose() for _ in range(7)]
    assert proposals.pop() is None
    expected = [
        replace(config, recipe=replace(config.recipe, seed=seed))
        for seed in (6, 7)
        for config in (isotropic(16), isotropic(32), other)
    ]
    assert [proposal.config for proposal in proposals] == expected
    assert not scheduler.rejections
    assert network_text(scheduler.space, proposals[-2].config) == "isotropic trial=2 seed=7"
    assert set(scheduler.space.front_ends) == {"dcase24", "tfsepnet"}
    assert training_lines(scheduler.space)[0].startswith(
        "networks: trials 0 (front), 2 (front), 3 (front) of first; each"
    )


def test_another_driver_resumes_with_the_trainings_that_are_left(searched, tmp_path):
    folder = searched(0.40, 0.50)
    again = StudyFolder(tmp_path / "again")
    first = start(again, confirm_settings(folder, select_candidates(folder, near=0), seeds=2))
    done, running = first.propose(), first.propose()
    first.end(done.number, actor_report(1, 0.5))
    second = start(again, read_job(again.settings_file))
    assert second.propose().config == running.config
    left = [second.propose() for _ in range(3)]
    assert [(each.config.network.width, each.config.recipe.seed) for each in left[:2]] == [(16, 7), (24, 7)]
    assert left[2] is None
    assert len(second.study.get_trials()) == 4


def test_a_candidate_for_other_scenes_is_refused(searched):
    folder = searched(0.40)
    settings = confirm_settings(folder, select_candidates(folder, near=0), seeds=2)
    with pytest.raises(ValueError, match="candidate 0 has 3 classes, but the data have 10"):
        make_search_space(settings, num_classes=10)


def test_means_intervals_and_the_probability_of_the_front_are_reported(searched):
    folder = confirmed(searched(0.40, 0.50, 0.45), {0: [0.38, 0.40], 1: [0.43, 0.45], 2: [0.47, 0.43]})
    report = confirm_report(folder)
    assert [(candidate["trial"], candidate["role"]) for candidate in report["candidates"]] == [
        (0, "front"), (1, "front"), (2, "near"),
    ]  # fmt: skip
    samples = [[[0.38], [0.40]], [[0.43], [0.45]], [[0.47], [0.43]]]
    prices = [price(isotropic(width), "fp16") for width in WIDTHS[:3]]
    alone = measured(samples, ["isotropic"] * 3, [each.params for each in prices])
    for candidate, mean, [seeds] in zip(report["candidates"], (0.39, 0.44, 0.45), intervals(alone), strict=True):
        assert candidate["mean"]["macro_accuracy"] == pytest.approx(mean)
        assert candidate["half_seeds"]["macro_accuracy"] == pytest.approx(seeds.half)
        assert candidate["half"]["macro_accuracy"] > seeds.half  # the clips are few, too
        assert candidate["mean"]["accuracy_unseen"] == pytest.approx(0.2)
    by_seeds = front_probability(alone, [[each.macs] for each in prices], [True, False])
    first, *others = [candidate["p_front"] for candidate in report["candidates"]]
    assert first == 1.0
    assert all(0.3 < both < seeds for both, seeds in zip(others, by_seeds[1:], strict=True))
    assert [candidate["on_front"] for candidate in report["candidates"]] == [True, True, True]
    table = confirmation_table(report, "")
    assert table.head == [
        "trial", "role", "architecture", "network", "MACs", "parameters", "macro accuracy, validation", "seeds",
        "macro accuracy", "accuracy, seen devices", "accuracy, unseen devices", "P(front)",
        "front",
    ]  # fmt: skip
    assert table.rows[0][6:9] == ["0.400", "2", "0.390"]
    assert table.rows[2][-2:] == ["", "*"]
    assert report["too_few_seeds"] == (
        "too few seeds for intervals and P(front): 3 networks with 2 seeds each need 3 each (--seeds 3)"
    )
    json.dumps(report)


def test_with_enough_seeds_the_table_has_intervals_and_probabilities(searched):
    folder = confirmed(searched(0.40, 0.50), {0: [0.38, 0.40, 0.39], 1: [0.43, 0.45, 0.44]}, seeds=3)
    report = confirm_report(folder)
    assert report["too_few_seeds"] == ""
    half, chance = report["candidates"][1]["half"]["macro_accuracy"], report["candidates"][1]["p_front"]
    row = confirmation_table(report, "").rows[1]
    assert (row[8], row[-2]) == (f"0.440 ± {half:.3f}", f"{chance:.2f}")


def test_a_candidate_that_is_not_trained_yet_has_no_metrics_and_dominates_nobody(searched):
    folder = confirmed(searched(0.40, 0.50), {0: [0.38, 0.40], 1: [None, None]})
    first, second = confirm_report(folder)["candidates"]
    assert (first["p_front"], first["on_front"]) == (1.0, True)
    assert (second["p_front"], second["on_front"], second["mean"]) == (None, None, {})
    assert confirmation_table(confirm_report(folder), "").rows[1][7:] == ["0", "", "", "", "", ""]


def test_with_one_seed_there_are_means_and_a_front_but_no_intervals_and_no_probability(searched):
    folder = confirmed(searched(0.40, 0.50), {0: [0.40], 1: [0.38]}, seeds=1)
    candidates = confirm_report(folder)["candidates"]
    assert [(candidate["on_front"], candidate["p_front"]) for candidate in candidates] == [(True, None), (False, None)]
    assert candidates[0]["half"]["macro_accuracy"] is None


def test_a_confirmation_is_drawn_as_means_with_intervals(searched):
    folder = confirmed(searched(0.40, 0.50), {0: [0.38, 0.40], 1: [0.43, 0.45]})
    table = confirm_table(confirm_report(folder))
    assert table["macro_accuracy"].tolist() == pytest.approx([0.39, 0.44])
    assert (table["macro_accuracy_half"] > 0).all()
    assert table["on_front"].tolist() == [True, True]
    assert set(table["state"]) == {"complete"}


def test_the_best_of_a_confirmation_is_of_the_best_mean_and_not_of_the_luckiest_seed(searched):
    folder = confirmed(searched(0.40, 0.50, 0.45), {0: [0.2, 0.2], 1: [0.30, 0.50], 2: [0.44, 0.46]})
    trial = folder.open().get_trials()[best_trial(folder)]
    assert (trial.user_attrs[CONFIG]["width"], trial.user_attrs[CONFIG]["seed"]) == (32, 6)


def test_the_best_of_a_search_is_by_its_first_quality_and_within_its_budget(searched):
    losses = [quality_of(0.5, 1.2), quality_of(0.4, 1.0), quality_of(0.4, 1.0), quality_of(0.9, 0.5)]
    limit = price(isotropic(WIDTHS[2]), "fp16").macs
    folder = searched(*losses, objectives=("log_loss", "macro_accuracy", "macs"), budget=f"macs={limit}")
    assert best_trial(folder) == 1


def test_a_second_confirmation_gets_a_number(tmp_path):
    assert free_name(tmp_path, "mine") == "mine-confirm"
    (tmp_path / "mine-confirm").mkdir()
    assert free_name(tmp_path, "mine") == "mine-confirm-2"


def test_the_settings_of_candidates_are_checked():
    candidate = {"trial": 0, "config": asdict(isotropic(16).network)}
    shared = {"data": "d", "confirms": "first"}
    assert len(ConfirmSettings(**shared, candidates=(candidate, {**candidate, "trial": 1}), trials=6).seeds) == 3
    for wrong, rule in (
        ({"candidates": ({"trial": 0},), "trials": 1}, "candidates must be a list of trials with their configs"),
        ({"candidates": (candidate, candidate), "trials": 3}, "trials must be a multiple of the 2 candidates, got 3"),
    ):
        with pytest.raises(SettingsError, match=rule):
            ConfirmSettings(**shared, **wrong)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trials", "1,x"], "--trials takes comma-separated numbers, got '1,x'"),
        (["--trials", "7"], "trial 7 of first cannot be confirmed"),
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--seeds", "0"], "0 is not in the range x>=1"),
    ],
)
def test_bad_input_is_reported_before_anything_is_written(searched, run, tmp_path, arguments, message):
    folder = searched(0.4)
    result = run("confirm", "first", "--results", folder.path.parent, *arguments)
    assert result.code == 2
    assert message in result.err
    assert not (tmp_path / "first-confirm").exists()
    assert np.isfinite(folder.open().get_trials()[0].values).all()
