"""Data frames of the dashboard, held against computations of another kind."""

import csv
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import trial, write_study
from small_study import write_confirmation

from benchmarks.dashboard import make_studies
from search.config.published import PUBLISHED
from search.dashboard.data.frames import (
    Progress,
    best_within,
    config_rows,
    hypervolume_over_time,
    intervals,
    ordered_codes,
    parallel,
    progress,
    published_points,
    rejections,
    relatives,
    varied_fields,
    within,
)
from search.dashboard.data.study_reader import StudyReader
from search.dashboard.figures.parallel import brush_text, brushed
from search.study.confirm import confirm_report
from search.study.study import StudyFolder

NAN = float("nan")
BOTH = ("macro_accuracy", "macs")


def table_of(*rows, **columns):
    """Make a table of (state, accuracy, macs, params) and further columns."""
    table = pd.DataFrame(list(rows), columns=["state", "macro_accuracy", "macs", "params"])
    return table.assign(number=range(len(rows)), **{"fits": True, "latency_ms": NAN, **columns})


values = st.integers(1, 6)
rows = st.lists(
    st.tuples(st.sampled_from(["complete", "complete", "stopped", "rejected"]), values, values | st.none(), values),
    max_size=12,
)


@given(rows, st.data(), values | st.none(), values | st.none())
def test_tighter_limits_leave_the_front_of_what_is_within_all_of_them(rows, data, max_macs, max_params):
    own = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    table = table_of(*rows, fits=np.array(own, dtype=bool))
    limits = {name: limit for name, limit in (("macs", max_macs), ("params", max_params)) if limit is not None}
    limited = within(table, limits, BOTH)
    fits = []
    for (state, _, macs, params), mine in zip(rows, own, strict=True):
        known = {"macs": macs, "params": params}
        over = any(known[name] is not None and known[name] > limit for name, limit in limits.items())
        unknown = state == "complete" and any(known[name] is None for name in limits)
        fits.append(mine and not over and not unknown)
    assert limited["fits"].tolist() == fits
    can = [
        (row[1], row[2]) for row, mine in zip(rows, fits, strict=True)
        if mine and row[0] == "complete" and row[2] is not None
    ]  # fmt: skip
    front = [
        mine and state == "complete" and macs is not None
        and not any(a >= accuracy and m <= macs and (a, m) != (accuracy, macs) for a, m in can)
        for (state, accuracy, macs, _), mine in zip(rows, fits, strict=True)
    ]  # fmt: skip
    assert limited["on_front"].tolist() == front
    best = best_within(limited, BOTH)
    candidates = [
        (-accuracy, math.inf if macs is None else macs, number)
        for number, ((state, accuracy, macs, _), mine) in enumerate(zip(rows, fits, strict=True))
        if mine and state == "complete"
    ]
    assert (best is None) == (not candidates)
    assert best is None or best["number"] == min(candidates)[2]


def test_looser_limits_add_nothing_and_no_limit_changes_nothing(tmp_path):
    (folder,) = make_studies(tmp_path, (300,))
    table = StudyReader(folder).read().table
    for limits in ({}, {"macs": 1e12, "params": 1e12}):
        pd.testing.assert_frame_equal(within(table, limits, BOTH), table)
    assert within(table, {"macs": 1}, BOTH)["on_front"].sum() == 0
    assert table["fits"].sum() > 0  # and is as it was


def test_what_was_not_measured_is_within_no_limit_of_it():
    table = table_of(("complete", 0.5, 9, 9), ("rejected", NAN, 9, 9), ("complete", 0.4, 9, 9))
    table["latency_ms"] = [NAN, NAN, 2.0]
    assert within(table, {"latency_ms": 3.0}, BOTH)["fits"].tolist() == [False, True, True]


@pytest.mark.parametrize("name", ["mac", "macro_accuracy", "number"])
def test_a_limit_of_no_cost_is_refused(name):
    with pytest.raises(ValueError, match=f"unknown cost '{name}'"):
        within(table_of(("complete", 0.5, 9, 9)), {name: 1.0}, BOTH)


