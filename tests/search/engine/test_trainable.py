"""What trains a job, without Ray around it."""

import json

import psutil
import pytest
import torch

from data.layout import read_scenes
from search.config.settings import SearchSettings
from search.config.trial_config import TrialConfig
from search.engine.allocation import share_machine
from search.engine.checkpoints import Checkpoints
from search.engine.ray_tune import actor_config
from search.engine.trainable import TrialActor
from search.optimizer.successive_halving import Rung
from training.loop import TrainingRun


@pytest.fixture
def begin(tiny, tmp_path):
    """Begin a job of a trial of three epochs, of which the study knows the first few."""
    settings = SearchSettings(data=str(tiny), space="isotropic", cache=str(tmp_path / "cache"), workers=1)
    sizes = {"patch": 16, "width": 32, "depth": 2, "columns": 1, "batch_size": 12, "epochs": 3}
    classes = len(read_scenes(tiny).classes)
    trial = TrialConfig.from_values("isotropic", {**sizes, "num_classes": classes, "impulse_response_p": 0.0})

    def job(epochs_recorded, number=4, **identity):
        actor = object.__new__(TrialActor)  # Ray's own constructor makes folders for its logs
        place = {"number": number, "epochs_before": 0, "epochs_recorded": epochs_recorded}
        place["identity"] = {"study": "one", "data": "these", **identity}
        checkpoints = Checkpoints(str(tmp_path / "study")).to_dict()
        known = actor_config(trial, settings, share_machine(1), Rung("fold1", 0, 1))
        actor.given = {**known, **place, "threads": 1, "latency_ms": None, "checkpoints": checkpoints}
        actor.setup(actor.given)
        return actor

    return job


def told(actor):
    result = actor.step()
    return [epoch["epoch"] for epoch in json.loads(result["epochs"])], result["done"]


def test_a_job_gives_back_what_the_one_before_held_and_its_peak_is_its_own(begin, monkeypatch):
    run_epoch = TrainingRun.run_epoch

    def greedy(run):
        torch.ones(100_000_000).sum()  # 400 MB
        return run_epoch(run)

    actor = begin(0, number=1)
    monkeypatch.setattr(TrainingRun, "run_epoch", greedy)
    peak = json.loads(actor.step()["epochs"])[0]["memory_bytes"]
    held = psutil.Process().memory_info().rss
    monkeypatch.undo()
    actor.reset_config({**actor.given, "number": 2})
    assert held - psutil.Process().memory_info().rss > 350_000_000
    assert peak - json.loads(actor.step()["epochs"])[0]["memory_bytes"] > 350_000_000


def test_an_epoch_that_the_study_does_not_know_is_told_before_another_is_trained(begin):
    first = begin(0)
    assert [told(first), told(first)] == [([1], False), ([2], False)]
    again = begin(1)  # killed when the second epoch was in the checkpoint and not in the study
    assert told(again) == ([1, 2], False)
    assert told(again) == ([3], True)
    assert told(begin(2)) == ([1, 2, 3], True)
    assert told(begin(3)) == ([1, 2, 3], True)


def test_a_job_that_was_broken_off_computes_what_it_would_have(begin):
    whole = begin(0, number=1)
    losses = [json.loads(whole.step()["epochs"])[-1]["train_loss"] for _ in range(3)]
    begin(0, number=2).step()
    assert json.loads(begin(1, number=2).step()["epochs"])[-1]["train_loss"] == losses[1]
    assert json.loads(begin(2, number=2).step()["epochs"])[-1]["train_loss"] == losses[2]


@pytest.mark.parametrize("other", [{"study": "another"}, {"data": "others"}])
def test_a_checkpoint_left_over_from_another_study_or_other_data_is_not_continued(begin, other):
    mine = begin(0)
    assert [told(mine) for _ in range(3)][-1] == ([3], True)
    again = begin(0, **other)
    assert [told(again), told(again), told(again)] == [([1], False), ([2], False), ([3], True)]


def test_a_checkpoint_of_another_version_of_the_code_is_not_continued(begin, monkeypatch):
    assert told(begin(0)) == ([1], False)
    assert told(begin(1)) == ([1, 2], False)  # the same code: continued
    monkeypatch.setattr("search.engine.trainable.code_version", lambda: "another")
    assert told(begin(1)) == ([1], False)
