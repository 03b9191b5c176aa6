"""Configuration of a trial: the network, its front end, and the training recipe."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import nn

from data.front_end import FRONT_ENDS, FrontEndConfig
from models import ARCHITECTURES, Architecture
from search.config.errors import ConfigError
from search.config.messages import look_up, unknown
from training.recipe import Recipe

Value = bool | int | float | str


# Fields of a network's config that are derived, and from what.
DERIVED_FIELDS = {"num_classes": "the data", "in_channels": "the front end", "mel_bins": "the front end"}
# Fields of network and recipe that a search cannot set, and why.
NOT_SEARCHABLE = {
    **{name: f"it comes from {source}" for name, source in DERIVED_FIELDS.items()},
    "epochs": "it is a setting of its own: --epochs",
    "seed": "it is a setting of its own: --seed",
}


@dataclass(frozen=True)
class TrialConfig:
    """One point of a search, frozen and hashable.

    Attributes:
        architecture: Name in `ARCHITECTURES`.
        network: Config of the architecture.
        front_end: Name in `FRONT_ENDS`.
        recipe: Training recipe.
    """

    architecture: str
    network: Any
    front_end: str
    recipe: Recipe

    @classmethod
    def from_values(cls, architecture: str, values: Mapping[str, Any]) -> "TrialConfig":
        """Build a configuration from flat `values` by field name; omitted fields have the published default.

        The front end is one of the values, and determines the network's `in_channels` and `mel_bins`.

        Raises:
            ConfigError: An unknown name (suggests the nearest), a value of the wrong type or that the config refuses,
                or input sizes of another front end.
        """
        entry = find_architecture(architecture)
        front_end = values.get("front_end", entry.front_end)
        if front_end not in FRONT_ENDS:
            raise ConfigError(unknown("front end", str(front_end), FRONT_ENDS))
        network_fields, recipe_fields = field_types(entry.config), field_types(Recipe)
        types = recipe_fields | network_fields
        values = {name: to_field_value(value, types.get(name, object)) for name, value in values.items()}
        for name, value in values.items():
            if name == "front_end":
                continue
            if name not in types:
                raise ConfigError(unknown("config key", name, ["front_end", *network_fields, *recipe_fields]))
            _require_type(name, value, types[name])
        given = {name: value for name, value in values.items() if name in network_fields}
        for name, size in input_sizes(entry.config, front_end).items():
            if given.setdefault(name, size) != size:
                raise ConfigError(f"{name} is {given[name]}, but the front end {front_end} gives {size}")
        try:
            recipe = Recipe(**{name: value for name, value in values.items() if name in recipe_fields})
            network = entry.config(**given)
        except ValueError as error:  # raised by the validation of either config
            raise ConfigError(str(error)) from error
        return cls(architecture, network, front_end, recipe)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "TrialConfig":
        """Rebuild a configuration from the output of `to_dict`; raises as `from_values`."""
        values = dict(record)
        return cls.from_values(str(values.pop("architecture", "")), values)

    def to_dict(self) -> dict[str, Value]:
        """Return all fields in one flat dict of plain values."""
        return {
            "architecture": self.architecture,
            "front_end": self.front_end,
            **asdict(self.network),
            **asdict(self.recipe),
        }

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Input shape of one clip, (channels, F, T)."""
        return self.front_end_config.shape()

    @property
    def front_end_config(self) -> FrontEndConfig:
        """The front end's settings."""
        return FRONT_ENDS[self.front_end]

    def build(self) -> nn.Module:
        """Build the network with fresh weights."""
        network: nn.Module = ARCHITECTURES[self.architecture].network(self.network)
        return network


def find_architecture(name: str) -> Architecture:
    """Look up an architecture.

    Raises:
        ConfigError: There is none of that name; suggests the nearest.
    """
    return look_up("architecture", name, ARCHITECTURES)


def input_sizes(config: type, front_end: str) -> dict[str, int]:
    """Return the fields of an architecture's config that the front end determines."""
    channels, mel_bins, _ = FRONT_ENDS[front_end].shape()
    return {
        name: value
        for name, value in (("in_channels", channels), ("mel_bins", mel_bins))
        if name in field_types(config)
    }


def field_types(config: type) -> dict[str, type]:
    """Return the types of a flat config's fields, by name."""
    return {field.name: field.type for field in fields(config) if isinstance(field.type, type)}


def to_field_value(value: Any, kind: type) -> Any:
    """Return a value as a field of type `kind` has it: one number, or a list of them, for a text such as "4,8".

    >>> to_field_value(4, str), to_field_value([4, 8], str), to_field_value([4, 8], int)
    ('4', '4,8', [4, 8])
    """
    parts = value if isinstance(value, list | tuple) else [value]
    if kind is str and parts and all(isinstance(each, int) and not isinstance(each, bool) for each in parts):
        return ",".join(map(str, parts))
    return value


def _require_type(name: str, value: object, expected: type) -> None:
    accepted = (int, float) if expected is float else (expected,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and expected is not bool):
        raise ConfigError(f"{name} must be {_TYPE_NAMES[expected]}, got {value!r}")


_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


ARCHITECTURE = "architecture"  # parameter of a study of several architectures
