"""Importance of the fields of a config, held against Optuna and against goals that one field decides."""

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import IntDistribution

from benchmarks.dashboard import make_studies
from search.dashboard.data.importance import MAX_TRIALS, estimate_importances
from search.dashboard.data.study_reader import StudyReader

NAN = float("nan")


def configured(count, **columns):
    """Make a table of that many trials that are alike but for the columns of their configs."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"number": range(count), "state": "complete", "macro_accuracy": 0.5, "macs": 9.0})
    drawn = {f"config.{name}": draw(rng) if callable(draw) else draw for name, draw in columns.items()}
    return table.assign(**drawn)


def test_what_decides_a_goal_is_the_most_important():
    table = configured(
        200,
        width=lambda rng: rng.integers(1, 9, 200) * 8,
        learning_rate=lambda rng: np.exp(rng.uniform(-8, -4, 200)),
        optimizer=lambda rng: rng.choice(["adamw", "sgd"], 200),
        seed=np.zeros(200),
    )
    table["macs"] = table["config.width"] * 1000.0
    table["macro_accuracy"] = -((np.log(table["config.learning_rate"]) + 6) ** 2)
    for target, field in (("macs", "width"), ("macro_accuracy", "learning_rate")):
        found = estimate_importances(table, target)
        assert found["field"].tolist()[0] == field
        assert set(found["field"]) == {"width", "learning_rate", "optimizer"}
        assert found["importance"].iloc[0] > 0.8
        assert found["importance"].sum() == pytest.approx(1)
        straight = table.assign(**{"config.learning_rate": np.log(table["config.learning_rate"])})
        pd.testing.assert_frame_equal(estimate_importances(straight, target), found)
    assert estimate_importances(table, "macs", ["width"])["field"].tolist() == ["width"]


def test_importances_are_those_of_optuna():
    table = configured(150, depth=lambda rng: rng.integers(0, 7, 150), kernel=lambda rng: rng.integers(0, 5, 150))
    table["macro_accuracy"] = table["config.depth"] + 0.3 * table["config.kernel"]
    ranges = {"depth": IntDistribution(0, 6), "kernel": IntDistribution(0, 4)}
    study = optuna.create_study(direction="maximize")
    for _, row in table.iterrows():
        params = {name: int(row[f"config.{name}"]) for name in ranges}
        study.add_trial(optuna.create_trial(params=params, distributions=ranges, value=row["macro_accuracy"]))
    wanted = optuna.importance.get_param_importances(study)
    found = estimate_importances(table, "macro_accuracy")
    assert dict(zip(found["field"], found["importance"], strict=True)) == pytest.approx(wanted)
    assert found["field"].tolist() == list(wanted)


def test_where_fields_depend_on_the_architecture_importances_are_estimated_for_each():
    half = 60
    table = configured(
        2 * half,
        architecture=np.repeat(["one", "two"], half),
        width=lambda rng: np.r_[rng.integers(1, 9, half), np.full(half, NAN)],
        depth=lambda rng: np.r_[np.full(half, NAN), rng.integers(1, 9, half)],
        batch_size=lambda rng: rng.integers(1, 9, 2 * half),
    )
    table["macs"] = table["config.width"].fillna(0) + 10 * table["config.depth"].fillna(0) + 100
    found = estimate_importances(table, "macs")
    groups = {name: set(group["field"]) for name, group in found.groupby("architecture")}
    assert groups == {
        "": {"architecture", "batch_size"},
        "one": {"width", "batch_size"},
        "two": {"depth", "batch_size"},
    }
    first = found.groupby("architecture")["field"].first().to_dict()
    assert first == {"": "architecture", "one": "width", "two": "depth"}
    assert found.groupby("architecture")["importance"].sum().tolist() == pytest.approx([1, 1, 1])


def test_importances_of_too_little_are_none():
    table = configured(19, width=lambda rng: rng.integers(1, 9, 19))
    table["macs"] = table["config.width"] * 1.0
    assert estimate_importances(table, "macs").empty
    same = configured(50, width=lambda rng: rng.integers(1, 9, 50))
    assert estimate_importances(same, "macs").empty  # all cost the same
    assert estimate_importances(same.assign(macs=NAN), "macs").empty
    assert estimate_importances(
        same.assign(state="stopped", macro_accuracy=same["config.width"]), "macro_accuracy"
    ).empty


def test_importances_of_studies_as_searches_leave_them_are_of_the_varied_fields(tmp_path):
    for folder in make_studies(tmp_path, (600, 500)):
        found = StudyReader(folder).read()
        for target in ("macro_accuracy", "macs"):
            importances = estimate_importances(found.table, target, found.varied)
            assert set(importances["field"]) <= set(found.varied)
    many = configured(3 * MAX_TRIALS, width=lambda rng: rng.integers(1, 9, 3 * MAX_TRIALS))
    many["macs"] = many["config.width"] * 1.0
    pd.testing.assert_frame_equal(estimate_importances(many, "macs"), estimate_importances(many, "macs"))