def area(points, limit, num_classes=10):
    """Add up the steps of a staircase over scaled points: above chance, and the logarithm of costs below the limit."""
    least = min(10_000.0, limit / 100)
    gains = sorted(
        (
            (accuracy - 1 / num_classes) / (1 - 1 / num_classes),
            math.log(limit / max(macs, least)) / math.log(limit / least),
        )
        for accuracy, macs in points
    )
    gains = [(accuracy, macs) for accuracy, macs in gains if accuracy > 0 and macs > 0]
    covered, before = 0.0, 0.0
    for index, (accuracy, _) in enumerate(gains):
        covered += (accuracy - before) * max(macs for _, macs in gains[index:])
        before = accuracy
    return covered


@given(st.lists(st.tuples(values, values, st.integers(0, 5), st.booleans()), max_size=8), values)
def test_the_hypervolume_is_that_of_what_was_complete(rows, limit):
    table = table_of(*(("complete", accuracy / 10, float(macs), 1) for accuracy, macs, _, _ in rows))
    table["ended_s"] = [100.0 + ended for _, _, ended, _ in rows]
    table["started_s"] = 90.0
    table["fits"] = np.array([fits for *_, fits in rows], dtype=bool)
    found = hypervolume_over_time(table, BOTH, 10, {"macs": float(limit)})
    order = sorted((ended, number) for number, (_, _, ended, fits) in enumerate(rows) if fits)
    assert found["number"].tolist() == [number for _, number in order]
    assert found["seconds"].tolist() == [10.0 + ended for ended, _ in order]
    seen = []
    for (_, number), volume in zip(order, found["hypervolume"], strict=True):
        seen.append((rows[number][0] / 10, float(rows[number][1])))
        assert volume == pytest.approx(area(seen, float(limit)), abs=1e-12)


def test_only_what_is_trained_to_the_end_has_a_hypervolume():
    table = table_of(("stopped", 0.9, 1.0, 1), ("complete", 0.5, 5.0, 1), ("complete", 0.5, NAN, 1))
    table = table.assign(ended_s=1.0, started_s=0.0)
    found = hypervolume_over_time(table, BOTH, 2, {"macs": 5.0})
    assert found["number"].tolist() == [1]
    assert hypervolume_over_time(table.head(1), BOTH, 10, {}).empty


def test_what_is_at_chance_or_over_the_limit_has_no_hypervolume_and_the_reference_is_fixed():
    table = table_of(("complete", 0.3, 1e5, 1), ("complete", 0.6, 1e6, 1)).assign(ended_s=[1.0, 2.0], started_s=0.0)
    alone = hypervolume_over_time(table.tail(1), BOTH, 10, {"macs": 30e6})["hypervolume"].iloc[-1]
    at_chance = table.assign(at_chance=[True, False])
    assert hypervolume_over_time(at_chance, BOTH, 10, {"macs": 30e6})["hypervolume"].tolist() == [0.0, alone]
    assert hypervolume_over_time(table, BOTH, 10, {"macs": 5e4})["hypervolume"].tolist() == [0.0, 0.0]


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 2) | st.none(), st.sampled_from(["x", "y"]), values),
        min_size=1,
        max_size=10,
    )
)
def test_relatives_differ_in_a_single_field(configs):
    names = ["architecture", "width", "optimizer", "depth"]
    table = table_of(*(("complete", 0.5, 9.0, 9) for _ in configs))
    for place, name in enumerate(names):
        table[f"config.{name}"] = pd.Series([config[place] for config in configs], dtype=object)
    for number, own in enumerate(configs):
        wanted = []
        for other, config in enumerate(configs):
            pairs = zip(names[1:], own[1:], config[1:], strict=True)
            changes = [(name, a, b) for name, a, b in pairs if None not in (a, b) and a != b]
            if config[0] == own[0] and len(changes) == 1:
                wanted.append((other, *changes[0]))
        found = relatives(table, number)
        assert list(found.itertuples(index=False, name=None)) == wanted
    with pytest.raises(ValueError, match="there is no trial 99"):
        relatives(table, 99)


