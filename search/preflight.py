"""What a search is in for, before it trains anything: what fits, what binds, how long it will take."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution
from rich.console import Console

from data.layout import Scenes, nested_splits
from models import ARCHITECTURES
from objectives.budget import LIMITS
from search.architecture_file import use_architecture_file
from search.display import counting
from search.machine import share_machine
from search.plan import Plan, make_plan, why_nothing_fits
from search.pricing import FITS, Survey, outcomes
from search.ranges import place
from search.repair import descend, levels
from search.run import open_material, read_clips
from search.settings import SearchSettings
from search.trial_config import TrialConfig
from training.allocator import keep_freed_memory
from training.execution import PLAIN, Execution
from training.loop import TrainingRun, default_device
from training.material import Material
from training.speed import TimedRun, fastest, time_ways

MAX_ENUMERATED = 1_000_000  # networks of one architecture that are all priced
NUM_DRAWN = 20_000
CONFIDENCE = 0.95
Z = 1.959964  # of the normal distribution, at that confidence
COSTS = ("macs", "params", "peak_bytes")  # told of every search; others where they are limited
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
TIMED_PLACES = (0.25, 0.75)  # in the order of the MACs of what fits: the networks of an architecture that are timed
MAX_SORTED = 200
MORE_STARTS = 4  # of a search for a network that fits with a given value
DEFAULT_CLASSES = 10  # where no data say how many scenes there are
TIMED_CLIPS = 64  # of the evaluation


@dataclass(frozen=True)
class Share:
    """A share of the networks: exact, or estimated with an interval.

    Attributes:
        value: 0 to 1.
        low: Lower end of the interval at `CONFIDENCE`; the value itself where it is exact.
        high: Upper end.
        is_exact: Whether every network was priced.
    """

    value: float
    low: float
    high: float
    is_exact: bool


def share_of(fitting: int, priced: int, *, is_exact: bool) -> Share:
    """Give the share that fits, with Wilson's interval where the networks are a sample.

    >>> share_of(5, 20, is_exact=True)
    Share(value=0.25, low=0.25, high=0.25, is_exact=True)
    >>> found = share_of(0, 1000, is_exact=False)
    >>> round(found.low, 4), round(found.high, 4)
    (0.0, 0.0038)
    """
    value = fitting / priced
    if is_exact:
        return Share(value, value, value, is_exact=True)
    middle = (value + Z**2 / (2 * priced)) / (1 + Z**2 / priced)
    half = Z / (1 + Z**2 / priced) * math.sqrt(value * (1 - value) / priced + Z**2 / (4 * priced**2))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Share(value, low if fitting else 0.0, high if fitting < priced else 1.0, is_exact=False)


def make_report(plan: Plan, surveys: Mapping[str, Survey]) -> dict[str, Any]:
    """Describe what the surveys found, as plain values.

    The share over all architectures is that of a random proposal: the architecture first, each as likely.

    Args:
        plan: Of the search.
        surveys: Of its branches.
    """
    parts = {name: _part(plan, found) for name, found in surveys.items()}
    shares = [part["share"] for part in parts.values()]
    overall = {key: float(np.mean([share[key] for share in shares])) for key in ("value", "low", "high")}
    report = {
        "space": plan.settings.space,
        "budget": str(plan.budget),
        "limits": plan.budget.limits(),
        "precision": plan.settings.precision,
        "networks_priced": sum(found.num_priced for found in surveys.values()),
        "share": overall | {"is_exact": all(share["is_exact"] for share in shares)},
        "architectures": parts,
        "time": None,
    }
    nothing = not any(found.fitting for found in surveys.values())
    return report | {"nothing_fits": why_nothing_fits(plan, surveys) if nothing else None}


def _part(plan: Plan, found: Survey) -> dict[str, Any]:
    branch, limits = found.branch, plan.budget.limits()
    kinds = outcomes(found.costs, limits)
    # counted from what was priced: where none of a sample fits, one that was looked for afterwards may
    fitting = int((kinds == FITS).sum())
    num_networks = branch.num_networks
    return {
        "front_ends": list(branch.front_ends),
        "networks": int(num_networks) if math.isfinite(num_networks) else None,
        "priced": found.num_priced,
        "fitting": fitting,
        "share": asdict(share_of(fitting, found.num_priced, is_exact=found.is_whole)),
        "invalid": found.broken["invalid"],
        "invalid_example": found.invalid,
        "over": {name: found.broken[name] for name in limits},
        "binding": {name: int((kinds == name).sum()) for name in limits},
        "costs": {
            name: _quantiles(found.costs[:, number]) for number, name in enumerate(LIMITS) if name in (*COSTS, *limits)
        },
        "largest": _largest(plan, found),
    }


def _quantiles(values: NDArray[np.int64]) -> dict[str, int] | None:
    if not len(values):
        return None
    found = np.quantile(values, QUANTILES, method="nearest")
    return {f"{quantile:g}": int(value) for quantile, value in zip(QUANTILES, found, strict=True)}


def _largest(plan: Plan, found: Survey) -> dict[str, dict[str, Any]]:
    """Give for each range the largest value that a network which fits can have, and the largest that there is.

    Of a choice these are lists. Where the survey is a sample, values that it does not show are looked for.
    """
    largest: dict[str, dict[str, Any]] = {}
    for axis, (name, distribution) in enumerate(found.branch.cost_ranges.items()):
        fitting = {values[axis] for values in found.fitting}
        looks_on = fitting and not found.is_whole
        if isinstance(distribution, CategoricalDistribution):
            choices = list(distribution.choices)
            some = [each for each in choices if each in fitting or (looks_on and _can_fit(plan, found, axis, each))]
            largest[found.branch.field(name)] = {"fitting": some, "of": choices}
            continue
        top = max(fitting, default=None)
        if looks_on:
            above = [value for value in levels(distribution) if value > top]
            top = next((value for value in reversed(above) if _can_fit(plan, found, axis, value)), top)
        largest[found.branch.field(name)] = {"fitting": top, "of": distribution.high}  # type: ignore[attr-defined]
    return largest


def _can_fit(plan: Plan, found: Survey, axis: int, value: Any) -> bool:
    """Look for a network that fits and has `value` on an axis, from some that fit without."""
    branch, precision = found.branch, plan.settings.precision
    names = list(branch.cost_ranges)
    priced = branch.pricer(names, precision)
    distribution = branch.cost_ranges[names[axis]]
    starts = [max(found.fitting, key=lambda values: place(distribution, values[axis]))]
    if not ARCHITECTURES[branch.architecture].is_built_to_count:
        starts += found.fitting[:MORE_STARTS]
    for start in starts:
        near = dict(zip(names, start, strict=True)) | {names[axis]: value}
        try:
            if plan.budget.fits(priced(list(descend(branch, plan.budget, precision, near, held=names[axis]).values()))):
                return True
        except ValueError:  # builds no network, however the others are
            continue
    return False


def measure_time(
    plan: Plan, surveys: Mapping[str, Survey], scenes: Scenes, *, workers: int, threads: int,
    progress: Callable[[int, int], None], passes: float = 1.0,
) -> dict[str, Any]:  # fmt: skip
    """Time a few steps of a few networks that fit, and say how long the trials will take if none stops early.

    Args:
        plan: Of the search.
        surveys: Of its branches, of which some networks fit.
        scenes: The data.
        workers: Trials side by side.
        threads: Of each.
        progress: Told how many networks are timed, and of how many.
        passes: Clips that a trial trains on in all, by those of `scenes`: more than 1 where the split is the fidelity.

    Returns:
        Seconds of a trial by architecture, and of all trials together.

    Raises:
        DataError: The data cannot be read, or cannot serve the recipe.
    """
    starts = plan.starts(surveys, len(scenes.train))
    keep_freed_memory()
    timed = [
        (name, plan.config(plan.named(plan.branches[name], {**starts[name][1], **values})))
        for name in plan.branches
        for values in _typical(surveys[name])
    ]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    materials: dict[str, Material] = {}
    seconds: dict[str, list[float]] = {}
    executions: dict[str, Execution] = {}
    try:
        for number, (name, config) in enumerate(timed):
            progress(number, len(timed))
            if config.front_end not in materials:
                materials[config.front_end] = open_material(plan.settings, scenes, config.front_end)
            material = materials[config.front_end]
            if name not in executions and plan.settings.fast:
                ways = time_ways(config.build, config.recipe, material, default_device())
                executions[name], _ = fastest(ways)
            seconds.setdefault(name, []).append(passes * _trial_seconds(config, material, executions.get(name, PLAIN)))
    finally:
        torch.set_num_threads(before)
    progress(len(timed), len(timed))
    by_architecture = {name: float(np.mean(each)) for name, each in seconds.items()}
    trials, mean = plan.settings.trials, float(np.mean(list(by_architecture.values())))
    return {
        "trials": trials,
        "epochs": plan.settings.epochs,
        "workers": workers,
        "trial_s": by_architecture,
        "total_s": math.ceil(trials / workers) * mean,
        "networks_timed": len(timed),
        "device": str(default_device()),
        "executions": {name: str(each) for name, each in executions.items()},
    }


def _typical(found: Survey) -> Sequence[dict[str, Any]]:
    """Give a cheap and a dear network of those that fit."""
    names = list(found.branch.cost_ranges)
    priced = found.branch.pricer(names, "fp16")
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(found.fitting), min(len(found.fitting), MAX_SORTED), replace=False)
    some = [found.fitting[index] for index in chosen]
    some.sort(key=lambda values: priced(values).macs)
    return [dict(zip(names, some[int(at * (len(some) - 1))], strict=True)) for at in TIMED_PLACES]


def _trial_seconds(config: TrialConfig, material: Material, execution: Execution) -> float:
    """Time training and evaluation of a few clips, and reckon from them to a whole trial."""
    device, scenes = default_device(), material.scenes
    timed = TimedRun(TrainingRun(config.build, config.recipe, material, device, execution))
    clips_per_s = timed.time(0.0, least=2).clips_per_s
    network = timed.run.network.eval()
    x = material.spectrograms(scenes.evaluate[:TIMED_CLIPS], device)
    started = time.perf_counter()
    with torch.inference_mode():
        float(network(x).sum())
    evaluated = time.perf_counter() - started
    epoch = len(scenes.train) / clips_per_s + evaluated / len(x) * len(scenes.evaluate)
    return config.recipe.epochs * epoch


def look_ahead(settings: SearchSettings, console: Console) -> tuple[dict[str, Survey], dict[str, Any]]:
    """Survey a search, and time it where there are data; return the surveys and the report.

    Raises:
        ValueError: What was asked for cannot be searched; says why.
    """
    if settings.architecture_file is not None:
        use_architecture_file(Path(settings.architecture_file))
    with_splits = settings.data and settings.fidelity == "split"
    splits = nested_splits(Path(settings.data), settings.split) if with_splits else (settings.split,)
    scenes = read_clips(settings, splits[-1]) if settings.data else None
    plan = make_plan(settings, len(scenes.classes) if scenes else DEFAULT_CLASSES)
    use = share_machine(settings.workers)
    with counting("pricing networks", console) as progress:
        surveys = plan.survey(max_enumerated=MAX_ENUMERATED, num_drawn=NUM_DRAWN, progress=progress)
    report = make_report(plan, surveys)
    if scenes is not None and not report["nothing_fits"]:
        with counting("timing networks", console) as progress:
            report["time"] = measure_time(
                plan.fitting(surveys), surveys, scenes, workers=use.workers, threads=use.cores,
                passes=sum(map(int, splits)) / int(splits[-1]) if with_splits else 1.0, progress=progress,
            )  # fmt: skip
    return surveys, report
