"""Costs, layers, quality, published networks, recipes and repeated seeds as tables. Needs no torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from objectives.cost import Cost
from objectives.goals import GOALS, first_quality, of_kind
from objectives.quality import Quality, Score
from objectives.sampling_error import score_error
from search.config.published import STORED, Published
from search.config.recipes import OPEN_CHOICES, NamedRecipe
from search.report.table import Table
from search.study.repeats import CHOSEN_BY, GROUPS, NETWORK, ROLE, TRIAL, metric_title
from training.recipe import Recipe


def cost_table(cost: Mapping[str, Any], title: str) -> Table:
    """Tabulate a cost report: value, limit, share of the limit."""
    names = {
        "MACs": "macs",
        "parameters": "params",
        "stored values": "stored_values",
        "non-zero values": "nonzero_values",
        f"bytes at {cost['precision']}": "size_bytes",
        f"non-zero bytes at {cost['precision']}": "nonzero_bytes",
        "peak bytes of activations, int8": "peak_bytes",
    }
    rows = []
    for name, field in names.items():
        limit = cost["limits"].get(field)
        shares = [f"{limit:,}", f"{cost[field] / limit:.1%}"] if limit else ["", ""]
        rows.append([name, f"{cost[field]:,}", *shares])
    rows.append(["MACs by fvcore", f"{cost['fvcore_macs']:,}", "", ""])
    return Table(title, ("cost", "counted", "limit", "of the limit"), rows)


def layer_table(cost: Mapping[str, Any], title: str) -> Table:
    """Tabulate a cost report's layers: kind, output shape, parameters, MACs."""
    rows = [
        [
            layer["name"] or "(network)",
            layer["kind"],
            " x ".join(map(str, layer["output_shape"])),
            f"{layer['params']:,}",
            f"{layer['macs']:,}",
            f"{layer['macs'] / cost['macs'] if cost['macs'] else 0:.1%}",
        ]
        for layer in cost["layers"]
    ]
    head = ("layer", "kind", "output", "parameters", "MACs", "of the MACs")
    return Table(title, head, rows, texts=("kind", "output"))


def published_table(priced: Sequence[tuple[Published, Cost]]) -> Table:
    """Tabulate published networks: claimed by each report, and counted here by the same rule."""
    rows = [
        [
            entry.name,
            entry.architecture,
            entry.front_end,
            _known(entry.claimed_params, ","),
            f"{cost.stored_values if entry.params_rule == STORED else cost.params:,}",
            _known(entry.claimed_macs, ","),
            f"{cost.macs:,}",
            _known(entry.accuracy, "g"),
            _known(entry.log_loss, "g"),
        ]
        for entry, cost in priced
    ]
    head = (
        "name", "architecture", "front end", "claimed params", "counted params", "claimed MACs", "counted MACs",
        "accuracy %", "log loss",
    )  # fmt: skip
    return Table("", head, rows, texts=("architecture", "front end"))


def published_lines(entry: Published, cost: Cost) -> list[str]:
    """Return every field of a published network and its counted cost, a line each."""
    known: dict[str, object] = {field.name: getattr(entry, field.name) for field in fields(entry)}
    known["settings"] = ", ".join(f"{name}={value}" for name, value in entry.settings.items()) or "all at default"
    known["remark"] = entry.remark or "none"
    known |= {f"counted_{name}": getattr(cost, name) for name in ("params", "stored_values", "macs", "peak_bytes")}
    return [f"{name}: {_field_text(value)}" for name, value in known.items()]


def recipes_table(recipes: Sequence[NamedRecipe]) -> Table:
    """Tabulate recipes: network, source, epochs, batch size, optimizer, learning rate."""
    rows = [
        [
            named.name,
            named.architecture,
            named.source,
            str(named.recipe.epochs),
            str(named.recipe.batch_size),
            named.recipe.optimizer,
            f"{named.recipe.learning_rate:g}",
        ]
        for named in recipes
    ]
    head = ("name", "network", "source", "epochs", "batch", "optimizer", "learning rate")
    return Table("", head, rows, texts=("network", "source", "optimizer"))


def recipe_lines(named: NamedRecipe) -> list[str]:
    """Return the source of a recipe and every field that differs from its default, a line each."""
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
        f"what the reports leave open: {OPEN_CHOICES}",
        "",
        *changed,
    ]