def test_relatives_are_compared_in_the_fields_that_count_and_rejected_ones_are_among_them():
    table = table_of(("complete", 0.5, 9, 9), ("rejected", NAN, 9, 9), ("complete", 0.5, 9, 9))
    table["config.architecture"] = ["isotropic", NAN, "isotropic"]
    table["config.front_end"] = ["dcase24", "dcase24", "dcase25"]
    table["config.width"], table["config.mel_bins"] = [32, 48, 32], [256, NAN, 128]
    assert relatives(table, 0)["number"].tolist() == [1]
    found = relatives(table, 0, ["front_end", "width"])
    assert found.to_dict("list") == {
        "number": [1, 2], "field": ["width", "front_end"], "was": [32, "dcase24"], "is": [48, "dcase25"],
    }  # fmt: skip


def test_a_config_is_listed_with_what_differs_from_the_defaults():
    found = config_rows({"width": 32, "depth": 4, "mine": None}, {"width": 32, "depth": 5, "more": 1})
    assert found.to_dict("list") == {
        "field": ["width", "depth", "mine"], "value": [32, 4, None], "default": [32, 5, None],
        "differs": [False, True, False],
    }  # fmt: skip
    assert config_rows({}, {}).empty


def test_rejections_are_counted_by_kind():
    table = table_of(*(("rejected", NAN, 9, 9) for _ in range(6)))
    kinds = {0: "invalid", 1: "over macs", 2: "over params", 4: "over params", 5: "invalid", 9: "elsewhere"}
    assert rejections(table, kinds).to_dict("list") == {
        "kind": ["invalid", "over params", "over macs"], "count": [2, 2, 1],
    }  # fmt: skip
    assert rejections(table.head(2), kinds)["count"].tolist() == [1, 1]
    assert list(rejections(table.head(0), {})) == ["kind", "count"]


def test_progress_counts_what_is_over_and_estimates_what_is_left(tmp_path):
    kinds = ["complete", "stopped", "rejected", "failed", "complete", "running"]
    folder = write_study(tmp_path / "s", *(trial(kind, 9_000, *([0.3] * (kind == "complete"))) for kind in kinds))
    reader = StudyReader(folder)
    with folder.lock():
        running = reader.read()
    running.table["started_s"] = [0.0, 100.0, 100.0, 200.0, 300.0, 400.0]
    running.table["ended_s"] = [100.0, 200.0, 100.0, 300.0, 400.0, NAN]
    found = progress(running, now_s=450.0)
    states = {"complete": 2, "running": 1, "stopped": 1, "failed": 1, "rejected": 1}
    # twelve are wanted, four are over: three of them in the 350 s since the first ended
    assert found == Progress(12, 4, states, pytest.approx(1 / 3), 450.0, pytest.approx(8 * 350 / 3))
    left = reader.read()
    left.table[["started_s", "ended_s"]] = running.table[["started_s", "ended_s"]]
    assert progress(left, now_s=9_999.0) == Progress(
        12, 4, {**dict.fromkeys(["complete"], 2), "interrupted": 1, "stopped": 1, "failed": 1, "rejected": 1},
        pytest.approx(1 / 3), 400.0, None,
    )  # fmt: skip
    empty = StudyReader(write_study(tmp_path / "e")).read()
    assert progress(empty, now_s=1.0) == Progress(12, 0, {}, 0.0, 0.0, None)
    assert progress(StudyReader(StudyFolder(tmp_path / "none")).read(), now_s=1.0) == Progress(0, 0, {}, 0.0, 0.0, None)


@given(st.lists(st.tuples(values | st.none(), st.sampled_from(["b", "a", "c"]))), st.lists(st.tuples(values, values)))
def test_a_brush_keeps_what_is_in_a_part_of_every_axis(rows, parts):
    table = table_of(*(("complete", 0.5, macs, 9) for macs, _ in rows))
    table["config.optimizer"] = pd.Series([name for _, name in rows], dtype=object)
    table.index = [3 * number for number in range(len(rows))]
    levels = sorted({name for _, name in rows})
    mask = brushed(table, {"macs": parts, "config.optimizer": [(0, 1)]}, table)
    assert mask.tolist() == [
        (not parts or (macs is not None and any(low <= macs <= high for low, high in parts)))
        and levels.index(name) <= 1
        for macs, name in rows
    ]
    assert mask.index.equals(table.index)
    assert brushed(table, {}, table).all()


