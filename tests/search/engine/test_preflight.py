"""What a search is in for: every figure against all networks counted one by one, and what a user is told."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from data.front_end import FRONT_ENDS
from data.layout import read_scenes
from objectives.budget import parse_budget
from search.config.settings_file import make_settings
from search.config.trial_config import TrialConfig
from search.engine.preflight import measure_time
from search.report.preflight_tables import largest_sizes_table
from search.space.priced_space import price_space
from search.space.pricing import price
from search.space.search_space import make_search_space
from search.space.survey_report import QUANTILES, make_report
from training.dataset import load_dataset
from training.loop import TrainingRun, default_device

SIZES = {"patch": range(6, 13), "width": range(32, 129, 32), "kernel": [3, 5], "depth": range(2, 7)}
BUDGET = "macs=9M,params=40K,peak_bytes=30080"  # that is just what some of these networks have


def ranges(sizes):
    return {
        name: {"low": values[0], "high": values[-1], "step": values.step} if isinstance(values, range) else values
        for name, values in sizes.items()
    }


@pytest.fixture
def small(tmp_path):
    """A space of 280 isotropic networks."""
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({"networks": {"isotropic": ranges(SIZES)}}))
    return str(path)


def space_of(space, budget=BUDGET, num_classes=10, **settings):
    return make_search_space(
        make_settings({"space": space, "budget": budget, **settings}, "test", needs_data=False), num_classes
    )


def report_of(searched, **options):
    return make_report(price_space(searched, **options))


def every_cost(architecture, sizes):
    """Price each network of a grid by itself."""
    points = [dict(zip(sizes, values, strict=True)) for values in itertools.product(*sizes.values())]
    return points, [price(TrialConfig.from_values(architecture, point), "fp16") for point in points]


def test_every_figure_is_that_of_all_networks_counted_one_by_one(small):
    report = report_of(space_of(small))
    part = report["architectures"]["isotropic"]
    points, costs = every_cost("isotropic", SIZES)
    limits = parse_budget(BUDGET).limits()
    fits = [all(getattr(cost, name) <= limit for name, limit in limits.items()) for cost in costs]
    assert 0 < sum(fits) < len(points) == 280
    assert any(
        is_inside and cost.peak_bytes == limits["peak_bytes"] for is_inside, cost in zip(fits, costs, strict=True)
    )
    assert (part["networks"], part["priced"], part["fitting"]) == (280, 280, sum(fits))
    assert part["share"] == dict.fromkeys(("value", "low", "high"), sum(fits) / 280) | {"is_exact": True}
    assert report["share"] == part["share"]
    assert part["over"] == {name: sum(getattr(cost, name) > limit for cost in costs) for name, limit in limits.items()}
    worst = [
        max(limits, key=lambda name: getattr(cost, name) / limits[name])
        for cost, is_inside in zip(costs, fits, strict=True)
        if not is_inside
    ]
    assert part["binding"] == {name: worst.count(name) for name in limits}
    assert min(part["binding"].values()) > 0
    for name, found in part["costs"].items():
        values = sorted(getattr(cost, name) for cost in costs)
        assert (found["0"], found["1"]) == (values[0], values[-1])
        for quantile in QUANTILES:
            # at most that share lies below the quantile, and at most the rest above
            at = found[f"{quantile:g}"]
            assert np.mean(np.array(values) < at) <= quantile + 1 / 280
            assert np.mean(np.array(values) > at) <= 1 - quantile + 1 / 280
    for size, values in SIZES.items():
        able = {point[size] for point, is_inside in zip(points, fits, strict=True) if is_inside}
        expected = [value for value in values if value in able] if isinstance(values, list) else max(able)
        assert part["largest"][size]["fitting"] == expected


def test_a_limited_cost_is_told_and_an_unlimited_one_only_where_it_always_is(small):
    told = report_of(space_of(small, "macs=9M,size_bytes=40K"))["architectures"]["isotropic"]["costs"]
    assert list(told) == ["macs", "params", "size_bytes", "peak_bytes"]
    assert told["size_bytes"]["1"] == 2 * told["params"]["1"]


def test_what_builds_no_network_is_counted_apart(tmp_path, run):
    space = tmp_path / "large.yaml"
    space.write_text(yaml.safe_dump({"networks": {"isotropic": {"patch": {"low": 64, "high": 67}, "width": 32}}}))
    part = report_of(space_of(str(space), "params=200K"))["architectures"]["isotropic"]
    assert (part["priced"], part["invalid"], part["fitting"]) == (4, 2, 2)
    assert "patch must be at most" in part["invalid_example"]
    told = run("preflight", "--space", space, "--budget", "params=200K", "--html", "page.html")
    assert "invalid" in told.out
    assert "invalid: builds no network" in Path("page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("budget", ["dcase2022", "macs=2M,params=300K"])
def test_the_interval_of_a_sample_holds_the_true_share(budget):
    true = report_of(space_of("isotropic", budget))["share"]["value"]
    found = [
        report_of(space_of("isotropic", budget, seed=seed), max_enumerated=0, num_drawn=400)["share"]
        for seed in range(40)
    ]
    assert not any(share["is_exact"] for share in found)
    assert sum(share["low"] <= true <= share["high"] for share in found) >= 35  # of 38
    assert len({share["value"] for share in found}) > 1


def test_what_was_looked_for_after_the_drawing_is_not_taken_for_a_draw():
    budget = "macs=300M,params=5K,peak_bytes=300K"  # 6 of 20,592 fit
    searched = space_of("isotropic", budget)
    sample = price_space(searched, max_enumerated=0, num_drawn=300)
    assert len(sample.surveys["isotropic"].feasible) == 1
    report = make_report(sample)
    share = report["architectures"]["isotropic"]["share"]
    assert (share["value"], share["low"]) == (0, 0)
    assert share["high"] > report_of(searched)["share"]["value"] > 0
    assert report["nothing_fits"] is None


@pytest.mark.parametrize(
    ("space", "budget"),
    [
        ("isotropic", "dcase2024"),
        ("isotropic", "macs=300M,params=5K,peak_bytes=300K"),
        ("cp_resnet", "macs=5M,params=20K"),
        ("cp_resnet", "macs=2M,params=300K"),
    ],
)
def test_a_sample_finds_the_largest_value_that_there_is(space, budget):
    searched = space_of(space, budget)
    true = report_of(searched)["architectures"][space]["largest"]
    assert any(found["fitting"] != found["of"] for found in true.values())
    assert report_of(searched, max_enumerated=0, num_drawn=300)["architectures"][space]["largest"] == true


def test_a_size_without_steps_is_followed_above_the_sample(tmp_path):
    space = tmp_path / "smooth.yaml"
    smooth = {"cp_mobile": {"growth": {"low": 1.0, "high": 2.4}, "expansion": {"low": 1.0, "high": 6.0}}}
    space.write_text(yaml.safe_dump({"networks": smooth}))
    sample = price_space(space_of(str(space), "dcase2022"), num_drawn=50)
    found = make_report(sample)["architectures"]["cp_mobile"]
    assert found["networks"] is None
    assert found["largest"]["growth"] == {"fitting": 2.4, "of": 2.4}
    drawn = max(values[1] for values in sample.surveys["cp_mobile"].feasible)
    assert drawn <= found["largest"]["expansion"]["fitting"] < 6


def test_the_share_over_architectures_is_that_of_a_proposal():
    report = report_of(space_of("isotropic,cp_resnet", "dcase2022"))
    shares = [part["share"]["value"] for part in report["architectures"].values()]
    assert report["share"]["value"] == pytest.approx(np.mean(shares))


def test_the_time_of_the_trials_is_near_that_of_a_timed_epoch(tiny):
    scenes = read_scenes(tiny, "fold1")
    sizes = {"patch": 16, "width": 32, "kernel": 3, "depth": 2, "columns": 1}
    searched = space_of("isotropic", "dcase2022", len(scenes.classes), set=sizes, epochs=4, trials=5)
    space = price_space(searched, len(scenes.train))
    config = space.published_configs["isotropic"]
    training = TrainingRun(
        config.build, config.recipe, load_dataset(scenes, FRONT_ENDS[config.front_end], None), default_device()
    )
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        training.run_epoch()  # the first one pays for what is set up once
        epoch_s = training.run_epoch().duration_s
    finally:
        torch.set_num_threads(before)
    timed = measure_time(space, scenes, workers=2, threads=1, progress=lambda *_: None)
    assert torch.get_num_threads() == before
    assert epoch_s / 4 < timed["trial_s"]["isotropic"] / 4 < epoch_s * 4
    assert timed["total_s"] == pytest.approx(3 * timed["trial_s"]["isotropic"])  # five trials two by two


def test_the_time_is_told_where_there_are_data(tiny, run, monkeypatch):
    monkeypatch.setattr("training.throughput.TIMED_S", 0.01)
    cheap = ["--set", "patch=16", "--set", "base_channels=8", "--set", "expansion=1.0", "--set", "growth=1.0"]
    told = run(
        "preflight", tiny, "--space", "isotropic,cp_mobile", "--trials", 3, "--epochs", 2, "--workers", 2, *cheap
    )
    assert told.code == 0
    assert re.search(r"\n3 trials of 2 epochs, 2 parallel trials on \w+: about \d+ (s|min) without", told.out)
    assert re.search(r"\none trial: isotropic \d+ s, cp_mobile \d+ s \(estimated", told.out)


def test_json_is_all_that_is_printed(small, run):
    told = run("preflight", "--space", small, "--budget", BUDGET, "--json")
    report = json.loads(told.out)
    assert told.code == 0
    assert report == json.loads(json.dumps(report_of(space_of(small))))


def test_the_tables_have_no_column_that_says_nothing(small, run):
    told = run("preflight", "--space", small, "--budget", "macs=9M")
    assert told.code == 0
    assert "worst limit" not in told.out
    assert "280 networks priced: exhaustive" in told.out
    assert "   priced" not in told.out
    assert re.search(r"\n? *architecture +networks +fit +over macs \n", told.out)
    assert re.search(r"\n MACs +\d.* 9M \n", told.out)
    assert "Name a data folder" in told.out
    both = run("preflight", "--space", small, "--budget", BUDGET).out
    assert "worst limit" in both
    assert ", 30,080 bytes of activations (int8)\n" in both


def test_where_nothing_fits_the_nearest_and_a_budget_that_it_fits_are_named(small, run):
    told = run("preflight", "--space", small, "--budget", "macs=100K,params=3K", "--html", "page.html")
    assert told.code == 1
    assert "nothing in the space" in told.out
    named = re.search(r"nearest configuration \(isotropic (.*?)\) has ([\d,]+)\. Relax the budget to (\S+),", told.out)
    values = {name: int(value) for name, value in (pair.split("=") for pair in named[1].split())}
    points, costs = every_cost("isotropic", SIZES)
    excess = [max(cost.macs / 100_000, cost.params / 3_000) for cost in costs]
    assert values == points[int(np.argmin(excess))]
    assert int(named[2].replace(",", "")) == costs[int(np.argmin(excess))].macs
    assert run("preflight", "--space", small, "--budget", named[3]).code == 0
    assert "Nothing in the space" in Path("page.html").read_text(encoding="utf-8")
    assert run("preflight", "--space", small, "--budget", "macs=100K", "--json").code == 1


def test_an_architecture_without_a_network_that_fits_is_told_among_others(run):
    told = run("preflight", "--space", "isotropic,cp_resnet", "--budget", "peak_bytes=64K")
    assert told.code == 0
    assert re.search(r"cp_resnet +no network fits", told.out)


def test_the_page_is_written_to_a_folder_that_is_made(small, run):
    told = run("preflight", "--space", small, "--html", "new/folder/page.html")
    assert told.out.rstrip().endswith("new/folder/page.html")
    assert "<h2" in Path("new/folder/page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--space", "isotropci"], "unknown space 'isotropci'; did you mean 'isotropic'?"),
        (["nowhere", "--space", "isotropic"], "nowhere: no such folder"),
        (["--space", "isotropic", "--budget", "mac=3"], "unknown limit 'mac' (did you mean 'macs'?)"),
        (["--space", "isotropic", "--set", "widht=3"], "did you mean 'width'?"),
        (["--space", "isotropic", "--html", "a_file/page.html"], "a_file/page.html cannot be written: a_file: "),
        (["--space", "isotropic", "--html", "."], ". cannot be written: it is a folder; name a file in it"),
        ([], "a search needs space"),
    ],
)
def test_a_mistake_is_told_in_a_sentence_before_any_work(arguments, message, run):
    Path("a_file").write_text("")
    told = run("preflight", *arguments)
    assert told.code == 2
    assert message in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert "pricing" not in told.err


def test_without_limits_everything_fits_and_no_limit_is_told(small, run):
    report = report_of(space_of(small, budget="none"))
    part = report["architectures"]["isotropic"]
    assert (part["share"]["value"], part["over"], part["binding"], report["limits"]) == (1.0, {}, {}, {})
    assert part["largest"]["width"]["fitting"] == part["largest"]["width"]["of"]
    told = run("preflight", "--space", small, "--budget", "none", "--html", "ahead.html")
    assert told.code == 0
    assert "budget none: no limits" in told.out
    assert "100% of random networks fit" in told.out


def test_where_the_reach_was_not_asked_for_nothing_is_said_of_it():
    assert not largest_sizes_table({"architectures": {"isotropic": {"largest": {}}}}).rows
