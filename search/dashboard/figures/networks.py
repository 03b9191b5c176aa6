"""Networks: where the cost of one goes, and how some of them learned."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from objectives.goals import GOALS
from search.dashboard.figures.colours import LIGHT, Theme
from search.dashboard.figures.plot_helpers import bar, empty_figure, modebar, series
from search.report.format import percent_text, si_text
from search.report.plotly_style import BLUE, LEGEND, ORANGE, SKY, layout

FEW_EPOCHS = 10  # each has a tick of its own
CURVE_TITLES = {
    "macro_accuracy": "Macro accuracy",
    "accuracy": "Accuracy",
    "log_loss": "Log loss",
    "train_loss": "Training loss",
    "unseen_accuracy": "Accuracy, unseen devices",
    "worst_device_accuracy": "Accuracy, worst device",
}


def layers_figure(
    layers: Sequence[Mapping[str, Any]],
    limits: Mapping[str, float],
    theme: Theme = LIGHT,
    *,
    costs: Sequence[str] = ("macs", "params"),
) -> go.Figure:
    """Draw where the cost goes: each layer's bar begins where the one above ends, and the limit stands where it stands.

    Layers that cost nothing are left out.

    Args:
        layers: name, kind, macs, params and output_shape of each, in the order of use.
        limits: The budget.
        theme: Colours.
        costs: A panel of each.
    """
    shown = [layer for layer in layers if any(layer.get(cost) for cost in costs)]
    if not shown:
        return empty_figure("The costs of the layers were not recorded for this trial", theme)
    figure = make_subplots(rows=1, cols=len(costs), shared_yaxes=True, horizontal_spacing=0.06)
    names = [_layer_name(layer) for layer in shown]
    rows = list(range(len(shown)))
    colour = {"macs": theme.shade(ORANGE), "params": theme.shade(SKY)}
    for column, cost in enumerate(costs, 1):
        values = [float(layer.get(cost, 0)) for layer in shown]
        total, limit = sum(values), limits.get(cost)
        starts = [sum(values[:row]) for row in rows]
        told = [
            f"<b>{name}</b> ({html.escape(str(layer.get('kind', '')))}, {_shape_text(layer.get('output_shape', ()))})"
            f"<br>{value:,.0f} {GOALS[cost].title}, {percent_text(value / total if total else 0.0)} of the network"
            + (f"<br>{percent_text(value / limit)} of the limit" if limit else "")
            for name, layer, value in zip(names, shown, values, strict=True)
        ]
        figure.add_bar(
            y=rows,
            x=values,
            base=starts,
            orientation="h",
            marker=bar(colour.get(cost, theme.shade(BLUE))),
            hovertext=told,
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
    figure.update_yaxes(
        **theme.axis_of(
            autorange=False,
            range=[len(rows) - 0.4, -0.6],
            tickvals=rows,
            ticktext=[name if len(name) < 24 else f"…{name[-22:]}" for name in names],
            ticks="",
            showgrid=False,
            tickfont={"size": 11},
        )
    )
    figure.update_yaxes(showticklabels=False)
    figure.update_yaxes(showticklabels=True, col=1)
    figure.update_layout(
        **layout(theme, showlegend=False, bargap=0.15, height=20 * len(rows) + 120, modebar=modebar(theme))
    )
    return figure


def _layer_name(layer: Mapping[str, Any]) -> str:
    return html.escape(str(layer.get("name") or "(network)"))


def _shape_text(shape: Iterable[Any]) -> str:
    return " x ".join(html.escape(str(size)) for size in shape)


def curves_figure(
    curves: Mapping[str, Sequence[Mapping[str, Any]]],
    names: Sequence[str] = ("macro_accuracy", "log_loss"),
    theme: Theme = LIGHT,
) -> go.Figure:
    """Draw learning curves, one panel above the other for each figure.

    Args:
        curves: By the trial's name: what was recorded of each epoch.
        names: Of the figures; one that no curve has is left out.
        theme: Colours.
    """
    shown = [name for name in names if any(epoch.get(name) is not None for curve in curves.values() for epoch in curve)]
    if not shown:
        return empty_figure("No epoch has been finished yet", theme)
    figure = make_subplots(rows=len(shown), cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for place, (label, curve) in enumerate(curves.items()):
        colour, symbol, dash = series(place, theme)
        for row, name in enumerate(shown, 1):
            known = [epoch for epoch in curve if epoch.get(name) is not None]
            form = "%{y:.2%}" if name.endswith("accuracy") else "%{y:.3f}"
            figure.add_scatter(
                name=html.escape(str(label)),
                legendgroup=str(place),
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
                title={"text": CURVE_TITLES.get(name, html.escape(name))},
                tickformat=".0%" if name.endswith("accuracy") else "",
            ),
            row=row,
            col=1,
        )
    last = max(int(epoch["epoch"]) for curve in curves.values() for epoch in curve)
    figure.update_xaxes(**theme.axis_of(tickformat="d", dtick=1 if last <= FEW_EPOCHS else None))
    figure.update_xaxes(title={"text": "Epoch"}, row=len(shown), col=1)
    figure.update_layout(
        **layout(
            theme,
            legend=LEGEND,
            showlegend=len(curves) > 1,
            height=90 + 210 * len(shown),
            uirevision="curves",
            modebar=modebar(theme),
        )
    )
    return figure