def test_a_brush_of_no_column_is_refused():
    with pytest.raises(ValueError, match="unknown column 'mac'; did you mean 'macs'"):
        brushed(table := table_of(("complete", 0.5, 9, 9)), {"mac": [(0, 1)]}, table)


def test_a_brush_of_categories_is_of_their_positions_among_what_is_drawn():
    table = table_of(*(("complete", 0.5, 9, 9) for _ in range(4)))
    table["config.optimizer"] = ["sgd", "adamw", "lion", None]
    drawn = table[table["config.optimizer"] != "lion"]
    brush = {"config.optimizer": [(1, 1)], "macs": [(3, 12.34567)]}
    assert brushed(table, brush, drawn).tolist() == [True, False, False, False]
    assert brushed(table, brush, table).tolist() == [False, False, True, False]
    assert brush_text(table, brush, drawn) == "optimizer sgd; MACs 3 to 12.35"
    assert brush_text(table, {"config.optimizer": [(0, 1)]}, table) == "optimizer adamw or lion"
    assert brush_text(table, {"config.optimizer": [(0.2, 0.8)]}, drawn) == "optimizer nothing"


def test_a_brush_to_the_end_of_an_axis_keeps_what_stands_there():
    table = table_of(("complete", 0.123456789, 29_747_914, 9))
    assert brushed(table, {"macs": [(1e6, 29_747_900)], "macro_accuracy": [(0.123457, 1)]}, table).all()


def test_axes_are_the_columns_that_vary(tmp_path):
    (folder,) = make_studies(tmp_path, (200,))
    found = StudyReader(folder).read()
    columns = list(parallel(found.table, found.varied))
    assert {f"config.{name}" for name in found.varied} | {"macro_accuracy", "macs", "params"} <= set(columns)
    assert not {"config.num_classes", "config.architecture", "number", "latency_ms"} & set(columns)
    assert parallel(found.table).index.equals(found.table.index)
    assert set(varied_fields(found.table, found.varied)) == set(found.varied)
    assert parallel(found.table.head(1)).empty or parallel(found.table.head(1)).shape[1] == 0


def test_values_have_their_place_in_order():
    codes, levels = ordered_codes(pd.Series(["sgd", 3, NAN, "adamw", None, 1.5], dtype=object))
    assert levels == [1.5, 3, "adamw", "sgd"]
    assert codes.tolist() == [3, 1, -1, 2, -1, 0]


def test_published_networks_are_points_as_their_reports_have_them():
    with PUBLISHED.open(newline="") as file:
        lines = {line["name"]: line for line in csv.DictReader(file)}
    found = published_points(BOTH)
    assert list(found) == ["name", "report", "accuracy", "data", "macro_accuracy", "macs"]
    wanted = [name for name, line in lines.items() if line["accuracy"] or line["claimed_macs"]]
    assert found["name"].tolist() == wanted
    first = found.iloc[0]
    assert (first["name"], first["accuracy"], first["macs"]) == ("isotropic_v1", pytest.approx(0.6097), 29_747_914)
    assert first["report"] == lines["isotropic_v1"]["source"]
    stored = [name for name, line in lines.items() if line["params_rule"] != "trainable"]
    by_params = published_points(("params",))
    assert not set(by_params["name"]) & set(stored)


def test_intervals_of_a_confirmation_are_by_the_number_of_the_search(tmp_path):
    candidates = [(7, 9_000, 0.40, 0.44), (3, 9_000, 0.30, 0.32), (5, 9_000)]
    folder = write_confirmation(tmp_path / "s-confirm", "s", candidates)
    found = intervals(confirm_report(folder)).set_index("number")
    assert set(found.index) == {7, 3}  # nobody has trained the third
    assert found["macro_accuracy_mean"].to_dict() == pytest.approx({7: 0.42, 3: 0.31})
    assert found["macro_accuracy_half"].isna().all()  # of two networks two seeds each say next to nothing
    report = {**confirm_report(folder), "too_few_seeds": ""}
    halves = [each["half"]["macro_accuracy"] for each in report["candidates"] if each["seeds"]]
    assert intervals(report)["macro_accuracy_half"].tolist() == halves
