"""The front of a study, and those of several, as figures: what is drawn, read back from them, in both themes."""

import numpy as np
import pandas as pd
import pytest
from figure_reading import EVIL, LIMITS, NAN, notes, traces

from search.dashboard.figures.colours import LIGHT
from search.dashboard.figures.front import front_figure
from search.dashboard.figures.plot_helpers import MANY
from search.dashboard.figures.study_fronts import fronts_figure
from search.report.drawing import GROUPS


def test_every_priced_trial_is_a_point_that_knows_its_number(trials, theme):
    drawn = traces(front_figure(trials, limits=LIMITS, theme=theme))
    numbers = {name: trace.customdata for name, trace in drawn.items()}
    assert numbers == {
        "front": (0, 1), "dominated": (2,), "over": (7,), "stopped": (3,), "failed": (4,), "running": (5,),
        "rejected": (6,),
    }  # fmt: skip
    assert {name: trace.marker.symbol for name, trace in drawn.items()} == {
        name: group.plotly for name, group in GROUPS.items() if name != "chance"
    }
    assert list(drawn) == [name for name in GROUPS if name != "chance"]


def test_chance_is_a_line_and_what_is_not_better_a_group_of_its_own(trials, theme):
    weak = trials.assign(at_chance=trials["number"] == 2)
    figure = front_figure(weak, limits=LIMITS, num_classes=10, theme=theme)
    drawn = traces(figure)
    assert drawn["chance"].customdata == (2,)
    assert [shape.y0 for shape in figure.layout.shapes if shape.line.dash == "dot"] == [0.1]
    assert "chance" in notes(figure)
    assert figure.layout.yaxis.range[0] < 0.1
    losses = front_figure(weak, y="log_loss", limits=LIMITS, num_classes=10, theme=theme)
    assert [shape.y0 for shape in losses.layout.shapes if shape.line.dash == "dot"] == [pytest.approx(np.log(10))]
    assert not [shape for shape in front_figure(weak, limits=LIMITS).layout.shapes if shape.line.dash == "dot"]


def test_the_front_has_bars_and_nothing_else(trials):
    with_halves = trials.assign(macro_accuracy_half=0.05)
    drawn = traces(front_figure(with_halves, limits=LIMITS))
    assert set(drawn["front"].error_y.array) == {0.05}
    assert all(trace.error_y.array is None for name, trace in drawn.items() if name != "front")


def test_where_nothing_is_better_than_chance_that_is_said(trials):
    weak = trials.assign(at_chance=trials["state"] == "complete", on_front=False)
    assert "No front yet: no network is better than chance; train longer, or on more data" in notes(
        front_figure(weak, limits=LIMITS)
    )


def test_the_colours_are_of_the_theme(trials, theme):
    figure = front_figure(trials, limits=LIMITS, theme=theme)
    for name, trace in traces(figure).items():
        assert trace.marker.color == theme.shades[GROUPS[name].colour]
    assert (figure.layout.paper_bgcolor, figure.layout.font.color) == (theme.surface, theme.text)
    assert figure.layout.xaxis.gridcolor == theme.grid


def test_the_budget_and_a_budget_that_is_tried_stand_side_by_side(trials):
    figure = front_figure(trials, limits=LIMITS, what_if={"macs": 5_000_000, "params": 128_000})
    assert [(shape.x0, shape.line.color) for shape in figure.layout.shapes] == [
        (30_000_000, LIGHT.limit),
        (5_000_000, LIGHT.what_if),
    ]
    assert notes(figure) == ["budget 30M", "what if 5M"]
    same = front_figure(trials, limits=LIMITS, what_if={"macs": 30_000_000})
    assert notes(same) == ["budget 30M"]


def test_a_budget_that_is_tried_is_in_sight(trials):
    figure = front_figure(trials, limits=LIMITS, what_if={"macs": 900_000_000}, log_x=True)
    low, high = figure.layout.xaxis.range
    assert low < np.log10(900_000_000) < high


@pytest.mark.parametrize(("log_x", "drawn"), [(None, "log"), (True, "log"), (False, "linear")])
def test_the_axis_is_logarithmic_by_default_and_linear_where_that_is_set(trials, log_x, drawn):
    assert front_figure(trials, limits={}, log_x=log_x).layout.xaxis.type == drawn


def test_a_third_goal_is_a_colour_with_a_bar_and_the_rejected_keep_theirs(trials, theme):
    figure = front_figure(trials, limits=LIMITS, colour="unseen_accuracy", theme=theme)
    drawn = traces(figure)
    assert drawn["front"].marker.color.tolist() == pytest.approx([0.38, 0.25])
    assert drawn["front"].marker.symbol == "star"
    assert drawn["dominated"].marker.line.coloraxis == "coloraxis"
    assert drawn["rejected"].marker.color == drawn["rejected"].marker.line.color == theme.shades["#999999"]
    axis = figure.layout.coloraxis
    assert [colour for _, colour in axis.colorscale] == list(theme.scale)
    assert (axis.cmin, axis.cmax) == (pytest.approx(0.12), pytest.approx(0.40))
    assert axis.colorbar.title.text == "Accuracy, unseen devices"
    signs = [trace for trace in figure.data if trace.meta == "sign"]
    assert {trace.marker.color for trace in signs} == {theme.text}
    assert [trace.name for trace in figure.data if trace.showlegend is not False and trace.name][-1] == "front (2)"


