"""Epochs of training, augmentation included: the reference loop against ours, on all cores of this machine.

Everything is trained on the same clips: the data set in $SCENEFRONT_DATA (its folders `scenes` and
`impulse_responses`), or else the embedded demo data and responses made of noise. Each side is a process of its own and
takes its turn; ours is timed as one trial with all cores, and as one trial a core, side by side. Where the time goes is
timed in the process of one trial: the network's part is its forward and backward pass, its loss and its optimizer.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from benchmarks.figure import Figure
from benchmarks.reference import ReferenceLoop
from data.demo import write_demo
from data.device import num_cores
from data.layout import read_scenes
from search.config.trial_config import TrialConfig
from training.allocator import huge_pages, keep_freed_memory
from training.compute_mode import DEFAULT_MODE, ComputeMode
from training.dataset import load_dataset
from training.loop import TrainingRun
from training.throughput import fastest, time_modes

GOAL, AIM = 3.0, 5.0
NETWORK_SHARE = 80.0
PATIENCE_S = 5.0  # for a process that is told to end
ROUNDS = 3
NETWORKS = {
    "published isotropic": ("isotropic", {}),
    "TF-SepNet, C = 40": ("tf_sepnet", {"width": 40}),
    "CP-Mobile": ("cp_mobile", {}),
}
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Sound:
    """What is trained on: a data set in the layout, impulse responses, and a folder for the decoded sound."""

    scenes: Path
    responses: Path
    cache: Path


@contextmanager
def sound() -> Iterator[Sound]:
    """Find the data set in the environment, or write the demo; remove what was written at the end."""
    with tempfile.TemporaryDirectory(prefix="scenefront-") as folder:
        root = Path(folder)
        named = os.environ.get("SCENEFRONT_DATA")
        if named is not None:
            yield Sound(Path(named) / "scenes", Path(named) / "impulse_responses", root)
            return
        write_demo(root / "demo")
        (root / "responses").mkdir()
        rng = np.random.default_rng(0)
        for number in range(8):
            response = rng.normal(size=4_000) * np.exp(-np.arange(4_000) / 100)
            soundfile.write(root / "responses" / f"{number}.wav", response / 10, 44_100)
        yield Sound(root / "demo", root / "responses", root / "cache")


def trial_config(architecture: str, values: dict[str, Any], num_classes: int) -> TrialConfig:
    """Return a published network with the recipe's defaults."""
    return TrialConfig.from_values(architecture, {**values, "num_classes": num_classes})


def reference_epochs(files: Sound, architecture: str, values: dict[str, Any], threads: int) -> Callable[[], float]:
    """Return what trains the reference loop's epoch and tells its clips a second."""
    torch.set_num_threads(threads)
    scenes = read_scenes(files.scenes)
    config = trial_config(architecture, values, len(scenes.classes))
    torch.manual_seed(0)
    loop = ReferenceLoop(config.build(), config.front_end_config, scenes, files.responses, config.recipe, threads)
    return lambda: _speed(loop.run_epoch)


def our_epochs(
    files: Sound, architecture: str, values: dict[str, Any], threads: int, compute_mode: ComputeMode | None = None
) -> Callable[[], float]:
    """Return what trains an epoch of a trial, the fastest way or a given one, and tells its clips a second."""
    run = open_run(files, architecture, values, threads, compute_mode)
    return lambda: _speed(lambda: _train(run))


def shares(files: Sound, architecture: str, values: dict[str, Any], threads: int) -> Callable[[], dict[str, float]]:
    """Return what trains an epoch and tells the percent of its time that each part took."""
    run = open_run(files, architecture, values, threads, None)
    seconds = 0.0
    batch = run.pipeline.batch

    def timed(*arguments: Any) -> Any:
        nonlocal seconds
        started = time.perf_counter()
        given = batch(*arguments)
        seconds += time.perf_counter() - started
        return given

    run.pipeline.batch = timed  # type: ignore[assignment, method-assign] # to time it

    def epoch() -> dict[str, float]:
        nonlocal seconds
        seconds = 0.0
        started = time.perf_counter()
        _train(run)
        sounding = 100 * seconds / (time.perf_counter() - started)
        return {
            "network_percent": 100 - sounding,
            "sound_percent": sounding,
            "is_bf16": float(run.compute_mode.bf16),
            "is_channels_last": float(run.compute_mode.channels_last),
        }

    return epoch


