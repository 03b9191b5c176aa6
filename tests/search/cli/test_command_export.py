"""`scenefront export` as a person types it: one trial, the whole front, one that is broken, and wrong flags."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from optuna.trial import create_trial
from terminal import listen_to_ctrl_c
from trained import SMALL

from data.validation_split import read_for_search
from objectives.quality import measure_quality
from search.artifact.reading import load_export
from search.config.settings import SearchSettings
from search.config.trial_config import TrialConfig
from search.engine.checkpoints import study_checkpoints
from search.space.pricing import price
from search.study.creation import create_study
from search.study.data_identity import describe_data
from search.study.study import CONFIG, COST, DATA, EPOCH, QUALITY, VERSIONS, StudyFolder
from training.checkpoint import save_checkpoint

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def searched(tiny, tmp_path_factory):
    """A search with three trials on its front, the costlier the better; the weights of the second are gone."""
    folder = StudyFolder(tmp_path_factory.mktemp("searched") / "wide")
    settings = SearchSettings(data=str(tiny), space="isotropic", fast=False)
    scenes = read_for_search(tiny, share=settings.validation)
    study = create_study(folder, settings, {DATA: describe_data(scenes)})
    for number, width in enumerate((8, 16, 24)):
        config = TrialConfig.from_values(
            "isotropic", {**SMALL, "width": width, "num_classes": 3, "impulse_response_p": 0.0}
        )
        cost, right = price(config, settings.precision), 6 + 3 * number
        truth = np.array([0, 1, 2] * 4)
        answers = np.where(np.arange(12) < right, truth, (truth + 1) % 3)
        quality = measure_quality(
            np.log(np.full((12, 3), 0.1) + 0.7 * np.eye(3)[answers]), truth, np.zeros(12, int),
            classes=scenes.classes, device_names=["a"], device_groups={"a": "real"},
        )  # fmt: skip
        told = {
            COST: cost.to_dict(), CONFIG: config.to_dict(), QUALITY: quality.to_dict(), VERSIONS: {"torch": "2"},
            f"{EPOCH}1": {"epoch": 1, "macro_accuracy": quality.macro_accuracy},
        }  # fmt: skip
        study.add_trial(create_trial(values=[quality.macro_accuracy, float(cost.macs)], user_attrs=told))
        torch.manual_seed(number)
        if number != 1:
            save_checkpoint(study_checkpoints(folder, settings).path(number), config.build(), None, {})
    return folder


@pytest.fixture
def ask(run, searched):
    def go(*arguments):
        return run("export", searched.name, "--results", searched.path.parent, *arguments)

    return go


def test_the_best_is_exported_with_what_was_measured_of_each_file(ask, tmp_path):
    told = ask()
    assert told.code == 0, told.err
    assert "evaluating model.int8.onnx on 24 evaluation clips" in told.out
    assert "1.000 on the validation clips it was selected on" in told.out
    assert told.out.splitlines()[-1] == "written: exports/wide-2"
    assert load_export(tmp_path / "exports" / "wide-2").config.network.width == 24
    certificate = json.loads((tmp_path / "exports" / "wide-2" / "certificate.json").read_text())
    assert certificate["selected_on"] == "validation clips"
    assert [certificate["data"][f"{kind}_clips"] for kind in ("training", "validation", "evaluation")] == [24, 24, 24]


def test_the_whole_front_is_exported_and_what_cannot_be_is_named(ask, tmp_path):
    told = ask("--front", "--int8", "none", "--out", "front")
    assert told.code == 2
    assert "trial 1 is skipped: " in told.err
    assert "1 of 3 trials on the front were not exported:" in told.err
    assert sorted(path.name for path in (tmp_path / "front").iterdir()) == ["wide-0", "wide-2"]
    assert load_export(tmp_path / "front" / "wide-0").config.network.width == 8


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--front", "--trial", "1"], "--front and --trial exclude each other"),
        (["--trial", "first"], "--trial must be a number or best, got 'first'"),
        (["--epochs", "3"], "--epochs, --scale and --set need --retrain"),
        (["--trial", "9"], "wide has no trial 9; its trials are 0 to 2"),
        (["--trial", "1"], "checkpoint.safetensors is not a whole safetensors file"),
        (["--out", "/proc/scenefront"], "/proc/scenefront"),
        (["--retrain", "--set", "width=abc"], "width must be a whole number"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(ask, tmp_path, flags, reason):
    told = ask(*flags)
    assert told.code == 2
    assert reason in told.err
    assert "Traceback" not in told.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_in_the_middle_leaves_nothing(searched, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "search", "export", "wide", "--results", str(searched.path.parent)], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=listen_to_ctrl_c,  # noqa: PLW1509 - nothing of this process runs in the child
    )  # fmt: skip
    for line in process.stdout:
        if "writing model.onnx" in line:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.strip()) == (130, "interrupted")
    assert list((tmp_path / "exports").iterdir()) == []


@pytest.mark.slow
def test_a_trial_is_retrained_on_all_clips_before_it_is_exported(ask, tmp_path):
    retrain = ["--trial", "0", "--retrain", "--epochs", "2", "--set", "quantize_share=0.5"]
    first = ask(*retrain)
    assert first.code == 0, first.out + first.err
    assert "48 training and 24 evaluation clips" in first.out
    folder = tmp_path / "exports" / "wide-0-full"
    export, certificate = load_export(folder), json.loads((folder / "certificate.json").read_text())
    assert export.config.recipe.quantize_share == 0.5
    assert asdict(export.config.network)["width"] == 8
    assert certificate["selected_on"] is None
    assert certificate["study"] == "wide-0-full"
    assert "Trial 0 of wide, retrained on all training clips." in (folder / "card.md").read_text()
    again = ask(*retrain)
    assert again.code == 0, again.err
    assert "starting Ray" not in again.out
    other = ask(*retrain, "--set", "learning_rate=0.001")
    assert other.code == 2
    assert "was trained with other settings (set differ)" in other.err
