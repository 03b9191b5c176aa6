"""A study that grows as a search would write it, a step at a time, and the check that it reads as its table."""

import random

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from recorded import STATES, cost, epoch, trial

from search.study.optuna_private import set_state, set_user_attribute, trial_id
from search.study.study import (
    CONFIG,
    COST,
    EPOCH,
    FAILURE,
    HISTORY,
    STOPPED,
    learning_curve,
)
from search.study.table import rejection_kinds, study_table

RANGES = {
    "isotropic.width": IntDistribution(32, 192, step=16),
    "learning_rate": FloatDistribution(0.0005, 0.02, log=True),
    "optimizer": CategoricalDistribution(["adamw", "sgd", 3]),
}


def without_times(reading):
    return reading.table.drop(columns=["started_s", "ended_s"])


def assert_as_the_table(reading):
    """Hold a reading against Optuna's own reading of the study."""
    assert reading.problem == ""
    pd.testing.assert_frame_equal(without_times(reading), study_table(reading.folder))
    study = reading.folder.open()
    trials = [each for each in study.get_trials() if each.state != TrialState.WAITING]
    for name, moments in (
        ("started_s", [each.datetime_start for each in trials]),
        ("ended_s", [each.datetime_complete for each in trials]),
    ):
        wanted = [np.nan if moment is None else moment.timestamp() for moment in moments]
        np.testing.assert_allclose(reading.table[name].to_numpy(dtype=float), wanted, atol=1e-6)
    curves = {each.number: learning_curve(each) for each in trials}
    assert dict(reading.curves) == {number: curve for number, curve in curves.items() if curve}
    assert pd.Series(dict(reading.kinds)).value_counts().to_dict() == rejection_kinds(study)
    assert dict(reading.attributes) == study.user_attrs


class Growing:
    """A study to which a search might write, a step at a time."""

    def __init__(self, folder):
        self.folder, self.study, self.random = folder, folder.open(), random.Random(0)

    def running(self):
        trials = self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
        return trial_id(self.random.choice(trials)) if trials else self.ask()

    def ask(self):
        known = {COST: cost(self.random.randrange(10**5, 10**8)), CONFIG: {"width": 32, "epochs": 3}}
        known = known if self.random.random() < 0.8 else {}
        with self.folder.lock():
            sampled = self.study.ask(RANGES)
            for name, value in known.items():
                sampled.set_user_attr(name, value)
        return trial_id(sampled)

    def enqueue(self):
        self.study.enqueue_trial({"learning_rate": 0.01})

    def reject(self):
        state, known = trial("rejected", self.random.randrange(10**5, 10**8))
        del known[CONFIG]
        values = {"isotropic.width": 48, "optimizer": self.random.choice(["sgd", 3])}
        self.study.add_trial(
            optuna.create_trial(
                state=STATES[state], user_attrs=known, params=values,
                distributions={name: RANGES[name] for name in values},
            )
        )  # fmt: skip

    def train(self):
        running = self.running()
        trials = self.study.get_trials(deepcopy=False)
        attributes = next(each.user_attrs for each in trials if trial_id(each) == running)
        epochs = sum(name.startswith(EPOCH) for name in attributes) + 1
        set_user_attribute(self.study, running, f"{EPOCH}{epochs}", epoch(epochs, self.random.random()))

    def pause(self):
        set_user_attribute(self.study, self.running(), "paused", self.random.randrange(3))

    def complete(self):
        self.train()
        set_state(self.study, self.running(), TrialState.COMPLETE, [0.5, 10.0])

    def fail(self):
        number = self.running()
        set_user_attribute(self.study, number, FAILURE, "no reason")
        set_state(self.study, number, TrialState.FAIL)

    def stop(self):
        set_user_attribute(self.study, self.running(), STOPPED, self.random.choice(["epoch 3", None]))

    def note(self):
        self.study.set_user_attr(HISTORY, [{"at": str(self.random.random())}])


STEPS = ("ask", "enqueue", "reject", "train", "train", "pause", "complete", "fail", "stop", "note")


def grow(folder, reader, steps):
    growing, versions = Growing(folder), set()
    for name in steps:
        getattr(growing, name)()
        found = reader.read()
        assert_as_the_table(found)
        assert found.version not in versions or name in {"pause", "stop"}  # may write what was there
        versions.add(found.version)
        assert reader.read() is found