def open_run(
    files: Sound, architecture: str, values: dict[str, Any], threads: int, compute_mode: ComputeMode | None, *,
    is_kept: bool = True,
) -> TrainingRun:  # fmt: skip
    """Begin a trial as a search does, a given way or the fastest; `is_kept`: freed memory."""
    if is_kept:
        keep_freed_memory()
    torch.set_num_threads(threads)
    scenes = read_scenes(files.scenes)
    config = trial_config(architecture, values, len(scenes.classes))
    dataset = load_dataset(scenes, config.front_end_config, files.responses, files.cache)
    if compute_mode is None:
        compute_mode, _ = fastest(time_modes(config.build, config.recipe, dataset, CPU))
    return TrainingRun(config.build, config.recipe, dataset, CPU, compute_mode)


def _train(run: TrainingRun) -> int:
    run.train_epoch()
    return len(run.pipeline.indices)


def _speed(epoch: Callable[[], int]) -> float:
    started = time.perf_counter()
    num_clips = epoch()
    return num_clips / (time.perf_counter() - started)


class Side:
    """A process that trains an epoch whenever it is told to."""

    def __init__(self, make: Callable[..., Callable[[], Any]], *arguments: Any, ours: bool) -> None:
        context = get_context("spawn")
        self.ours_end, theirs = context.Pipe()
        before = dict(os.environ)
        if ours:
            os.environ.update(huge_pages())  # as a search starts its trials
        try:
            self.process = context.Process(target=_serve, args=(theirs, make, arguments))
            self.process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        theirs.close()

    def start(self) -> None:
        """Train an epoch."""
        self.ours_end.send(True)

    def result(self) -> Any:
        """Wait for what it told."""
        return self.ours_end.recv()

    def __enter__(self) -> "Side":
        """Use it in a `with` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, whatever it is doing."""
        self.ours_end.close()
        self.process.join(PATIENCE_S)
        self.process.terminate()
        self.process.join()


def _serve(end: Connection, make: Callable[..., Callable[[], Any]], arguments: Sequence[Any]) -> None:
    epoch = make(*arguments)
    while True:
        try:
            end.recv()
        except EOFError:
            return
        end.send(epoch())


def take_turns(sides: dict[str, list[Side]], rounds: int, untold: int = 1) -> dict[str, list[list[Any]]]:
    """Train an epoch in each group of processes at one time, one group after the other, and end them.

    Args:
        sides: Processes, by group; one may be in several.
        rounds: How often each group is timed.
        untold: Rounds before those, which pay for what is set up once.

    Returns:
        By group, for each round what its processes told.
    """
    found: dict[str, list[list[Any]]] = {name: [] for name in sides}
    with ExitStack() as stack:
        for side in dict.fromkeys(side for group in sides.values() for side in group):
            stack.enter_context(side)
        for number in range(untold + rounds):
            for name, group in sides.items():
                for side in group:
                    side.start()
                results = [side.result() for side in group]
                if number >= untold:
                    found[name].append(results)
    return found


def figures() -> Iterator[Figure]:
    """Time every network."""
    cores = num_cores()
    with sound() as files:
        for name, (architecture, values) in NETWORKS.items():
            arguments = files, architecture, values
            sides = {
                "reference": [Side(reference_epochs, *arguments, cores, ours=False)],
                "one_trial": [Side(our_epochs, *arguments, cores, ours=True)],
                "side_by_side": [Side(our_epochs, *arguments, 1, ours=True) for _ in range(cores)],
                "plain": [Side(our_epochs, *arguments, cores, DEFAULT_MODE, ours=True)],
                "shares": [Side(shares, *arguments, 1, ours=True)],
            }
            found = take_turns(sides, ROUNDS)
            speeds = {
                f"{each}_clips_per_s": statistics.median(sum(results) for results in found[each])
                for each in ("reference", "one_trial", "side_by_side", "plain")
            }
            best = max(speeds["one_trial_clips_per_s"], speeds["side_by_side_clips_per_s"])
            ratio = best / speeds["reference_clips_per_s"]
            yield Figure(f"epoch of {name}, against the reference loop", ratio, "times", GOAL, True, speeds, AIM)
            parts = {
                part: statistics.median(results[0][part] for results in found["shares"])
                for part in ("network_percent", "sound_percent", "is_bf16", "is_channels_last")
            }
            yield Figure(
                f"part of an epoch of {name} that is the network's", parts.pop("network_percent"), "%", NETWORK_SHARE,
                True, parts,
            )  # fmt: skip
