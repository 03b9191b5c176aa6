"""kill -9 of a search's driver, of what trains, or of both, at random moments: in the end nothing of it is seen.

SCENEFRONT_KILLS is the number of kills, by default six: each of the three in two places.
"""

import json
import os
import random
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from network_observer import descendants

from search.study.study import STOPPED, StudyFolder, learning_curve
from search.study.table import trials_table

ROOT = Path(__file__).parents[3]
NUM_KILLS = int(os.environ.get("SCENEFRONT_KILLS", "6"))
KILLS_A_STUDY = 10  # then the next one, from another seed
TRIALS, EPOCHS = 8, 9
SMALL = ["--range", "patch=12:16", "--range", "width=32:48", "--range", "depth=2:3", "--range", "columns=1:1"]
SMALL += ["--set", "batch_size=12", "--budget", "macs=1M,params=30K"]
TARGETS = ("driver", "trainer", "both")
VARYING = ("duration_s", "memory_bytes")  # what no two runs have in common
TRAINER = "ray::ResourceTrainable"  # as Tune calls what it gives resources to
# Two helpers of Ray's node try for 60 s to tell the dead cluster about its end, then go as well.
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")


class Driver:
    """A command, and what it has printed."""

    def __init__(self, cwd, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "search", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines, self.processes, self.trains = [], set(), threading.Event()
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line)
                if "macro accuracy" in line:
                    self.processes |= descendants({self.process.pid})
                    self.trains.set()
        self.trains.set()

    def wait(self):
        code = self.process.wait(240)
        self.reader.join()
        return code


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill(pids):
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, 9)


def asked(data, cwd, seed, name):
    return [
        "search", data, "--space", "isotropic", "--study", name, "--trials", TRIALS, "--epochs", EPOCHS, "--seed", seed,
        "--workers", 1, "--no-fast", "--retries", 50, "--cache", cwd / "cache", *SMALL,
    ]  # fmt: skip


def told(trial):
    """Everything that a study says of a trial, but for how often it was tried and how long that took."""
    known = {name: value for name, value in trial.user_attrs.items() if name != "attempts"}
    for name, value in known.items():
        if name.startswith("epoch:"):
            known[name] = {key: each for key, each in value.items() if key not in VARYING}
    return (
        trial.number,
        trial.state.name,
        trial.values,
        trial.params,
        trial.constraints,
        json.dumps(known, sort_keys=True),
    )


def finished(folder):
    """What is settled of a study, whole."""
    settled = [trial for trial in folder.open().get_trials() if trial.state.is_finished()]
    return {trial.number: (trial.values, json.dumps(trial.user_attrs, sort_keys=True)) for trial in settled}


def killed_study(data, cwd, seed, num_kills):
    """Run a search that is killed so often, if it lasts so long; return its folder, its processes, and the kills."""
    rng, name = random.Random(seed), f"killed-{seed}"
    folder = StudyFolder(cwd / "results" / name)
    settled, processes, kills, targets, driver = {}, set(), [], [], None
    while len(kills) < num_kills:
        if driver is None:
            driver = Driver(cwd, *(["resume", name] if folder.exists() else asked(data, cwd, seed, name)))
        if rng.random() < 0.7:  # else perhaps before anything is trained
            driver.trains.wait(240)
        time.sleep(rng.uniform(0.0, 2.0))
        now_there = descendants({driver.process.pid})
        processes |= now_there
        trainers = {pid for pid in now_there if command_of(pid).startswith(TRAINER)}
        targets = targets or rng.sample(TARGETS, len(TARGETS))
        target = targets.pop() if trainers else "driver"
        if driver.process.poll() is not None:
            break
        if target != "driver":
            kill(trainers)
        if target != "trainer":
            kill({driver.process.pid})
            driver.wait()
            driver = None
            if folder.exists():
                now = finished(folder)
                assert settled.items() <= now.items(), "what was settled has changed"
                settled = now
        kills.append(target)
    if driver is None:
        driver = Driver(cwd, "resume", name)
    code = driver.wait()
    assert code == 0, "".join(driver.lines)
    processes |= driver.processes
    assert settled.items() <= finished(folder).items()
    return folder, processes, kills


@pytest.mark.slow
def test_kills_lose_nothing_repeat_nothing_leave_nothing_and_change_nothing(tiny, tmp_path):
    kills = []
    seed = 0
    while len(kills) < NUM_KILLS:
        whole = StudyFolder(tmp_path / "results" / f"whole-{seed}")
        unkilled = Driver(tmp_path, *asked(tiny, tmp_path, seed, whole.name))
        assert unkilled.wait() == 0, "".join(unkilled.lines)
        folder, processes, found = killed_study(tiny, tmp_path, seed, min(KILLS_A_STUDY, NUM_KILLS - len(kills)))
        kills += found
        seed += 1

        trials = folder.open().get_trials()
        assert [told(trial) for trial in trials] == [told(trial) for trial in whole.open().get_trials()]
        assert all(trial.state.is_finished() or STOPPED in trial.user_attrs for trial in trials)
        configs = [json.dumps(trial.user_attrs["config"]) for trial in trials if "config" in trial.user_attrs]
        assert len(set(configs)) == len(configs) == TRIALS
        for trial in trials:
            epochs = [epoch["epoch"] for epoch in learning_curve(trial)]
            assert epochs == list(range(1, len(epochs) + 1))
        fronts = [trials_table(each.open()).query("on_front")["number"].tolist() for each in (folder, whole)]
        assert fronts[0] == fronts[1] != []

        deadline = time.monotonic() + 10
        while left := [pid for pid in processes if is_alive(pid) and not command_of(pid).startswith(AGENTS)]:
            assert time.monotonic() < deadline, [command_of(pid) for pid in left]
            time.sleep(0.1)
        kill(pid for pid in processes if command_of(pid).startswith(AGENTS))
    sys.stdout.write(
        f"{len(kills)} kills in {seed} studies: { ({target: kills.count(target) for target in set(kills)}) }\n"
    )
