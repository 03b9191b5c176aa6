"""The preflight report as one HTML page: tables, feasible fractions, MACs against parameters, cost histograms."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from search.config.errors import UserError
from search.report.document import Alert, Block, Heading, Legend, Panels, Plot, Text, to_html
from search.report.format import cost_title
from search.report.preflight_figures import (
    INVALID,
    NEAREST_SIGN,
    OUTCOMES,
    fits_figure,
    histogram_costs,
    histogram_figure,
    limit_line,
    outcome_texts,
    scatter_figures,
)
from search.report.preflight_tables import (
    WORST,
    cost_quantiles_table,
    fits_table,
    largest_sizes_table,
    summary_lines,
    time_lines,
)
from search.space.cost_table import CostTable


def require_writable(path: Path) -> None:
    """Create the folder of a file, and raise early if the file cannot be written.

    Raises:
        UserError: The path cannot be written; the message says why.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.filename}: {error.strerror}") from error
    if path.is_dir():
        raise UserError(f"{path} cannot be written: it is a folder; name a file in it")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UserError(f"{path} cannot be written: permission denied")


def write_page(path: Path, cost_tables: Mapping[str, CostTable], report: Mapping[str, Any]) -> None:
    """Write a preflight report as a self-contained HTML page.

    Raises:
        UserError: The path cannot be written.
    """
    require_writable(path)
    blocks = _blocks({name: found for name, found in cost_tables.items() if len(found.costs)}, report)
    path.write_text(to_html(f"Preflight of the space {report['space']}", blocks), encoding="utf-8")


def _blocks(cost_tables: Mapping[str, CostTable], report: Mapping[str, Any]) -> Iterator[Block]:
    yield Text("\n".join(summary_lines(report)))
    if why := report["nothing_fits"]:
        yield Alert(f"{why[0].upper()}{why[1:]}.")
    yield from _fits(report)
    if cost_tables:
        yield from _scatter(cost_tables, report)
        yield from _histograms(cost_tables, report)
    yield Heading("Costs of all networks, feasible or not")
    yield cost_quantiles_table(report)
    if not report["nothing_fits"]:
        yield Heading("Largest feasible value of each size")
        yield largest_sizes_table(report)
        yield Heading("Training time")
        yield Text("\n".join(time_lines(report["time"])))


def _legend(outcomes: Mapping[str, str], names: Iterable[str]) -> Legend:
    return Legend([(OUTCOMES[name].colour, OUTCOMES[name].sign, outcomes[name]) for name in names])


def _fits(report: Mapping[str, Any]) -> Iterator[Block]:
    outcomes = outcome_texts(report)
    height = f"{44 * len(report['architectures']) + 62}px"
    yield Heading("Feasible networks")
    yield _legend(outcomes, outcomes)
    yield Plot(fits_figure(report), "plot-fits", "Fractions of the networks by outcome, as in the table below", height)
    if not report["share"]["is_exact"]:
        yield Text("Whiskers: 95 % confidence intervals of the feasible fractions.")
    yield fits_table(report)
    if len(report["limits"]) > 1:
        yield Text(WORST)


def _scatter(cost_tables: Mapping[str, CostTable], report: Mapping[str, Any]) -> Iterator[Block]:
    outcomes = outcome_texts(report)
    missing = [cost_title(limit, report["precision"]) for limit in report["limits"] if not limit_line(report, limit)]
    note = "Dashed: limits of the budget" + (f", without {' and '.join(missing)}." if missing else ".")
    if report["nothing_fits"]:
        note += f" {NEAREST_SIGN}: the network that is nearest to the budget."
    plots = [
        Plot(figure, f"plot-scatter-{number}", f"MACs against parameters of {name}", "24rem", f"{name}: {counts}")
        for number, (name, (figure, counts)) in enumerate(scatter_figures(cost_tables, report).items())
    ]
    yield Heading("MACs against parameters")
    yield _legend(outcomes, (name for name in outcomes if name != INVALID))
    yield Text(note)
    yield Panels(plots, width_rem=30 if len(plots) in (2, 4) else 21)


def _histograms(cost_tables: Mapping[str, CostTable], report: Mapping[str, Any]) -> Iterator[Block]:
    height = f"{max(3, len(cost_tables)) * 70 + 70}px"
    yield Heading("Distribution of the costs")
    yield Text("Histograms of all priced networks, each scaled to the same height. Short line: median.")
    yield Panels(
        [
            Plot(
                histogram_figure(cost_tables, report, cost),
                f"plot-{cost}",
                f"Histogram of {cost_title(cost, report['precision'])} by architecture",
                height,
            )
            for cost in histogram_costs(report)
        ]
    )
