"""A page of what a search is in for: the tables of the report, and the networks that were priced as plots.

Each outcome has one colour and one shape on the whole page: fits, over budget by its worst limit, builds no network.
"""

import html
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from objectives.budget import LIMITS
from objectives.cost import BYTES
from search.config.errors import UserError
from search.report.html import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PAPER,
    PURPLE,
    SKY,
    VERMILION,
    Theme,
    layout,
    page_html,
    plot_html,
    table_html,
)
from search.report.tables import (
    WORST,
    Lines,
    cost_title,
    costs_lines,
    fits_lines,
    percent_text,
    reach_lines,
    share_text,
    si_text,
    summary_lines,
    time_lines,
)
from search.space.cost_table import FITS, CostTable, outcomes

MAX_DRAWN = 1_500  # points of one architecture
MAX_DRAWN_IN_ALL = 8_000
MIN_FITTING = 200  # of them that fit, where that many do: a rare network is seen all the same
NUM_BINS = 60
INVALID = "invalid"
SHOWN = 0.05  # the smallest share with its figure on the bar
ROW_HEIGHT = 0.85  # of a histogram's highest bar
NEUTRAL = "#7F8C9A"  # where there is no limit to be within
FIGURES = ("least", "5 %", "median", "95 %", "most", "limit")  # columns that are no words
NEAREST = "\u2605"


@dataclass(frozen=True)
class Outcome:
    """How one outcome of pricing is drawn: colour, marker in Plotly, the same marker as a character."""

    colour: str
    symbol: str
    sign: str


OUTCOMES = {
    FITS: Outcome(GREEN, "circle", "\u25cf"),
    "macs": Outcome(ORANGE, "triangle-up", "\u25b2"),
    "params": Outcome(SKY, "diamond", "\u25c6"),
    "size_bytes": Outcome(BLUE, "square", "\u25a0"),
    "nonzero_bytes": Outcome(PURPLE, "triangle-down", "\u25bc"),
    "peak_bytes": Outcome(VERMILION, "pentagon", "\u2b1f"),
    INVALID: Outcome(GREY, "x", "\u2715"),
}


def require_room(path: Path) -> None:
    """Make the folder of a page, and refuse a path that no page can be written to: before the work, not after.

    Raises:
        UserError: The path cannot be written; says why.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.filename}: {error.strerror}") from error
    if path.is_dir():
        raise UserError(f"{path} cannot be written: it is a folder; name a file in it")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UserError(f"{path} cannot be written: permission denied")


def write_page(path: Path, surveys: Mapping[str, CostTable], report: Mapping[str, Any]) -> None:
    """Write what the surveys found as one page that needs nothing else: no network, no other file.

    Args:
        path: The page; its folder is made.
        surveys: By architecture.
        report: Of these surveys, from `search.space.survey_report.make_report`.

    Raises:
        UserError: The path cannot be written.
    """
    require_room(path)
    drawn = {name: found for name, found in surveys.items() if len(found.costs)}
    sections = [
        _summary(report),
        _fits_section(report),
        *([_scatter_section(drawn, report), _spread_section(drawn, report)] if drawn else []),
        _tables(report),
    ]
    path.write_text(
        page_html(f"Preflight of the space {report['space']}", "\n".join(sections), STYLE), encoding="utf-8"
    )


def _summary(report: Mapping[str, Any]) -> str:
    lines = "<br>".join(html.escape(line) for line in summary_lines(report))
    why = report["nothing_fits"]
    alert = f'<p class="alert">{html.escape(why[0].upper() + why[1:])}.</p>' if why else ""
    return f"<p>{lines}</p>{alert}"


def _legend(report: Mapping[str, Any], names: Iterable[str]) -> str:
    """Write the signs of the named outcomes."""
    keys = (
        f'<span><i style="color:{OUTCOMES[name].colour}" aria-hidden="true">{OUTCOMES[name].sign}</i> '
        f"{_outcome_text(report, name)}</span>"
        for name in names
    )
    return f'<p class="legend">{" ".join(keys)}</p>'


def outcome_texts(report: Mapping[str, Any]) -> dict[str, str]:
    """Describe what becomes of the networks, by the name of the outcome; what never happens is left out."""
    return {name: _outcome_text(report, name) for name in _shares(report)}


def _outcome_text(report: Mapping[str, Any], outcome: str) -> str:
    if outcome in report["limits"]:
        return "over budget" + (f", worst by {outcome}" if len(report["limits"]) > 1 else "")
    return {FITS: "fits", INVALID: "builds no network"}[outcome]


def _shares(report: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the fate of each architecture's networks, as shares of those priced; what never happens is omitted."""
    parts = list(report["architectures"].values())
    shares = {FITS: [part["share"]["value"] for part in parts]}
    for limit in report["limits"]:
        shares[limit] = [part["binding"][limit] / part["priced"] for part in parts]
    shares[INVALID] = [part["invalid"] / part["priced"] for part in parts]
    return {outcome: values for outcome, values in shares.items() if any(values)}


