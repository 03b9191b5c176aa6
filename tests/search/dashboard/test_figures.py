"""The dashboard's figures: what is drawn, read back from them, in both themes."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from objectives.quality import measure_quality
from search.dashboard import app
from search.dashboard.figures.accuracy import classes_figure, confusion_figure, device_groups, devices_figure
from search.dashboard.figures.colours import DARK, LIGHT, THEMES, contrast
from search.dashboard.figures.front import front_figure
from search.dashboard.figures.networks import curves_figure, layers_figure
from search.dashboard.figures.parallel import parallel_figure
from search.dashboard.figures.plot_helpers import MANY, SERIES, empty_figure
from search.dashboard.figures.search_progress import (
    hypervolume_figure,
    importance_figure,
    rejections_figure,
    states_figure,
)
from search.dashboard.figures.space import (
    space_figures,
    space_fits_figure,
    space_histograms,
    space_legend,
    space_scatter_figures,
)
from search.dashboard.figures.study_fronts import fronts_figure
from search.dashboard.figures.trial_comparison import compared_costs_figure, compared_scores_figure
from search.report.drawing import GROUPS
from search.space.cost_table import CostTable

NAN = float("nan")
LIMITS = {"macs": 30_000_000, "params": 128_000}
EVIL = "<b>evil</b><script>alert(1)</script>"
STYLE = Path(app.__file__).parent / "assets" / "style.css"
CLASSES = ("bus", EVIL, "park")
DEVICES = {"a": "real", "s1": "seen", "s4": "unseen"}


@pytest.fixture(params=[LIGHT, DARK], ids=lambda theme: theme.name)
def theme(request):
    return request.param


@pytest.fixture
def trials():
    rows = [
        (0, "complete", True, 0.44, 29_747_914, 47_946),
        (1, "complete", True, 0.31, 1_250_000, 8_010),
        (2, "complete", False, 0.29, 4_100_000, 90_000),
        (3, "stopped", False, 0.18, 21_270_026, 86_666),
        (4, "failed", False, NAN, 7_500_000, 16_000),
        (5, "running", False, 0.22, 17_000_000, 42_000),
        (6, "rejected", False, NAN, 53_174_356, 253_880),
        (7, "complete", False, 0.46, 38_000_000, 110_000),
        (8, "rejected", False, NAN, NAN, NAN),
    ]
    table = pd.DataFrame(rows, columns=["number", "state", "on_front", "macro_accuracy", "macs", "params"])
    accuracy = table["macro_accuracy"]
    return table.assign(
        log_loss=2.3 - accuracy,
        unseen_accuracy=accuracy - 0.06,
        worst_device_accuracy=accuracy - 0.1,
        size_bytes=2 * table["params"],
        peak_bytes=table["macs"] / 200,
        latency_ms=NAN,
        fits=table["number"] != 7,
        epoch=4,
        epochs=16,
        reason=np.where(table["number"] == 6, f"over budget {EVIL}", ""),
        **{
            "config.width": 8 * (1 + table["number"]),
            "config.activation": [EVIL, *["relu"] * (len(rows) - 1)],
            "config.batch_size": 64,
        },
    )


def quality(seed=0):
    rng = np.random.default_rng(seed)
    logs = rng.normal(size=(300, 3))
    logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
    return measure_quality(
        logs,
        rng.integers(0, 3, 300),
        rng.integers(0, 3, 300),
        classes=CLASSES,
        device_names=list(DEVICES),
        device_groups=DEVICES,
    )


def traces(figure):
    """Return the traces of points by what they are."""
    return {trace.meta: trace for trace in figure.data if trace.mode != "lines"}


def notes(figure):
    return [note.text for note in figure.layout.annotations]


def test_every_priced_trial_is_a_point_that_knows_its_number(trials, theme):
    drawn = traces(front_figure(trials, limits=LIMITS, theme=theme))
    numbers = {name: trace.customdata for name, trace in drawn.items()}
    assert numbers == {
        "front": (0, 1), "dominated": (2,), "over": (7,), "stopped": (3,), "failed": (4,), "running": (5,),
        "rejected": (6,),
    }  # fmt: skip
    assert {name: trace.marker.symbol for name, trace in drawn.items()} == {
        name: group.plotly for name, group in GROUPS.items()
    }
    assert list(drawn) == list(GROUPS)


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


@pytest.mark.parametrize(("asked", "drawn"), [(None, "log"), (True, "log"), (False, "linear")])
def test_the_axis_is_logarithmic_where_that_is_asked_for(trials, asked, drawn):
    assert front_figure(trials, limits={}, log_x=asked).layout.xaxis.type == drawn


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


def test_hover_tells_fields_that_differ_and_is_short_for_the_rejected(trials):
    drawn = traces(front_figure(trials, limits=LIMITS))
    assert "batch_size" not in drawn["front"].hovertext[0]
    assert "width: 8" in drawn["front"].hovertext[0]
    assert "<script>" not in str(drawn)
    assert "&lt;script&gt;" in drawn["rejected"].hovertext[0]


def repeated(trials, times):
    """Have that many more of all trials but the front's, each with a number of its own."""
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
def test_many_rejected_trials_are_a_line_for_each_reason_in_which_each_is_a_stroke(trials, theme, y):
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
    figure = fronts_figure({"one": trials, EVIL: trials[trials["number"] > 0]}, limits=LIMITS)
    one, other = (trace for trace in figure.data if trace.meta != "line")
    assert (one.marker.symbol, one.marker.color) != (other.marker.symbol, other.marker.color)
    assert other.customdata == ([EVIL, 1],)
    assert "<script>" not in other.name + other.hovertext[0]


