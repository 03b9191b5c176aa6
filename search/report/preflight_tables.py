"""The preflight report as tables and sentences: feasible networks, cost distributions, largest sizes, training time."""

from collections.abc import Iterator, Mapping
from typing import Any

from objectives.budget import limits_text
from search.report.format import cost_title, duration_text, percent_text, share_text, si_text
from search.report.table import Table

WORST = "Worst limit: of the networks over budget, the limit that is exceeded by the largest factor."


def preflight_texts(report: Mapping[str, Any]) -> Iterator[Table | str]:
    """Yield the report for a terminal: what is feasible, which limit binds, the costs, and the time to train."""
    yield from summary_lines(report)
    yield ""
    yield fits_table(report)
    if len(report["limits"]) > 1:
        yield f"{WORST}\n"
    yield cost_quantiles_table(report)
    if report["nothing_fits"]:
        yield report["nothing_fits"]
        return
    yield largest_sizes_table(report)
    yield from time_lines(report["time"])


def summary_lines(report: Mapping[str, Any]) -> list[str]:
    """Describe the networks that were priced, the limits, and the feasible fraction."""
    parts = report["architectures"]
    several = f" of {len(parts)} architectures" if len(parts) > 1 else ""
    limits = limits_text(report["limits"])
    named = "" if "=" in report["budget"] else f"{report['budget']}: "
    likely = ", architectures sampled uniformly" if several else ""
    kind = "exhaustive" if report["share"]["is_exact"] else "a random sample of the largest architectures"
    count = report["networks_priced"]
    networks = "1 network" if count == 1 else f"{count:,} networks"
    at = f", weights as {report['precision']}" if {"size_bytes", "nonzero_bytes"} & set(report["limits"]) else ""
    return [
        f"space {report['space']}: {networks}{several} priced: {kind}",
        f"budget {named}{limits}{at}",
        f"{share_text(report['share'])} of random networks fit{likely}",
    ]


def fits_table(report: Mapping[str, Any]) -> Table:
    """Tabulate by architecture the feasible fraction, how often each limit is exceeded, and how often it is worst."""
    limits, parts = report["limits"], report["architectures"]
    is_sampled = not report["share"]["is_exact"]
    has_invalid = any(part["invalid"] for part in parts.values())
    head = ["architecture", "networks", *["priced"] * is_sampled, "fit", *(f"over {name}" for name in limits)]
    head += ["invalid"] * has_invalid + ["worst limit"] * (len(limits) > 1)
    rows = []
    for name, part in parts.items():
        priced = part["priced"]
        row = [name, "infinitely many" if part["networks"] is None else f"{part['networks']:,}"]
        row += ["all" if part["share"]["is_exact"] else f"{priced:,}"] * is_sampled
        row += [share_text(part["share"]), *(percent_text(part["over"][limit] / priced) for limit in limits)]
        row += [percent_text(part["invalid"] / priced)] * has_invalid
        row += [_worst_text(part["binding"])] * (len(limits) > 1)
        rows.append(row)
    return Table("Feasible networks", head, rows, texts=("architecture", "worst limit"))


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


def cost_quantiles_table(report: Mapping[str, Any]) -> Table:
    """Tabulate quantiles of each cost by architecture; with one architecture, without its name."""
    limits, several = report["limits"], len(report["architectures"]) > 1
    head = [*["architecture"] * several, "cost", "minimum", "5 %", "median", "95 %", "maximum", "limit"]
    rows = []
    for name, part in report["architectures"].items():
        for cost, found in part["costs"].items():
            if found is None:
                continue
            quantiles = [si_text(found[at]) for at in ("0", "0.05", "0.5", "0.95", "1")]
            limit = si_text(limits[cost]) if cost in limits else ""
            rows.append([*[name] * several, cost_title(cost, report["precision"]), *quantiles, limit])
    return Table("Costs of all networks, feasible or not", head, rows, texts=("architecture", "cost"))


def largest_sizes_table(report: Mapping[str, Any]) -> Table:
    """Tabulate by architecture the sizes that the budget limits, and those that it does not limit."""
    rows = []
    for name, part in report["architectures"].items():
        if not part["largest"]:
            continue
        if all(found["fitting"] in (None, []) for found in part["largest"].values()):
            rows.append([name, "no network fits", ""])
            continue
        limited = {size: found for size, found in part["largest"].items() if found["fitting"] != found["of"]}
        free = {size: found for size, found in part["largest"].items() if size not in limited}
        rows.append(
            [
                name,
                ", ".join(f"{size}={_reach_text(found)}" for size, found in limited.items()) or "none",
                ", ".join(f"{size}={_value_text(found['of'])}" for size, found in free.items()) or "none",
            ]
        )
    head = ("architecture", "limited by the budget", "not limited by the budget")
    return Table("Largest feasible value of each size", head, rows, texts=head)


def time_lines(timed: Mapping[str, Any] | None) -> list[str]:
    """Describe how long training will take, if it was estimated."""
    if timed is None:
        return ["Name a data folder to have the training time estimated."]
    trials = ", ".join(f"{name} {duration_text(seconds)}" for name, seconds in timed["trial_s"].items())
    parallel = "1 trial at a time" if timed["workers"] == 1 else f"{timed['workers']} parallel trials"
    total = f"about {duration_text(timed['total_s'])} without early stopping"
    return [
        f"{timed['trials']} trials of {timed['epochs']} epochs, {parallel} on {timed['device']}: {total}",
        f"one trial: {trials} (estimated from a few steps of {timed['networks_timed']} feasible networks)",
    ]


def _reach_text(found: Mapping[str, Any]) -> str:
    return f"{_value_text(found['fitting'])} of {_value_text(found['of'])}"


def _value_text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return "/".join(map(str, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