def _fits_section(report: Mapping[str, Any]) -> str:
    head, *rows = fits_lines(report)
    worst = f"<p>{WORST}</p>" if len(report["limits"]) > 1 else ""
    whiskers = "" if report["share"]["is_exact"] else "<p>Whiskers: 95 % intervals of the shares that fit.</p>"
    height = f"{44 * len(report['architectures']) + 62}px"
    return f"""<h2 id="share">What fits</h2>
{_legend(report, _shares(report))}
<div role="group" aria-label="Shares of the networks; the figures are in the table below">
{plot_html(fits_figure(report), "plot-fits", height=height)}
</div>
{whiskers}
{table_html(head, rows, label="share", texts=["architecture", "worst limit"])}
{worst}"""


def fits_figure(report: Mapping[str, Any], theme: Theme = PAPER) -> go.Figure:
    """Draw what becomes of each architecture's networks, as shares; whiskers where they are a sample."""
    parts = report["architectures"]
    names = [html.escape(name) for name in parts]
    figure = go.Figure()
    for outcome, values in _shares(report).items():
        told = _outcome_text(report, outcome)
        figure.add_bar(
            y=names,
            x=values,
            orientation="h",
            marker={"color": theme.shade(OUTCOMES[outcome].colour)},
            text=[percent_text(value) if value >= SHOWN else "" for value in values],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            hovertext=[
                f"<b>{name}</b><br>{told}: {percent_text(value)}" for name, value in zip(names, values, strict=True)
            ],
            hoverinfo="text",
            meta=outcome,
        )
    sampled = {name: part["share"] for name, part in parts.items() if not part["share"]["is_exact"]}
    if sampled:
        shares = sampled.values()
        figure.add_scatter(
            y=[html.escape(name) for name in sampled],
            x=[share["value"] for share in shares],
            mode="markers",
            marker={"size": 1, "color": theme.limit},
            error_x={
                "type": "data",
                "array": [share["high"] - share["value"] for share in shares],
                "arrayminus": [share["value"] - share["low"] for share in shares],
                "color": theme.limit,
                "thickness": 1.5,
            },
            hovertext=[f"<b>{html.escape(name)}</b><br>fits: {share_text(share)}" for name, share in sampled.items()],
            hoverinfo="text",
            meta="interval",
        )
    figure.update_layout(
        **layout(
            theme,
            barmode="stack",
            bargap=0.3,
            showlegend=False,
            margin={"l": 10, "r": 24, "t": 10, "b": 10},
            xaxis=theme.axis_of(range=[0, 1.001], tickformat=".0%"),
            yaxis=theme.axis_of(autorange="reversed", ticks="", ticksuffix=" ", showgrid=False),
        )
    )
    return figure


def _scatter_section(surveys: Mapping[str, CostTable], report: Mapping[str, Any]) -> str:
    panels = []
    for number, (name, (figure, told)) in enumerate(scatter_figures(surveys, report).items()):
        title = f"<b>{html.escape(name)}</b> {told}"
        plot = plot_html(figure, f"plot-scatter-{number}", is_first=False, height="24rem")
        panels.append(f"<figure><figcaption>{title}</figcaption>\n{plot}</figure>")
    missing = [cost_title(limit, report["precision"]) for limit in report["limits"] if not _line(report, limit)]
    note = "The budget's limits are dashed"
    note += f"; {' and '.join(missing)} cannot be shown as a line here." if missing else "."
    if report["nothing_fits"]:
        note += f" {NEAREST} is what comes closest to the budget."
    # said here, not found out by the style sheet: a plot takes its width before the next one is there
    kind = {1: "single", 2: "pairs", 4: "pairs"}.get(len(surveys), "panels")
    return f"""<h2>MACs against parameters</h2>
{_legend(report, [name for name in _shares(report) if name != INVALID])}
<p>{note}</p>
<div class="{kind}" role="group" aria-label="MACs against parameters of networks that were priced">
{"".join(panels)}
</div>"""


