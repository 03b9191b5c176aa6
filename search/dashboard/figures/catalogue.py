"""Frames as figures: what the dashboard draws, in its light and its dark colours. Reads no file, needs no torch.

Every text of a study is escaped, since Plotly shows HTML. Where nothing can be drawn, the figure says in words what is
missing. A figure with a row for each of something sets its height; the others take the height that they are given.
"""

from search.dashboard.figures.compared import compared_costs_figure, compared_scores_figure
from search.dashboard.figures.drawn import empty_figure
from search.dashboard.figures.fronts import front_figure, fronts_figure
from search.dashboard.figures.networks import curves_figure, layers_figure
from search.dashboard.figures.parallel import parallel_figure
from search.dashboard.figures.scores import classes_figure, confusion_figure, device_groups, devices_figure
from search.dashboard.figures.searches import (
    hypervolume_figure,
    importance_figure,
    rejections_figure,
    space_figures,
    space_fits_figure,
    space_legend,
    space_scatter_figures,
    space_spread_figures,
    states_figure,
)

__all__ = [
    "classes_figure",
    "compared_costs_figure",
    "compared_scores_figure",
    "confusion_figure",
    "curves_figure",
    "device_groups",
    "devices_figure",
    "empty_figure",
    "front_figure",
    "fronts_figure",
    "hypervolume_figure",
    "importance_figure",
    "layers_figure",
    "parallel_figure",
    "rejections_figure",
    "space_figures",
    "space_fits_figure",
    "space_legend",
    "space_scatter_figures",
    "space_spread_figures",
    "states_figure",
]