LAYERS = [
    {"name": EVIL, "kind": "Conv2d", "macs": 300, "params": 10, "output_shape": [8, 4, 4]},
    {"name": "act", "kind": "ReLU", "macs": 0, "params": 0, "output_shape": [8, 4, 4]},
    {"name": "head", "kind": "Linear", "macs": 100, "params": 30, "output_shape": [10]},
]


def test_each_layers_bar_begins_where_the_one_before_ends(theme):
    figure = layers_figure(LAYERS, {"macs": 1000}, theme)
    macs, params = figure.data
    assert (macs.base, macs.x) == ((0, 300), (300, 100))
    assert (params.base, params.x) == ((0, 10), (10, 30))
    assert figure.layout.xaxis.title.text == "400 MACs<br>40.0% of 1K"
    assert [shape.x0 for shape in figure.layout.shapes] == [1000]
    assert "<script>" not in figure.to_json().replace("\\u003c", "<")


def test_a_curve_for_each_trial_and_a_panel_for_each_figure():
    curve = [
        {"epoch": 1, "macro_accuracy": 0.2, "log_loss": 2.0},
        {"epoch": 2, "macro_accuracy": 0.3, "log_loss": None},
    ]
    figure = curves_figure({"trial 1": curve, EVIL: curve[:1]}, ("macro_accuracy", "log_loss", "train_loss"))
    assert [(trace.meta, trace.y) for trace in figure.data] == [
        ("macro_accuracy", (0.2, 0.3)), ("log_loss", (2.0,)), ("macro_accuracy", (0.2,)), ("log_loss", (2.0,)),
    ]  # fmt: skip
    assert figure.data[0].line.dash != figure.data[2].line.dash
    assert [trace.showlegend for trace in figure.data] == [True, False, True, False]


def test_the_confusion_matrix_writes_clips_and_shares():
    measured = quality()
    (heat,) = confusion_figure(measured.to_dict()).data
    counts = np.array(measured.confusion)
    assert heat.customdata.tolist() == counts.tolist()
    assert heat.z.sum(axis=1).tolist() == pytest.approx([1, 1, 1])
    assert heat.text[0][1] == f"{counts[0, 1]}<br>{counts[0, 1] / counts[0].sum():.0%}"
    assert "<script>" not in str(heat.hovertext)


