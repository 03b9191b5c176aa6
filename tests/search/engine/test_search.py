"""A whole search as a person runs it, what is read of its study, and bad input."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from objectives.goals import DEFAULT_GOALS
from search.report.preflight_tables import largest_sizes_table
from search.space.cost_table import MAX_STORED, SPACE, read_space
from search.study.study import StudyFolder
from search.study.table import front_table, trials_table

pytestmark = pytest.mark.slow


@pytest.fixture
def ask(run, searched):
    """Run a command on the finished study."""
    cwd, _ = searched
    return lambda name, *arguments: run(name, "first", "--results", cwd / "results", *arguments)


def test_a_search_keeps_to_loopback(searched):
    _, seen = searched
    assert seen.outside == ()
    assert seen.num_local > 0


def test_a_search_trains_what_fits_and_nothing_else(searched):
    cwd, _ = searched
    folder = StudyFolder(cwd / "results" / "first")
    table = trials_table(folder.open())
    trained = table[table["epoch"] > 0]
    assert len(trained) == 4
    assert (trained["macs"] <= 1_000_000).all()
    assert (trained["params"] <= 30_000).all()
    rejected = table[table["state"] == "rejected"]
    assert len(rejected) >= 1
    assert (rejected["epoch"] == 0).all()
    assert not any((folder.path / "trials" / str(number)).exists() for number in rejected["number"])
    for layers in (trial.user_attrs["layers"] for trial in folder.open().get_trials() if "epoch:1" in trial.user_attrs):
        assert {"name", "kind", "params", "macs", "output_shape"} == set(layers[0])
    priced, report = read_space(folder.path / SPACE)
    assert len(priced["isotropic"].costs) == min(MAX_STORED, report["architectures"]["isotropic"]["priced"]) > 0
    (reach,) = largest_sizes_table(report).rows
    assert reach[0] == "isotropic"
    assert "width=" in reach[1]  # the budget holds it back
    assert front_table(table, DEFAULT_GOALS)["state"].eq("complete").all()
    assert (table["on_front"] | table["at_chance"]).any()  # on so few clips nothing may be better than chance


def test_in_a_pipe_a_search_prints_plain_lines(searched):
    _, seen = searched
    assert "\x1b" not in seen.output
    assert re.search(r"\[0:\d\d\] trial \d+ epoch 1/24 on fold 1: macro accuracy 0\.\d{3}", seen.output)
    assert "over budget" not in seen.output
    assert re.search(r"rejected \d+ untrained \(\d+ so far: ", seen.output)
    assert "4 of 4 trials done" in seen.output
    assert "scenefront export first" in seen.output


def test_the_resource_allocation_is_measured_and_kept(ask, searched):
    _, seen = searched
    told = json.loads(ask("status", "--json").out)["machine"]
    assert set(told["compute_modes"]) == {"isotropic"}
    assert told["workers"] == int(re.search(r"(\d+) parallel trials? \(", seen.output)[1])
    assert "fastest compute mode: isotropic: " in seen.output


def test_the_front_is_printed_as_table_json_and_csv(ask):
    table = ask("front", "--all").out
    rows = json.loads(ask("front", "--all", "--json").out)
    lines = ask("front", "--all", "--csv").out.splitlines()
    assert len(rows) == len(lines) - 1 >= 1
    assert f",{rows[0]['macs']}," in lines[1]
    assert isinstance(rows[0]["macs"], int)
    refused = ask("front", "--csv", "--json")
    assert (refused.code, "exclude each other" in refused.err) == (2, True)
    for row in rows:
        assert f"{row['macs']:,.0f}" in table
    front = json.loads(ask("front", "--json").out)
    assert front == [row for row in front if row["on_front"]]
    assert {row["number"] for row in front} == {row["number"] for row in rows if row["on_front"]}
    told = ask("front").out
    assert front or "no network is better than chance (macro accuracy 0.333) by its interval" in told
    macs = [row["macs"] for row in front]
    quality = [row["macro_accuracy"] for row in front]
    assert macs == sorted(macs)
    assert quality == sorted(quality)


def test_status_counts_every_configuration(ask):
    told = json.loads(ask("status", "--json").out)
    assert told["searching"] is False
    assert sum(told["states"][state] for state in ("complete", "stopped", "failed")) == 4
    assert sum(told["rejected"].values()) == told["states"]["rejected"]


def test_an_export_says_what_the_study_says_and_works_on_its_own(ask, run, tiny, tmp_path):
    assert ask("export", "--out", tmp_path / "best").code == 0
    report = json.loads((tmp_path / "best" / "certificate.json").read_text())
    rows = [row for row in json.loads(ask("front", "--all", "--json").out) if row["state"] == "complete"]
    best = min(rows, key=lambda row: (-row["macro_accuracy"], row["macs"]))  # ties go to the cheapest
    assert report["trial"] == best["number"]
    assert report["cost"]["macs"] == best["macs"]
    assert report["cost"]["fvcore_macs"] > 0
    assert report["cost"]["fits"] is True
    assert [report["data"][f"{kind}_clips"] for kind in ("training", "validation", "evaluation")] == [24, 24, 24]
    assert report["versions"]["torch"]

    measured = json.loads(run("evaluate", tmp_path / "best", tiny, "--json", "--cache", tmp_path).out)
    assert measured["confusion"] == report["quality"]["weights.safetensors"]["confusion"]
    assert measured["log_loss"] == pytest.approx(report["quality"]["weights.safetensors"]["log_loss"], rel=1e-4)
    assert set(measured["by_group"]) == {"real", "seen", "unseen"}
    clips = sorted((tiny / "audio").glob("park*"))[:2]
    predicted = json.loads(run("predict", tmp_path / "best", *clips, "--json").out)
    assert [Path(each["file"]) for each in predicted] == clips
    assert sum(predicted[0]["probabilities"].values()) == pytest.approx(1)
    assert set(predicted[0]["probabilities"]) == {"airport", "bus", "park"}
    assert json.loads(run("price", "--config", tmp_path / "best" / "config.yaml", "--json").out)["macs"] == best["macs"]


def test_the_front_is_drawn_as_a_page_and_as_a_picture(ask, tmp_path):
    drawn = ask("plot", "--out", tmp_path)
    assert drawn.out.split() == [str(tmp_path / "front.html"), str(tmp_path / "front.png")]
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "front.html").read_text()
    for row in json.loads(ask("front", "--json").out):
        assert f"{row['macs']:,.0f}" in page


def test_a_study_that_is_in_use_is_left_alone(ask, searched):
    cwd, _ = searched
    with FileLock(cwd / "results" / "first" / ".lock"):
        refused = ask("resume")
    assert refused.code == 2
    assert "is in use by another search" in refused.err
    assert "Traceback" not in refused.err


def test_a_finished_study_has_nothing_to_resume(ask):
    again = ask("resume")
    assert again.code == 0
    assert "all 4 trials are done" in again.out


def test_the_settings_that_were_kept_run_again_and_where_every_trial_fails_it_says_why(run, searched, tmp_path):
    cwd, _ = searched
    kept = cwd / "results" / "first" / "search.yaml"
    failed = run(
        "search", "--config", kept, "--study", "second", "--trials", 2, "--epochs", 3, "--no-fast",
        "--set", "batch_size=12", "--set", "learning_rate=1e30", "--set", "warmup_share=0.0",
    )  # fmt: skip
    before, after = (yaml.safe_load(file.read_text()) for file in (kept, tmp_path / "results/second/search.yaml"))
    assert after["budget"] == before["budget"] == "macs=1M,params=30K"
    assert (after["ranges"], after["seed"], after["trials"]) == (before["ranges"], before["seed"], 2)
    assert failed.code == 1
    assert "all 2 trials failed" in failed.err
    assert re.search(r"loss (nan|inf) in epoch \d, step \d", failed.err)
    assert "Traceback" not in failed.err
    assert json.loads(run("status", "--json").out)["states"]["failed"] == 2
    again = run("resume")
    assert (again.code, "all 2 trials failed" in again.err) == (1, True)


def test_a_broken_clip_and_a_missing_one_are_named(run, tiny, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(tiny, broken)
    clips = sorted((broken / "audio").glob("*t[01]-*"))  # of the training locations: others are not read
    clips[0].write_bytes(clips[0].read_bytes()[:1000])
    refused = run("search", broken, "--space", "isotropic")
    assert refused.code == 2
    assert clips[0].name in refused.err
    checked = run("data", "check", broken)
    assert checked.code == 1
    assert clips[0].name in checked.out
    clips[1].unlink()
    refused = run("search", broken, "--space", "isotropic")
    assert refused.code == 2
    assert clips[1].name in refused.err
    assert "Traceback" not in refused.err


def test_an_unknown_trial_and_an_unfinished_one_cannot_be_exported(ask):
    refused = ask("export", "--trial", 999)
    assert (refused.code, "has no trial 999" in refused.err) == (2, True)
    rows = json.loads(ask("front", "--all", "--json").out)
    rejected = next(row["number"] for row in rows if row["state"] == "rejected")
    refused = ask("export", "--trial", rejected)
    assert refused.code == 2
    assert f"trial {rejected} is rejected; only fully trained ones can be exported" in refused.err
