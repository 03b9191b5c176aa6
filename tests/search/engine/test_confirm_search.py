"""A front confirmed as a person does it: searched, confirmed, killed, resumed, drawn and exported."""

import json
import re
import shutil
import signal

import pytest
from scenefront_process import scenefront, start

from search.study.study import StudyFolder
from search.study.table import trials_table

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(searched, tmp_path_factory):
    """A study of four networks and the confirmation of its front with two seeds, killed in the middle and resumed."""
    first, seen = searched
    assert "24 training and 24 validation clips" in seen.output
    cwd = tmp_path_factory.mktemp("confirmed")
    shutil.copytree(first / "results", cwd / "results")
    process = start("confirm", "first", "--seeds", 2, "--near", 0, "--workers", 1, cwd=cwd)
    output = ""
    for line in process.stdout:
        output += line
        if re.search(r" complete.*; 1 of ", line):
            process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL, output
    assert "48 training and 24 evaluation clips" in output, output
    assert "of first; each trained with seeds 2 to 3 on all training clips" in output, output
    output = scenefront("resume", "first-confirm", cwd=cwd)
    assert re.search(r"the front of first, [2468] runs, mean(s without intervals| ± 95% interval)", output)
    return cwd / "results"


@pytest.fixture
def ask(run, results):
    """Run a command on the studies; give what it printed."""

    def go(name, study, *arguments):
        told = run(name, study, "--results", results, *arguments)
        assert told.code == 0, told.err
        return told.out

    return go


def test_every_member_is_trained_once_from_each_seed_through_a_kill(ask, results):
    rows = {row["number"]: row for row in json.loads(ask("front", "first", "--all", "--json"))}
    report = json.loads(ask("front", "first-confirm", "--json"))
    candidates = [rows[each["trial"]] for each in report["candidates"]]
    on_front = any(row["on_front"] for row in rows.values())  # on so few clips nothing may be better than chance
    assert candidates
    for each, row in zip(report["candidates"], candidates, strict=True):
        assert (each["role"], row["on_front"]) == (("front", True) if on_front else ("near", False))
    for candidate, row in zip(report["candidates"], candidates, strict=True):
        assert list(candidate["seeds"]) == ["2", "3"]
        assert candidate["chosen_by"]["macro_accuracy"] == pytest.approx(row["macro_accuracy"])
        assert 0 <= candidate["p_front"] <= 1
    assert "P(front)" in ask("front", "first-confirm")
    table = trials_table(StudyFolder(results / "first-confirm").open())
    assert set(table["state"]) == {"complete"}
    assert len(table) == 2 * len(candidates)


def test_a_confirmation_is_drawn(ask, results):
    ask("plot", "first-confirm")
    assert "intervals of the means over seeds and recordings" in (results / "first-confirm" / "front.html").read_text()


def test_an_export_is_measured_on_clips_that_it_was_not_chosen_by(ask, run, results, tiny, tmp_path):
    ask("export", "first", "--out", "found")
    report = json.loads((tmp_path / "found" / "certificate.json").read_text())
    chosen = next(
        row for row in json.loads(ask("front", "first", "--all", "--json")) if row["number"] == report["trial"]
    )
    assert report["confirmed"]["seeds"] == [2, 3]
    assert "Trained anew from 2 seeds" in (tmp_path / "found" / "card.md").read_text()
    assert report["validation"]["macro_accuracy"] == pytest.approx(chosen["macro_accuracy"])
    assert (report["data"]["validation_clips"], report["data"]["evaluation_clips"]) == (24, 24)
    measured = run("evaluate", "found", tiny, "--cache", tmp_path / "cache", "--json")
    assert json.loads(measured.out) == report["quality"]["weights.safetensors"]
    assert "Model selection used 24 other clips" in (tmp_path / "found" / "card.md").read_text()


def test_an_export_of_a_confirmation_is_as_it_was_measured(ask, tmp_path):
    ask("export", "first-confirm", "--out", "confirmed")
    report = json.loads((tmp_path / "confirmed" / "certificate.json").read_text())
    assert (report["validation"], report["selected_on"]) == (None, None)
    assert report["quality"]["weights.safetensors"]["macro_accuracy"] in [
        seed["macro_accuracy"]
        for candidate in json.loads(ask("front", "first-confirm", "--json"))["candidates"]
        for seed in candidate["seeds"].values()
    ]


def test_data_that_moved_are_found_and_others_are_refused(ask, run, results, tiny, tmp_path):
    moved, other = tmp_path / "moved", tmp_path / "other"
    moved.symlink_to(tiny)
    (other / "evaluation_setup").mkdir(parents=True)
    for name in ("meta.csv", "evaluation_setup/fold1_train.csv", "evaluation_setup/fold1_evaluate.csv"):
        lines = (tiny / name).read_text().splitlines()
        (other / name).write_text("\n".join(lines[:-1] if "train" in name else lines))
    gone = run("export", "first", "--results", results, "--out", "again", "--data", tmp_path / "nowhere")
    assert gone.code == 2
    assert "these data cannot be read" in gone.err
    assert "--data names the folder where they are now" in gone.err
    changed = run("export", "first", "--results", results, "--out", "again", "--data", other)
    assert changed.code == 2
    assert "is not the data that" in changed.err
    assert not (tmp_path / "again").exists()
    ask("export", "first", "--out", "again", "--data", moved)