def test_unseen_devices_stand_apart():
    measured = quality()
    assert device_groups(measured) == DEVICES
    figure = devices_figure(measured)
    assert [(trace.meta, trace.y) for trace in figure.data] == [
        ("real", ("a",)),
        ("seen", ("s1",)),
        ("unseen", ("s4",)),
    ]
    assert figure.data[2].marker.pattern.shape != figure.data[0].marker.pattern.shape
    assert figure.data[2].marker.pattern.fillmode == "overlay"  # else it is drawn on nothing
    assert figure.layout.yaxis.categoryarray == ("a", "s1", "s4")
    told = devices_figure(measured, groups={"a": "unseen"})
    assert [trace.meta for trace in told.data] == ["unseen", "unknown"]


def test_the_worst_class_is_on_top():
    measured = quality()
    (bars,) = classes_figure(measured).data
    assert list(bars.x) == sorted(score.accuracy for score in measured.by_class.values())
    assert "&lt;b&gt;evil&lt;/b&gt;&lt;script&gt;alert(1)&lt;/script&gt;" in bars.y
    assert all(half > 0 for half in bars.error_x.array)


def test_hypervolume_is_drawn_over_the_time_in_a_unit_that_suits():
    frames = {"one": pd.DataFrame({"seconds": [60, 7200], "hypervolume": [0.1, 0.2]}), "none": pd.DataFrame()}
    figure = hypervolume_figure(frames)
    (line,) = figure.data
    assert (line.x.tolist(), line.line.shape) == ([1, 120], "hv")
    assert figure.layout.xaxis.title.text == "Minutes since the start"


def test_importances_stand_side_by_side_in_the_order_of_the_first():
    figure = importance_figure(
        {
            "macro_accuracy": pd.DataFrame({"field": ["width", "rate", "depth"], "importance": [0.2, 0.7, 0.1]}),
            "macs": pd.DataFrame({"field": ["width", "depth"], "importance": [0.9, 0.1]}),
        }
    )
    assert [bars.y for bars in figure.data] == [("rate", "width", "depth")] * 2
    assert [bars.x for bars in figure.data] == [(0.7, 0.2, 0.1), (0.0, 0.9, 0.1)]
    assert notes(figure) == ["macro accuracy", "MACs"]


def test_a_field_of_one_architecture_is_told_with_its_name():
    found = pd.DataFrame({"architecture": ["", EVIL], "field": ["width", "width"], "importance": [0.9, 0.1]})
    (bars,) = importance_figure({"macs": found}).data
    assert bars.y == ("width", "&lt;b&gt;evil&lt;/b&gt;&lt;script&gt;alert(1)&lt;/script&gt;: width")


def test_states_and_reasons_are_counted(trials):
    (states,) = states_figure(trials).data
    assert states.x == (2, 1, 1, 1, 1, 1, 2)
    assert states.y[0] == "front"
    (reasons,) = rejections_figure(pd.DataFrame({"kind": ["invalid", EVIL], "count": [1, 3]})).data
    assert (reasons.x, reasons.text) == ((3, 1), ("3 (75.0%)", "1 (25.0%)"))
    assert "<script>" not in reasons.y[0]


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "number": [1, 2, 3],
            "macro_accuracy": [0.2, 0.3, 0.4],
            "macs": [1e6, 1e7, 1e8],
            "config.activation": ["relu", EVIL, None],
            "config.depth": [1.0, NAN, 3.0],
            "config.never": NAN,
        }
    )


