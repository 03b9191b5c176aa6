"""Recorded studies, as a search would have left them, written without training."""

import optuna
from optuna.trial import TrialState

from objectives.goals import values_of
from search.config.settings import SearchSettings
from search.study.creation import create_study
from search.study.study import CONFIG, COST, EPOCH, LATENCY, PAUSED, REJECTED, STOPPED, StudyFolder

STATES = {
    "complete": TrialState.COMPLETE,
    "stopped": TrialState.RUNNING,
    "rejected": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "running": TrialState.RUNNING,
    "paused": TrialState.RUNNING,
}
SETTINGS = {"data": "nowhere", "space": "isotropic", "epochs": 3, "trials": 12}
TRAINED = {"data": "nowhere", "architecture": "isotropic", "epochs": 3, "trials": 12}


def cost(macs, params=10_000):
    return {
        "macs": macs,
        "params": params,
        "stored_values": params,
        "nonzero_values": params,
        "peak_bytes": macs // 200,
        "size_bytes": 2 * params,
        "precision": "fp16",
    }


def epoch(number, accuracy, log_loss=None, **more):
    return {
        "epoch": number,
        "train_loss": 1.0,
        "macro_accuracy": accuracy,
        "log_loss": 2.3 - accuracy if log_loss is None else log_loss,
        "unseen_accuracy": None,
        "worst_device_accuracy": accuracy - 0.1,
        "duration_s": 0.1,
        **more,
    }


def trial(state, macs, *accuracies, params=10_000, latency_ms=None, config=None, **more):
    """Describe a trial by its state, its cost and its macro accuracy after each epoch."""
    values = {"width": 32, "epochs": 3, "architecture": "isotropic", **(config or {})}
    attributes = {COST: cost(macs, params), CONFIG: values}
    attributes |= {f"{EPOCH}{n}": epoch(n, accuracy, **more) for n, accuracy in enumerate(accuracies, 1)}
    attributes |= {} if latency_ms is None else {LATENCY: latency_ms}
    if state == "rejected":
        attributes[REJECTED] = {"kind": "over macs", "reason": "over budget"}
    if state == "stopped":
        attributes[STOPPED] = "epoch 1: rank 3 of the 3 trials at this rung, of which 1 was promoted"
    if state in {"paused", "stopped"}:
        attributes[PAUSED] = len(accuracies)
    return state, attributes


def write_study(path, *trials, attributes=(), job=SearchSettings, **settings):
    """Write a study of trials in their order; return its folder."""
    folder = StudyFolder(path)
    job_settings = job(**(SETTINGS if job is SearchSettings else TRAINED), **settings)
    study = create_study(folder, job_settings, dict(attributes))
    for state, known in trials:
        values = None
        if state == "complete":
            last = known[f"{EPOCH}{max(int(name[len(EPOCH) :]) for name in known if name.startswith(EPOCH))}"]
            values = values_of(job_settings.objectives, last, {**known[COST], LATENCY: known.get(LATENCY)})
        study.add_trial(optuna.create_trial(state=STATES[state], values=values, user_attrs=known))
    return folder
