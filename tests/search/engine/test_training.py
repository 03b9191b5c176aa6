"""A training as a person runs it: interrupted by Ctrl-C, resumed, reported and exported."""

import json
import os
import signal
from dataclasses import replace

import pytest
import torch
import trained as trainings
from scenefront_process import scenefront, start

from data.front_end import FRONT_ENDS
from data.layout import read_scenes
from search.config.trial_config import TrialConfig
from search.export.writing import export_trial
from search.study.selection import best_trial
from search.study.study import StudyFolder, learning_curve
from training.dataset import load_dataset
from training.loop import TrainingRun

EPOCHS = 10
SIZES = {"patch": 16, "depth": 2, "batch_size": 12}
SETS = [text for name, value in SIZES.items() for text in ("--set", f"{name}={value}")]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """Two seeds of a network that is over its budget, the second interrupted and resumed; by the folder of the run."""
    cwd = tmp_path_factory.mktemp("trained")
    process = start(
        "train", tiny, "isotropic", "--study", "whole", "--seeds", 2, "--seed", 3, "--epochs", EPOCHS, "--no-fast",
        "--workers", 1, "--budget", "macs=500K,params=30K", "--cache", cwd / "cache", "--set", "width=32", *SETS,
        cwd=cwd,
    )  # fmt: skip
    for line in process.stdout:
        if f"trial 1 epoch 3/{EPOCHS}" in line:
            break
    os.killpg(process.pid, signal.SIGINT)  # Ctrl-C: a terminal signals Ray's processes, too
    last, _ = process.communicate(timeout=60)
    assert process.returncode == 130, last
    assert "continue with `scenefront resume whole`" in last.lower()
    assert "Traceback" not in last
    return cwd, scenefront("resume", "whole", cwd=cwd)


@pytest.fixture(scope="module")
def exported(trained):
    """An export of the best of the two seeds."""
    cwd, _ = trained
    folder = StudyFolder(cwd / "results" / "whole")
    export_trial(folder, best_trial(folder), cwd / "best")
    return cwd / "best"


def test_what_was_interrupted_comes_to_what_it_would_have_come_to(trained, tiny):
    cwd, _ = trained
    folder = StudyFolder(cwd / "results" / "whole")
    scenes = read_scenes(tiny)
    dataset = load_dataset(scenes, FRONT_ENDS["dcase24"], None, cwd / "cache")
    config = TrialConfig.from_dict(folder.open().get_trials()[0].user_attrs["config"])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for number, seed in enumerate((3, 4)):
            trial = folder.open().get_trials()[number]
            assert trial.user_attrs["config"]["seed"] == seed
            assert [epoch["epoch"] for epoch in learning_curve(trial)] == list(range(1, EPOCHS + 1))
            run = TrainingRun(config.build, replace(config.recipe, seed=seed), dataset, torch.device("cpu"))
            while not run.is_over:
                quality = run.run_epoch().quality
            assert trial.user_attrs["quality"]["confusion"] == [list(row) for row in quality.confusion]
            assert trial.user_attrs["quality"]["log_loss"] == pytest.approx(quality.log_loss, rel=1e-5)
    finally:
        torch.set_num_threads(threads)


def test_a_cost_over_the_budget_is_printed_and_stops_no_training(trained, exported):
    _, output = trained
    assert "over budget macs=500K,params=30K, and trained all the same: macs 702,883 > 500,000 (1.41x)" in output
    report = json.loads((exported / "certificate.json").read_text())
    assert (report["cost"]["fits"], report["cost"]["budget"]) == (False, "macs=500K,params=30K")
    assert report["seed"] in (3, 4)


def test_the_seeds_are_reported_with_their_mean(trained, run):
    cwd, output = trained
    report = json.loads(run("front", "whole", "--results", cwd / "results", "--json").out)
    accuracies = [row["macro_accuracy"] for row in report["seeds"].values()]
    assert list(report["seeds"]) == ["3", "4"]
    assert report["mean"]["macro_accuracy"] == pytest.approx(sum(accuracies) / 2)
    # of two values the standard error is half their distance
    assert report["half"]["macro_accuracy"] == pytest.approx(12.7062 * abs(accuracies[0] - accuracies[1]) / 2, rel=1e-4)
    assert f"{report['mean']['log_loss']:.3f} ± {report['half']['log_loss']:.3f}" in output
    assert set(report["mean"]) >= {"accuracy_real", "accuracy_seen", "accuracy_unseen"}
    assert "no training is running" in run("status", "whole", "--results", cwd / "results").out


def test_another_network_learns_from_an_export_and_from_none_that_has_changed(trained, exported, run, tiny, tmp_path):
    cwd, _ = trained
    output = run(
        "train", tiny, "isotropic", "--study", "student", "--epochs", 2, "--no-fast", "--workers", 1,
        "--cache", cwd / "cache", "--set", "width=16", *SETS, "--set", "distill_weight=20", "--teacher", exported,
    )  # fmt: skip
    assert output.code == 0, output.err
    assert "computing the teacher's logits, once: 48" in output.out
    assert f"teacher: {exported}" in output.out
    assert len(list((cwd / "cache").rglob("teacher-*.safetensors"))) == 1
    student = StudyFolder(tmp_path / "results" / "student")
    alone = StudyFolder(tmp_path / "results" / "alone")
    trainings.train(alone, tiny, settings={"cache": str(cwd / "cache")}, width=16, **SIZES)
    # the same batches of the same clips, and the divergence is added
    losses = [learning_curve(folder.open().trials[0])[0]["train_loss"] for folder in (student, alone)]
    assert losses[0] > losses[1]
    described = (exported / "config.yaml").read_text()
    (exported / "config.yaml").write_text(described + "# changed\n")
    refused = run("resume", "student")
    assert refused.code == 2
    assert f"the teacher {exported} is gone or has changed since student was started" in refused.err
