"""A training as a person runs it: killed in the middle, taken up, reported and exported."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from terminal import listen_to_ctrl_c

from data.front_end import FRONT_ENDS
from data.layout import read_scenes
from search.config.trial_config import TrialConfig
from search.study.study import StudyFolder, learning_curve
from training.dataset import load_dataset
from training.loop import TrainingRun

ROOT = Path(__file__).parents[3]
EPOCHS = 10
pytestmark = pytest.mark.slow


def command(*arguments):
    return [sys.executable, "-m", "search", *map(str, arguments)]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def scenefront(*arguments, cwd):
    return subprocess.run(
        command(*arguments), cwd=cwd, env=environment(), capture_output=True, text=True, timeout=240, check=False
    )


def stop(asked, cwd, line_part, number):
    """Run a command until it prints something, then send a signal."""
    process = subprocess.Popen(
        command(*asked), cwd=cwd, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=listen_to_ctrl_c,  # noqa: PLW1509 - nothing of this process runs in the child
    )  # fmt: skip
    for line in process.stdout:
        if line_part in line:
            break
    process.send_signal(number)
    told, _ = process.communicate(timeout=60)
    return process.returncode, told


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """Two seeds of a network that is over its budget, interrupted twice, and the folder that it was run in."""
    cwd = tmp_path_factory.mktemp("trained")
    asked = [
        "train", tiny, "isotropic", "--study", "whole", "--seeds", 2, "--seed", 3, "--epochs", EPOCHS, "--no-fast",
        "--workers", 1, "--budget", "macs=500K,params=30K", "--cache", cwd / "cache", "--set", "width=32",
        "--set", "patch=16", "--set", "depth=2", "--set", "batch_size=12",
    ]  # fmt: skip
    code, told = stop(asked, cwd, "epoch 3/", signal.SIGINT)
    assert (code, "Go on with `scenefront resume whole`" in told) == (130, True), told
    stop(["resume", "whole"], cwd, f"trial 1 epoch 2/{EPOCHS}", signal.SIGKILL)
    last = scenefront("resume", "whole", cwd=cwd)
    assert last.returncode == 0, last.stdout + last.stderr
    return cwd, last.stdout


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


def test_its_cost_is_told_and_stops_nobody(trained, tmp_path):
    cwd, told = trained
    assert "over budget macs=500K,params=30K, and trained all the same: macs 702,883 > 500,000 (1.41x)" in told
    assert scenefront("export", "whole", "--out", tmp_path / "best", cwd=cwd).returncode == 0
    report = json.loads((tmp_path / "best" / "certificate.json").read_text())
    assert (report["cost"]["fits"], report["cost"]["budget"]) == (False, "macs=500K,params=30K")
    assert report["seed"] in (3, 4)


def test_the_seeds_are_told_with_their_mean(trained):
    cwd, told = trained
    report = json.loads(scenefront("front", "whole", "--json", cwd=cwd).stdout)
    accuracies = [row["macro_accuracy"] for row in report["seeds"].values()]
    assert list(report["seeds"]) == ["3", "4"]
    assert report["mean"]["macro_accuracy"] == pytest.approx(sum(accuracies) / 2)
    # of two values the standard error is half their distance
    assert report["half"]["macro_accuracy"] == pytest.approx(12.7062 * abs(accuracies[0] - accuracies[1]) / 2, rel=1e-4)
    assert f"{report['mean']['log_loss']:.3f} ± {report['half']['log_loss']:.3f}" in told
    assert set(report["mean"]) >= {"accuracy_real", "accuracy_seen", "accuracy_unseen"}
    assert "no training is running" in scenefront("status", "whole", cwd=cwd).stdout


def test_another_network_learns_from_an_export_and_from_none_that_has_changed(trained, tiny, tmp_path):
    cwd, _ = trained
    teacher = tmp_path / "teacher"
    assert scenefront("export", "whole", "--out", teacher, cwd=cwd).returncode == 0
    asked = [
        "train", tiny, "isotropic", "--epochs", 2, "--no-fast", "--workers", 1, "--cache", cwd / "cache",
        "--set", "width=16", "--set", "patch=16", "--set", "depth=2", "--set", "batch_size=12",
    ]  # fmt: skip
    told = scenefront(*asked, "--study", "student", "--set", "distill_weight=20", "--teacher", teacher, cwd=tmp_path)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "computing the teacher's logits, once: 48" in told.stdout
    assert f"teacher: {teacher}" in told.stdout
    assert len(list((cwd / "cache").rglob("teacher-*.safetensors"))) == 1
    assert scenefront(*asked, "--study", "alone", cwd=tmp_path).returncode == 0
    taught, alone = (
        learning_curve(StudyFolder(tmp_path / "results" / name).open().trials[0]) for name in ("student", "alone")
    )
    # the same batches of the same clips, and the divergence beside
    assert taught[0]["train_loss"] > alone[0]["train_loss"]
    described = (teacher / "config.yaml").read_text()
    (teacher / "config.yaml").write_text(described + "# changed\n")
    refused = scenefront("resume", "student", cwd=tmp_path)
    assert refused.returncode == 2
    assert f"the teacher {teacher} is gone or has changed since student was started" in refused.stderr
