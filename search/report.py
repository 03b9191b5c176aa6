"""Figures as tables: for a terminal, for Markdown. Needs no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from rich import box
from rich.table import Table

from objectives.cost import Cost
from objectives.quality import Quality, Score
from search.published import STORED, Published

Rows = Mapping[str, Sequence[Any]]  # what a row is about -> its cells


def cost_table(cost: Mapping[str, Any]) -> Rows:
    """Arrange a cost report: value, limit, share of the limit."""
    rows = {
        "MACs": "macs",
        "parameters": "params",
        "stored values": "stored_values",
        f"bytes at {cost['precision']}": "size_bytes",
        f"non-zero bytes at {cost['precision']}": "nonzero_bytes",
    }
    table: dict[str, list[str]] = {"": ["counted", "limit", "of the limit"]}
    for title, name in rows.items():
        limit = cost["limits"].get(name)
        table[title] = [
            f"{cost[name]:,}",
            *([f"{limit:,}", f"{cost[name] / limit:.1%}"] if limit else ["", ""]),
        ]
    table["MACs by fvcore"] = [f"{cost['fvcore_macs']:,}", "", ""]
    return table


def layer_table(cost: Mapping[str, Any]) -> Rows:
    """Arrange a cost report's layers: kind, output, parameters, MACs."""
    table: dict[str, list[str]] = {"layer": ["kind", "output", "parameters", "MACs", "of the MACs"]}
    for layer in cost["layers"]:
        share = layer["macs"] / cost["macs"] if cost["macs"] else 0
        table[layer["name"] or "(network)"] = [
            layer["kind"],
            " x ".join(map(str, layer["output_shape"])),
            f"{layer['params']:,}",
            f"{layer['macs']:,}",
            f"{share:.1%}",
        ]
    return table


def published_table(priced: Sequence[tuple[Published, Cost | None]]) -> Rows:
    """Arrange published networks: what is claimed, and what we count by the same rule."""
    table: dict[str, list[str]] = {
        "name": [
            "architecture",
            "front end",
            "claimed params",
            "counted",
            "claimed MACs",
            "counted",
            "accuracy %",
            "log loss",
        ]
    }
    for entry, cost in priced:
        counted = None if cost is None else (cost.stored_values if entry.params_rule == STORED else cost.params)
        table[entry.name] = [
            entry.architecture,
            entry.front_end,
            _given(entry.claimed_params, ","),
            _given(counted, ","),
            _given(entry.claimed_macs, ","),
            _given(None if cost is None else cost.macs, ","),
            _given(entry.accuracy, "g"),
            _given(entry.log_loss, "g"),
        ]
    return table


def published_lines(entry: Published, cost: Cost | None) -> list[str]:
    """Write all that is known of a published network, a line a field, and what we count."""
    known: dict[str, object] = {field.name: getattr(entry, field.name) for field in fields(entry)}
    known["settings"] = ", ".join(f"{name}={value}" for name, value in entry.settings.items()) or "all at default"
    known["remark"] = entry.remark or "none"
    if cost is not None:
        known |= {f"counted_{name}": getattr(cost, name) for name in ("params", "stored_values", "macs", "peak_bytes")}
    return [f"{name}: {_told(value)}" for name, value in known.items()]


def _told(value: object) -> str:
    if value is None:
        return "not reported"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _given(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def quality_tables(quality: Quality) -> dict[str, Rows]:
    """Arrange a quality by class, by device, by device group, and as confusion matrix."""
    confusion: dict[str, list[str]] = {"truth \\ answer": list(quality.classes)}
    for name, row in zip(quality.classes, quality.confusion, strict=True):
        confusion[name] = [str(count) for count in row]
    return {
        "By scene": _scores("scene", quality.by_class),
        "By device": _scores("device", quality.by_device),
        "By device group": _scores("group", quality.by_group),
        "Confusion": confusion,
    }


def _scores(title: str, scores: Mapping[str, Score]) -> Rows:
    rows: dict[str, list[str]] = {title: ["clips", "accuracy", "log loss"]}
    for name, score in scores.items():
        rows[name] = [f"{score.clips:,}", f"{score.accuracy:.1%}", f"{score.log_loss:.3f}"]
    return rows


def markdown_table(rows: Rows, head: Sequence[str] | None = None) -> str:
    """Write rows as Markdown; without `head` the first row is the head."""
    lines = [[key, *map(str, cells)] for key, cells in rows.items()]
    lines = [list(head), *lines] if head else lines
    lines.insert(1, ["---"] + ["---:"] * (len(lines[0]) - 1))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def terminal_table(rows: Rows, title: str = "") -> Table:
    """Arrange rows for a terminal; the first is the head."""
    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    keys = iter(rows.items())
    key, cells = next(keys)
    table.add_column(key, no_wrap=True)
    for cell in cells:
        table.add_column(cell, justify="right", no_wrap=True)
    for key, row in keys:
        table.add_row(key, *map(str, row))
    return table
