"""A whole search as a person runs it: to its end, killed in the middle, and on bad input."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from network_observer import observe
from terminal import listen_to_ctrl_c

from objectives.goals import DEFAULT_GOALS
from search.report.preflight_tables import largest_sizes_table
from search.space.cost_table import MAX_STORED, SPACE, read_space
from search.study.study import StudyFolder
from search.study.table import front_table, trials_table

ROOT = Path(__file__).parents[3]
# Networks that train in a moment: what is tested is the search.
SMALL = ["--range", "patch=12:16", "--range", "width=32:48", "--range", "depth=2:3", "--range", "columns=1:1"]
SMALL += ["--set", "batch_size=12"]
pytestmark = pytest.mark.slow


def command(*arguments):
    return [sys.executable, "-m", "search", *map(str, arguments)]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def scenefront(*arguments, cwd, timeout=240):
    return subprocess.run(
        command(*arguments), cwd=cwd, env=environment(), capture_output=True, text=True, timeout=timeout, check=False
    )


@pytest.fixture(scope="module")
def finished(tiny, responses, tmp_path_factory):
    """A search of four networks, watched for connections, and the folder that it was run in."""
    cwd = tmp_path_factory.mktemp("finished")
    asked = command(
        "search", tiny, "--space", "isotropic", "--study", "first", "--trials", 4, "--epochs", 6, "--seed", 1,
        "--budget", "macs=1M,params=30K", "--impulse-responses", responses, "--cache", cwd / "cache", *SMALL,
    )  # fmt: skip
    seen = observe(asked, cwd=cwd, env=environment(), timeout_s=300)
    assert seen.returncode == 0, seen.output
    return cwd, seen


def test_a_search_keeps_to_loopback(finished):
    _, seen = finished
    assert seen.outside == ()
    assert seen.num_local > 0


def test_a_search_trains_what_fits_and_nothing_else(finished):
    cwd, _ = finished
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
    assert not front_table(table, DEFAULT_GOALS).empty


def test_in_a_pipe_a_search_prints_plain_lines(finished):
    _, seen = finished
    assert "\x1b" not in seen.output
    assert re.search(r"\[0:\d\d\] trial \d+ epoch 1/6: macro accuracy 0\.\d{3}", seen.output)
    assert "over budget" not in seen.output
    assert re.search(r"rejected \d+ untrained \(\d+ so far: ", seen.output)
    assert "4 of 4 trials done" in seen.output
    assert "scenefront export first" in seen.output


def test_how_the_machine_was_used_was_timed_and_is_kept(finished):
    cwd, seen = finished
    told = json.loads(scenefront("status", "first", "--json", cwd=cwd).stdout)["machine"]
    assert set(told["compute_modes"]) == {"isotropic"}
    assert told["workers"] == int(re.search(r"(\d+) parallel trials? \(", seen.output)[1])
    assert "fastest compute mode: isotropic: " in seen.output


def test_what_ran_is_kept_as_yaml_and_runs_again(finished, tmp_path):
    cwd, _ = finished
    kept = cwd / "results" / "first" / "search.yaml"
    assert yaml.safe_load(kept.read_text())["budget"] == "macs=1M,params=30K"
    again = scenefront("search", "--config", kept, "--trials", 1, "--epochs", 1, "--study", "second", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert yaml.safe_load((tmp_path / "results/second/search.yaml").read_text())["trials"] == 1


def test_the_front_is_printed_as_table_json_and_csv(finished):
    cwd, _ = finished
    table = scenefront("front", "first", cwd=cwd).stdout
    rows = json.loads(scenefront("front", "first", "--json", cwd=cwd).stdout)
    lines = scenefront("front", "first", "--csv", cwd=cwd).stdout.splitlines()
    assert len(rows) == len(lines) - 1 >= 1
    assert f",{rows[0]['macs']}," in lines[1]
    assert isinstance(rows[0]["macs"], int)
    refused = scenefront("front", "first", "--csv", "--json", cwd=cwd)
    assert (refused.returncode, "exclude each other" in refused.stderr) == (2, True)
    for row in rows:
        assert f"{row['macs']:,.0f}" in table
        assert row["on_front"] is True
    macs = [row["macs"] for row in rows]
    quality = [row["macro_accuracy"] for row in rows]
    assert macs == sorted(macs)
    assert quality == sorted(quality)


def test_status_counts_every_configuration(finished):
    cwd, _ = finished
    told = json.loads(scenefront("status", "first", "--json", cwd=cwd).stdout)
    assert told["searching"] is False
    assert sum(told["states"][state] for state in ("complete", "stopped", "failed")) == 4
    assert sum(told["rejected"].values()) == told["states"]["rejected"]


def test_an_export_says_what_the_study_says_and_works_on_its_own(finished, tiny, tmp_path):
    cwd, _ = finished
    assert scenefront("export", "first", "--out", tmp_path / "best", cwd=cwd).returncode == 0
    report = json.loads((tmp_path / "best" / "certificate.json").read_text())
    rows = json.loads(scenefront("front", "first", "--json", cwd=cwd).stdout)
    best = max(rows, key=lambda row: row["macro_accuracy"])
    assert report["trial"] == best["number"]
    assert report["cost"]["macs"] == best["macs"]
    assert report["cost"]["fvcore_macs"] > 0
    assert report["cost"]["fits"] is True
    assert [report["data"][f"{kind}_clips"] for kind in ("training", "validation", "evaluation")] == [36, 12, 24]
    assert report["versions"]["torch"]

    told = scenefront("evaluate", tmp_path / "best", tiny, "--json", "--cache", tmp_path, cwd=tmp_path)
    measured = json.loads(told.stdout)
    assert measured["confusion"] == report["quality"]["weights.safetensors"]["confusion"]
    assert measured["log_loss"] == pytest.approx(report["quality"]["weights.safetensors"]["log_loss"], rel=1e-4)
    assert set(measured["by_group"]) == {"real", "seen", "unseen"}
    clips = sorted((tiny / "audio").glob("park*"))[:2]
    heard = json.loads(scenefront("predict", tmp_path / "best", *clips, "--json", cwd=tmp_path).stdout)
    assert [Path(told["file"]) for told in heard] == clips
    assert sum(heard[0]["probabilities"].values()) == pytest.approx(1)
    assert set(heard[0]["probabilities"]) == {"airport", "bus", "park"}
    priced = scenefront("price", "--config", tmp_path / "best" / "config.yaml", "--json", cwd=tmp_path)
    assert json.loads(priced.stdout)["macs"] == best["macs"]


def test_the_front_is_drawn_as_a_page_and_as_a_picture(finished, tmp_path):
    cwd, _ = finished
    drawn = scenefront("plot", "first", "--out", tmp_path, cwd=cwd)
    assert drawn.stdout.split() == [str(tmp_path / "front.html"), str(tmp_path / "front.png")]
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "front.html").read_text()
    for row in json.loads(scenefront("front", "first", "--json", cwd=cwd).stdout):
        assert f"{row['macs']:,.0f}" in page


def test_a_study_that_is_in_use_is_left_alone(finished):
    cwd, _ = finished
    with FileLock(cwd / "results" / "first" / ".lock"):
        refused = scenefront("resume", "first", cwd=cwd)
    assert refused.returncode == 2
    assert "is in use by another search" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_finished_study_has_nothing_to_resume(finished):
    cwd, _ = finished
    again = scenefront("resume", "first", cwd=cwd)
    assert again.returncode == 0
    assert "all 4 trials are done" in again.stdout


def test_a_search_whose_every_trial_fails_says_why(tiny, tmp_path):
    asked = [
        "search",
        tiny,
        "--space",
        "isotropic",
        "--trials",
        2,
        "--epochs",
        3,
        "--cache",
        tmp_path / "cache",
        *SMALL,
    ]
    failed = scenefront(*asked, "--set", "learning_rate=1e30", "--set", "warmup_share=0.0", cwd=tmp_path)
    assert failed.returncode == 1
    assert "all 2 trials failed" in failed.stderr
    assert re.search(r"loss (nan|inf) in epoch \d, step \d", failed.stderr)
    assert "Traceback" not in failed.stderr
    told = json.loads(scenefront("status", "--json", cwd=tmp_path).stdout)
    assert told["states"]["failed"] == 2
    again = scenefront("resume", cwd=tmp_path)
    assert (again.returncode, "all 2 trials failed" in again.stderr) == (1, True)


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(tiny, tmp_path):
    asked = command(
        "search", tiny, "--space", "isotropic", "--study", "broken-off", "--trials", 50, "--epochs", 40,
        "--cache", tmp_path / "cache", *SMALL,
    )  # fmt: skip
    process = subprocess.Popen(
        asked, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=listen_to_ctrl_c,  # noqa: PLW1509 - nothing of this process runs in the child
    )  # fmt: skip
    for line in process.stdout:
        if "epoch 2/40" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "go on with `scenefront resume broken-off`" in told.lower()
    assert "Traceback" not in told


def test_a_broken_clip_and_a_missing_one_are_named(tiny, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(tiny, broken)
    clips = sorted((broken / "audio").glob("*t[01]-*"))  # of the training locations: the others are not heard
    clips[0].write_bytes(clips[0].read_bytes()[:1000])
    told = scenefront("search", broken, "--space", "isotropic", cwd=tmp_path)
    assert told.returncode == 2
    assert clips[0].name in told.stderr
    checked = scenefront("data", "check", broken, cwd=tmp_path)
    assert checked.returncode == 1
    assert clips[0].name in checked.stdout
    clips[1].unlink()
    told = scenefront("search", broken, "--space", "isotropic", cwd=tmp_path)
    assert told.returncode == 2
    assert clips[1].name in told.stderr
    assert "Traceback" not in told.stderr


def test_an_unknown_trial_and_an_unfinished_one_cannot_be_exported(finished):
    cwd, _ = finished
    told = scenefront("export", "first", "--trial", 999, cwd=cwd)
    assert (told.returncode, "has no trial 999" in told.stderr) == (2, True)
    rejected = next(
        row["number"]
        for row in json.loads(scenefront("front", "first", "--all", "--json", cwd=cwd).stdout)
        if row["state"] == "rejected"
    )
    told = scenefront("export", "first", "--trial", rejected, cwd=cwd)
    assert told.returncode == 2
    assert f"trial {rejected} is rejected; only fully trained ones can be exported" in told.stderr
