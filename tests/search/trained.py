"""Studies of one network that is trained in this process, as `scenefront train` would leave them."""

import json
from dataclasses import replace

import torch

from data.layout import read_scenes
from search.engine.checkpoints import study_checkpoints
from search.engine.preparation import open_dataset
from search.engine.single_run import from_name, train_settings
from search.optimizer.scheduler import TrialScheduler
from search.space.priced_space import price_space
from search.space.search_space import make_search_space
from search.study.creation import create_study
from search.study.data_identity import describe_data
from search.study.study import DATA
from training.loop import TrainingRun

CPU = torch.device("cpu")
# A network that trains in a moment.
SMALL = {"patch": 16, "width": 8, "depth": 1, "mask_bins": 24, "batch_size": 16}


def train(folder, data, name="isotropic", epochs=2, clips=None, settings=None, **overrides):
    """Train in this process what `scenefront train` would, and record it."""
    job_settings = train_settings(
        from_name(name), data=str(data), epochs=epochs, overrides=overrides, **(settings or {})
    )
    scenes = read_scenes(data, job_settings.split)
    scheduler = TrialScheduler(
        study := create_study(folder, job_settings, {DATA: describe_data(scenes)}),
        price_space(make_search_space(job_settings, len(scenes.classes)), 100),
    )
    proposal = scheduler.propose()
    dataset = open_dataset(job_settings, scenes, proposal.config.front_end)
    if clips is not None:
        few = replace(scenes, train=scenes.train[:: len(scenes.train) // clips], evaluate=scenes.evaluate[::8])
        dataset = replace(dataset, scenes=few)
    run = TrainingRun(proposal.config.build, proposal.config.recipe, dataset, CPU)
    while not run.is_over:
        run.run_epoch()
    run.save(study_checkpoints(folder, folder.settings()).path(proposal.number))
    curve = [
        {"epoch": each.epoch, "train_loss": each.train_loss, "macro_accuracy": each.quality.macro_accuracy,
         "log_loss": each.quality.log_loss, "duration_s": each.duration_s}
        for each in run.results
    ]  # fmt: skip
    quality = json.dumps(run.results[-1].quality.to_dict())
    scheduler.end(proposal.number, {"epochs": json.dumps(curve), "quality": quality, "versions": "{}", "done": True})
    assert study.trials
    return run
