"""Accuracy of one network by class and by device, and its confusion matrix."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from objectives.quality import Quality, Score
from objectives.sampling_error import score_error
from search.config.messages import counted
from search.dashboard.figures.colours import LIGHT, Theme
from search.dashboard.figures.plot_helpers import ROW_MARGIN, ROW_PX, apply_layout, bar_marker
from search.report.plotly_style import BLUE, GREY, LEGEND, SKY, VERMILION

GROUP_TITLES = {
    "real": "real devices, in training",
    "seen": "simulated devices, in training",
    "unseen": "unseen devices",
}
GROUP_COLOURS = {"real": BLUE, "seen": SKY, "unseen": VERMILION}
GROUP_PATTERNS = {"real": "", "seen": "", "unseen": "/"}


def confusion_figure(quality: Quality, theme: Theme = LIGHT) -> go.Figure:
    """Plot the confusion matrix: number of clips, and fraction of the true class as text and colour."""
    counts = np.array(quality.confusion, dtype=float)
    sums = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, sums, out=np.zeros_like(counts), where=sums > 0)
    names = [html.escape(name) for name in quality.classes]
    hover_texts = [
        [
            f"<b>{truth}</b> predicted as <b>{prediction}</b>"
            if truth != prediction
            else f"<b>{truth}</b> predicted correctly"
            for prediction in names
        ]
        for truth in names
    ]
    cell_texts = [
        [f"{count:.0f}<br>{share:.0%}" if count else "" for count, share in zip(row, part, strict=True)]
        for row, part in zip(counts, shares, strict=True)
    ]
    indices = list(range(len(names)))
    figure = go.Figure()
    figure.add_heatmap(
        z=shares,
        x=indices,
        y=indices,
        zmin=0,
        zmax=1,
        colorscale=theme.heat,
        text=cell_texts,
        texttemplate="%{text}",
        textfont={"size": 10},
        customdata=counts,
        hovertext=hover_texts,
        hovertemplate="%{hovertext}<br>%{customdata:.0f} clips, %{z:.1%} of the class<extra></extra>",
        xgap=1,
        ygap=1,
        showscale=False,
    )
    shared = theme.axis_of(tickvals=indices, ticktext=names, ticks="", showgrid=False, tickfont={"size": 12})
    return apply_layout(
        figure,
        theme,
        height=36 * len(names) + 170,
        xaxis={**shared, "title": {"text": "Predicted class"}, "tickangle": -45},
        yaxis={**shared, "title": {"text": "True class"}, "autorange": "reversed"},
    )


def devices_figure(quality: Quality, groups: Mapping[str, str], theme: Theme = LIGHT) -> go.Figure:
    """Plot the accuracy on each device by group; devices unseen in training are hatched.

    Args:
        quality: Evaluation of the network.
        groups: The group of each device: real, seen or unseen; devices of no group come last.
        theme: Colour theme of the page.
    """
    names = by_group(quality.by_device, groups)
    figure = go.Figure()
    for group in [*GROUP_TITLES, ""]:
        rows = [name for name in names if groups.get(name, "") == group]
        if rows:
            _add_scores(
                figure,
                {name: quality.by_device[name] for name in rows},
                name=GROUP_TITLES.get(group, "unknown group"),
                marker={
                    **bar_marker(theme.shade(GROUP_COLOURS.get(group, GREY))),
                    "pattern": {
                        "shape": GROUP_PATTERNS.get(group, ""),
                        "fillmode": "overlay",  # on the colour, not instead of it
                        "fgcolor": theme.surface,
                        "size": 6,
                    },
                },
                theme=theme,
                meta=group or "unknown",
            )
    _add_means(figure, quality, theme)
    return _apply_row_layout(figure, names, theme, has_legend=True)


def by_group(devices: Iterable[str], groups: Mapping[str, str]) -> list[str]:
    """Sort devices by group: training devices first, unseen devices last."""
    order = [*GROUP_TITLES, ""]
    return sorted(devices, key=lambda name: (order.index(groups.get(name, "")), name))


def classes_figure(quality: Quality, theme: Theme = LIGHT) -> go.Figure:
    """Plot the accuracy on each class, the worst on top."""
    scores = dict(sorted(quality.by_class.items(), key=lambda each: each[1].accuracy))
    figure = go.Figure()
    _add_scores(figure, scores, name="", marker=bar_marker(theme.shade(BLUE)), theme=theme, meta="classes")
    _add_means(figure, quality, theme)
    return _apply_row_layout(figure, list(scores), theme, has_legend=False)


def _add_scores(
    figure: go.Figure, scores: Mapping[str, Score], *, name: str, marker: Mapping[str, Any], theme: Theme, meta: str
) -> None:
    """Plot accuracies as bars, with 95 % confidence intervals over samples of recordings."""
    values = [score.accuracy for score in scores.values()]
    halves = [score_error(score).half for score in scores.values()]
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
            f"<b>{html.escape(each)}</b><br>{score.accuracy:.1%} ± {100 * half:.1f} of {clips_text(score)}"
            f"<br>log loss {score.log_loss:.3f}"
            for (each, score), half in zip(scores.items(), halves, strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        meta=meta,
    )


def clips_text(score: Score) -> str:
    """Return the number of clips, and of the recordings that they are of."""
    clips = counted(score.clips, "clip")
    return clips if score.recordings is None else f"{clips} of {counted(score.recordings, 'recording')}"


def _add_means(figure: go.Figure, quality: Quality, theme: Theme) -> None:
    """Plot the macro accuracy as a line."""
    figure.add_vline(x=quality.macro_accuracy, line={"color": theme.limit, "dash": "dash", "width": 1.5})
    figure.add_annotation(
        x=quality.macro_accuracy,
        y=1,
        yref="paper",
        text=f"macro accuracy {quality.macro_accuracy:.1%}{quality.scope}",
        showarrow=False,
        yanchor="bottom",
        xanchor="left" if quality.macro_accuracy < 0.3 else "right" if quality.macro_accuracy > 0.7 else "center",
        font={"size": 12},
    )


def _apply_row_layout(figure: go.Figure, names: Sequence[str], theme: Theme, *, has_legend: bool) -> go.Figure:
    """Apply the layout of accuracies as horizontal rows, from 0 to 100 %."""
    return apply_layout(
        figure,
        theme,
        barmode="overlay",
        bargap=0.25,
        margin=ROW_MARGIN,
        showlegend=has_legend,
        legend=LEGEND,
        height=ROW_PX * len(names) + (150 if has_legend else 100),
        xaxis=theme.axis_of(range=[0, 1.001], tickformat=".0%", title={"text": "Accuracy"}),
        yaxis=theme.axis_of(
            categoryorder="array",
            categoryarray=[html.escape(name) for name in names],
            autorange="reversed",
            ticks="",
            ticksuffix=" ",
            showgrid=False,
        ),
    )