def test_parallel_axes_name_words_and_take_logarithms_of_costs(frame, theme):
    brush = {"macs": [(1e6, 1e7)], "config.activation": [(1, 1)]}
    (lines,) = parallel_figure(frame, brush, theme).data
    accuracy, macs, activation, depth = lines.dimensions
    assert [axis.name for axis in lines.dimensions] == list(frame.columns[1:-1])
    assert macs["values"].tolist() == pytest.approx([6, 7, 8])
    assert macs.constraintrange == (6, 7)
    assert lines.meta == {"log": ["macs"], "words": ["config.activation"]}
    assert activation.ticktext == ("none", "&lt;b&gt;evil&lt;/b&gt;&lt;script&gt;alert(1)&lt;/script&gt;", "relu")
    low, high = activation.constraintrange
    assert [low <= value <= high for value in activation["values"]] == [True, False, False]
    assert depth["values"][1] < 1
    assert accuracy.ticktext[0].endswith("%")
    assert lines.line.color.tolist() == [0.2, 0.3, 0.4]
    assert lines.labelfont.color == theme.text


def test_trials_are_compared_on_the_same_rows():
    measured = {"trial 1": quality(1).to_dict(), EVIL: quality(2).to_dict()}
    by_class, by_device = (compared_scores_figure(measured, by=by) for by in ("class", "device"))
    _, one, other = by_class.data
    assert one.y == other.y == (0, 1, 2)
    assert list(one.x) == sorted(one.x)
    assert (one.marker.symbol, one.marker.color) != (other.marker.symbol, other.marker.color)
    assert by_device.layout.yaxis.ticktext == ("a", "s1", "s4 (unseen)")
    assert "<script>" not in other.name + by_class.layout.yaxis.ticktext[0]


def test_costs_are_compared_as_shares_of_the_limits():
    costs = {"trial 1": {"macs": 15_000_000, "params": 64_000}, "trial 2": {"macs": 45_000_000, "params": None}}
    figure = compared_costs_figure(costs, LIMITS)
    assert [trace.x for trace in figure.data[1:]] == [(0.5, 0.5), (1.5,)]
    assert figure.layout.xaxis.range[1] > 1.5
    without = compared_costs_figure(costs, {})
    assert [trace.x for trace in without.data[1:]] == [(pytest.approx(1 / 3), 1), (1,)]


def test_the_space_is_drawn_as_the_page_of_a_preflight_does(theme):
    share = {"value": 0.5, "low": 0.5, "high": 0.5, "is_exact": True}
    part = {"share": share, "priced": 4, "fitting": 2, "invalid": 0, "binding": {"macs": 2}, "over": {"macs": 2}}
    report = {
        "limits": {"macs": 100}, "precision": "fp16", "architectures": {EVIL: part}, "nothing_fits": None,
        "share": share,
    }  # fmt: skip
    costs = np.array([[50, 10, 20, 20, 5], [60, 9, 18, 18, 5], [200, 9, 9, 9, 9], [300, 7, 7, 7, 7]])
    surveys = {EVIL: CostTable(costs)}
    fits = space_fits_figure(report, theme)
    assert [bars.x for bars in fits.data] == [(0.5,), (0.5,)]
    ((scatter, told),) = space_scatter_figures(surveys, report, theme).values()
    assert told == "50.0% fit; all 4 plotted"
    assert {trace.meta: len(trace.x) for trace in scatter.data} == {"macs": 2, "fits": 2}
    assert list(space_histograms(surveys, report, theme)) == ["macs", "params"]
    assert list(space_figures(surveys, report, theme)) == [
        "Feasible networks",
        f"MACs against parameters, {EVIL}: 50.0% fit; all 4 plotted",
        "Distribution of MACs",
        "Distribution of parameters",
    ]
    assert scatter.layout.paper_bgcolor == theme.surface
    assert [told for _, _, told in space_legend(report, theme)] == ["fits", "over budget"]


