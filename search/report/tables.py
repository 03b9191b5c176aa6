"""Figures as tables: for a terminal, for Markdown. Needs no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from rich import box
from rich.console import JustifyMethod
from rich.table import Table

from objectives.cost import Cost
from objectives.quality import Quality, Score
from search.config.published import STORED, Published
from search.config.recipes import NamedRecipe
from training.recipe import Recipe

Rows = Mapping[str, Sequence[Any]]  # what a row is about -> its cells
WORST = "Worst limit, of the networks over budget: the one that a network exceeds by the largest factor."
Lines = Sequence[Sequence[str]]  # rows that may begin alike; the first is the head


def cost_table(cost: Mapping[str, Any]) -> Rows:
    """Arrange a cost report: value, limit, share of the limit."""
    rows = {
        "MACs": "macs",
        "parameters": "params",
        "stored values": "stored_values",
        "non-zero values": "nonzero_values",
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


def recipes_table(recipes: Sequence[NamedRecipe]) -> Rows:
    """Arrange recipes: whose they are, how long they train, and by which optimizer."""
    table: dict[str, list[str]] = {"name": ["network", "source", "epochs", "batch", "optimizer", "rate"]}
    for named in recipes:
        recipe = named.recipe
        table[named.name] = [
            named.architecture,
            named.source,
            str(recipe.epochs),
            str(recipe.batch_size),
            recipe.optimizer,
            f"{recipe.learning_rate:g}",
        ]
    return table


def recipe_lines(named: NamedRecipe) -> list[str]:
    """Write all that is known of a recipe: where it is from, and every field that is not at its default."""
    changed = [
        f"{name}: {named.values[name]} (default {'none' if default == '' else default})"
        for name, default in asdict(Recipe()).items()
        if name in named.values
    ]
    return [
        f"recipe: {named.name}",
        f"network: {named.architecture}",
        f"source: {named.source}",
        f"remark: {named.remark or 'none'}",
        "",
        *(changed or ["every field at its default"]),
    ]


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
    several = len(report["architectures"]) > 1
    texts: list[Table | str] = [
        *summary_lines(report),
        "",
        terminal_table(fits_lines(report), "What fits"),
        *([f"{WORST}\n"] if len(report["limits"]) > 1 else []),
        terminal_table(
            costs_lines(report, several=several), "What the networks cost, those over budget too", 1 + several
        ),
    ]
    if report["nothing_fits"]:
        return [*texts, report["nothing_fits"]]
    sizes = terminal_table(reach_lines(report), "How large each size can be in a network that fits", 3)
    return [*texts, sizes, *time_lines(report["time"])]


def summary_lines(report: Mapping[str, Any]) -> list[str]:
    """Describe what was priced, against which limits, and how much of it fits."""
    parts = report["architectures"]
    several = f" of {len(parts)} architectures" if len(parts) > 1 else ""
    limits = ", ".join(f"{name} <= {limit:,}" for name, limit in report["limits"].items()) or "no limits"
    named = "" if "=" in report["budget"] else f"{report['budget']}: "
    likely = ", each architecture as likely" if several else ""
    kind = "all there are" if report["share"]["is_exact"] else "random ones where there are too many"
    return [
        f"space {report['space']}: {_networks_text(report['networks_priced'])}{several} priced: {kind}",
        f"budget {named}{limits}{_precision_text(report)}",
        f"{share_text(report['share'])} of random networks fit{likely}",
    ]


def _networks_text(count: int) -> str:
    return "1 network" if count == 1 else f"{count:,} networks"


def _precision_text(report: Mapping[str, Any]) -> str:
    return f", weights as {report['precision']}" if {"size_bytes", "nonzero_bytes"} & set(report["limits"]) else ""


def fits_lines(report: Mapping[str, Any]) -> Lines:
    """Arrange by architecture how many networks fit, how often each limit is broken, and how often it is the worst."""
    limits, parts = report["limits"], report["architectures"]
    some_are_drawn = not report["share"]["is_exact"]
    some_are_invalid = any(part["invalid"] for part in parts.values())
    head = ["architecture", "networks", *["priced"] * some_are_drawn, "fit", *(f"over {name}" for name in limits)]
    head += ["build nothing"] * some_are_invalid + ["worst limit"] * (len(limits) > 1)
    lines = [head]
    for name, part in parts.items():
        priced = part["priced"]
        line = [name, "infinitely many" if part["networks"] is None else f"{part['networks']:,}"]
        line += ["all" if part["share"]["is_exact"] else f"{priced:,}"] * some_are_drawn
        line += [share_text(part["share"]), *(percent_text(part["over"][limit] / priced) for limit in limits)]
        line += [percent_text(part["invalid"] / priced)] * some_are_invalid
        line += [_worst_text(part["binding"])] * (len(limits) > 1)
        lines.append(line)
    return lines


def _worst_text(binding: Mapping[str, int]) -> str:
    """Write how often each limit is the worst, the most frequent first.

    >>> _worst_text({"macs": 10, "params": 30, "peak_bytes": 0}), _worst_text({"macs": 3}), _worst_text({"macs": 0})
    ('params 75.0%, macs 25.0%', 'macs', 'none')
    """
    total = sum(binding.values())
    often = sorted(((count, name) for name, count in binding.items() if count), reverse=True)
    if len(often) < 2:
        return often[0][1] if often else "none"
    return ", ".join(f"{name} {percent_text(count / total)}" for count, name in often)


def costs_lines(report: Mapping[str, Any], *, several: bool) -> Lines:
    """Arrange the costs of the networks by architecture and cost; the architecture's name where there are `several`."""
    limits = report["limits"]
    lines = [[*["architecture"] * several, "cost", "least", "5 %", "median", "95 %", "most", "limit"]]
    for name, part in report["architectures"].items():
        for number, (cost, found) in enumerate(part["costs"].items()):
            if found is None:
                continue
            figures = [si_text(found[at]) for at in ("0", "0.05", "0.5", "0.95", "1")]
            limit = si_text(limits[cost]) if cost in limits else ""
            owner = ["" if number else name] * several
            lines.append([*owner, cost_title(cost, report["precision"]), *figures, limit])
    return lines


