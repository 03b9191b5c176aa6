"""The search space before the search: feasible fractions, MACs against parameters, histograms of the costs."""

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from objectives.goals import GOALS
from search.dashboard.figures.colours import LIGHT, Theme
from search.dashboard.figures.plot_helpers import empty_figure, modebar
from search.report import preflight_figures
from search.space.cost_table import CostTable


def space_figures(
    cost_tables: Mapping[str, CostTable], report: Mapping[str, Any], theme: Theme = LIGHT
) -> dict[str, go.Figure]:
    """Return the figures of a search space by their titles, which are plain text.

    The outcomes of each architecture's networks, their MACs against their parameters, and a histogram of each cost.
    """
    if not report.get("architectures"):
        return {"Feasible networks": empty_figure("No network was priced before this search", theme)}
    fits = preflight_figures.fits_figure(report, theme)
    fits.update_traces(marker_line_width=0, selector={"type": "bar"})
    fits.update_layout(height=44 * len(report["architectures"]) + 62)
    figures = {"Feasible networks": fits}
    priced = {name: table for name, table in cost_tables.items() if len(table.costs)}
    if priced:
        for name, (figure, caption) in preflight_figures.scatter_figures(priced, report, theme).items():
            figures[f"MACs against parameters, {name}: {caption}"] = figure
        for name in preflight_figures.histogram_costs(report):
            figure = preflight_figures.histogram_figure(priced, report, name, theme)
            figure.update_layout(height=max(3, len(priced)) * 70 + 70)
            figures[f"Distribution of {GOALS[name].title}"] = figure
    for figure in figures.values():
        figure.update_layout(modebar=modebar(theme))
    return figures


def space_legend(report: Mapping[str, Any], theme: Theme = LIGHT) -> list[tuple[str, str, str]]:
    """Return the legend of the space's figures: colour, marker as a character, and meaning of each outcome."""
    return [
        (theme.shade(preflight_figures.OUTCOMES[name].colour), preflight_figures.OUTCOMES[name].sign, title)
        for name, title in preflight_figures.outcome_texts(report).items()
    ]
