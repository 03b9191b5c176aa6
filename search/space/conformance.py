"""Conformance checks of an architecture, ours or a user's, on its published network and on random ones."""

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
from search.config.trial_config import DERIVED_FIELDS, input_sizes
from search.space.ranges import draw
from training.recipe import Recipe

NUM_SAMPLED = 3  # random networks beside the published one
NUM_DRAWN = 200  # random configs; those that build no network must raise ValueError
NUM_CLIPS = 4  # batch size B
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)


class ConformanceError(UserError):
    """An architecture fails conformance checks; the message lists them."""


@dataclass(frozen=True)
class SampledArchitecture:
    """An architecture to check, with some of its networks.

    Attributes:
        entry: Its entry in the registry.
        samples: Config and input shape (in_channels, F, T) of each network, the published one first.
    """

    entry: Architecture
    samples: tuple[tuple[Any, Shape], ...]


def require_conformance(name: str, entry: Architecture, ranges: Mapping[str, BaseDistribution]) -> None:
    """Run every check on an architecture.

    Raises:
        ConformanceError: Lists every failed check, with the reason.
    """
    try:
        with _convert_errors("the checks cannot run"):
            require_config(entry)
            sampled = sample_architecture(entry, ranges)
    except ConformanceError as error:
        raise ConformanceError(f"{name} is not a valid architecture: {error}") from error
    failures = []
    for check in CHECKS:
        try:
            with _convert_errors("it raises"):
                check(sampled)
        except ConformanceError as error:
            failures.append(f"{check.__name__.removeprefix('check_').replace('_', ' ')}: {error}")
    if failures:
        raise ConformanceError("\n  ".join([f"{name} is not a valid architecture:", *failures]))


def require_config(entry: Architecture) -> None:
    """Require a frozen, flat config whose fields all have defaults and do not clash with those of the recipe.

    Raises:
        ConformanceError: Names the field and the rule.
    """
    if not is_dataclass(entry.config):
        raise ConformanceError(f"its config must be a frozen dataclass, got {entry.config!r}")
    known = {field.name: field for field in fields(entry.config)}
    for name in ("num_classes", "in_channels"):
        _require(name in known, f"its config needs the field {name}: it is filled in from {DERIVED_FIELDS[name]}")
    for field in known.values():
        hint = "; leave out `from __future__ import annotations`" if isinstance(field.type, str) else ""
        _require(
            field.type in (bool, int, float, str),
            f"{field.name} must be bool, int, float or str, got {field.type!r}{hint}",
        )
        _require(field.default is not MISSING, f"{field.name} needs a default: that of the published network")
    clash = sorted(set(known) & {field.name for field in fields(Recipe)} | set(known) & {"architecture", "front_end"})
    _require(not clash, f"{', '.join(clash)} would be taken for a field of the training recipe: rename it")
    _require(entry.front_end in FRONT_ENDS, f"its front end {entry.front_end!r} is none of {', '.join(FRONT_ENDS)}")
    with _convert_errors("its default config cannot be made"):
        config = entry.config(**input_sizes(entry.config, entry.front_end))
    try:
        setattr(config, next(iter(known)), 3)
    except FrozenInstanceError:
        return
    raise ConformanceError("its config must be frozen: @dataclass(frozen=True)")


def sample_architecture(
    entry: Architecture, ranges: Mapping[str, BaseDistribution], *, num_sampled: int = NUM_SAMPLED, seed: int = 0
) -> SampledArchitecture:
    """Return an architecture with its published network and random ones from the ranges.

    Raises:
        ConformanceError: The published network does not take the output of its front end.
    """
    shape = FRONT_ENDS[entry.front_end].shape()
    sizes = input_sizes(entry.config, entry.front_end)
    published = entry.config(**sizes)
    with _convert_errors("the published network does not take its front end's output"):
        entry.count(published, shape)
    samples: list[tuple[Any, Shape]] = [(published, shape)]
    rng = np.random.default_rng(seed)
    for _ in range(NUM_DRAWN if ranges else 0):
        values = {name: draw(each, rng) for name, each in ranges.items()}
        with _convert_errors(f"a config that builds no network must raise ValueError, but {values} raise"):
            try:
                config = entry.config(**sizes, **values)
                if len(samples) <= num_sampled:
                    entry.count(config, shape)
                    samples.append((config, shape))
            except ValueError:
                continue
    return SampledArchitecture(entry, tuple(samples))


def check_features_and_logits(sampled: SampledArchitecture) -> None:
    """`features` returns (B, D), `classify` (B, num_classes); in eval mode one after the other is `forward`."""
    for network, config, clips in _networks(sampled):
        for method in ("features", "classify"):
            _require(callable(getattr(network, method, None)), f"it has no method {method}")
        network(clips)  # so that running statistics are not those of a new network
        network.eval()
        with torch.no_grad():
            z, logits = network.features(clips), network(clips)
            _require(z.ndim == 2 and len(z) == NUM_CLIPS, f"features must be ({NUM_CLIPS}, D), got {tuple(z.shape)}")
            expected = NUM_CLIPS, config.num_classes
            _require(logits.shape == expected, f"logits must be {expected}, got {tuple(logits.shape)}")
            _require_close(network.classify(z), logits, "classify(features(x)) is not forward(x) in eval mode")


