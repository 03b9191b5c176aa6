"""A study in PostgreSQL is the study that it would be in a file, and one driver at a time has it."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from optuna.trial import TrialState
from sqlalchemy import NullPool, create_engine, text

from search.config.settings import SearchSettings
from search.study.creation import create_study
from search.study.storage import Postgres, StorageError
from search.study.study import StudyError, StudyFolder, find_study

ROOT = Path(__file__).parents[3]
HOLD = """
import sys, time
from search.study.study import StudyFolder
from pathlib import Path
with StudyFolder(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(600)
"""


def settings(url):
    return SearchSettings(data="nowhere", space="isotropic", storage=url)


def fill(study):
    study.set_user_attr("letters", "ä €")
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.suggest_categorical("kind", ["a", "b"])
    trial.set_user_attr("epoch:1", {"epoch": 1, "macro_accuracy": 0.25})
    study.tell(trial, (0.5, 12_345_678.0))
    rejected = study.ask()
    rejected.set_constraint("macs", 0.37)
    study.tell(rejected, state=TrialState.PRUNED)


def plain(trial):
    return trial.number, trial.state, trial.values, trial.distributions.keys(), trial.user_attrs, trial.constraints


def test_a_study_in_postgres_holds_what_a_file_would(tmp_path, postgres_url):
    folders = StudyFolder(tmp_path / "file" / "study"), StudyFolder(tmp_path / "server" / "study")
    for folder, url in zip(folders, (None, postgres_url), strict=True):
        fill(create_study(folder, settings(url), {"data": {"classes": ["park"]}}))
    in_file, in_server = (folder.open() for folder in folders)
    own = dict.fromkeys(("folder", "identity"), "")
    assert {**in_server.user_attrs, **own} == {**in_file.user_attrs, **own}
    assert in_server.directions == in_file.directions
    assert [plain(trial) for trial in in_server.get_trials()] == [plain(trial) for trial in in_file.get_trials()]
    assert sorted(path.name for path in folders[1].path.iterdir()) == ["search.yaml"]
    assert find_study(tmp_path / "server", None) == folders[1]


def test_two_folders_share_no_study_of_one_name(tmp_path, postgres_url):
    create_study(StudyFolder(tmp_path / "one" / "study"), settings(postgres_url), {})
    second = StudyFolder(tmp_path / "two" / "study")
    with pytest.raises(StudyError, match="already holds a study study, of another folder"):
        create_study(second, settings(postgres_url), {})
    assert not second.exists()


def test_a_start_that_was_cut_short_is_made_again(tmp_path, postgres_url):
    cut = StudyFolder(tmp_path / "study")
    create_study(cut, settings(postgres_url), {"first": 1})
    cut.settings_file.unlink()
    create_study(cut, settings(postgres_url), {})
    found = cut.open().user_attrs
    assert found["objectives"] == ["macro_accuracy", "macs"]
    assert "first" not in found


def test_many_searches_that_start_at_once_make_the_tables_once(tmp_path, postgres_url):
    folders = [StudyFolder(tmp_path / str(number)) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda folder: create_study(folder, settings(postgres_url), {}), folders))
    assert [folder.open().study_name for folder in folders] == ["0", "1", "2", "3"]


def test_a_study_is_held_against_drivers_with_other_folders_until_its_driver_dies(tmp_path, postgres_url):
    mine, theirs = StudyFolder(tmp_path / "mine" / "study"), StudyFolder(tmp_path / "theirs" / "study")
    create_study(mine, settings(postgres_url), {})
    theirs.path.mkdir(parents=True)
    theirs.settings_file.write_text(mine.settings_file.read_text())
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, theirs.path], env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        assert mine.is_locked()
        with pytest.raises(StorageError) as refused, mine.lock():
            pass
        assert f"is in use by another search, process {holder.pid} on" in str(refused.value)
        assert "ret" not in str(refused.value).replace("postgresql", "")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with mine.lock():  # at once: the server noticed
            assert theirs.is_locked()
        assert not theirs.is_locked()
    finally:
        holder.kill()
        holder.communicate()


def test_studies_of_one_database_are_held_one_by_one(tmp_path, postgres_url):
    folders = [StudyFolder(tmp_path / name) for name in ("one", "two")]
    for folder in folders:
        create_study(folder, settings(postgres_url), {})
    with folders[0].lock():
        assert [folder.is_locked() for folder in folders] == [True, False]
        with folders[1].lock():
            pass


def test_a_driver_notices_that_the_server_has_let_go_of_its_study(tmp_path, postgres_url):
    folder = StudyFolder(tmp_path / "study")
    create_study(folder, settings(postgres_url), {})
    with folder.lock() as require_held:
        require_held()
        engine = create_engine(Postgres.parse(postgres_url).url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"))
        for _ in range(2):  # it stays lost
            with pytest.raises(
                StorageError, match="has released the lock on the study study, and another search may hold it"
            ):
                require_held()


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("mysql://me:secret@host/studies", "got mysql://me:***@host/studies"),
        ("postgresql://host?user=me&password=secret", "got postgresql://host?"),
        ("mysql://host/studies?sslpassword=secret", "got mysql://host/studies?sslpassword=***"),
        ("postgresql://me:secret@host", "got postgresql://me:***@host"),
        ("me:secret@host:studies", "and this is none"),
        ("postgresql://me:sec/ret@host:port/studies", "and this is none"),
    ],
)
def test_what_is_no_url_of_postgres_is_refused_and_its_password_is_not_printed(storage, message):
    with pytest.raises(
        StorageError, match="storage must be a URL such as postgresql://user@host:5432/database"
    ) as error:
        Postgres.parse(storage)
    assert message in str(error.value)
    assert "secret" not in str(error.value)
    assert "ret@" not in str(error.value)


def test_a_database_that_does_not_answer_is_named_without_the_password(tmp_path, postgres_url):
    for url, message in (
        (f"{postgres_url}x", 'FATAL: database "studies_'),
        (postgres_url.replace("sec", "wrong"), "password authentication failed"),
        ("postgresql://me:secret@127.0.0.1:1/studies", "refused"),
    ):
        folder = StudyFolder(tmp_path / "study")
        with pytest.raises(StorageError, match="cannot be used: ") as error:
            create_study(folder, settings(url), {})
        assert message in str(error.value)
        assert "ret" not in str(error.value).replace("postgresql", "")
        with pytest.raises(StorageError, match="cannot be used"), folder.lock(url):
            pass


def test_a_study_that_the_database_does_not_hold_is_named(tmp_path, postgres_url):
    folder = StudyFolder(tmp_path / "study")
    create_study(folder, settings(postgres_url), {})
    renamed = StudyFolder(tmp_path / "renamed")
    folder.path.rename(renamed.path)
    with pytest.raises(StudyError, match="holds no study renamed: it is known there by its folder's name"):
        renamed.open()
