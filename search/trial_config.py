"""A trial's identity: which network, hearing what, trained how."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import nn

from data.front_end import FRONT_ENDS, FrontEndConfig
from models import ARCHITECTURES, Architecture
from search.names import unknown
from training.recipe import Recipe

DEFAULT_FRONT_END = "dcase24"
Value = bool | int | float | str


@dataclass(frozen=True)
class TrialConfig:
    """One point of a search, frozen and hashable.

    Attributes:
        architecture: Its name in `ARCHITECTURES`.
        network: The architecture's own config.
        front_end: Its name in `FRONT_ENDS`.
        recipe: How to train.
    """

    architecture: str
    network: Any
    front_end: str
    recipe: Recipe

    @classmethod
    def from_values(
        cls, architecture: str, values: Mapping[str, Any], front_end: str = DEFAULT_FRONT_END
    ) -> "TrialConfig":
        """Join flat `values` to the configs by field name; what is left out keeps the published default.

        Raises:
            ValueError: A name that neither config has (with the nearest that is), a value of the wrong type, or one
                that the config refuses.
        """
        entry = find_architecture(architecture)
        if front_end not in FRONT_ENDS:
            raise ValueError(unknown("front end", front_end, FRONT_ENDS))
        network_fields, recipe_fields = field_types(entry.config), field_types(Recipe)
        for name, value in values.items():
            expected = network_fields.get(name) or recipe_fields.get(name)
            if expected is None:
                raise ValueError(unknown("config key", name, [*network_fields, *recipe_fields]))
            _require_type(name, value, expected)
        network = entry.config(**{name: value for name, value in values.items() if name in network_fields})
        recipe = Recipe(**{name: value for name, value in values.items() if name in recipe_fields})
        return cls(architecture, network, front_end, recipe)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "TrialConfig":
        """Read back what `to_dict` gave.

        Raises:
            ValueError: As `from_values`.
        """
        values = dict(record)
        architecture = str(values.pop("architecture", ""))
        return cls.from_values(architecture, values, str(values.pop("front_end", DEFAULT_FRONT_END)))

    def to_dict(self) -> dict[str, Value]:
        """Give every field, flat, as JSON and YAML can hold it."""
        return {
            "architecture": self.architecture,
            "front_end": self.front_end,
            **asdict(self.network),
            **asdict(self.recipe),
        }

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Of one clip: (channels, F, T)."""
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
        ValueError: There is none of that name; the nearest is named.
    """
    if name not in ARCHITECTURES:
        raise ValueError(unknown("architecture", name, ARCHITECTURES))
    return ARCHITECTURES[name]


def field_types(config: type) -> dict[str, type]:
    """Give the name and the type of every field of a flat config."""
    return {field.name: field.type for field in fields(config) if isinstance(field.type, type)}


def _require_type(name: str, value: object, expected: type) -> None:
    accepted = (int, float) if expected is float else (expected,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and expected is not bool):
        raise ValueError(f"{name} must be {_TYPE_NAMES[expected]}, got {value!r}")


_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
