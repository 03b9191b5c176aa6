"""Plot of the front: what is drawn where, read back from the page and from the pixels."""

import json
import re
import subprocess
import sys
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.report.drawing import GROUPS, staircase
from search.report.plot import write_html, write_png

LIMITS = {"macs": 30_000_000, "params": 128_000}
TITLE = "scenes: <isotropic> & more"


def page(tmp_path, trials, **options):
    path = tmp_path / "front.html"
    write_html(path, trials, title=TITLE, limits=LIMITS, **options)
    return path.read_text(encoding="utf-8")


def drawn(text):
    """Read the traces and the layout back from the page's own call of Plotly."""
    start = re.search(r'Plotly\.newPlot\(\s*"front",\s*', text).end()
    decoder = json.JSONDecoder()
    traces, end = decoder.raw_decode(text, start)
    layout, _ = decoder.raw_decode(text, re.compile(r"\s*,\s*").match(text, end).end())
    return traces, layout


def test_every_priced_trial_is_one_point_of_its_group(tmp_path, trials):
    traces, _ = drawn(page(tmp_path, trials))
    counts = {trace["meta"]: len(trace["x"]) for trace in traces if trace["mode"] == "markers"}
    assert counts == {"front": 3, "dominated": 2, "over": 1, "stopped": 2, "failed": 1, "running": 2, "rejected": 3}
    assert {trace["name"] for trace in traces if "name" in trace} == {
        f"{GROUPS[name].label} ({count})" for name, count in counts.items()
    }


def test_the_front_is_joined_level_then_up(tmp_path, trials):
    (line,) = [trace for trace in drawn(page(tmp_path, trials))[0] if trace["mode"] == "lines"]
    assert line["x"] == [1_250_000, 9_900_000, 9_900_000, 29_747_914, 29_747_914]
    assert line["y"] == [0.31, 0.31, 0.40, 0.40, 0.44]


def test_the_limit_is_drawn_and_the_axis_is_logarithmic_over_a_decade(tmp_path, trials):
    _, layout = drawn(page(tmp_path, trials))
    assert [shape["x0"] for shape in layout["shapes"]] == [30_000_000]
    assert [note["text"] for note in layout["annotations"]] == ["budget 30M"]
    assert layout["xaxis"]["type"] == "log"
    _, layout = drawn(page(tmp_path, trials[trials["number"].isin([0, 2, 3])]))
    assert layout["xaxis"]["type"] == "linear"


def test_parameters_can_be_the_cost(tmp_path, trials):
    traces, layout = drawn(page(tmp_path, trials, x="params"))
    assert layout["annotations"][0]["text"] == "budget 128K"
    assert layout["xaxis"]["title"]["text"] == "Parameters"
    assert 47_946 in next(trace for trace in traces if trace.get("meta") == "front")["x"]


def test_less_log_loss_is_better_and_the_line_goes_down(tmp_path, trials):
    text = page(tmp_path, trials, objectives=("log_loss", "macs"), y="log_loss")
    traces, layout = drawn(text)
    (line,) = [trace for trace in traces if trace["mode"] == "lines"]
    assert line["y"] == pytest.approx([1.99, 1.99, 1.90, 1.90, 1.86])
    assert layout["yaxis"]["title"]["text"] == "Log loss"
    (failed,) = [trace for trace in traces if trace.get("meta") == "failed"]
    assert 2.15 < failed["y"][0] < layout["yaxis"]["range"][1]  # what has no log loss stands where the worst would
    assert "Not plotted" in text
    assert "The front is by" not in text


def test_of_three_objectives_the_line_joins_what_is_best_in_the_two_drawn(tmp_path, trials):
    objectives = ("macro_accuracy", "macs", "worst_device_accuracy")
    more = trials.assign(on_front=trials["on_front"] | (trials["number"] == 4))
    text = page(tmp_path, more, objectives=objectives)
    traces, _ = drawn(text)
    assert next(trace for trace in traces if trace.get("meta") == "front")["x"].count(4_100_000) == 1
    (line,) = [trace for trace in traces if trace["mode"] == "lines"]
    assert line["x"] == [1_250_000, 9_900_000, 9_900_000, 29_747_914, 29_747_914]
    assert (
        "The front is by macro accuracy; MACs; accuracy, worst device; the line joins those that are non-dominated"
        in text
    )
    assert '<th scope="col">Accuracy, worst device</th>' in text


def test_two_qualities_can_be_drawn_and_two_costs(tmp_path, trials):
    traces, layout = drawn(page(tmp_path, trials, x="worst_device_accuracy"))
    (line,) = [trace for trace in traces if trace["mode"] == "lines"]
    assert (line["x"], line["y"]) == ([0.44 - 0.11], [0.44])
    assert layout["xaxis"]["tickformat"] == ".0%"
    traces, layout = drawn(page(tmp_path, trials, x="macs", y="params"))
    assert layout["yaxis"]["type"] == "log"
    assert sorted(note["text"] for note in layout["annotations"]) == ["budget 128K", "budget 30M"]
    assert next(trace for trace in traces if trace.get("meta") == "rejected")["y"][0] == 253_880


