"""What every architecture promises, ours and a user's alike: checked on the published network and on random ones.

Each check builds what it looks at and raises `BrokenPromiseError` with what it saw. Our own tests run the same
checks.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, FrozenInstanceError, dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from optuna.distributions import BaseDistribution
from torch import Tensor, nn

from data.front_end import FRONT_ENDS
from models import Architecture, Counts, Shape
from objectives.measure import measure_cost
from search.config.errors import UserError
from search.config.trial_config import GIVEN, heard_sizes
from search.space.ranges import draw
from training.recipe import Recipe

NUM_SAMPLED = 3  # random networks beside the published one
MAX_DRAWN = 200
NUM_CLIPS = 4
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)


class BrokenPromiseError(UserError):
    """An architecture does not do what the search relies on; says what was seen."""


@dataclass(frozen=True)
class Subject:
    """An architecture to be checked, with some of its networks.

    Attributes:
        entry: As it is registered.
        samples: Config and input shape of each network: the published one first.
    """

    entry: Architecture
    samples: tuple[tuple[Any, Shape], ...]


def require_promises(name: str, entry: Architecture, ranges: Mapping[str, BaseDistribution]) -> None:
    """Pass an architecture that keeps every promise.

    Raises:
        BrokenPromiseError: Every promise that is broken, with what was seen.
    """
    try:
        with _told("it cannot be looked at"):
            require_config(entry)
            subject = make_subject(entry, ranges)
    except BrokenPromiseError as error:
        raise BrokenPromiseError(f"{name} is no architecture that can be searched: {error}") from error
    broken = []
    for check in CHECKS:
        try:
            with _told("it raises"):
                check(subject)
        except BrokenPromiseError as error:
            broken.append(f"{check.__name__.replace('_', ' ')}: {error}")
    if broken:
        raise BrokenPromiseError("\n  ".join([f"{name} is no architecture that can be searched:", *broken]))


def require_config(entry: Architecture) -> None:
    """Pass a frozen, flat config whose fields all have defaults and do not clash with those of the recipe.

    Raises:
        BrokenPromiseError: Says which rule it breaks.
    """
    if not is_dataclass(entry.config):
        raise BrokenPromiseError(f"its config must be a frozen dataclass, got {entry.config!r}")
    known = {field.name: field for field in fields(entry.config)}
    for name in ("num_classes", "in_channels"):
        _require(name in known, f"its config needs the field {name}: it is filled in from {GIVEN[name]}")
    for field in known.values():
        later = "; leave out `from __future__ import annotations`" if isinstance(field.type, str) else ""
        _require(
            field.type in (bool, int, float, str),
            f"{field.name} must be bool, int, float or str, got {field.type!r}{later}",
        )
        _require(field.default is not MISSING, f"{field.name} needs a default: that of the published network")
    clash = sorted(set(known) & {field.name for field in fields(Recipe)} | set(known) & {"architecture", "front_end"})
    _require(not clash, f"{', '.join(clash)} would be taken for a field of the training recipe: rename it")
    _require(entry.front_end in FRONT_ENDS, f"its front end {entry.front_end!r} is none of {', '.join(FRONT_ENDS)}")
    with _told("its published config cannot be had"):
        config = entry.config(**heard_sizes(entry.config, entry.front_end))
    try:
        setattr(config, next(iter(known)), 3)
    except FrozenInstanceError:
        return
    raise BrokenPromiseError("its config must be frozen: @dataclass(frozen=True)")


def make_subject(
    entry: Architecture, ranges: Mapping[str, BaseDistribution], *, num_sampled: int = NUM_SAMPLED, seed: int = 0
) -> Subject:
    """Return the published network and random ones of the ranges.

    Raises:
        BrokenPromiseError: The published network cannot hear its own front end.
    """
    shape = FRONT_ENDS[entry.front_end].shape()
    heard = heard_sizes(entry.config, entry.front_end)
    published = entry.config(**heard)
    with _told("the published network cannot hear its front end"):
        entry.count(published, shape)
    samples: list[tuple[Any, Shape]] = [(published, shape)]
    rng = np.random.default_rng(seed)
    for _ in range(MAX_DRAWN if ranges else 0):
        values = {name: draw(each, rng) for name, each in ranges.items()}
        with _told(f"what builds no network must be a ValueError, of {values} it is"):
            try:
                config = entry.config(**heard, **values)
                if len(samples) <= num_sampled:
                    entry.count(config, shape)
                    samples.append((config, shape))
            except ValueError:
                continue
    return Subject(entry, tuple(samples))


def it_gives_features_and_then_logits(subject: Subject) -> None:
    """`features` gives (B, D), `classify` (B, K); in eval mode one after the other is `forward`."""
    for network, config, clips in _networks(subject):
        for half in ("features", "classify"):
            _require(callable(getattr(network, half, None)), f"it has no method {half}")
        network(clips)  # so that running statistics are not those of a new network
        network.eval()
        with torch.no_grad():
            z, logits = network.features(clips), network(clips)
            _require(z.ndim == 2 and len(z) == NUM_CLIPS, f"features must be ({NUM_CLIPS}, D), got {tuple(z.shape)}")
            wanted = NUM_CLIPS, config.num_classes
            _require(logits.shape == wanted, f"logits must be {wanted}, got {tuple(logits.shape)}")
            _require_close(network.classify(z), logits, "classify(features(x)) is not forward(x) in eval mode")


def every_parameter_gets_a_gradient(subject: Subject) -> None:
    """None is left out of the loss, and none gets a value that is not finite."""
    for network, config, clips in _networks(subject):
        labels = torch.arange(NUM_CLIPS) % config.num_classes
        nn.functional.cross_entropy(network(clips), labels).backward()  # type: ignore[no-untyped-call]  # torch's own
        without = [key for key, each in network.named_parameters() if each.grad is None or not each.grad.any()]
        _require(not without, f"no gradient reaches {', '.join(without)}")
        wild = [key for key, each in network.named_parameters() if not bool(each.grad.isfinite().all())]
        _require(not wild, f"the gradient of {', '.join(wild)} is not finite")


def each_clip_is_heard_by_itself(subject: Subject) -> None:
    """In eval mode no clip changes the answer to another."""
    for network, _, clips in _networks(subject):
        network.eval()
        with torch.no_grad():
            alone = torch.cat([network(clip[None]) for clip in clips])
            _require_close(network(clips), alone, "in eval mode a clip's logits depend on the others of its batch")


def the_same_seed_builds_the_same_network(subject: Subject) -> None:
    """Initial weights come from torch's generator alone."""
    config, _ = subject.samples[0]
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(subject.entry.network(config).state_dict())
    same = all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    _require(same, "two networks built from one seed differ")


