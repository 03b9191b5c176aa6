"""The dashboard's figures: what is drawn, read back from them, in both themes."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from figure_reading import EVIL, LIMITS, NAN, notes

from objectives.quality import measure_quality
from search.dashboard.figures.accuracy import classes_figure, confusion_figure, devices_figure
from search.dashboard.figures.front import front_figure
from search.dashboard.figures.networks import curves_figure, layers_figure
from search.dashboard.figures.parallel import parallel_figure
from search.dashboard.figures.plot_helpers import empty_figure
from search.dashboard.figures.search_progress import (
    hypervolume_figure,
    importance_figure,
    rejections_figure,
    states_figure,
)
from search.dashboard.figures.space import space_figures, space_legend
from search.dashboard.figures.study_fronts import fronts_figure
from search.dashboard.figures.trial_comparison import compared_costs_figure, compared_scores_figure
from search.space.cost_table import CostTable

CLASSES = ("bus", EVIL, "park")
DEVICES = {"a": "real", "s1": "seen", "s4": "unseen"}


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
    figure = curves_figure({"trial 1": curve, EVIL: curve[:1]})
    assert [(trace.meta, trace.y) for trace in figure.data] == [
        ("macro_accuracy", (0.2, 0.3)), ("log_loss", (2.0,)), ("macro_accuracy", (0.2,)), ("log_loss", (2.0,)),
    ]  # fmt: skip
    assert figure.data[0].line.dash != figure.data[2].line.dash
    assert [trace.showlegend for trace in figure.data] == [True, False, True, False]


def test_the_confusion_matrix_writes_clips_and_shares():
    measured = quality()
    (heat,) = confusion_figure(measured).data
    counts = np.array(measured.confusion)
    assert heat.customdata.tolist() == counts.tolist()
    assert heat.z.sum(axis=1).tolist() == pytest.approx([1, 1, 1])
    assert heat.text[0][1] == f"{counts[0, 1]}<br>{counts[0, 1] / counts[0].sum():.0%}"
    assert "<script>" not in str(heat.hovertext)


def test_unseen_devices_stand_apart():
    measured = quality()
    figure = devices_figure(measured, DEVICES)
    assert [(trace.meta, trace.y) for trace in figure.data] == [
        ("real", ("a",)),
        ("seen", ("s1",)),
        ("unseen", ("s4",)),
    ]
    assert figure.data[2].marker.pattern.shape != figure.data[0].marker.pattern.shape
    assert figure.data[2].marker.pattern.fillmode == "overlay"  # else it is drawn on nothing
    assert figure.layout.yaxis.categoryarray == ("a", "s1", "s4")
    other = devices_figure(measured, {"a": "unseen"})
    assert [trace.meta for trace in other.data] == ["unseen", "unknown"]


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


def test_a_field_of_one_architecture_is_labelled_with_its_name():
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
    assert lines.meta == {"log": ["macs"], "categorical": ["config.activation"]}
    assert activation.ticktext == ("none", "&lt;b&gt;evil&lt;/b&gt;&lt;script&gt;alert(1)&lt;/script&gt;", "relu")
    low, high = activation.constraintrange
    assert [low <= value <= high for value in activation["values"]] == [True, False, False]
    assert depth["values"][1] < 1
    assert accuracy.ticktext[0].endswith("%")
    assert lines.line.color.tolist() == [0.2, 0.3, 0.4]
    assert lines.labelfont.color == theme.text


def test_trials_are_compared_on_the_same_rows():
    measured = {"trial 1": quality(1), EVIL: quality(2)}
    by_class, by_device = (compared_scores_figure(measured, by=by, groups=DEVICES) for by in ("class", "device"))
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
    tables = {EVIL: CostTable(costs)}
    fits, scatter, *_ = space_figures(tables, report, theme).values()
    assert [bars.x for bars in fits.data] == [(0.5,), (0.5,)]
    assert {trace.meta: len(trace.x) for trace in scatter.data} == {"macs": 2, "fits": 2}
    assert list(space_figures(tables, report, theme)) == [
        "Feasible networks",
        f"MACs against parameters, {EVIL}: 50.0% fit; all 4 plotted",
        "Distribution of MACs",
        "Distribution of parameters",
    ]
    assert scatter.layout.paper_bgcolor == theme.surface
    assert [label for _, _, label in space_legend(report, theme)] == ["fits", "over budget"]


def test_where_nothing_is_known_the_figure_has_a_note(trials, theme):
    none = trials[:0]
    empty = [
        front_figure(none, limits=LIMITS, theme=theme),
        front_figure(none, limits={}, what_if={"macs": 5}, colour="params", theme=theme),
        fronts_figure({"one": none}, theme=theme),
        fronts_figure({}, theme=theme),
        layers_figure([], LIMITS, theme),
        curves_figure({}, theme),
        curves_figure({"trial 1": []}, theme),
        hypervolume_figure({}, theme),
        importance_figure({}, theme),
        importance_figure({"macs": pd.DataFrame({"field": [], "importance": []})}, theme),
        parallel_figure(pd.DataFrame(), {}, theme),
        states_figure(none, theme),
        rejections_figure(pd.DataFrame({"kind": [], "count": []}), theme),
        compared_scores_figure({}, theme),
        compared_costs_figure({}, LIMITS, theme),
        *space_figures({}, {}, theme).values(),
        empty_figure(EVIL, theme),
    ]
    for figure in empty:
        assert any(text and not text.startswith(("budget", "what if")) for text in notes(figure))
        assert "<script>" not in "".join(notes(figure))


def test_figures_need_neither_torch_nor_ray_nor_matplotlib():
    code = (
        "import sys, search.dashboard.figures.front, search.dashboard.figures.search_progress;"
        "sys.exit(bool({'torch', 'ray', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