def test_published_networks_are_a_group_of_their_own(trials):
    references = pd.DataFrame(
        {
            "name": ["one", EVIL, "nowhere"],
            "report": "a report",
            "data": "TAU 2022",
            "macro_accuracy": [0.6, 0.61, 0.5],
            "macs": [29_747_914, 40_000_000, NAN],
        }
    )
    figure = front_figure(trials, limits=LIMITS, references=references)
    published = traces(figure)["published"]
    assert published.name == "published, measured on other data (2)"
    assert published.y.tolist() == [0.6, 0.61]
    assert "&lt;b&gt;evil" in published.hovertext[1]
    assert "measured on other data:</i> TAU 2022" in published.hovertext[0]
    assert published.marker.symbol not in {group.plotly for group in GROUPS.values()}
    assert figure.layout.yaxis.range[1] > 0.61


def test_a_confirmed_trial_has_its_mean_and_interval_tied_to_what_was_found(trials):
    means = pd.DataFrame({"number": [0], "macro_accuracy_mean": [0.41], "macro_accuracy_half": [0.02]})
    figure = front_figure(trials, limits=LIMITS, intervals=means)
    confirmed = traces(figure)["confirmed"]
    assert (confirmed.x.tolist(), confirmed.y.tolist()) == ([29_747_914], [0.41])
    assert confirmed.error_y.array.tolist() == [0.02]
    assert confirmed.customdata == (0,)
    (tie,) = [trace for trace in figure.data if trace.meta == "tie"]
    assert tie.y.tolist()[:2] == [0.44, 0.41]


def test_what_is_rejected_stands_along_the_edge_and_in_the_plane_of_two_costs_at_its_place(trials):
    figure = front_figure(trials, limits=LIMITS)
    low, high = figure.layout.yaxis.range
    assert traces(figure)["rejected"].y.tolist() == [pytest.approx(low + 0.02 * (high - low))]
    plane = front_figure(trials, x="params", y="macs", limits=LIMITS)
    assert traces(plane)["rejected"].y.tolist() == [53_174_356]
    assert notes(plane) == ["budget 128K", "budget 30M"]


def test_hover_shows_fields_that_differ_and_is_short_for_the_rejected(trials):
    drawn = traces(front_figure(trials, limits=LIMITS))
    assert "batch_size" not in drawn["front"].hovertext[0]
    assert "width: 8" in drawn["front"].hovertext[0]
    assert "<script>" not in str(drawn)
    assert "&lt;script&gt;" in drawn["rejected"].hovertext[0]


def repeated(trials, times):
    """Repeat all trials but the front's that many times, each with a number of its own."""
    many = pd.concat([trials] + [trials[~trials["on_front"]]] * times, ignore_index=True)
    return many.assign(number=range(len(many)))


def test_many_points_are_drawn_by_webgl_and_the_front_above_them(trials):
    drawn = traces(front_figure(repeated(trials, MANY // 6 + 1), x="params", y="macs", limits=LIMITS))
    assert {name for name, trace in drawn.items() if trace.type == "scattergl"} == {
        "rejected", "failed", "stopped", "over", "dominated",
    }  # fmt: skip
    assert drawn["rejected"].hovertext is None
    assert "trial %{customdata}" in drawn["rejected"].hovertemplate
    assert all(trace.type == "scatter" for trace in front_figure(trials, limits=LIMITS).data)


@pytest.mark.parametrize("y", ["macro_accuracy", "log_loss"])
def test_many_rejected_trials_are_drawn_as_one_line_for_each_reason(trials, theme, y):
    rejected = trials[trials["state"] == "rejected"].iloc[[0] * MANY].assign(macs=1e6 + 1e4 * np.arange(MANY))
    many = pd.concat([trials, rejected], ignore_index=True).assign(number=range(len(trials) + MANY))
    known = {number: EVIL if number % 3 else "over macs" for number in many["number"]}
    figure = front_figure(many, y=y, limits=LIMITS, reasons=known, theme=theme)
    lines = [trace for trace in figure.data if trace.meta == "rejected"]
    assert {trace.type for trace in figure.data} == {"scatter"}
    assert [("over macs" in trace.hovertemplate, "<script>" in trace.hovertemplate) for trace in lines] == [
        (False, False), (True, False),
    ]  # fmt: skip
    drawn = {number: x for trace in lines for number, x in zip(trace.customdata, trace.x, strict=True)}
    priced = many[(many["state"] == "rejected") & many["macs"].notna()]
    assert drawn == dict(zip(priced["number"], priced["macs"], strict=True))
    assert set(lines[1].customdata) == {each for each in drawn if known[each] == "over macs"}
    ends = figure.layout.yaxis.range
    edge, other = ends if y == "macro_accuracy" else reversed(ends)
    assert lines[0].y[:3].tolist() == pytest.approx([edge, edge + 0.04 * (other - edge), edge])
    (sign,) = [trace for trace in figure.data if trace.meta == "sign"]
    assert sign.name == f"rejected, not trained ({len(priced)})"


def test_fronts_of_studies_differ_in_colour_and_shape(trials):
    figure = fronts_figure({"one": trials, EVIL: trials[trials["number"] > 0]})
    one, other = (trace for trace in figure.data if trace.meta != "line")
    assert (one.marker.symbol, one.marker.color) != (other.marker.symbol, other.marker.color)
    assert other.customdata == ([EVIL, 1],)
    assert "<script>" not in other.name + other.hovertext[0]


def test_a_table_that_knows_nothing_but_numbers_is_drawn(trials):
    bare = trials[trials["state"] == "rejected"]
    figure = front_figure(bare, limits={}, colour="macro_accuracy")
    assert "No front yet: no network is fully trained" in notes(figure)