def the_count_is_what_the_built_network_costs(subject: Subject) -> None:
    """MACs, parameters, stored values and peak, priced without the network, are those of the network."""
    for config, shape in subject.samples:
        cost = measure_cost(subject.entry.network(config), shape)
        counted = subject.entry.count(config, shape)
        _require(isinstance(counted, Counts), f"count must give models.counts.Counts, got {counted!r}")
        for name, value in vars(counted).items():
            measured = cost.peak_bytes if name == "peak_values" else getattr(cost, name)
            _require(value == measured, f"count says {value:,} {name}, the built network has {measured:,}: {config}")


def it_runs_in_every_precision(subject: Subject) -> None:
    """Forward and backward in fp32, bf16 and fp16, with finite answers of that precision."""
    config, shape = subject.samples[0]
    for dtype in PRECISIONS:
        torch.manual_seed(0)
        network = subject.entry.network(config).to(dtype)
        with _told(f"it does not run in {dtype}"):
            logits = network(torch.randn(NUM_CLIPS, *shape).to(dtype))
            logits.float().square().sum().backward()
        _require(logits.dtype == dtype, f"in {dtype} it answers in {logits.dtype}")
        _require(bool(logits.isfinite().all()), f"in {dtype} its answer is not finite")


def a_wrong_number_of_channels_is_refused(subject: Subject) -> None:
    """By a ValueError, from the count and from the network alike."""
    config, (channels, bins, frames) = subject.samples[0]
    wrong = channels + 1, bins, frames
    network = subject.entry.network(config).eval()
    for what, call in (
        ("count", lambda: subject.entry.count(config, wrong)),
        ("the network", lambda: network(torch.zeros(1, *wrong))),
    ):
        try:
            call()
        except ValueError:
            continue
        except RuntimeError as error:
            raise BrokenPromiseError(f"{what} must raise ValueError for {wrong[0]} channels: {error}") from error
        raise BrokenPromiseError(f"{what} must raise ValueError for {wrong[0]} channels")


CHECKS: tuple[Callable[[Subject], None], ...] = (
    it_gives_features_and_then_logits,
    every_parameter_gets_a_gradient,
    each_clip_is_heard_by_itself,
    the_same_seed_builds_the_same_network,
    the_count_is_what_the_built_network_costs,
    it_runs_in_every_precision,
    a_wrong_number_of_channels_is_refused,
)


def _networks(subject: Subject) -> Iterator[tuple[Any, Any, Tensor]]:
    """Return each network in train mode, its config, and clips for it."""
    for config, shape in subject.samples:
        torch.manual_seed(0)
        with _told(f"the network of {config} cannot be built or run"):
            network = subject.entry.network(config)
            clips = torch.randn(NUM_CLIPS, *shape)
            network(clips)
        yield network, config, clips


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn whatever a stranger's code raises into a broken promise."""
    try:
        yield
    except BrokenPromiseError:
        raise
    except Exception as error:
        raise BrokenPromiseError(f"{what}: {type(error).__name__}: {error}") from error


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BrokenPromiseError(otherwise)


def _require_close(found: Tensor, wanted: Tensor, otherwise: str) -> None:
    away = float((found - wanted).abs().max())
    _require(away <= 1e-3 * max(1.0, float(wanted.abs().max())), f"{otherwise}: by {away:.3g}")
