"""Cost by layer of one network, and learning curves of several."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from objectives.goals import GOALS
from search.dashboard.figures.colours import LIGHT, Theme
from search.dashboard.figures.plot_helpers import apply_layout, bar_marker, empty_figure, series
from search.report.format import percent_text, si_text
from search.report.plotly_style import LEGEND, ORANGE, SKY

LAYER_COSTS = {"macs": ORANGE, "params": SKY}  # a panel each
FEW_EPOCHS = 10  # up to which each epoch has a tick
CURVE_TITLES = {"macro_accuracy": "Macro accuracy", "log_loss": "Log loss"}


def layers_figure(layers: Sequence[Mapping[str, Any]], limits: Mapping[str, float], theme: Theme = LIGHT) -> go.Figure:
    """Plot the cost by layer as a waterfall chart, with the limit as a line; layers without a cost are omitted.

    Args:
        layers: name, kind, macs, params and output_shape of each, in the order of the forward pass.
        limits: Limits of the budget.
        theme: Colour theme of the page.
    """
    shown = [layer for layer in layers if any(layer.get(cost) for cost in LAYER_COSTS)]
    if not shown:
        return empty_figure("The costs of the layers were not recorded for this trial", theme)
    figure = make_subplots(rows=1, cols=len(LAYER_COSTS), shared_yaxes=True, horizontal_spacing=0.06)
    names = [_layer_name(layer) for layer in shown]
    rows = list(range(len(shown)))
    for column, cost in enumerate(LAYER_COSTS, 1):
        _add_cost_panel(figure, shown, cost, limits.get(cost), theme, column)
    figure.update_yaxes(
        showticklabels=False,
        **theme.axis_of(
            autorange=False,
            range=[len(rows) - 0.4, -0.6],
            tickvals=rows,
            ticktext=[name if len(name) < 24 else f"…{name[-22:]}" for name in names],
            ticks="",
            showgrid=False,
            tickfont={"size": 11},
        ),
    )
    figure.update_yaxes(showticklabels=True, col=1)
    return apply_layout(figure, theme, showlegend=False, bargap=0.15, height=20 * len(rows) + 120)


def _add_cost_panel(
    figure: go.Figure, layers: Sequence[Mapping[str, Any]], cost: str, limit: float | None, theme: Theme, column: int
) -> None:
    """Plot one cost of the layers in a column of the figure."""
    values = [float(layer.get(cost, 0)) for layer in layers]
    total = sum(values)
    figure.add_bar(
        y=list(range(len(layers))),
        x=values,
        base=[sum(values[:row]) for row in range(len(layers))],
        orientation="h",
        marker=bar_marker(theme.shade(LAYER_COSTS[cost])),
        hovertext=[_layer_text(layer, cost, value, total, limit) for layer, value in zip(layers, values, strict=True)],
        hovertemplate="%{hovertext}<extra></extra>",
        meta=cost,
        row=1,
        col=column,
    )
    end = max(total, limit or 0.0)
    share = f"<br>{percent_text(total / limit)} of {si_text(limit)}" if limit else ""
    title = f"{si_text(total)} {GOALS[cost].title}{share}"
    axis = theme.axis_of(range=[0, end * 1.04], tickformat="~s", nticks=4, title={"text": title})
    figure.update_xaxes(**axis, row=1, col=column)
    if limit:
        line = {"color": theme.limit, "dash": "dash", "width": 1.5}
        figure.add_vline(x=limit, line=line, row=1, col=column)


def _layer_name(layer: Mapping[str, Any]) -> str:
    return html.escape(str(layer.get("name") or "(network)"))


def _layer_text(layer: Mapping[str, Any], cost: str, value: float, total: float, limit: float | None) -> str:
    shape = " x ".join(str(size) for size in layer.get("output_shape", ()))
    return (
        f"<b>{_layer_name(layer)}</b> ({html.escape(str(layer.get('kind', '')))}, {html.escape(shape)})"
        f"<br>{value:,.0f} {GOALS[cost].title}, {percent_text(value / total if total else 0.0)} of the network"
        + (f"<br>{percent_text(value / limit)} of the limit" if limit else "")
    )


def curves_figure(curves: Mapping[str, Sequence[Mapping[str, Any]]], theme: Theme = LIGHT) -> go.Figure:
    """Plot learning curves, a subplot for each recorded metric.

    Args:
        curves: Metrics of each epoch by trial label.
        theme: Colour theme of the page.
    """
    epochs = [epoch for curve in curves.values() for epoch in curve]
    shown = [name for name in CURVE_TITLES if any(epoch.get(name) is not None for epoch in epochs)]
    if not shown:
        return empty_figure("No epoch has been finished yet", theme)
    figure = make_subplots(rows=len(shown), cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for index, (label, curve) in enumerate(curves.items()):
        colour, symbol, dash = series(index, theme)
        for row, name in enumerate(shown, 1):
            known = [epoch for epoch in curve if epoch.get(name) is not None]
            form = "%{y:.2%}" if name.endswith("accuracy") else "%{y:.3f}"
            figure.add_scatter(
                name=html.escape(str(label)),
                legendgroup=str(index),
                showlegend=row == 1,
                x=[int(epoch["epoch"]) for epoch in known],
                y=[epoch[name] for epoch in known],
                mode="lines+markers" if len(known) <= 40 else "lines",
                line={"color": colour, "dash": dash, "width": 2},
                marker={"symbol": symbol, "size": 6, "color": colour},
                hovertemplate=f"{html.escape(str(label))}, epoch %{{x}}: {form}<extra></extra>",
                meta=name,
                row=row,
                col=1,
            )
    for row, name in enumerate(shown, 1):
        figure.update_yaxes(
            **theme.axis_of(
                title={"text": CURVE_TITLES[name]},
                tickformat=".0%" if name.endswith("accuracy") else "",
            ),
            row=row,
            col=1,
        )
    last = max(int(epoch["epoch"]) for epoch in epochs)
    figure.update_xaxes(**theme.axis_of(tickformat="d", dtick=1 if last <= FEW_EPOCHS else None))
    figure.update_xaxes(title={"text": "Epoch"}, row=len(shown), col=1)
    return apply_layout(
        figure, theme, legend=LEGEND, showlegend=len(curves) > 1, height=90 + 210 * len(shown), uirevision="curves"
    )
