"""A study whose data set has moved: it is told before anything changes, and the study goes on where they are now."""

import json
import shutil

import pytest
import yaml

from search.study.study import StudyFolder

pytestmark = pytest.mark.slow


@pytest.fixture
def moved(searched, tmp_path, tiny, responses):
    """A finished study of four trials whose data and impulse responses were moved; it, and where they are now."""
    results = tmp_path / "results"
    shutil.copytree(searched[0] / "results", results)
    folder = StudyFolder(results / "first")
    settings = yaml.safe_load(folder.settings_file.read_text())
    gone = {"data": str(tmp_path / "was" / "here"), "impulse_responses": str(tmp_path / "was" / "there")}
    folder.settings_file.write_text(yaml.safe_dump({**settings, **gone}))
    places = {"data": tmp_path / "now", "impulse_responses": tmp_path / "now-responses"}
    shutil.copytree(tiny, places["data"])
    shutil.copytree(responses, places["impulse_responses"])
    return folder, places


def content(folder):
    study = folder.open()
    return folder.settings_file.read_bytes(), study.user_attrs, [trial.user_attrs for trial in study.get_trials()]


def test_an_extension_that_fails_changes_nothing_however_often(moved, run):
    folder, places = moved
    before = content(folder)
    for _ in range(2):
        answer = run("extend", "first", "--trials", "+1")
        assert answer.code == 2
        assert "now-responses" not in answer.err
        assert "--impulse-responses" in answer.err
    shutil.copytree(places["data"], places["data"].parent / "other")
    other = places["data"].parent / "other" / "evaluation_setup" / "fold1_train.csv"
    other.write_text("\n".join(other.read_text().splitlines()[:-3]) + "\n")
    for command in (("extend", "first", "--trials", "+1"), ("resume", "first"), ("extend", "first", "--settings-only")):
        answer = run(*command, "--data", "other", "--impulse-responses", places["impulse_responses"])
        assert answer.code == 2
        assert "is not the data that first was started on" in answer.err
    one = next(places["impulse_responses"].rglob("*.wav"))
    one.write_bytes(one.read_bytes()[:-2])
    moved_to = ("--data", "now", "--impulse-responses", "now-responses")
    for command in (("resume", "first"), ("extend", "first", "--settings-only")):
        answer = run(*command, *moved_to)
        assert (answer.code, "is gone or has changed since first was started" in answer.err) == (2, True)
    assert content(folder) == before


def test_other_sound_under_the_same_lists_is_not_the_data_that_the_study_was_started_on(moved, run):
    folder, places = moved
    before = content(folder)
    lists = (places["data"] / "evaluation_setup" / "fold1_train.csv").read_text().splitlines()
    first, second = (places["data"] / line.split("\t")[0] for line in (lists[1], lists[-1]))
    shutil.copy2(second, first)
    answer = run("resume", "first", "--data", "now", "--impulse-responses", "now-responses")
    assert answer.code == 2
    assert "now is not the data that first was started on: sounds_sha256 was" in answer.err
    moved_to = ("--data", "now", "--impulse-responses", "now-responses")
    answer = run("extend", "first", "--trials", "+1", "--settings-only", *moved_to)
    assert "sounds_sha256 was" in answer.err
    assert content(folder) == before


def test_a_study_goes_on_on_data_that_have_moved(moved, run):
    folder, places = moved
    trained = [trial for trial in content(folder)[2] if "quality" in trial]
    answer = run("extend", "first", "--trials", "+1", "--data", "now", "--impulse-responses", "now-responses")
    assert answer.code == 0, answer.err
    assert "trials: 4 -> 5" in answer.out
    told = json.loads(run("status", "first", "--json").out)
    assert sum(told["states"][state] for state in ("complete", "stopped")) == 5
    assert told["data"] == str(places["data"])
    assert [trial for trial in content(folder)[2] if "quality" in trial][: len(trained)] == trained
    assert "data: " in told["history"][0]
