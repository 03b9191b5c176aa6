"""Trainings of the comparison: their record, and that nothing is trained twice."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from benchmarks import final_trainings
from benchmarks.final_trainings import Clips, FinishedTraining, Job, key_of, read_record, run_jobs, train, with_seed
from search.config.trial_config import TrialConfig
from training.compute_mode import ComputeMode
from training.loop import TrainingRun

CONFIG = TrialConfig.from_values(
    "tf_sepnet",
    {
        "width": 12,
        "num_classes": 3,
        "epochs": 2,
        "batch_size": 12,
        "seed": 3,
        "impulse_response_p": 0.0,
        "learning_rate": 0.01,
    },
)


@pytest.fixture
def clips(tiny, tmp_path):
    return Clips(tiny, None, tmp_path / "cache")


def finished(config, correct=(True, False, True), data="data"):
    bits = np.packbits(np.array(correct)).tobytes().hex()
    return FinishedTraining(
        data=data, config=config.to_dict(), correct=bits, num_clips=len(correct), cpu_s=1.0, diverged=""
    )


def test_which_clips_are_correct_survives_the_record(tmp_path):
    path = tmp_path / "record.jsonl"
    correct = (True, False, True, True, False, False, False, True, True, False)
    path.write_text(json.dumps(asdict(finished(CONFIG, correct))) + "\n")
    record = read_record(path)
    assert record[key_of("data", CONFIG.to_dict())].is_correct.tolist() == list(correct)


def test_another_seed_or_another_data_set_is_another_training():
    keys = {
        finished(CONFIG).key,
        finished(with_seed(CONFIG, 4)).key,
        finished(CONFIG, data="other").key,
    }
    assert len(keys) == 3


def test_a_recorded_training_is_not_run_again_and_half_a_line_is_dropped(clips, tmp_path, monkeypatch):
    path = tmp_path / "record.jsonl"
    line = json.dumps(asdict(finished(CONFIG)))
    path.write_text(f"{line}\n{line[:40]}")
    monkeypatch.setattr(final_trainings, "ProcessPoolExecutor", None)  # no process is started
    jobs = [Job(clips, "data", CONFIG, 1), Job(clips, "data", CONFIG, 1)]
    assert list(run_jobs(jobs, path, workers=1)) == [(1, 1)]
    assert path.read_text() == f"{line}\n"


def test_a_training_gives_the_clips_that_the_training_loop_classifies_correctly(clips):
    threads = torch.get_num_threads()
    found = train(clips, "data", CONFIG.to_dict())
    dataset = clips.dataset(CONFIG.front_end)
    run = TrainingRun(CONFIG.build, CONFIG.recipe, dataset, torch.device("cpu"), ComputeMode(channels_last=True))
    while not run.is_over:
        run.run_epoch()
    torch.set_num_threads(threads)
    assert found.is_correct.mean() == pytest.approx(run.results[-1].quality.accuracy)
    assert found.num_clips == len(dataset.scenes.evaluate)


def test_a_training_that_diverges_is_as_good_as_chance(clips):
    config = TrialConfig.from_dict({**CONFIG.to_dict(), "learning_rate": 1e30, "optimizer": "sgd"})
    found = train(clips, "data", config.to_dict())
    assert found.diverged
    scenes = clips.scenes
    labels = scenes.labels[scenes.evaluate]
    assert np.mean([found.is_correct[labels == label].mean() for label in range(3)]) == pytest.approx(1 / 3)


def test_the_hash_of_the_data_depends_on_the_impulse_responses(clips, responses):
    assert clips.digest() != Clips(clips.root, responses, clips.cache).digest()
