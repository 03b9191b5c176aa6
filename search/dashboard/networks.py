"""One network, and up to four side by side: where its cost goes, how it learned, what it mistakes."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from objectives.goals import GOALS
from objectives.quality import Quality, Score
from objectives.sampling_error import accuracy_error
from search.dashboard.colours import LIGHT, Theme
from search.dashboard.drawn import BESIDE, ROW_PX, bar, empty_figure, modebar, series, stops
from search.page import BLUE, GREY, LEGEND, ORANGE, SKY, VERMILION, layout
from search.report import percent_text, si_text

EXPLAINED = 1.96  # standard errors to either side
CURVE_TITLES = {
    "macro_accuracy": "Macro accuracy",
    "accuracy": "Accuracy",
    "log_loss": "Log loss",
    "train_loss": "Training loss",
    "unseen_accuracy": "Accuracy, unseen devices",
    "worst_device_accuracy": "Accuracy, worst device",
}
GROUP_TITLES = {
    "real": "real devices, in training",
    "seen": "simulated devices, in training",
    "unseen": "unseen devices",
}
GROUP_COLOURS = {"real": BLUE, "seen": SKY, "unseen": VERMILION}
GROUP_PATTERNS = {"real": "", "seen": "", "unseen": "/"}


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
        return empty_figure("What each layer costs was not recorded of this trial", theme)
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
        axis = theme.axis_of(range=[0, end * 1.04], tickformat="~s", nticks=5, title={"text": title})
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
    figure.update_xaxes(**theme.axis_of(tickformat="d"))
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


def confusion_figure(quality: Mapping[str, Any] | Quality | None, theme: Theme = LIGHT) -> go.Figure:
    """Draw the confusion matrix: the clips as figures, their share of the true class below and as the colour."""
    measured = _quality(quality)
    if measured is None:
        return empty_figure("No quality was measured of this trial", theme)
    counts = np.array(measured.confusion, dtype=float)
    sums = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, sums, out=np.zeros_like(counts), where=sums > 0)
    names = [html.escape(name) for name in measured.classes]
    told = [
        [
            f"<b>{truth}</b> taken for <b>{answer}</b>" if truth != answer else f"<b>{truth}</b> recognised"
            for answer in names
        ]
        for truth in names
    ]
    written = [
        [f"{count:.0f}<br>{share:.0%}" if count else "" for count, share in zip(row, part, strict=True)]
        for row, part in zip(counts, shares, strict=True)
    ]
    places = list(range(len(names)))
    figure = go.Figure()
    figure.add_heatmap(
        z=shares,
        x=places,
        y=places,
        zmin=0,
        zmax=1,
        colorscale=stops(theme.heat),
        text=written,
        texttemplate="%{text}",
        textfont={"size": 10},
        customdata=counts,
        hovertext=told,
        hovertemplate="%{hovertext}<br>%{customdata:.0f} clips, %{z:.1%} of the class<extra></extra>",
        xgap=1,
        ygap=1,
        showscale=False,
    )
    shared = theme.axis_of(tickvals=places, ticktext=names, ticks="", showgrid=False, tickfont={"size": 12})
    figure.update_layout(
        **layout(
            theme,
            height=36 * len(names) + 170,
            xaxis={**shared, "title": {"text": "Answer"}, "tickangle": -45},
            yaxis={**shared, "title": {"text": "Truth"}, "autorange": "reversed"},
            modebar=modebar(theme),
        )
    )
    return figure


def _quality(quality: Mapping[str, Any] | Quality | None) -> Quality | None:
    if quality is None or isinstance(quality, Quality):
        return quality
    return Quality.from_dict(quality) if quality else None


def device_groups(quality: Mapping[str, Any] | Quality) -> dict[str, str]:
    """Say which group each device belongs to; a device of which that does not follow is left out.

    A record of quality holds devices and groups side by side. A group's clips, right answers and losses are the sums of
    its devices': losses are measured numbers, so that no other devices have the same sum.
    """
    measured = _quality(quality)
    if measured is None:
        return {}
    devices: dict[str, Score] = dict(measured.by_device)
    found: dict[str, str] = {}
    for group, score in measured.by_group.items():
        fitting = (
            [
                names
                for size in range(1, len(devices) + 1)
                for names in combinations(devices, size)
                if _is_sum(score, [devices[name] for name in names])
            ]
            if len(devices) <= 14
            else []
        )
        if len(fitting) == 1:
            found |= dict.fromkeys(fitting[0], group)
    return {name: found[name] for name in devices if name in found}


def _is_sum(score: Score, parts: Sequence[Score]) -> bool:
    if sum(part.clips for part in parts) != score.clips:
        return False
    right, loss = (sum(getattr(part, name) * part.clips for part in parts) for name in ("accuracy", "log_loss"))
    return math.isclose(right, score.accuracy * score.clips, abs_tol=1e-6) and math.isclose(
        loss, score.log_loss * score.clips, rel_tol=1e-9, abs_tol=1e-9
    )


def devices_figure(
    quality: Mapping[str, Any] | Quality | None,
    theme: Theme = LIGHT,
    *,
    groups: Mapping[str, str] | None = None,
) -> go.Figure:
    """Draw the accuracy on each device, those that training never heard apart and hatched.

    Args:
        quality: As `Quality.to_dict` gives it.
        theme: Colours.
        groups: The group of each device: real, seen or unseen; None: as follows from the record.
    """
    measured = _quality(quality)
    if measured is None:
        return empty_figure("No quality was measured of this trial", theme)
    groups = device_groups(measured) if groups is None else groups
    names = _by_group(measured.by_device, groups)
    figure = go.Figure()
    for group in [*GROUP_TITLES, ""]:
        rows = [name for name in names if groups.get(name, "") == group]
        if rows:
            _add_scores(
                figure,
                {name: measured.by_device[name] for name in rows},
                name=GROUP_TITLES.get(group, "group not known"),
                marker={
                    **bar(theme.shade(GROUP_COLOURS.get(group, GREY))),
                    "pattern": {"shape": GROUP_PATTERNS.get(group, ""), "fgcolor": theme.surface, "size": 6},
                },
                theme=theme,
                meta=group or "unknown",
            )
    _add_means(figure, measured, theme)
    _lay_out_rows(figure, names, theme, has_legend=True, title="Accuracy")
    return figure


def _by_group(devices: Iterable[str], groups: Mapping[str, str]) -> list[str]:
    """Order devices: those heard in training first, the unseen last."""
    order = [*GROUP_TITLES, ""]
    return sorted(devices, key=lambda name: (order.index(groups.get(name, "")), name))


def classes_figure(quality: Mapping[str, Any] | Quality | None, theme: Theme = LIGHT) -> go.Figure:
    """Draw the accuracy on each class, the worst on top."""
    measured = _quality(quality)
    if measured is None:
        return empty_figure("No quality was measured of this trial", theme)
    scores = dict(sorted(measured.by_class.items(), key=lambda each: each[1].accuracy))
    figure = go.Figure()
    _add_scores(figure, scores, name="", marker=bar(theme.shade(BLUE)), theme=theme, meta="classes")
    _add_means(figure, measured, theme)
    _lay_out_rows(figure, list(scores), theme, has_legend=False, title="Accuracy")
    return figure


def _add_scores(
    figure: go.Figure, scores: Mapping[str, Score], *, name: str, marker: Mapping[str, Any], theme: Theme, meta: str
) -> None:
    """Draw accuracies as bars, with the intervals that the number of clips leaves."""
    values = [score.accuracy for score in scores.values()]
    halves = [EXPLAINED * accuracy_error(score) for score in scores.values()]
    figure.add_bar(
        name=name,
        y=[html.escape(each) for each in scores],
        x=values,
        orientation="h",
        marker=marker,
        error_x={
            "type": "data",
            "array": [min(half, 1 - value) for half, value in zip(halves, values, strict=True)],
            "arrayminus": [min(half, value) for half, value in zip(halves, values, strict=True)],
            "color": theme.text,
            "thickness": 1.2,
            "width": 4,
        },
        hovertext=[
            f"<b>{html.escape(each)}</b><br>{score.accuracy:.1%} of {score.clips:,} clips"
            f"<br>log loss {score.log_loss:.3f}"
            for each, score in scores.items()
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        meta=meta,
    )


def _add_means(figure: go.Figure, quality: Quality, theme: Theme) -> None:
    """Draw the macro accuracy as a line."""
    figure.add_vline(x=quality.macro_accuracy, line={"color": theme.limit, "dash": "dash", "width": 1.5})
    figure.add_annotation(
        x=quality.macro_accuracy,
        y=1,
        yref="paper",
        text=f"macro accuracy {quality.macro_accuracy:.1%}",
        showarrow=False,
        yanchor="bottom",
        xanchor="right" if quality.macro_accuracy > 0.5 else "left",
        font={"size": 12},
    )


def _lay_out_rows(
    figure: go.Figure, names: Sequence[str], theme: Theme, *, has_legend: bool, title: str, form: str = ".0%"
) -> None:
    """Lay out a figure with a row for each name, from 0 to 100 %."""
    figure.update_layout(
        **layout(
            theme,
            barmode="overlay",
            bargap=0.25,
            margin=BESIDE,
            showlegend=has_legend,
            legend=LEGEND,
            height=ROW_PX * len(names) + (150 if has_legend else 100),
            xaxis=theme.axis_of(range=[0, 1.001], tickformat=form, title={"text": title}),
            yaxis=theme.axis_of(
                categoryorder="array",
                categoryarray=[html.escape(name) for name in names],
                autorange="reversed",
                ticks="",
                ticksuffix=" ",
                showgrid=False,
            ),
            modebar=modebar(theme),
        )
    )


def compared_scores_figure(
    qualities: Mapping[str, Mapping[str, Any] | Quality], theme: Theme = LIGHT, *, by: str = "class"
) -> go.Figure:
    """Draw the accuracies of several trials on the same rows: a mark for each, a line from the worst to the best.

    Args:
        qualities: By the trial's name.
        theme: Colours.
        by: "class", the worst on top; or "device", the unseen last.
    """
    measured = {name: found for name, each in qualities.items() if (found := _quality(each)) is not None}
    if not measured:
        return empty_figure("No quality was measured of these trials", theme)
    tables = {name: each.by_class if by == "class" else each.by_device for name, each in measured.items()}
    rows = list(dict.fromkeys(row for table in tables.values() for row in table))
    labels = {row: html.escape(row) for row in rows}
    if by == "class":
        first = next(iter(tables.values()))
        rows.sort(key=lambda row: first[row].accuracy if row in first else 2.0)
    else:
        groups = device_groups(next(iter(measured.values())))
        rows = _by_group(rows, groups)
        labels |= {row: f"{html.escape(row)} (unseen)" for row in rows if groups.get(row) == "unseen"}
    return _dots_figure(
        rows,
        {name: {row: score.accuracy for row, score in table.items()} for name, table in tables.items()},
        labels,
        theme,
        title="Accuracy",
    )


def compared_costs_figure(
    costs: Mapping[str, Mapping[str, Any]], limits: Mapping[str, float], theme: Theme = LIGHT
) -> go.Figure:
    """Draw what several trials cost as shares of the limits; without limits, of the dearest of them.

    Args:
        costs: By the trial's name: its cost report.
        limits: The budget.
        theme: Colours.
    """
    names = [name for name in limits if any(cost.get(name) is not None for cost in costs.values())]
    names = names or [name for name in ("macs", "params") if any(cost.get(name) is not None for cost in costs.values())]
    if not names:
        return empty_figure("What these trials cost was not recorded", theme)
    bounds = {name: limits.get(name) or max(float(cost.get(name) or 0) for cost in costs.values()) for name in names}
    shares = {
        trial: {name: float(cost[name]) / (bounds[name] or 1.0) for name in names if cost.get(name) is not None}
        for trial, cost in costs.items()
    }
    told = {
        trial: {name: f"{float(cost[name]):,.0f}" for name in names if cost.get(name) is not None}
        for trial, cost in costs.items()
    }
    labels = {
        name: f"{html.escape(GOALS[name].title if name in GOALS else name)}<br>{'limit' if name in limits else 'most'} "
        f"{si_text(bounds[name])}"
        for name in names
    }
    figure = _dots_figure(
        names, shares, labels, theme, title="Share of the limit" if limits else "Share of the dearest", told=told
    )
    most = max((share for known in shares.values() for share in known.values()), default=1.0)
    figure.update_xaxes(range=[0, max(1.05, 1.05 * most)])
    figure.add_vline(x=1, line={"color": theme.limit, "dash": "dash", "width": 1.5})
    figure.update_layout(height=54 * len(names) + 150)
    figure.update_yaxes(tickfont={"size": 12})
    return figure


def _dots_figure(
    rows: Sequence[str],
    values: Mapping[str, Mapping[str, float]],
    labels: Mapping[str, str],
    theme: Theme,
    *,
    title: str,
    told: Mapping[str, Mapping[str, str]] | None = None,
) -> go.Figure:
    figure = go.Figure()
    lines_x: list[float | None] = []
    lines_y: list[int | None] = []
    for place, row in enumerate(rows):
        known = [table[row] for table in values.values() if row in table]
        if len(known) > 1:
            lines_x += [min(known), max(known), None]
            lines_y += [place, place, None]
    figure.add_scatter(
        x=lines_x,
        y=lines_y,
        mode="lines",
        line={"color": theme.border, "width": 5},
        hoverinfo="skip",
        showlegend=False,
        meta="span",
    )
    for place, (name, table) in enumerate(values.items()):
        colour, symbol, _ = series(place, theme)
        known_rows = [row for row in rows if row in table]
        extra = [f", {told[name][row]}" if told else "" for row in known_rows]
        figure.add_scatter(
            name=html.escape(name),
            x=[table[row] for row in known_rows],
            y=[rows.index(row) for row in known_rows],
            mode="markers",
            marker={"symbol": symbol, "color": colour, "size": 11, "line": {"color": theme.surface, "width": 1}},
            hovertext=[
                f"{html.escape(name)}: {labels[row]}{more}" for row, more in zip(known_rows, extra, strict=True)
            ],
            hovertemplate="%{hovertext}, %{x:.1%}<extra></extra>",
            meta=name,
        )
    figure.update_layout(
        **layout(
            theme,
            legend=LEGEND,
            showlegend=True,
            margin=BESIDE,
            height=30 * len(rows) + 130,
            xaxis=theme.axis_of(range=[0, 1.001], tickformat=".0%", title={"text": title}),
            yaxis=theme.axis_of(
                tickvals=list(range(len(rows))),
                ticktext=[labels[row] for row in rows],
                range=[len(rows) - 0.4, -0.6],
                ticks="",
                ticksuffix=" ",
            ),
            modebar=modebar(theme),
        )
    )
    return figure
