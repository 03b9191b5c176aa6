"""The search space before the search: feasible fractions, MACs against parameters, histograms of the costs."""

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from objectives.goals import GOALS
from search.dashboard.figures.colours import LIGHT, Theme
from search.dashboard.figures.plot_helpers import empty_figure, modebar
from search.report import preflight_figures
from search.space.cost_table import CostTable


def space_fits_figure(report: Mapping[str, Any], theme: Theme = LIGHT) -> go.Figure:
    """Plot the outcomes of each architecture's networks."""
    if not report.get("architectures"):
        return empty_figure("No network was priced before this search", theme)
    figure = preflight_figures.fits_figure(report, theme)
    figure.update_traces(marker_line_width=0, selector={"type": "bar"})
    figure.update_layout(height=44 * len(report["architectures"]) + 62, modebar=modebar(theme))
    return figure


def space_scatter_figures(
    surveys: Mapping[str, CostTable], report: Mapping[str, Any], theme: Theme = LIGHT
) -> dict[str, tuple[go.Figure, str]]:
    """Plot MACs against parameters by architecture, each with a caption: how many networks are plotted, and fit."""
    found = {name: survey for name, survey in surveys.items() if len(survey.costs)}
    if not found:
        return {}
    figures = preflight_figures.scatter_figures(found, report, theme)
    for figure, _ in figures.values():
        figure.update_layout(modebar=modebar(theme))
    return figures


def space_histograms(
    surveys: Mapping[str, CostTable], report: Mapping[str, Any], theme: Theme = LIGHT
) -> dict[str, go.Figure]:
    """Plot a histogram of each cost, by the name of the cost."""
    found = {name: survey for name, survey in surveys.items() if len(survey.costs)}
    if not found:
        return {}
    height = max(3, len(found)) * 70 + 70
    figures = {
        name: preflight_figures.histogram_figure(found, report, name, theme)
        for name in preflight_figures.histogram_costs(report)
    }
    for figure in figures.values():
        figure.update_layout(height=height, modebar=modebar(theme))
    return figures


def space_figures(
    surveys: Mapping[str, CostTable], report: Mapping[str, Any], theme: Theme = LIGHT
) -> dict[str, go.Figure]:
    """Plot a search space; the titles of the figures are plain text."""
    scatters = space_scatter_figures(surveys, report, theme)
    return {
        "Feasible networks": space_fits_figure(report, theme),
        **{f"MACs against parameters, {name}: {counts}": figure for name, (figure, counts) in scatters.items()},
        **{
            f"Distribution of {GOALS[name].title if name in GOALS else name}": figure
            for name, figure in space_histograms(surveys, report, theme).items()
        },
    }


def space_legend(report: Mapping[str, Any], theme: Theme = LIGHT) -> list[tuple[str, str, str]]:
    """Return the legend of the space's figures: colour, marker as a character, and meaning of each outcome."""
    return [
        (theme.shade(preflight_figures.OUTCOMES[name].colour), preflight_figures.OUTCOMES[name].sign, title)
        for name, title in preflight_figures.outcome_texts(report).items()
    ]
