"""Published networks with the costs and metrics that their reports claim. Needs no torch.

results/published.csv has a row per network, every figure as its report prints it; results/README.md describes the
columns.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from search.config.errors import UserError
from search.config.messages import look_up
from search.config.yaml_text import YamlError, load_yaml

PUBLISHED = Path(__file__).parents[2] / "results" / "published.csv"
TRAINABLE, STORED = "trainable", "stored"  # what a report counts as parameters


class PublishedError(UserError):
    """The table of published networks cannot be read; the message names the line."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published network and the claims of its report; None where the report states nothing.

    Attributes:
        name: Name in this project.
        architecture: Name in the registry of architectures.
        front_end: Name of its front end.
        settings: Fields of the architecture's config that differ from the default.
        recipe: Name of its training recipe in this project.
        recipe_settings: Fields in which the report's training differs from that recipe.
        params_rule: What `claimed_params` counts: "trainable", or "stored", with running means and variances.
        claimed_params: Number of parameters.
        claimed_macs: Multiply-accumulates of one clip.
        claimed_size: Size as printed, with its unit.
        accuracy: Macro accuracy after training on all clips, percent.
        accuracy_5: Macro accuracy after training on 5 % of the clips; `accuracy_10` and so on likewise.
        log_loss: Log loss of the network of `accuracy`.
        data: Data set of accuracy and log loss.
        source: Report, and section or table.
        remark: Caveats for a comparison.
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
        """Values for `TrialConfig.from_values`: the settings and the front end."""
        return {"front_end": self.front_end, **self.settings}


def read_published(path: Path = PUBLISHED) -> list[Published]:
    """Read the published networks, in the order of the table.

    Raises:
        PublishedError: It cannot be read, has other columns, or a row is invalid; names the line.
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
                entry = _parse_row(dict(zip(columns, row, strict=True)), where)
                if entry.name in found:
                    raise PublishedError(f"{where}: the name {entry.name!r} is taken by a row above")
                found[entry.name] = entry
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PublishedError(f"{path} cannot be read: {error}") from error
    return list(found.values())


def find_published(name: str) -> Published:
    """Look up a published network.

    Raises:
        UserError: There is none of that name; suggests the nearest.
    """
    return look_up("published network", name, {entry.name: entry for entry in read_published()})


def _parse_row(cells: Mapping[str, str], where: str) -> Published:
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
            settings[key] = load_yaml(value)
        except YamlError as error:
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
