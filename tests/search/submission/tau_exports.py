"""Exports of small networks, trained on a data set with the names of TAU's scenes and devices."""

import json

import pandas as pd
import torch
from packages import SCENES

from data.demo import SCENES as DEMO_SCENES
from data.demo import DemoConfig, write_demo
from data.layout import read_scenes
from search.checkpoints import study_checkpoints
from search.export.writing import export_trial
from search.ledger import Ledger
from search.plan import make_plan
from search.run import describe_data, open_material
from search.study import DATA, StudyFolder
from search.train import from_name, train_settings
from training.loop import TrainingRun

SMALL = {"patch": 16, "width": 8, "depth": 1, "batch_size": 16, "impulse_response_p": 0.0}


def write_tau(root, others=None):
    """Write demo clips under the names of TAU's scenes, or others for some of them, with two splits of 2024."""
    write_demo(root, DemoConfig(seed=1, clips_per_location=1))
    named = {demo: (others or {}).get(scene, scene) for demo, scene in zip(DEMO_SCENES, SCENES, strict=True)}
    lists = root / "evaluation_setup"
    for path in (root / "meta.csv", *lists.iterdir()):
        table = pd.read_csv(path, sep="\t")
        table["scene_label"] = table["scene_label"].map(named)
        table.to_csv(path, sep="\t", index=False)
    train = pd.read_csv(lists / "fold1_train.csv", sep="\t")
    for split, rows in (("5", train[::2]), ("100", train)):
        rows.to_csv(lists / f"split{split}.csv", sep="\t", index=False)
    return root


def make_export(target, data, split, *, epochs=1, **held):
    """Train in this process what `scenefront train` would, and export it."""
    asked = train_settings(from_name("isotropic"), data=str(data), split=split, epochs=epochs, held={**SMALL, **held})
    scenes = read_scenes(data, split)
    folder = StudyFolder(target.parent / f"study-of-{target.name}")
    folder.create(asked, {DATA: describe_data(scenes)})
    plan = make_plan(asked, 10)
    ledger = Ledger(folder.open(), plan, plan.survey(), 100)
    proposal = ledger.propose()
    material = open_material(asked, scenes, proposal.config.front_end)
    run = TrainingRun(proposal.config.build, proposal.config.recipe, material, torch.device("cpu"))
    while not run.is_over:
        run.run_epoch()
    run.save(study_checkpoints(folder, folder.settings()).path(proposal.number))
    curve = [
        {"epoch": each.epoch, "train_loss": each.train_loss, "macro_accuracy": each.quality.macro_accuracy,
         "log_loss": each.quality.log_loss, "duration_s": each.duration_s}
        for each in run.results
    ]  # fmt: skip
    quality = json.dumps(run.results[-1].quality.to_dict())
    ledger.end(proposal.number, {"epochs": json.dumps(curve), "quality": quality, "versions": "{}", "done": True})
    export_trial(folder, 0, target)
    return target