def _field_text(value: object) -> str:
    if value is None:
        return "not reported"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _known(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def quality_tables(quality: Quality) -> list[Table]:
    """Tabulate a quality by class, by device, by device group, and as a confusion matrix."""
    return [
        _scores("By scene", "scene", quality.by_class),
        _scores("By device", "device", quality.by_device),
        _scores("By device group", "group", quality.by_group),
        confusion_table(quality),
    ]


def confusion_table(quality: Quality) -> Table:
    """Tabulate the confusion matrix: a row a true class, a column a predicted one."""
    rows = [[name, *map(str, row)] for name, row in zip(quality.classes, quality.confusion, strict=True)]
    return Table("Confusion matrix", ["truth \\ prediction", *quality.classes], rows)


def _scores(title: str, what: str, scores: Mapping[str, Score]) -> Table:
    rows = [
        [name, f"{score.clips:,}", recordings_text(score), accuracy_text(score), f"{score.log_loss:.3f}"]
        for name, score in scores.items()
    ]
    return Table(title, (what, "clips", "recordings", "accuracy", "log loss"), rows)


def recordings_text(score: Score) -> str:
    """Return the number of recordings; empty where it is not known."""
    return "" if score.recordings is None else f"{score.recordings:,}"


def accuracy_text(score: Score) -> str:
    """Return the accuracy on some clips with its 95 % interval.

    >>> accuracy_text(Score(clips=100, accuracy=0.5, log_loss=1.0, recordings=8, error=0.1, freedom=7.0))
    '50.0% ± 23.6'
    """
    return f"{score.accuracy:.1%} ± {100 * score_error(score).half:.1f}"


def seeds_table(report: Mapping[str, Any], title: str) -> Table:
    """Tabulate a report of repeated seeds: a row a seed, then the mean with its interval."""
    names = list(report["mean"])
    rows = [[seed, str(row["trial"]), *(f"{row[name]:.3f}" for name in names)] for seed, row in report["seeds"].items()]
    rows.append(["mean", "", *(_mean_text(report["mean"][name], report["half"][name]) for name in names)])
    return Table(title, ["seed", "trial", *map(metric_title, names)], rows)


def confirmation_table(report: Mapping[str, Any], title: str) -> Table:
    """Tabulate a confirmation: a row a candidate, with its means over the seeds; intervals where there are enough."""
    objectives, candidates = report["objectives"], report["candidates"]
    costs = [name for name in of_kind("cost", list(GOALS)) if name in objectives or name in ("macs", "params")]
    names = next(
        (list(candidate["mean"]) for candidate in candidates if candidate["mean"]), list(of_kind("quality", objectives))
    )
    names = [name for name in names if name != f"{GROUPS}real"]  # omitted to limit the width
    by = GOALS[first_quality(objectives)]
    head = [
        "trial", "role", "architecture", "network", *(GOALS[name].title for name in costs),
        f"{by.title}, validation", "seeds",
        *(GOALS[name].title if name in GOALS else metric_title(name) for name in names), "P(front)", "front",
    ]  # fmt: skip
    rows = [
        [
            str(candidate[TRIAL]), candidate[ROLE], candidate["architecture"], candidate[NETWORK],
            *(GOALS[name].text(candidate["cost"].get(name, math.nan)) for name in costs),
            by.text(candidate[CHOSEN_BY].get(by.name, math.nan)), str(len(candidate["seeds"])),
            *(_mean_text(candidate["mean"].get(name), half_of(report, candidate, name)) for name in names),
            probability_text(report, candidate), front_text(candidate),
        ]
        for candidate in candidates
    ]  # fmt: skip
    return Table(title, head, rows, texts=("role", "architecture", "network"))


def half_of(report: Mapping[str, Any], candidate: Mapping[str, Any], name: str) -> float | None:
    """Return half the width of a candidate's interval; None where there are too few seeds to show it."""
    half: float | None = candidate["half"].get(name)
    return None if report["too_few_seeds"] else half


def probability_text(report: Mapping[str, Any], candidate: Mapping[str, Any]) -> str:
    """Return the probability of the front as text; empty where it is not known, or there are too few seeds."""
    chance = candidate["p_front"]
    return "" if chance is None or report["too_few_seeds"] else f"{chance:.2f}"


def front_text(candidate: Mapping[str, Any]) -> str:
    """Return a star for a candidate that is on the front by the means, a remark for one at chance."""
    if candidate["at_chance"]:
        return "not better than chance"
    return "*" if candidate["on_front"] else ""


def _mean_text(mean: float | None, half: float | None) -> str:
    if mean is None:
        return ""
    return f"{mean:.3f}" if half is None else f"{mean:.3f} ± {half:.3f}"
