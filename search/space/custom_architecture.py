"""Custom architecture: a user's Python file, registered under the file's name like a built-in architecture.

Config     frozen dataclass of the sizes; the defaults are the published network
Network    torch module made from a config: features(x), classify(z), forward(x)
count      optional: cost of a network in closed form (`models.counts`); without it each is built to be priced
RANGES     optional: search space, an Optuna distribution for each size that varies
FRONT_END  optional: name of the front end, "dcase24" by default
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from models import ARCHITECTURES, Architecture, Counts, Shape
from models.counts import InputShapeError
from objectives.measure import UncountedOperatorError, measure_cost
from search.config.user_file import UserFileError, file_digest, load_module
from search.space.conformance import require_conformance
from search.space.space_file import require_valid
from spaces import METHODS, SPACES, Space

DEFAULT_FRONT_END = "dcase24"
_NAME = re.compile(r"[\w-]+", re.ASCII)  # no comma, which separates names, and no dot, which precedes a field
_LOADED: dict[str, str] = {}  # name -> SHA-256 of the file


def register_architecture_file(path: Path, *, check: bool = True) -> str:
    """Register the architecture and the space of a Python file, and return its name; idempotent.

    Args:
        path: The Python file.
        check: Whether to run the conformance checks; False in the worker processes of a search.

    Raises:
        UserFileError: It cannot be run, lacks a part, or has the name of another architecture.
        ConformanceError: It fails a conformance check.
    """
    name = path.stem
    module = load_module(path)
    digest = file_digest(path)
    if _LOADED.get(name) == digest:
        return name
    _require_usable(path, module)
    ranges = getattr(module, "RANGES", {})
    if not isinstance(ranges, Mapping):
        raise UserFileError(f"{path}: RANGES must be a mapping of Config's fields to ranges, got {ranges!r}")
    counts = getattr(module, "count", None)
    entry = Architecture(
        module.Config,
        module.Network,
        _CountByBuilding(module.Network) if counts is None else _CountByFunction(counts),
        getattr(module, "FRONT_END", DEFAULT_FRONT_END),
        is_built_to_count=counts is None,
    )
    space = Space({name: dict(ranges)})
    before = ARCHITECTURES.get(name)
    ARCHITECTURES[name] = entry  # the space's validation looks it up
    if check:
        try:
            require_conformance(str(path), entry, {})
            require_valid(str(path), space)
            require_conformance(str(path), entry, space.networks[name])
        except BaseException:
            del ARCHITECTURES[name]
            if before is not None:
                ARCHITECTURES[name] = before
            raise
    SPACES[name] = space
    SPACES["all"] = Space({**SPACES["all"].networks, **space.networks})
    _LOADED[name] = digest
    return name


def _require_usable(path: Path, module: ModuleType) -> None:
    """Refuse a name that is taken or cannot be typed, and a file without a part."""
    name = path.stem
    if (name in ARCHITECTURES and name not in _LOADED) or name == "all" or name in METHODS:
        kind = "a training method" if name in METHODS else "an architecture"
        raise UserFileError(f"{path}: there is {kind} {name} already; give the file another name")
    if not _NAME.fullmatch(name):
        raise UserFileError(f"{path}: its name is the architecture's, so it must be of letters, digits, _ and - alone")
    missing = [part for part in ("Config", "Network") if not hasattr(module, part)]
    if missing:
        raise UserFileError(f"{path} must define {' and '.join(missing)}")


@dataclass(frozen=True)
class _CountByFunction:
    """Counts a network by the file's own function, whose ValueError means an input that the network cannot take."""

    function: Callable[[Any, Shape], Counts]

    def __call__(self, config: Any, input_shape: Shape) -> Counts:
        try:
            return self.function(config, input_shape)
        except ValueError as error:
            raise InputShapeError(str(error)) from error


class _CountByBuilding:
    """Counts a network by building it."""

    def __init__(self, network: Any) -> None:
        self._count = lru_cache(maxsize=10_000)(self._measure)
        self.network = network

    def __call__(self, config: Any, input_shape: Shape) -> Counts:
        return self._count(config, tuple(input_shape))

    def _measure(self, config: Any, input_shape: tuple[int, ...]) -> Counts:
        try:
            cost = measure_cost(self.network(config), input_shape)
        except UncountedOperatorError:
            raise
        except RuntimeError as error:  # torch's error for an input that is too small
            raise InputShapeError(f"the network cannot take an input of {input_shape}: {error}") from error
        return Counts(cost.macs, cost.params, cost.stored_values, cost.peak_bytes)