def check_gradients(sampled: SampledArchitecture) -> None:
    """Every parameter gets a gradient, and a finite one."""
    for network, config, clips in _networks(sampled):
        labels = torch.arange(NUM_CLIPS) % config.num_classes
        nn.functional.cross_entropy(network(clips), labels).backward()  # type: ignore[no-untyped-call]  # torch's own
        unused = [key for key, each in network.named_parameters() if each.grad is None or not each.grad.any()]
        _require(not unused, f"no gradient reaches {', '.join(unused)}")
        not_finite = [key for key, each in network.named_parameters() if not bool(each.grad.isfinite().all())]
        _require(not not_finite, f"the gradient of {', '.join(not_finite)} is not finite")


def check_batch_independence(sampled: SampledArchitecture) -> None:
    """In eval mode a clip's logits do not depend on the other clips of its batch."""
    for network, _, clips in _networks(sampled):
        network.eval()
        with torch.no_grad():
            alone = torch.cat([network(clip[None]) for clip in clips])
            _require_close(network(clips), alone, "in eval mode a clip's logits depend on the others of its batch")


def check_seeded_initialization(sampled: SampledArchitecture) -> None:
    """Initial weights come from torch's generator alone."""
    config, _ = sampled.samples[0]
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(sampled.entry.network(config).state_dict())
    same = all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    _require(same, "two networks built from one seed differ")


def check_counts(sampled: SampledArchitecture) -> None:
    """`count` returns the MACs, parameters, stored values and peak of the built network."""
    for config, shape in sampled.samples:
        cost = measure_cost(sampled.entry.network(config), shape)
        counted = sampled.entry.count(config, shape)
        _require(isinstance(counted, Counts), f"count must return models.counts.Counts, got {counted!r}")
        for name, value in vars(counted).items():
            measured = cost.peak_bytes if name == "peak_values" else getattr(cost, name)
            _require(value == measured, f"count says {value:,} {name}, the built network has {measured:,}: {config}")


def check_precisions(sampled: SampledArchitecture) -> None:
    """Forward and backward run in fp32, bf16 and fp16, with finite logits of that precision."""
    config, shape = sampled.samples[0]
    for dtype in PRECISIONS:
        torch.manual_seed(0)
        network = sampled.entry.network(config).to(dtype)
        with _convert_errors(f"it does not run in {dtype}"):
            logits = network(torch.randn(NUM_CLIPS, *shape).to(dtype))
            logits.float().square().sum().backward()
        _require(logits.dtype == dtype, f"in {dtype} its logits are {logits.dtype}")
        _require(bool(logits.isfinite().all()), f"in {dtype} its logits are not finite")


def check_input_channels(sampled: SampledArchitecture) -> None:
    """The count and the network raise ValueError for another number of channels."""
    config, (channels, bins, frames) = sampled.samples[0]
    wrong = channels + 1, bins, frames
    network = sampled.entry.network(config).eval()
    for what, call in (
        ("count", lambda: sampled.entry.count(config, wrong)),
        ("the network", lambda: network(torch.zeros(1, *wrong))),
    ):
        try:
            call()
        except ValueError:
            continue
        except RuntimeError as error:
            raise ConformanceError(f"{what} must raise ValueError for {wrong[0]} channels: {error}") from error
        raise ConformanceError(f"{what} must raise ValueError for {wrong[0]} channels")


CHECKS: tuple[Callable[[SampledArchitecture], None], ...] = (
    check_features_and_logits,
    check_gradients,
    check_batch_independence,
    check_seeded_initialization,
    check_counts,
    check_precisions,
    check_input_channels,
)


def _networks(sampled: SampledArchitecture) -> Iterator[tuple[Any, Any, Tensor]]:
    """Yield each network in train mode, its config, and a batch of clips."""
    for config, shape in sampled.samples:
        torch.manual_seed(0)
        with _convert_errors(f"the network of {config} cannot be built or run"):
            network = sampled.entry.network(config)
            clips = torch.randn(NUM_CLIPS, *shape)
            network(clips)
        yield network, config, clips


@contextmanager
def _convert_errors(message: str) -> Iterator[None]:
    """Convert any exception of a user's code into a ConformanceError."""
    try:
        yield
    except ConformanceError:
        raise
    except Exception as error:
        raise ConformanceError(f"{message}: {type(error).__name__}: {error}") from error


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConformanceError(message)


def _require_close(actual: Tensor, expected: Tensor, message: str) -> None:
    difference = float((actual - expected).abs().max())
    _require(difference <= 1e-3 * max(1.0, float(expected.abs().max())), f"{message}: by {difference:.3g}")
