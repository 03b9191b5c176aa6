"""A study that an older scenefront made: format_1/ is a real one, cut to five trials, without its checkpoints."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
import yaml

from search.config.settings import FORMAT, ConfirmSettings, SearchSettings, TrainSettings
from search.config.settings_file import read_job
from search.dashboard.data.study_reader import StudyReader
from search.optimizer.warm_start import project_start, read_warm_starts
from search.study.creation import create_study
from search.study.selection import best_trial
from search.study.study import FORMAT_NUMBER, StudyFolder
from tests.search.priced import priced

FORMAT_1 = Path(__file__).parent / "format_1"


@pytest.fixture
def old(tmp_path):
    folder = tmp_path / "results" / "old"
    folder.mkdir(parents=True)
    shutil.copy(FORMAT_1 / "search.yaml", folder)
    with sqlite3.connect(folder / "study.db") as connection:
        connection.executescript((FORMAT_1 / "study.sql").read_text())
    connection.close()
    return StudyFolder(folder)


def test_a_study_of_an_older_format_can_be_read(old, run, tmp_path):
    shown = run("status", "old")
    assert shown.code == 0
    assert "2 complete" in shown.out
    assert "2 stopped" in shown.out
    printed = json.loads(run("front", "old", "--json").out)
    assert [row["number"] for row in printed] == [3]  # the other is at chance
    assert run("plot", "old").code == 0
    assert (old.path / "front.png").exists()
    assert run("dashboard", "old", "--snapshot", "old.html").code == 0
    assert (tmp_path / "old.html").stat().st_size > 0
    assert best_trial(old) == 3
    assert StudyReader(old).read().problem is None or StudyReader(old).read().problem == ""


@pytest.mark.parametrize("command", [["resume", "old"], ["extend", "old", "--trials", "+2"]])
def test_a_study_of_an_older_format_is_not_resumed_and_the_error_names_the_next_step(old, run, command):
    before = old.settings_file.read_bytes(), old.database.read_bytes()
    result = run(*command)
    assert result.code == 2
    assert result.err == (
        f"error: old has format 1, of an older scenefront, and can be read but not continued by this one, of format "
        f"{FORMAT}; go on in a new study: `scenefront search tiny --space isotropic --start old`\n"
    )
    assert (old.settings_file.read_bytes(), old.database.read_bytes()) == before


def test_a_new_study_starts_from_one_of_an_older_format(old):
    space = priced(SearchSettings(data="tiny", space="isotropic", epochs=6, seed=2), num_classes=3)
    starts = read_warm_starts(["old"], space, old.path.parent)
    assert [start.source for start in starts] == ["old:1", "old:3"]
    fitted = project_start(starts[0], space)
    assert (fitted.values["isotropic.patch"], fitted.values["isotropic.width"]) == (15, 32)


def test_a_new_study_writes_down_its_format(tmp_path):
    folder = StudyFolder(tmp_path / "new")
    study = create_study(folder, SearchSettings(data="d", space="isotropic"), {})
    assert study.user_attrs[FORMAT_NUMBER] == FORMAT
    assert yaml.safe_load(folder.settings_file.read_text())["format"] == FORMAT
    folder.require_current_format(study)


def test_the_settings_of_each_older_job_are_read_as_that_job(tmp_path):
    plain = yaml.safe_load((FORMAT_1 / "search.yaml").read_text())
    path = tmp_path / "search.yaml"

    def read(**changed):
        path.write_text(yaml.safe_dump({**plain, **changed}))
        return read_job(path)

    searched = read()
    assert isinstance(searched, SearchSettings)
    assert (searched.ranges["width"], searched.surrogate) == ([32, 48], False)
    trained = read(train=True, early_stopping=False, set={"width": 32}, trials=5)
    assert isinstance(trained, TrainSettings)
    assert (trained.architecture, list(trained.seeds), trained.set) == ("isotropic", [1, 2, 3, 4, 5], {"width": 32})
    member = {"trial": 1, "place": "front", "config": {"architecture": "isotropic"}}
    confirming = read(train=True, early_stopping=False, confirms="first", members=[member], trials=2)
    assert isinstance(confirming, ConfirmSettings)
    assert (confirming.confirms, confirming.candidates, confirming.space) == (
        "first",
        ({"role": "front", **member},),
        "isotropic",
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format": 3}, "has format 3, of a newer scenefront: this one knows 1 to 2"),
        ({"job": "serch"}, "unknown job 'serch'; did you mean 'search'?"),
    ],
)
def test_settings_of_no_known_job_or_format_are_refused(tmp_path, changed, message):
    path = tmp_path / "search.yaml"
    path.write_text(yaml.safe_dump({"job": "search", "data": "d", "space": "isotropic", **changed}))
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        read_job(path)