def test_intervals_are_drawn_where_there_are_any(tmp_path, trials):
    with_halves = trials.assign(macro_accuracy_half=np.where(trials["on_front"], 0.02, np.nan))
    traces, _ = drawn(page(tmp_path, with_halves))
    bars = {trace["meta"]: trace.get("error_y", {}).get("array") for trace in traces if trace["mode"] == "markers"}
    assert bars.pop("front") == [0.02, 0.02, 0.02]
    assert set(bars.values()) == {None}
    write_png(tmp_path / "bars.png", with_halves, title=TITLE, limits=LIMITS)


def test_chance_is_a_line_on_the_page(tmp_path, trials):
    _, layout = drawn(page(tmp_path, trials, num_classes=10))
    assert [shape["y0"] for shape in layout["shapes"] if shape["line"]["dash"] == "dot"] == [0.1]
    assert "chance" in [note["text"] for note in layout["annotations"]]


def test_hover_shows_cost_quality_and_config_and_escapes_them(tmp_path, trials):
    traces, _ = drawn(page(tmp_path, trials))
    hover = {trace["meta"]: trace["hovertext"] for trace in traces if trace["mode"] == "markers"}
    assert hover["front"][0] == (
        "<b>trial 0</b> (complete)<br>macro accuracy 44.00%, log loss 1.860"
        "<br>accuracy, unseen devices 38.00%<br>accuracy, worst device 33.00%<br>29,747,914 MACs"
        "<br>47,946 parameters<br>95,892 bytes<br>epoch 16 of 16"
        "<br>architecture: isotropic<br>width: 8<br>learning_rate: 0.005"
    )
    assert "over budget: macs 53,174,356 &gt; 30,000,000 (1.77x)" in hover["rejected"][0]
    assert "<script>" not in hover["failed"][0]


def test_the_page_has_a_title_a_summary_and_a_table_and_fetches_nothing(tmp_path, trials):
    text = page(tmp_path, trials)
    own = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert "<title>scenes: &lt;isotropic&gt; &amp; more</title>" in own
    assert "rejected, not trained 4. Not plotted, without a cost: 1." in own
    assert re.findall(r'<th scope="row">(\d+)</th>', own) == ["1", "2", "0"]
    assert "alert(1)" not in own
    assert not re.search(r"""(src|href)=["'](?!data:)""", text[: text.index("<script")] + own)
    assert "<script src" not in text


@pytest.mark.parametrize(
    ("numbers", "message"),
    [([], "No trials yet"), ([9, 10], "No front yet: no network is fully trained"), ([0], None)],
)
def test_a_plot_of_few_trials_has_a_note(tmp_path, trials, numbers, message):
    few = trials[trials["number"].isin(numbers)]
    _, layout = drawn(page(tmp_path, few))
    texts = [note["text"] for note in layout["annotations"]]
    assert [text for text in texts if not text.startswith("budget")] == ([message] if message else [])
    low, high = layout["xaxis"]["range"]
    assert low < high
    write_png(tmp_path / "few.png", few, title=TITLE, limits={})


def test_the_png_shows_every_group_in_its_colour(tmp_path, trials):
    path = tmp_path / "front.png"
    weak = trials.assign(at_chance=trials["number"] == 4)
    write_png(path, weak, title=TITLE, limits=LIMITS, num_classes=10)
    pixels = mpl.image.imread(path)
    assert pixels.shape == (1000, 1600, 4)
    for name, group in GROUPS.items():
        colour = np.array(mpl.colors.to_rgb(group.colour))
        num_pixels = int((np.abs(pixels[:800, :, :3] - colour).max(axis=2) < 0.02).sum())
        assert num_pixels > 10, name


def test_groups_differ_in_colour_and_in_shape():
    for field in ("colour", "plotly", "matplotlib"):
        assert len({getattr(group, field) for group in GROUPS.values()}) == len(GROUPS)


@pytest.mark.parametrize("write", [write_html, write_png])
def test_what_cannot_be_drawn_is_named(tmp_path, trials, write):
    with pytest.raises(ValueError, match=r"x must be one of macro_accuracy, .*, latency_ms, got 'width'"):
        write(tmp_path / "x", trials, title=TITLE, limits=LIMITS, x="width")
    with pytest.raises(ValueError, match="x and y must be two objectives, got macs twice"):
        write(tmp_path / "x", trials, title=TITLE, limits=LIMITS, y="macs")
    with pytest.raises(ValueError, match="unknown state of a trial: 'lost'"):
        write(tmp_path / "x", trials.assign(state="lost", on_front=False), title=TITLE, limits=LIMITS)


@given(st.dictionaries(st.integers(1, 10**8), st.floats(0, 1), min_size=1, max_size=20))
def test_the_staircase_passes_through_each_point_in_order_of_cost(points):
    costs, qualities = np.array(list(points)), np.array(list(points.values()))
    x, y = staircase(costs, qualities)
    corners = list(zip(x, y, strict=True))
    assert len(corners) == 2 * len(points) - 1
    assert corners[::2] == sorted(points.items())
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(corners))


def test_drawing_needs_neither_torch_nor_ray():
    code = "import sys, search.report.plot; sys.exit(bool({'torch', 'ray'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_front_of_text_columns_from_a_database_is_drawn(tmp_path, trials):
    empty = trials.astype({"macs": "object", "macro_accuracy": "object"})
    assert len(drawn(page(tmp_path, empty))[0]) == 8
    assert "No trials yet" in page(tmp_path, pd.DataFrame(columns=trials.columns))
