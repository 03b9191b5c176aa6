"""A clock that was set back: what was written "tomorrow" is as good as what is written now."""

import os
import re
import shutil
import sqlite3
import time

import pytest

from search.dashboard.data.study_reader import StudyReader
from search.study.study import StudyFolder

pytestmark = pytest.mark.slow
DAY_S = 86_400


def test_a_study_goes_on_after_the_clock_was_set_back_by_a_day(searched, run, tmp_path):
    cwd, _ = searched
    shutil.copytree(cwd / "results", tmp_path / "results")
    shutil.copytree(cwd / "cache", tmp_path / "cache")
    folder = StudyFolder(tmp_path / "results" / "first")
    with sqlite3.connect(folder.database) as connection:
        for column in ("datetime_start", "datetime_complete"):
            connection.execute(f"UPDATE trials SET {column} = datetime({column}, '+1 day')")
    connection.close()
    tomorrow = time.time() + DAY_S
    for path in [*(tmp_path / "results").rglob("*"), *(tmp_path / "cache").rglob("*")]:
        os.utime(path, (tomorrow, tomorrow))
    before = [trial.user_attrs for trial in folder.open().get_trials() if trial.state.name == "COMPLETE"]
    answer = run("extend", "first", "--trials", "+1", "--workers", "1")
    assert answer.code == 0, answer.err
    assert not re.search(r"-\d+:\d\d left", answer.out)
    after = [trial.user_attrs for trial in folder.open().get_trials() if trial.state.name == "COMPLETE"]
    assert after[: len(before)] == before
    assert run("status", "first").out.startswith("first: 5 of 5 trials done")
    assert StudyReader(folder).read().problem == ""