def reach_lines(report: Mapping[str, Any]) -> Lines:
    """Arrange by architecture the sizes that the budget holds back, and those that it does not, if it was asked."""
    lines = [["architecture", "held back by the budget", "free to the end of the range"]]
    for name, part in report["architectures"].items():
        if not part["largest"]:
            continue  # a search of before did not ask
        if all(found["fitting"] in (None, []) for found in part["largest"].values()):
            lines.append([name, "no network fits", ""])
            continue
        held = {size: found for size, found in part["largest"].items() if found["fitting"] != found["of"]}
        free = {size: found for size, found in part["largest"].items() if size not in held}
        lines.append(
            [
                name,
                ", ".join(f"{size}={_reach_text(found)}" for size, found in held.items()) or "none",
                ", ".join(f"{size}={_value_text(found['of'])}" for size, found in free.items()) or "none",
            ]
        )
    return lines


def time_lines(timed: Mapping[str, Any] | None) -> list[str]:
    """Return how long the trials will take."""
    if timed is None:
        return ["Name a folder of data to have the time estimated that the trials will take."]
    trials = ", ".join(f"{name} {duration_text(seconds)}" for name, seconds in timed["trial_s"].items())
    asked = (
        f"{timed['trials']} trials of {timed['epochs']} epochs, {timed['workers']} side by side on {timed['device']}"
    )
    return [
        f"{asked}: about {duration_text(timed['total_s'])} if none is stopped early",
        f"one trial: {trials} (estimated from a few steps of {timed['networks_timed']} networks that fit)",
    ]


def cost_title(cost: str, precision: str) -> str:
    """Name an attribute of a cost in words."""
    return {
        "macs": "MACs",
        "params": "parameters",
        "size_bytes": f"bytes at {precision}",
        "nonzero_bytes": f"non-zero bytes at {precision}",
        "peak_bytes": "peak bytes (int8)",
    }[cost]


def si_text(value: float) -> str:
    """Write a cost with a decimal prefix, as budgets are written.

    >>> si_text(29747914), si_text(128000), si_text(950), si_text(999_999)
    ('29.7M', '128K', '950', '1M')
    """
    rounded = float(f"{value:.3g}")
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if rounded >= unit:
            return f"{rounded / unit:.3g}{name}"
    return f"{rounded:.3g}"


def share_text(share: Mapping[str, Any]) -> str:
    """Write a share, with its interval where it is an estimate.

    >>> share_text({"value": 0.25, "low": 0.2, "high": 0.31, "is_exact": False})
    '25.0% (20.0% to 31.0%)'
    >>> share_text({"value": 0.0004, "low": 0.0004, "high": 0.0004, "is_exact": True})
    '0.04%'
    """
    if not share["value"] and not share["is_exact"]:
        return f"below {percent_text(share['high'])}"
    exact = percent_text(share["value"])
    return exact if share["is_exact"] else f"{exact} ({percent_text(share['low'])} to {percent_text(share['high'])})"


def percent_text(value: float) -> str:
    """Write a share such that only nothing is 0% and only everything is 100%."""
    if value in (0, 1):
        return f"{value:.0%}"
    if value < 0.001:
        return f"{100 * value:.1g}%"
    return f"{value:.1%}" if value < 0.9995 else ">99.9%"


def duration_text(seconds: float) -> str:
    """Write a duration roughly.

    >>> duration_text(0.2), duration_text(75), duration_text(3675), duration_text(400_000)
    ('1 s', '75 s', '61 min', '4.6 days')
    """
    for unit, least, name in ((86_400, 2 * 86_400, "days"), (3600, 2 * 3600, "h")):
        if seconds >= least:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{max(1, seconds):.0f} s"


def _reach_text(found: Mapping[str, Any]) -> str:
    return f"{_value_text(found['fitting'])} of {_value_text(found['of'])}"


def _value_text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return "/".join(map(str, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def terminal_table(rows: Rows | Lines, title: str = "", num_texts: int = 1) -> Table:
    """Arrange rows for a terminal; the first is the head.

    Args:
        rows: By what they are about, or whole.
        title: Above the table.
        num_texts: How many columns, from the left, hold words.
    """
    head, *lines = [[key, *map(str, cells)] for key, cells in rows.items()] if isinstance(rows, Mapping) else rows
    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for number, name in enumerate(head):
        side: JustifyMethod = "left" if number < num_texts else "right"
        table.add_column(name, justify=side, no_wrap=number == 0, overflow="fold")  # no figure is cut short
    for line in lines:
        table.add_row(*line)
    return table
