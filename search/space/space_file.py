"""Search spaces by name or from a user's YAML or Python file, parsed and validated.

A YAML file has the architectures with their ranges, and optionally front ends and ranges of the training recipe:

    networks:
      isotropic: {width: {low: 16, high: 96, step: 8}, kernel: [3, 5], patch: 6}
      tf_sepnet: {}
    front_ends: [dcase24, tfsepnet]
    training: {learning_rate: {low: 0.001, high: 0.01, log: true}}

A range is a mapping of low and high, with a step or on a logarithmic scale; a list is an unordered choice; a single
value is fixed. A Python file defines the same as `SPACE`, a `spaces.Space`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from data.front_end import FRONT_ENDS
from models import ARCHITECTURES
from search.config.errors import ConfigError, UserError
from search.config.messages import unknown
from search.config.settings_file import is_space_file
from search.config.trial_config import NOT_SEARCHABLE, TrialConfig, field_types, to_field_value
from search.config.user_file import load_module
from search.config.yaml_text import read_yaml
from search.space.pricing import count
from search.space.ranges import draw
from spaces import METHODS, METHODS_NETWORK, SPACES, TRAINING, Space
from training.recipe import Recipe

NUM_SAMPLED = 200  # random configurations, at least one of which must build a network
KEYS = ("networks", "front_ends", "training")
RANGE_KEYS = ("low", "high", "step", "log")
MAX_NUMBER = 10**6  # far above any sensible size, and small enough that costs do not overflow


class SpaceError(UserError):
    """A space that cannot be searched; the message names the part and the rule."""


def find_space(text: str) -> Space:
    """Return a space by comma-separated names of `SPACES` and `METHODS`, or by the path of a file.

    Raises:
        UserError: An unknown name, or a file without a valid space.
    """
    if text in SPACES:
        return SPACES[text]
    if is_space_file(text):
        return read_space(Path(text))
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in SPACES and name not in METHODS:
            kind = "space" if len(names) == 1 else "architecture or training method"
            raise SpaceError(unknown(kind, name, [*SPACES, *METHODS]))
    return _join([name for name in names if name in SPACES], [name for name in names if name not in SPACES])


def _join(spaces: Sequence[str], methods: Sequence[str]) -> Space:
    """Join the networks of some spaces and the ranges of some training methods.

    Without a space, only the methods vary, on the published network of `METHODS_NETWORK`; with one, `TRAINING` varies
    too.
    """
    varied = {field: each for name in methods for field, each in METHODS[name].items()}
    if not spaces:
        return Space({METHODS_NETWORK: {}}, training=varied, explicit=frozenset(varied))
    networks = {name: ranges for space in spaces for name, ranges in SPACES[space].networks.items()}
    return Space(networks, training={**TRAINING, **varied}, explicit=frozenset(varied))


def read_space(path: Path) -> Space:
    """Read a space from a file.

    Raises:
        YamlError: It cannot be read.
        SpaceError: It is not valid.
    """
    if path.suffix == ".py":
        space = getattr(load_module(path), "SPACE", None)
        if not isinstance(space, Space):
            raise SpaceError(f"{path} must define SPACE, a spaces.Space, got {type(space).__name__}")
        if space.training is not TRAINING and isinstance(space.training, Mapping):
            space = replace(space, explicit=frozenset(space.training))
    else:
        loaded = read_yaml(path)
        try:
            space = space_from_dict(loaded)
        except UserError as error:
            raise SpaceError(f"{path}: {error}") from error
    require_valid(str(path), space)
    return space


def space_from_dict(record: object) -> Space:
    """Build a space from the plain values of a YAML file.

    Raises:
        UserError: Names the part that is no space.
    """
    record = _mapping("a space", record, KEYS)
    networks = _mapping("networks", record.get("networks"))
    if not networks:
        raise SpaceError(f"networks must name an architecture: {', '.join(ARCHITECTURES)}")
    made = {}
    for name, ranges in networks.items():
        if name not in ARCHITECTURES:
            raise SpaceError(unknown("architecture", name, ARCHITECTURES))
        made[name] = _ranges(name, ranges, ARCHITECTURES[name].config)
    front_ends = record.get("front_ends", [])
    if not isinstance(front_ends, list):
        raise SpaceError(f"front_ends must be a list of front ends ({', '.join(FRONT_ENDS)}), got {front_ends!r}")
    if "training" not in record:
        return Space(made, tuple(front_ends))
    training = _ranges("training", record["training"], Recipe)
    return Space(made, tuple(front_ends), training, explicit=frozenset(training))


def _ranges(what: str, record: object, config: type) -> dict[str, BaseDistribution]:
    types = field_types(config)
    ranges = {}
    for name, described in _mapping(what, {} if record is None else record).items():
        if name not in types:
            raise SpaceError(f"{what}: {unknown('field', name, types)}")
        ranges[name] = _range(f"{what}: {name}", described, types[name])
    return ranges


def _range(what: str, described: object, kind: type) -> BaseDistribution:
    if not isinstance(described, Mapping):
        choices: list[Any] = described if isinstance(described, list) else [described]
        choices = [to_field_value(each, kind) for each in choices]
        if not choices or not all(isinstance(choice, bool | int | float | str) for choice in choices):
            raise SpaceError(f"{what} must be a range, a list of values or a value, got {described!r}")
        return CategoricalDistribution(choices)
    record = _mapping(what, described, RANGE_KEYS)
    if kind not in (int, float):
        raise SpaceError(f"{what} is no number: give a list of values")
    given = {key: value for key, value in record.items() if value is not None}
    rules = [(key in given, f"must have {key}") for key in ("low", "high")]
    log = given.pop("log", False)
    number = f"a {_KINDS[kind]} up to {MAX_NUMBER:,}"
    rules += [
        (_has_type(value, kind) and abs(value) <= MAX_NUMBER, f"must have {number} for {key}")
        for key, value in given.items()
    ]
    rules += [(isinstance(log, bool), "must have true or false for log")]
    _require(what, record, rules)
    low, high, step = given["low"], given["high"], given.get("step")
    rules = [
        (low <= high, "must have low at most high"),
        (step is None or step > 0, "must have a step above 0"),
        (step is None or not log, "must have a step or a logarithmic scale, not both"),
        (not log or low > 0, "must have low above 0 for a logarithmic scale"),
    ]
    _require(what, record, rules)
    if step is not None:
        steps = (high - low) / step
        _require(what, record, [(abs(steps - round(steps)) < 1e-9, "must have a step that leads from low to high")])
    if kind is int:
        return IntDistribution(low, high, step=step or 1, log=log)
    return FloatDistribution(low, high, step=step, log=log)


_KINDS = {int: "whole number", float: "number"}


def _require(what: str, record: Mapping[str, Any], rules: Iterable[tuple[bool, str]]) -> None:
    violated = [rule for holds, rule in rules if not holds]
    if violated:
        raise SpaceError(f"{what} {' and '.join(violated)}, got {dict(record)}")


def _has_type(value: object, kind: type) -> bool:
    accepted = (int, float) if kind is float else (kind,)
    return isinstance(value, accepted) and (not isinstance(value, bool) or kind is bool)


def _mapping(what: str, record: object, keys: tuple[str, ...] | None = None) -> Mapping[str, Any]:
    if not isinstance(record, Mapping) or not all(isinstance(key, str) for key in record):
        raise SpaceError(f"{what} must be a mapping of names, got {record!r}")
    for key in record:
        if keys is not None and key not in keys:
            raise SpaceError(f"{what}: {unknown('key', key, keys)}")
    return record


def require_valid(name: str, space: Space) -> None:
    """Refuse a space that cannot be searched.

    Raises:
        SpaceError: Lists every problem, after `name`.
    """
    if problems := space_problems(space):
        raise SpaceError("\n  ".join([f"{name} is not a valid search space:", *problems]))


def space_problems(space: Space) -> list[str]:
    """Return every reason why a space cannot be searched."""
    wrong = _type_problems(space)
    if wrong:
        return wrong
    wrong = [] if space.networks else ["it names no architecture"]
    known = tuple(FRONT_ENDS)  # a tuple accepts the look-up of an unhashable name
    wrong += [unknown("front end", str(name), known) for name in space.front_ends if name not in known]
    wrong += [f"it names the front end {name} twice" for name in _duplicates(space.front_ends)]
    wrong += [unknown("architecture", str(name), ARCHITECTURES) for name in space.networks if name not in ARCHITECTURES]
    if wrong:
        return wrong
    parts: list[tuple[str, Mapping[str, BaseDistribution], type]] = [("training", space.training, Recipe)]
    parts += [(name, ranges, ARCHITECTURES[name].config) for name, ranges in space.networks.items()]
    for what, ranges, config in parts:
        types = field_types(config)
        for name, distribution in ranges.items():
            if name not in types:
                wrong.append(f"{what}: {unknown('field', name, types)}")
            elif name in NOT_SEARCHABLE:
                wrong.append(f"{what}: {name} cannot be varied by a space: {NOT_SEARCHABLE[name]}")
            else:
                wrong += [f"{what}: {name} {problem}" for problem in _range_problems(distribution, types[name])]
    return wrong or [problem for name in space.networks for problem in _sampling_problems(name, space)]


def _type_problems(space: Space) -> list[str]:
    """Return the attributes of a space from a Python file that have a wrong type."""
    return [
        f"its {name} must be {rule}, got {getattr(space, name)!r}"
        for name, rule, holds in (
            ("networks", "a mapping of architectures to ranges", _is_mapping(space.networks, Mapping)),
            ("front_ends", "a tuple", isinstance(space.front_ends, list | tuple)),
            ("training", "a mapping of fields to ranges", _is_mapping(space.training, object)),
        )
        if not holds
    ]


def _is_mapping(record: object, kind: type) -> bool:
    return isinstance(record, Mapping) and all(isinstance(value, kind) for value in record.values())


def _duplicates(values: Sequence[Any]) -> list[Any]:
    return [value for number, value in enumerate(values) if value in values[:number]]


def _range_problems(distribution: BaseDistribution, kind: type) -> list[str]:
    if isinstance(distribution, CategoricalDistribution):
        values = list(distribution.choices)
        wrong = [f"must be of type {kind.__name__}, got {each!r}" for each in values if not _has_type(each, kind)]
        wrong = wrong or [f"names {each!r} twice" for each in _duplicates(values)]
    else:
        expected = IntDistribution if kind is int else FloatDistribution
        if kind not in (int, float) or not isinstance(distribution, expected):
            return [f"is of type {kind.__name__}, but its range is a {type(distribution).__name__}"]
        values, wrong = [distribution.low, distribution.high], []
    out_of_bounds = [value for value in values if isinstance(value, int | float) and not abs(value) <= MAX_NUMBER]
    return wrong + [f"must be from -{MAX_NUMBER:,} to {MAX_NUMBER:,}, got {value}" for value in out_of_bounds]


def _sampling_problems(name: str, space: Space) -> list[str]:
    """Return why none of `NUM_SAMPLED` random configurations builds a network, if none does."""
    rng = np.random.default_rng(0)
    reason = ""
    for _ in range(NUM_SAMPLED):
        values = {key: draw(each, rng) for key, each in {**space.networks[name], **space.training}.items()}
        if space.front_ends:
            values["front_end"] = space.front_ends[rng.integers(len(space.front_ends))]
        try:
            config = TrialConfig.from_values(name, values)
            count(ARCHITECTURES[name], config.network, config.input_shape)
        except ConfigError as error:
            reason = str(error)
        else:
            return []
    return [f"{name}: none of {NUM_SAMPLED} random configurations builds a network; the last: {reason}"]
