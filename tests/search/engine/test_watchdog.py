"""The watchdog kills actors that hang, wherever they do, and classifies failures."""

import logging
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray import cloudpickle, tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from search.engine.ray_cluster import local_cluster
from search.engine.ray_private import trial_actors
from search.engine.watchdog import MIN_TIMEOUT_S, Watchdog, error_text, failure_kind

WAYS = ["fine", "stops", "holds the lock", "sleeps", "raises", "exits", "no memory"]
HANGING = WAYS[1:4]
STEP_S = 250.0  # of the clock between two polls: less than what is taken for a suspended driver


class Breaks(tune.Trainable):
    """Breaks as its config says, in its second epoch or before its first."""

    def setup(self, config):
        self.way, self.epoch, self.folder = config["way"], 0, Path(config["folder"])
        if self.way == "sleeps":
            self.hang(lambda: time.sleep(600))

    def hang(self, how):
        (self.folder / f"{self.way}.{os.getpid()}").touch()
        how()

    def step(self):
        self.epoch += 1
        if self.epoch == 2:
            if self.way == "stops":
                self.hang(lambda: os.kill(os.getpid(), signal.SIGSTOP))
            if self.way == "holds the lock":
                import ctypes

                self.hang(lambda: ctypes.PyDLL(None).sleep(600))  # as C does that does not let go of Python's lock
            if self.way == "raises":
                raise ValueError("a sentence that says what was wrong")
            if self.way == "exits":
                os._exit(7)
            if self.way == "no memory":
                raise MemoryError("Unable to allocate 1.00 TiB")
        return {"done": self.epoch == 3}


class Watching(FIFOScheduler):
    def __init__(self, watch):
        super().__init__()
        self.watch, self.num_killed, self.only_hanging = watch, 0, True

    def choose_trial_to_run(self, tune_controller):
        self.only_hanging = all(trial.config["way"] in HANGING for trial in trial_actors(tune_controller))
        self.num_killed += len(self.watch.poll(tune_controller))
        return super().choose_trial_to_run(tune_controller)

    def on_trial_result(self, tune_controller, trial, result):
        self.watch.epoch_done(trial)
        return super().on_trial_result(tune_controller, trial, result)

    def __getstate__(self):
        return {}


class Told(tune.Callback):
    def __init__(self, watch):
        self.watch, self.failures = watch, {}

    def on_trial_error(self, iteration, trials, trial, **info):
        assert error_text(trial)
        self.failures[trial.config["way"]] = self.watch.failure(trial)

    def __getstate__(self):
        return {}


