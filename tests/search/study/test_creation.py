"""A study whose search.yaml is lost: nothing that holds a trial is deleted, and the file is restored."""

import json
import shutil

import pytest

from search.config.errors import UserError
from search.config.settings import ConfirmSettings, SearchSettings, TrainSettings
from search.study.creation import create_study, require_vacant
from search.study.history import initial_history
from search.study.study import HISTORY, SETTINGS, StudyError, StudyFolder, find_study
from tests.search.recorded import SETTINGS as RECORDED
from tests.search.recorded import trial, write_study

TRIALS = (trial("complete", 1_000_000, 0.3, 0.4, 0.5), trial("rejected", 90_000_000), trial("stopped", 2_000_000, 0.1))
CANDIDATES = ({"trial": 3, "role": "front", "config": {"architecture": "isotropic"}},)


@pytest.fixture
def lost(tmp_path):
    """A study of three trials without its search.yaml."""
    folder = write_study(tmp_path / "results" / "mine", *TRIALS)
    folder.settings_file.unlink()
    return folder


def test_a_search_of_the_same_name_deletes_nothing_and_restores_the_settings(lost, run, tiny):
    answer = run("search", tiny, "--study", "mine", "--space", "isotropic")
    assert answer.code == 2
    assert answer.err == (
        "error: results/mine already holds a study: 1 complete, 1 stopped, 1 rejected trials; its search.yaml was "
        "missing and has been restored from the database: continue with `scenefront resume mine`, or give this search "
        "a name of its own with --study\n"
    )
    assert len(lost.open().get_trials()) == 3
    assert lost.settings() == SearchSettings(**RECORDED)
    again = run("search", tiny, "--study", "mine", "--space", "isotropic")
    assert again.err == "error: results/mine already holds a study; continue with `scenefront resume mine`\n"


def test_what_reads_a_study_reads_its_settings_from_the_database(lost, run):
    before = lost.database.read_bytes()
    told = json.loads(run("status", "mine", "--json").out)
    assert told["states"]["complete"] == 1
    assert (told["space"], told["trials_wanted"]) == ("isotropic", 12)
    assert run("front", "mine").code == 0
    assert run("front").code == 0  # it is the latest study, too
    assert find_study(lost.path.parent, None).name == "mine"
    assert not lost.settings_file.exists()
    assert lost.database.read_bytes() == before


def test_a_resumed_study_gets_its_file_back(lost, run):
    answer = run("resume", "mine")
    assert "nowhere: no such folder" in answer.err  # of the recorded data set
    assert lost.settings_file.exists()


def test_a_study_that_is_younger_than_its_settings_record_is_restored_from_its_history(tmp_path):
    jobs = [
        SearchSettings(**RECORDED, ranges={"width": [32, 64]}, workers=None),
        TrainSettings(data="d", architecture="isotropic", trials=2, set={"width": 32}),
        ConfirmSettings(data="d", confirms="first", candidates=CANDIDATES, trials=3),
    ]
    for number, job in enumerate(jobs):
        folder = StudyFolder(tmp_path / str(number))
        study = create_study(folder, job, {HISTORY: initial_history(job)})
        study.set_user_attr(SETTINGS, None)  # as before the settings were recorded
        folder.settings_file.unlink()
        assert folder.settings() == job


def test_without_any_settings_the_trials_stay_and_the_error_says_so(tmp_path, run, tiny):
    folder = write_study(tmp_path / "results" / "mine", *TRIALS)
    folder.open().set_user_attr(SETTINGS, None)
    folder.settings_file.unlink()
    answer = run("search", tiny, "--study", "mine", "--space", "isotropic")
    assert (answer.code, "1 complete, 1 stopped, 1 rejected trials; nothing was changed" in answer.err) == (2, True)
    assert len(folder.open().get_trials()) == 3
    with pytest.raises(StudyError, match="stays there"):
        folder.settings()


@pytest.mark.parametrize("content", [b"not a database at all", b"SQLite format 3\x00" + bytes(4096)])
def test_a_database_that_cannot_be_read_is_not_deleted(tmp_path, content):
    folder = StudyFolder(tmp_path / "mine")
    folder.path.mkdir()
    folder.database.write_bytes(content)
    with pytest.raises(StudyError, match="may hold trials; nothing was changed"):
        require_vacant(folder, None)
    with pytest.raises(StudyError):
        create_study(folder, SearchSettings(**RECORDED), {})
    assert folder.database.read_bytes() == content


def test_a_start_that_was_killed_before_its_first_trial_is_replaced(tmp_path):
    folder = StudyFolder(tmp_path / "mine")
    first = create_study(folder, SearchSettings(**RECORDED), {"mark": 1})
    folder.settings_file.unlink()
    second = create_study(folder, SearchSettings(**RECORDED), {})
    assert (first.study_name, "mark" in second.user_attrs) == (second.study_name, False)
    folder.settings_file.unlink()
    folder.database.write_bytes(b"")  # killed before its tables were made
    create_study(folder, SearchSettings(**RECORDED), {})


def test_a_study_in_postgres_is_restored_by_a_search_with_its_url(tmp_path, postgres_url):
    folder = write_study(tmp_path / "mine", *TRIALS, storage=postgres_url)
    before = folder.settings()
    shutil.rmtree(folder.path)
    with pytest.raises(StudyError, match="1 complete, 1 stopped, 1 rejected trials") as caught:
        create_study(folder, SearchSettings(**RECORDED, storage=postgres_url), {})
    assert "sec" not in str(caught.value).partition("already")[0].partition("@")[0]  # the password
    assert folder.settings() == before
    assert len(folder.open().get_trials()) == 3


def test_the_record_of_the_settings_has_no_password(tmp_path, postgres_url):
    checkpoints = "s3://key:hidden@bucket/place"
    folder = write_study(tmp_path / "mine", storage=postgres_url, checkpoints=checkpoints)
    recorded = json.dumps(folder.open().user_attrs)
    assert "hidden" not in recorded
    assert "s3://bucket/place" in recorded
    assert postgres_url not in recorded


def test_a_broken_folder_hides_no_other_study(tmp_path):
    write_study(tmp_path / "whole", *TRIALS)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "study.db").write_bytes(b"nothing")
    assert find_study(tmp_path, None).name == "whole"
    with pytest.raises(UserError):
        find_study(tmp_path, "broken").settings()
