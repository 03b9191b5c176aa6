"""What reports have published: networks with the figures that are claimed for them. Needs no torch.

results/published.csv holds a row a network, every figure as its report prints it; results/README.md says what the
columns mean.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from search.config.errors import UserError
from search.config.messages import look_up

PUBLISHED = Path(__file__).parents[2] / "results" / "published.csv"
TRAINABLE, STORED = "trainable", "stored"  # what a report counts as parameters


class PublishedError(UserError):
    """A table of published networks that cannot be read; says where and why."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published network and what its report claims; None where the report says nothing.

    Attributes:
        name: Its name here.
        architecture: The name in the registry of architectures.
        front_end: The name of its front end.
        settings: Fields of the architecture's config that are not at their default.
        recipe: The name of the recipe that it is trained with here.
        recipe_settings: Fields of the recipe in which the report trains this network otherwise.
        params_rule: What `claimed_params` counts: "trainable", or "stored": running means and variances too.
        claimed_params: Number of parameters.
        claimed_macs: Multiply-accumulates of one clip.
        claimed_size: As it is printed, with its unit.
        accuracy: Macro accuracy of a network trained on all the data, percent.
        accuracy_5: Of one trained on 5 % of it, and so on.
        log_loss: Of the network of `accuracy`.
        data: What it was measured on.
        source: Report and place in it.
        remark: What to know when comparing.
    """

    name: str
    architecture: str
    front_end: str
    settings: Mapping[str, Any]
    recipe: str
    recipe_settings: dict[str, Any]
    params_rule: str
    claimed_params: int | None
    claimed_macs: int | None
    claimed_size: str | None
    accuracy: float | None
    accuracy_5: float | None
    accuracy_10: float | None
    accuracy_25: float | None
    accuracy_50: float | None
    log_loss: float | None
    data: str
    source: str
    remark: str

    @property
    def values(self) -> dict[str, Any]:
        """What a trial's config is made from: the settings and the front end."""
        return {"front_end": self.front_end, **self.settings}


def read_published(path: Path = PUBLISHED) -> list[Published]:
    """Read the table, in its order.

    Raises:
        PublishedError: It cannot be read, has other columns, or a row breaks a rule; the line is named.
    """
    columns = [field.name for field in fields(Published)]
    found: dict[str, Published] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file, strict=True)
            head = next(rows, [])
            if head != columns:
                raise PublishedError(f"{path}: the columns must be {', '.join(columns)}; got {', '.join(head)}")
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                if len(row) != len(columns):
                    raise PublishedError(f"{where}: {len(row)} cells under {len(columns)} columns")
                entry = _entry(dict(zip(columns, row, strict=True)), where)
                if entry.name in found:
                    raise PublishedError(f"{where}: the name {entry.name!r} is taken by a row above")
                found[entry.name] = entry
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PublishedError(f"{path} cannot be read: {error}") from error
    return list(found.values())


def find_published(name: str) -> Published:
    """Look up a published network.

    Raises:
        UserError: There is none of that name; the nearest is named.
    """
    return look_up("published network", name, {entry.name: entry for entry in read_published()})


def _entry(cells: Mapping[str, str], where: str) -> Published:
    values: dict[str, Any] = {}
    for column, cell in cells.items():
        try:
            values[column] = _READERS[column](cell)
        except ValueError as error:
            raise PublishedError(f"{where}: {column} {error}, got {cell!r}") from error
    return Published(**values)


def _count(cell: str) -> int | None:
    if cell and not cell.isdecimal():
        raise ValueError("must be a whole number or empty")
    return int(cell) if cell else None


def _percent(cell: str) -> float | None:
    value = _figure(cell)
    if value is not None and value > 100:
        raise ValueError("must be 0 to 100 or empty")
    return value


def _figure(cell: str) -> float | None:
    if cell and not cell.replace(".", "", 1).isdecimal():
        raise ValueError("must be a number or empty")
    return float(cell) if cell else None


def _text(cell: str) -> str:
    if not cell.strip():
        raise ValueError("must not be empty")
    return cell


def _rule(cell: str) -> str:
    if cell not in (TRAINABLE, STORED):
        raise ValueError(f"must be {TRAINABLE} or {STORED}")
    return cell


def _settings(cell: str) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for part in cell.split(";") if cell else []:
        key, equals, value = part.partition("=")
        if not key or not equals or not value or key in settings:
            raise ValueError("must be key=value;key=value, each key once")
        try:
            settings[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError("must hold plain values") from error
    return settings


_READERS: dict[str, Callable[[str], Any]] = {
    "name": _text,
    "architecture": _text,
    "front_end": _text,
    "settings": _settings,
    "recipe": _text,
    "recipe_settings": _settings,
    "params_rule": _rule,
    "claimed_params": _count,
    "claimed_macs": _count,
    "claimed_size": lambda cell: cell or None,
    "accuracy": _percent,
    "accuracy_5": _percent,
    "accuracy_10": _percent,
    "accuracy_25": _percent,
    "accuracy_50": _percent,
    "log_loss": _figure,
    "data": _text,
    "source": _text,
    "remark": str,
}
