"""The sample of configurations whose learning curves are kept, and the table that an interrupted run goes on with."""

import click
import pandas as pd
import pytest

from benchmarks.pool import EPOCHS, PER_BIN, SETTINGS, _read, _with_training, sample, space
from objectives.budget import BUDGETS


@pytest.fixture(scope="module")
def points():
    return sample()


def test_the_sample_has_five_architectures_over_the_whole_axis_of_cost_and_the_levers_of_the_recipe(points):
    table = pd.DataFrame(points)
    assert len(table) >= 150
    assert table["architecture"].nunique() == 5
    assert table["macs"].max() <= BUDGETS["dcase2022"].limits()["macs"]
    assert (table[~table["initial"]].groupby("architecture").size() > 0.7 * sum(PER_BIN)).all()
    assert ((table["macs"] < 2.5e6).groupby(table["architecture"]).sum() >= 3).all()
    assert ((table["macs"] > 8e6).groupby(table["architecture"]).sum() >= 3).all()
    levers = ["batch_size", "learning_rate", "ema_decay", "label_smoothing", "mixup_alpha", "mask_bins", "mix_style_p"]
    assert (table[[*levers, "impulse_response_p"]].nunique() > 2).all()


def test_the_sample_is_the_same_each_time_and_begins_with_the_initial_design(points):
    assert sample() == points
    initial = [point["initial"] for point in points]
    assert initial == sorted(initial, reverse=True)
    published = {name: values for name, (_, values) in space().published.items()}
    for point in points[: len(published)]:
        values = published[point["architecture"]]
        assert {name: point[name] for name in values} == values


def test_a_training_is_added_once_and_the_table_is_of_one_sample(points, tmp_path):
    epochs = [{"epoch": epoch, "macro_accuracy": 0.1} for epoch in range(1, EPOCHS + 1)]
    out = tmp_path / "curves.parquet"
    table = _read(out, points)
    for number, seed in ((1, 0), (0, 1)):
        table = _with_training(table, {"point": number, **points[number], "seed": seed}, epochs)
    table.to_parquet(out)
    again = _read(out, points)
    assert list(zip(again["point"], again["seed"], strict=True)) == [(0, 1)] * EPOCHS + [(1, 0)] * EPOCHS
    with pytest.raises(click.UsageError, match="is of another sample"):
        _read(out, points[1:])


def test_the_settings_are_those_of_a_search_that_a_user_can_run():
    assert (SETTINGS.epochs, SETTINGS.validation) == (16, 0.25)