def state_of(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "gone"


@pytest.mark.slow
def test_hanging_actors_are_killed_and_failures_are_classified(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    monkeypatch.setenv("TUNE_GLOBAL_CHECKPOINT_S", "100000000")
    monkeypatch.setenv("RAY_AIR_NEW_OUTPUT", "0")
    monkeypatch.setattr(logging.getLogger("ray.tune"), "level", logging.CRITICAL)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file
    skipped_s = 0.0

    def clock():
        """Time stands until all that can hang does; then it flies while nothing else runs, however busy we are."""
        nonlocal skipped_s
        if len(list(tmp_path.iterdir())) == len(HANGING) > watching.num_killed and watching.only_hanging:
            skipped_s += STEP_S
        return skipped_s

    watching = Watching(None)
    watch = watching.watch = Watchdog(first_timeout_s=MIN_TIMEOUT_S, clock=clock)
    told = Told(watch)
    with local_cluster(num_cpus=4) as scratch:
        results = tune.Tuner(
            Breaks,
            param_space={"way": tune.grid_search(WAYS), "folder": str(tmp_path)},
            # Not reused: which trial gets a used actor while its own starts is a matter of moments.
            tune_config=tune.TuneConfig(scheduler=watching, reuse_actors=False),
            run_config=tune.RunConfig(
                storage_path=str(scratch),
                verbose=0,
                callbacks=[told],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
        processes = {path.name.rpartition(".")[0]: int(path.suffix[1:]) for path in tmp_path.iterdir()}
        assert set(processes) == set(HANGING)
        deadline = time.monotonic() + 10  # Ray waits 5 s before it kills what does not answer
        while left := [way for way, pid in processes.items() if state_of(pid) not in {"gone", "Z"}]:
            assert time.monotonic() < deadline, left
            time.sleep(0.1)
    assert len(results) == len(WAYS)
    kinds = {way: failure.kind for way, failure in told.failures.items()}
    others = {"raises": "error", "exits": "crash", "no memory": "out of memory"}
    assert kinds == dict.fromkeys(HANGING, "hung") | others
    assert told.failures["stops"].reason.startswith("hung: no epoch ended within ")
    assert told.failures["raises"].reason == "ValueError: a sentence that says what was wrong"
    assert told.failures["exits"].reason == "crash: its process died without an error message"
    assert told.failures["no memory"].reason == "out of memory: MemoryError: Unable to allocate 1.00 TiB"


class Controller:
    """As much of Ray's controller as the adapter reads."""

    def __init__(self, trial, actor):
        self._trial_to_actor = {trial: "tracked"}
        self._actor_manager = SimpleNamespace(_live_actors_to_ray_actors_resources={"tracked": (actor, None)})


def polls(watch, controller, seconds):
    """Poll every five seconds; return after how many an actor was killed."""
    for second in range(0, seconds, 5):
        watch.now += 5.0
        if watch.poll(controller):
            return second + 5
    return None


class Clocked(Watchdog):
    def __init__(self, *arguments, **options):
        self.now = 0.0
        super().__init__(*arguments, clock=lambda: self.now, **options)


@pytest.fixture
def trial():
    return Trial("PPO", stub=True, config={"number": 7, "work": 1e6}, storage=None)


@pytest.fixture
def killed(monkeypatch):
    actors = []
    monkeypatch.setattr("ray.kill", lambda actor, **_: actors.append(actor))
    return actors


def test_an_actor_has_an_hour_for_its_first_epoch_and_ten_of_the_longest_for_the_next(trial, killed):
    watch, controller = Clocked(), Controller(trial, "actor")
    assert polls(watch, controller, 3500) is None
    watch.epoch_done(trial)
    assert polls(watch, controller, 120) is None
    watch.epoch_done(trial)  # 120 s
    assert watch.timeout_s(trial) == 1200
    trial.config["work"] = 5e6  # five times as much to compute
    assert watch.timeout_s(trial) == 6000
    trial.config["work"] = 1e3
    assert watch.timeout_s(trial) == 1200
    assert 1195 <= polls(watch, controller, 1300) <= 1210
    assert killed == ["actor"]
    assert watch.failure(trial).reason == "hung: no epoch ended within 1,200 s"


def test_a_trial_that_hung_is_given_more_time_when_it_is_retried(trial, killed):
    watch = Clocked(60.0, first_timeout_s=60.0)
    assert polls(watch, Controller(trial, "first"), 100) == 70  # seen after 5 s
    again = Trial("PPO", stub=True, config=trial.config, storage=None)
    assert polls(watch, Controller(again, "second"), 300) == 250
    assert killed == ["first", "second"]


def test_a_driver_that_was_suspended_kills_nothing(trial, killed):
    watch, controller = Clocked(), Controller(trial, "actor")
    assert polls(watch, controller, 60) is None
    watch.now += 1_000_000.0  # stopped by Ctrl-Z
    assert polls(watch, controller, 3500) is None
    assert polls(watch, controller, 100) is not None


# What Ray 2.60, PyTorch 2.13, CUDA 12 and Python 3.11 say, cut.
CUDA = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.1 GiB"
TASK = (
    "Failure # 1 (occurred at ...)\n"
    "ray.exceptions.RayTaskError({}): ray::TrialActor.train()\n  File ...\n    except MemoryError:\n"
)
ACTOR = (
    "Failure # 1 (occurred at ...)\nThe actor died unexpectedly before finishing this task.\n\tclass_name: TrialActor\n"
)
GONE = "The actor bd9d7a22 is unavailable: The actor is temporarily unavailable: RpcError: RPC error: Socket closed"
GUESS = """\
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker \
unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the process was killed \
by the OOM killer due to high memory usage, (2) ray stop --force was called, or (3) the worker crashed unexpectedly \
due to SIGSEGV or another unexpected error. If the process was killed by the kernel OOM killer ...
"""
RAY = """OutOfMemoryError: 1 worker(s) were killed due to the node running low on memory. Memory on the node \
(IP: 127.0.0.1, ID: e135) was 6.19GB used / 23.54GB limit (0.262961)
OOM kill reason: Memory usage 6618288128B exceeded threshold of 6617388032B (26.2% of 25276502016B limit)
Refer to the documentation on how to address the out of memory issue: https://docs.ray.io/
"""
ALLOCATOR = "RuntimeError: [enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried"


@pytest.mark.parametrize(
    ("said", "kind", "reason"),
    [
        (TASK.format("OutOfMemoryError") + CUDA, "out of memory", f"out of memory: {CUDA}"),
        ("RuntimeError: cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "out of memory", None),
        (TASK.format("RuntimeError") + ALLOCATOR, "out of memory", f"out of memory: {ALLOCATOR}"),
        (RAY, "out of memory", "out of memory: killed when 6.19GB of 23.54GB of its machine's memory were used"),
        ("NodeDiedError: the node is gone", "node lost", "node lost: the machine of its actor has died"),
        (ACTOR + GUESS, "crash", "crash: its process died without an error message"),
        (
            ACTOR + "The actor died because its node has died. Node Id: 77c931",
            "node lost",
            "node lost: the machine of its actor has died",
        ),
        (GONE, "node lost", "node lost: its actor, or the machine of that, is unreachable"),
        (TASK.format("ValueError") + "ValueError: 40 is odd", "error", "ValueError: 40 is odd"),
        (TASK.format("RuntimeError") + "RuntimeError: CUDA error: an illegal memory access", "crash", None),
        ("", "crash", "crash: its process died without an error message"),
    ],
)
def test_failures_are_classified_by_the_text_of_ray(said, kind, reason):
    failure = failure_kind(said)
    assert failure.kind == kind
    assert failure.is_memory is (kind == "out of memory")
    assert reason is None or failure.reason == reason
    assert "\n" not in failure.reason


@pytest.mark.parametrize(
    "said",
    [
        "search.engine.checkpoints.CheckpointsError: s3://place cannot be used: no route to host",
        "OSError: [Errno 28] No space left on device: 'checkpoint.safetensors'",
        "safetensors_rust.SafetensorError: Error while serializing: I/O error: No space left on device (os error 28)",
    ],
)
def test_where_no_checkpoint_can_be_written_no_trial_is_to_blame(said):
    failure = failure_kind(f'ray::TrialActor.train()\n  File "x.py"\n{said}')
    assert (failure.kind, failure.is_storage) == ("storage", True)
    assert failure.reason == f"checkpoints cannot be written: {said}"