def scatter_figures(
    surveys: Mapping[str, CostTable], report: Mapping[str, Any], theme: Theme = PAPER
) -> dict[str, tuple[go.Figure, str]]:
    """Draw MACs against parameters of each architecture's networks, with the same axes; say how many fit and are drawn.

    Args:
        surveys: By architecture; each holds networks.
        report: Of these surveys.
        theme: Colours.
    """
    ranges = [_log_range(surveys, report, name) for name in ("params", "macs")]
    most = min(MAX_DRAWN, MAX_DRAWN_IN_ALL // len(surveys))
    figures = {}
    for name, found in surveys.items():
        figure, num_drawn = _scatter_figure(found, report, ranges, most, theme)
        num_all = len(found.costs)
        points = f"all {num_all:,}" if num_drawn == num_all else f"{num_drawn:,} of {num_all:,}"
        share = report["architectures"][name]["share"]["value"]
        figures[name] = (figure, f"{percent_text(share)} fit; {points} drawn")
    return figures


def _scatter_figure(
    found: CostTable, report: Mapping[str, Any], ranges: Sequence[tuple[float, float]], most: int, theme: Theme
) -> tuple[go.Figure, int]:
    """Draw a sample of one architecture's networks, and say how many there are in it."""
    kinds = outcomes(found.costs, report["limits"])
    rows = _sample(kinds == FITS, most)
    macs, params = (np.maximum(found.costs[rows, LIMITS.index(name)], 1) for name in ("macs", "params"))
    figure = go.Figure()
    for outcome in [*report["limits"], FITS]:
        chosen = kinds[rows] == outcome
        if not chosen.any():
            continue
        style = OUTCOMES[outcome]
        figure.add_scatter(
            x=params[chosen].tolist(),
            y=macs[chosen].tolist(),
            mode="markers",
            marker={"symbol": style.symbol, "color": theme.shade(style.colour), "size": 5, "opacity": 0.6},
            hovertemplate="%{y:,} MACs<br>%{x:,} parameters<extra></extra>",
            meta=outcome,
        )
    if found.nearest is not None and report["nothing_fits"]:
        figure.add_scatter(
            x=[max(found.nearest.cost.params, 1)],
            y=[max(found.nearest.cost.macs, 1)],
            mode="markers",
            marker={"symbol": "star", "color": theme.limit, "size": 15, "line": {"color": theme.surface, "width": 1}},
            hovertemplate="nearest to the budget<br>%{y:,} MACs<br>%{x:,} parameters<extra></extra>",
            meta="nearest",
        )
    for limit in report["limits"]:
        line = _line(report, limit)
        if line is not None:
            _draw_line(figure, *line, f"{limit} {si_text(report['limits'][limit])}", ranges[0], theme)
    (x_low, x_high), (y_low, y_high) = ranges
    figure.update_layout(
        **layout(
            theme,
            showlegend=False,
            margin={"l": 10, "r": 10, "t": 10, "b": 10},
            xaxis=_log_axis("Parameters", x_low, x_high, theme),
            yaxis=_log_axis("Multiply-accumulates per clip", y_low, y_high, theme),
        )
    )
    return figure, len(rows)


def _line(report: Mapping[str, Any], limit: str) -> tuple[str, float] | None:
    """Return where a limit is a line among parameters (x) and MACs (y): a size in bytes is so many parameters."""
    value = report["limits"][limit]
    if limit == "size_bytes":
        return "x", value / BYTES[report["precision"]]
    return {"macs": ("y", value), "params": ("x", value)}.get(limit)


def _draw_line(
    figure: go.Figure, axis: str, value: float, text: str, x_range: tuple[float, float], theme: Theme
) -> None:
    line = {"color": theme.limit, "dash": "dash", "width": 1.5}
    label = {"text": text, "showarrow": False, "font": {"size": 12}, "bgcolor": theme.note}
    place = math.log10(value)
    if axis == "x":
        side, away = _side(place, x_range)
        figure.add_vline(x=value, line=line)
        figure.add_annotation(x=place, y=1, yref="paper", xanchor=side, yanchor="top", xshift=away, **label)
    else:
        figure.add_hline(y=value, line=line)
        figure.add_annotation(x=0, xref="paper", y=place, xanchor="left", yanchor="bottom", yshift=1, **label)


def _side(place: float, x_range: tuple[float, float]) -> tuple[str, int]:
    """Anchor a label where there is more room beside its line, with the pixels between."""
    return ("right", -2) if place > sum(x_range) / 2 else ("left", 2)


def _sample(fitting: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    """Choose rows to draw: as many of each kind as their share, but some that fit wherever there are any."""
    if len(fitting) <= most:
        return np.arange(len(fitting))
    rng = np.random.default_rng(0)
    inside, outside = np.flatnonzero(fitting), np.flatnonzero(~fitting)
    num_inside = min(len(inside), max(MIN_FITTING, round(most * len(inside) / len(fitting))))
    num_outside = min(len(outside), most - num_inside)
    chosen = rng.choice(inside, num_inside, replace=False), rng.choice(outside, num_outside, replace=False)
    return np.concatenate(chosen)


def _spread_section(surveys: Mapping[str, CostTable], report: Mapping[str, Any]) -> str:
    height = f"{max(3, len(surveys)) * 70 + 70}px"
    panels = []
    for name in spread_costs(report):
        figure = spread_figure(surveys, report, name)
        panels.append(f"<figure>{plot_html(figure, f'plot-{name}', is_first=False, height=height)}</figure>")
    return f"""<h2>How the costs are spread</h2>
<p>All networks that were priced, as histograms of one height. The short line is the median.</p>
<div class="pairs" role="group" aria-label="Distributions of the costs; quantiles are in the table below">
{"".join(panels)}
</div>"""


def spread_costs(report: Mapping[str, Any]) -> list[str]:
    """Name the costs whose spread is worth a plot: MACs, parameters or their bytes, and whatever has a limit."""
    limits = report["limits"]
    shown = {"macs", "params" if "params" in limits or "size_bytes" not in limits else "size_bytes", *limits}
    return [name for name in LIMITS if name in shown]


def spread_figure(
    surveys: Mapping[str, CostTable], report: Mapping[str, Any], cost: str, theme: Theme = PAPER
) -> go.Figure:
    """Draw a histogram a row, on one logarithmic axis; what is over the limit in the limit's colour."""
    limit = report["limits"].get(cost)
    low, high = _log_range(surveys, report, cost)
    edges = _edges(low, high, limit)
    top = len(edges) - 1 if limit is None else int(np.abs(edges - math.log10(limit)).argmin())
    parts = ((0, top, GREEN if limit else NEUTRAL), (top, len(edges) - 1, OUTCOMES[cost].colour))
    figure = go.Figure()
    labels = []
    for row, (name, found) in enumerate(surveys.items()):
        values = np.maximum(found.costs[:, LIMITS.index(cost)], 1)
        counts = _histogram(values, edges, top, limit)
        base, median = float(len(surveys) - 1 - row), float(np.median(values))
        label = html.escape(name)
        within = "" if limit is None else percent_text(float((values <= limit).mean()))
        labels.append(f"{label}<br><span style='font-size:12px'>{within} within</span>" if within else label)
        told = f"<b>{label}</b><br>{si_text(values.min())} to {si_text(values.max())}, median {si_text(median)}"
        for start, end, colour in parts:
            if not counts[start:end].any():
                continue
            x, y = _outline(edges[start : end + 1], ROW_HEIGHT * counts[start:end] / counts.max())
            figure.add_scatter(
                x=(10**x).tolist(),
                y=(base + y).tolist(),
                mode="lines",
                line={"width": 0},
                fill="toself",
                fillcolor=theme.shade(colour),
                hoveron="fills",
                text=told,
                hoverinfo="text",
                meta=name,
            )
        figure.add_scatter(
            x=[median, median],
            y=[base - 0.07, base + 0.07],
            mode="lines",
            line={"color": theme.limit, "width": 2.5},
            hoverinfo="skip",
            meta="median",
        )
    if limit is not None:
        figure.add_vline(x=limit, line={"color": theme.limit, "dash": "dash", "width": 1.5})
        figure.add_annotation(
            x=math.log10(limit),
            y=1,
            yref="paper",
            text=f"limit {si_text(limit)}",
            showarrow=False,
            xanchor=_side(math.log10(limit), (low, high))[0],
            yanchor="bottom",
            font={"size": 12},
        )
    title = cost_title(cost, report["precision"])
    figure.update_layout(
        **layout(
            theme,
            showlegend=False,
            margin={"l": 10, "r": 10, "t": 24, "b": 10},
            xaxis=_log_axis(title[0].upper() + title[1:], low, high, theme),
            yaxis=theme.axis_of(
                tickvals=list(range(len(labels)))[::-1],
                ticktext=labels,
                ticks="",
                ticklabelposition="outside top",
                range=[-0.15, len(labels) - 0.02],
                showgrid=False,
            ),
        )
    )
    return figure


def _edges(low: float, high: float, limit: int | None) -> NDArray[np.float64]:
    """Cut a logarithmic axis into bins of one width, such that the limit is an edge."""
    width = (high - low) / NUM_BINS
    middle = low if limit is None else math.log10(limit)
    numbers = np.arange(math.floor((low - middle) / width), math.ceil((high - middle) / width) + 1, dtype=np.float64)
    return middle + np.float64(width) * numbers


def _histogram(values: NDArray[np.int64], edges: NDArray[np.float64], top: int, limit: int | None) -> NDArray[np.int64]:
    """Count values by bin; bins from `top` on hold what is over the limit, those below what is within."""
    bins = np.clip(np.searchsorted(edges, np.log10(values), side="left") - 1, 0, len(edges) - 2)
    if limit is not None:  # not by the logarithm, which rounds
        bins = np.where(values <= limit, np.minimum(bins, top - 1), np.maximum(bins, top))
    return np.bincount(bins, minlength=len(edges) - 1)


def _outline(
    edges: NDArray[np.float64], heights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the outline of a histogram, from the base at its low end to the base at its high end."""
    return np.repeat(edges, 2), np.array([0.0, *np.repeat(heights, 2), 0.0])


def _log_range(surveys: Mapping[str, CostTable], report: Mapping[str, Any], cost: str) -> tuple[float, float]:
    """Cover every architecture and the limit, with some air, in powers of ten."""
    columns = [found.costs[:, LIMITS.index(cost)] for found in surveys.values()]
    ends: list[float] = [max(int(value), 1) for column in columns for value in (column.min(), column.max())]
    if cost in report["limits"]:
        ends.append(report["limits"][cost])
    elif cost == "params" and "size_bytes" in report["limits"]:
        ends.append(report["limits"]["size_bytes"] / BYTES[report["precision"]])
    low, high = math.log10(min(ends)), math.log10(max(ends))
    air = max(0.1, 0.05 * (high - low))
    return low - air, high + air


def _log_axis(title: str, low: float, high: float, theme: Theme) -> dict[str, Any]:
    steps = 1 if high - low > 2 else "D2"
    return theme.axis_of(type="log", range=[low, high], tickformat="~s", dtick=steps, title={"text": title})


def _tables(report: Mapping[str, Any]) -> str:
    several = len(report["architectures"]) > 1
    costs = _table("costs", "What the networks cost, those over budget too", costs_lines(report, several=several))
    if report["nothing_fits"]:
        return costs
    times = "".join(f"<p>{html.escape(line)}</p>" for line in time_lines(report["time"]))
    sizes = _table("sizes", "How large each size can be in a network that fits", reach_lines(report))
    return f"""<div class="tables">
<div>{costs}</div>
<div><h2>How long it takes</h2>
{times}</div>
</div>
<div class="words">{sizes}</div>"""


def _table(name: str, title: str, lines: Lines) -> str:
    head, *rows = lines
    texts = [column for column in head if column not in FIGURES]
    return f'<h2 id="{name}">{title}</h2>\n{table_html(head, rows, label=name, texts=texts)}'


STYLE = """figure { margin: 0; min-width: 0; }
.panels, .pairs, .single { display: grid; gap: 1rem; align-items: start; }
.panels { grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
.single { grid-template-columns: minmax(0, 1fr); }
.pairs { grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)); }
.tables { display: flex; flex-wrap: wrap; gap: 0 2rem; align-items: start; }
.tables > div { flex: 0 1 auto; max-width: 100%; }
.tables p { max-width: 26rem; }
.words td, .words tbody th { vertical-align: top; }
.words td.text { white-space: normal; min-width: 8rem; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: .3rem 0; }
p i { font-style: normal; }
.scroll { margin: .6rem 0; }
.alert { border-left: .3rem solid #D55E00; background: #FDF1EA; padding: .6rem .9rem; overflow-wrap: anywhere; }
th.text, td.text { text-align: left; }
thead th { white-space: normal; }
th, td { padding: .3rem .55rem; }
@media (max-width: 42rem) { table { font-size: .8rem; } th, td { padding: .3rem .4rem; } }
"""