def test_where_nothing_is_known_the_figure_says_so(trials, theme):
    none = trials[:0]
    empty = [
        front_figure(none, limits=LIMITS, theme=theme),
        front_figure(none, limits={}, what_if={"macs": 5}, colour="params", theme=theme),
        fronts_figure({"one": none}, theme=theme),
        fronts_figure({}, theme=theme),
        layers_figure([], LIMITS, theme),
        curves_figure({}, theme=theme),
        curves_figure({"trial 1": []}, theme=theme),
        confusion_figure(None, theme),
        devices_figure(None, theme),
        classes_figure({}, theme),
        hypervolume_figure({}, theme),
        importance_figure({}, theme),
        importance_figure({"macs": pd.DataFrame({"field": [], "importance": []})}, theme),
        parallel_figure(pd.DataFrame(), {}, theme),
        states_figure(none, theme),
        rejections_figure(pd.DataFrame({"kind": [], "count": []}), theme),
        compared_scores_figure({}, theme),
        compared_costs_figure({}, LIMITS, theme),
        space_fits_figure({}, theme),
        empty_figure(EVIL, theme),
    ]
    for figure in empty:
        assert any(text and not text.startswith(("budget", "what if")) for text in notes(figure))
        assert "<script>" not in "".join(notes(figure))
    assert space_scatter_figures({}, {}, theme) == space_histograms({}, {}, theme) == {}


def test_a_table_that_knows_nothing_but_numbers_is_drawn(trials):
    bare = trials[trials["state"] == "rejected"]
    figure = front_figure(bare, limits={}, colour="macro_accuracy")
    assert "No front yet: no network is fully trained" in notes(figure)


def test_text_and_marks_stand_out_from_their_background(theme):
    for background in (theme.surface, theme.page, theme.raised):
        assert contrast(theme.text, background) >= 4.5
        assert contrast(theme.muted, background) >= 4.5
    for background in (theme.surface, theme.page):
        assert contrast(theme.accent, background) >= 4.5
    assert contrast(theme.what_if, theme.surface) >= 4.5
    assert contrast(theme.on_accent, theme.accent) >= 4.5
    marks = [*theme.shades.values(), *theme.scale, theme.limit, theme.axis]
    assert {colour: contrast(colour, theme.surface) >= 3 for colour in marks} == dict.fromkeys(marks, True)


def test_every_colour_of_a_group_or_a_series_has_a_shade(theme):
    used = {group.colour for group in GROUPS.values()} | {colour for colour, _, _ in SERIES}
    assert used <= theme.shades.keys()
    assert len(set(theme.shades.values())) == len(theme.shades)
    for place in range(3):
        assert len({each[place] for each in SERIES}) >= 6
    assert set(THEMES) == {"light", "dark"}


def test_the_style_sheet_has_the_colours_of_the_themes_and_asks_nothing_of_anyone():
    text = STYLE.read_text(encoding="utf-8")
    blocks = re.findall(r"([^{}]+)\{([^{}]*--page:[^{}]*)\}", text)
    found = [dict(re.findall(r"--([a-z-]+): (#[0-9A-F]{6});", block)) for _, block in blocks]
    for theme, names in ((LIGHT, found[0]), (DARK, found[1]), (DARK, found[2])):
        values = {name.replace("-", "_"): value for name, value in names.items()}
        told = [values.pop("warn"), values.pop("good")]
        assert set(told) <= set(theme.shades.values())
        assert all(contrast(colour, theme.surface) >= 4.5 for colour in told)
        assert values == {name: getattr(theme, name) for name in values}
        assert len(values) == 9
    assert "prefers-color-scheme: dark" in text
    assert ":root:not([data-theme=light])" in text
    assert not re.search(r"url\(|@import|//", text)
    used = set(re.findall(r"var\((--[a-z-]+)\)", text))
    assert used <= {f"--{name}" for name in found[0]}


def test_figures_need_neither_torch_nor_ray_nor_matplotlib():
    code = (
        "import sys, search.dashboard.figures.front, search.dashboard.figures.search_progress;"
        "sys.exit(bool({'torch', 'ray', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
