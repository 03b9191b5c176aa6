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
        "peak bytes of activations, int8": "peak_bytes",
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


def published_table(priced: Sequence[tuple[Published, Cost]]) -> Rows:
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
        counted = cost.stored_values if entry.params_rule == STORED else cost.params
        table[entry.name] = [
            entry.architecture,
            entry.front_end,
            _given(entry.claimed_params, ","),
            f"{counted:,}",
            _given(entry.claimed_macs, ","),
            f"{cost.macs:,}",
            _given(entry.accuracy, "g"),
            _given(entry.log_loss, "g"),
        ]
    return table


def published_lines(entry: Published, cost: Cost) -> list[str]:
    """Write all that is known of a published network, a line a field, and what we count."""
    known: dict[str, object] = {field.name: getattr(entry, field.name) for field in fields(entry)}
    known["settings"] = ", ".join(f"{name}={value}" for name, value in entry.settings.items()) or "all at default"
    known["remark"] = entry.remark or "none"
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


def preflight_texts(report: Mapping[str, Any]) -> list[Table | str]:
    """Arrange what a search is in for: what fits, what binds, what costs, and how long it takes."""
    limits, parts = report["limits"], report["architectures"]
    named = ", ".join(f"{name} <= {limit:,}" for name, limit in limits.items())
    head = ["networks", "priced", "fit", *(f"over {name}" for name in limits), *(f"{name} binds" for name in limits)]
    fits: dict[str, list[str]] = {"architecture": [*head, "invalid"]}
    costs: dict[str, list[str]] = {"": ["least", "5 %", "median", "95 %", "most"]}
    largest: dict[str, list[str]] = {"": ["largest that fits", "of"]}
    for name, part in parts.items():
        priced = part["priced"]
        fits[name] = [
            "infinitely many" if part["networks"] is None else f"{part['networks']:,}",
            "all" if part["share"]["is_exact"] else f"{priced:,}",
            share_text(part["share"]),
            *(f"{part['over'][limit] / priced:.1%}" for limit in limits),
            *(f"{part['binding'][limit] / priced:.1%}" for limit in limits),
            f"{part['invalid'] / priced:.1%}",
        ]
        for cost, title in (("macs", "MACs"), ("params", "parameters"), ("peak_bytes", "peak bytes, int8")):
            found = part["costs"][cost]
            if found is not None:
                costs[f"{name}: {title}"] = [f"{found[at]:,}" for at in ("0", "0.05", "0.5", "0.95", "1")]
        for size, found in part["largest"].items():
            largest[f"{name}: {size}"] = [_value_text(found["fitting"]), _value_text(found["of"])]
    total = f"A random proposal fits with a chance of {share_text(report['share'])}."
    texts: list[Table | str] = [
        f"space {report['space']}, budget {report['budget']} ({named}), bytes at {report['precision']}",
        terminal_table(fits, "What fits (of the priced networks)"),
        *([total] if len(parts) > 1 else []),
        terminal_table(costs, "What the networks cost, those over budget too"),
        terminal_table(largest, "How large a size can be, the others free"),
    ]
    if report["nothing_fits"]:
        return [*texts, report["nothing_fits"]]
    return [*texts, _time_text(report["time"])]


def share_text(share: Mapping[str, Any]) -> str:
    """Write a share, with its interval where it is an estimate.

    >>> share_text({"value": 0.25, "low": 0.2, "high": 0.31, "is_exact": False})
    '25.0% (20.0% to 31.0%)'
    """
    exact = f"{share['value']:.1%}"
    return exact if share["is_exact"] else f"{exact} ({share['low']:.1%} to {share['high']:.1%})"


def _value_text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value) if isinstance(value, str | bool) else f"{value:g}"


def _time_text(timed: Mapping[str, Any] | None) -> str:
    if timed is None:
        return "Name a folder of data to have the time estimated that the trials will take."
    by_architecture = ", ".join(f"{name} {seconds / 60:.1f} min" for name, seconds in timed["trial_s"].items())
    return (
        f"{timed['trials']} trials of {timed['epochs']} epochs, {timed['workers']} side by side on {timed['device']}: "
        f"up to {timed['total_s'] / 60:.0f} minutes, less where trials are stopped early. A trial of {by_architecture} "
        f"({timed['networks_timed']} networks timed)"
    )


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
