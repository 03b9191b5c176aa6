"""The password of a study's database: where it is taken from, and that nothing prints or records it."""

import os
import shutil
import stat
import time
import traceback
from pathlib import Path

import psycopg
import pytest
from network_observer import descendants
from scenefront_process import start
from trained import SMALL, train

from search.config.settings import SearchSettings
from search.config.settings_file import read_settings
from search.config.yaml_text import YamlError
from search.study.creation import create_study
from search.study.storage import StorageError
from search.study.study import StudyFolder

PASSWORD, ESCAPED = "sec:ret/{1}", "sec%3Aret%2F%7B1%7D"  # as tests/search/conftest.py chose it


def settings(url):
    return SearchSettings(data="nowhere", space="isotropic", storage=url)


def tells(text):
    return PASSWORD in text or ESCAPED in text


@pytest.fixture
def without_password(postgres_url, monkeypatch, tmp_path):
    """A database whose URL has no password, and no place that libpq would take it from."""
    for name in ("PGPASSWORD", "PGPASSFILE"):
        monkeypatch.delenv(name, raising=False)
    (home := tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(home))
    return postgres_url.replace(f":{ESCAPED}", "")


@pytest.mark.parametrize("place", ["PGPASSWORD", "PGPASSFILE", "~/.pgpass"])
def test_it_is_taken_from_the_environment_or_a_pass_file(tmp_path, monkeypatch, without_password, place):
    if place == "PGPASSWORD":
        monkeypatch.setenv("PGPASSWORD", PASSWORD)
    else:
        file = tmp_path / "home" / ".pgpass" if place == "~/.pgpass" else tmp_path / "passwords"
        file.write_text("127.0.0.1:*:*:tester:" + PASSWORD.replace(":", "\\:") + "\n")
        file.chmod(0o600)
        if place == "PGPASSFILE":
            monkeypatch.setenv("PGPASSFILE", str(file))
    folder = StudyFolder(tmp_path / "results" / "study")
    create_study(folder, settings(without_password), {"letters": "ä"})
    with folder.lock():
        assert folder.open().user_attrs["letters"] == "ä"
    assert not tells(folder.settings_file.read_text())


def test_a_missing_one_is_told_with_the_places_for_it(tmp_path, without_password):
    places = "no password supplied; give it in PGPASSWORD, or in a file that only you can read"
    with pytest.raises(StorageError, match=places):
        create_study(StudyFolder(tmp_path / "study"), settings(without_password), {})


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_settings_are_for_their_owner_alone_whatever_the_mask(tmp_path, mask):
    folder = StudyFolder(tmp_path / "study")
    before = os.umask(mask)
    try:
        create_study(folder, settings(None), {})
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.settings_file.stat().st_mode) == 0o600
    assert sorted(path.name for path in folder.path.iterdir() if path.name.startswith(".search")) == []


def test_a_broken_settings_file_is_quoted_without_it(tmp_path):
    path = tmp_path / "search.yaml"
    path.write_text(f"data: nowhere\nstorage: postgresql://tester:{ESCAPED}@host/studies: studies\n")
    with pytest.raises(YamlError, match="line 2") as error:
        read_settings(path)
    assert not tells("".join(traceback.format_exception(error.value)))


def test_no_command_prints_or_records_it(tmp_path, run, tiny, postgres_url):
    folder = StudyFolder(tmp_path / "results" / "study")
    train(folder, tiny, epochs=1, settings={"storage": postgres_url}, **SMALL)
    shutil.copytree(folder.path, tmp_path / "results" / "other")
    commands = [
        ("status", "study"), ("status", "study", "--json"), ("status", "other"), ("front", "study", "--json"),
        ("front", "study", "--csv", "--all"), ("plot", "study"), ("export", "study", "--int8", "none"),
        ("dashboard", "study", "--snapshot", "snapshot.html"), ("dashboard", "study", "other", "--port", "99999"),
        ("search", tiny, "--storage", f"{postgres_url}x", "--study", "new"),
        ("search", tiny, "--storage", postgres_url.replace("postgresql", "mysql"), "--study", "new"),
        ("search", tiny, "--storage", postgres_url.replace(ESCAPED, "sec/" + PASSWORD), "--study", "new"),
    ]  # fmt: skip
    for command in commands:
        result = run(*command)
        assert not tells(result.out + result.err), command
        assert result.code in {0, 2}, result.err
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "search.yaml":
            assert not tells(path.read_bytes().decode(errors="replace")), path
    assert not tells(everything_in(postgres_url))


@pytest.mark.slow
def test_no_process_of_a_search_has_it_in_its_title_or_its_logs(tmp_path, tiny, without_password):
    given = [
        "search", tiny, "--space", "isotropic", "--trials", "1", "--epochs", "1", "--workers", "1", "--no-fast",
        "--budget", "none", "--study", "study", "--storage", without_password,
    ]  # fmt: skip
    before = set(Path("/tmp").glob("sf-ray-*"))
    process, seen, logs = start(*given, cwd=tmp_path, PGPASSWORD=PASSWORD), 0, 0
    while process.poll() is None:
        for pid in descendants({process.pid}) | {process.pid}:
            try:
                title = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            assert not tells(title)
            seen += "raylet" in title
        for log in (log for folder in set(Path("/tmp").glob("sf-ray-*")) - before for log in folder.rglob("*.log")):
            try:
                text = log.read_text(errors="replace")
            except FileNotFoundError:  # the search has ended, and removes its logs
                continue
            assert not tells(text), log
            logs += 1
        time.sleep(0.5)
    with process.stdout as lines:
        output = lines.read()
    assert process.returncode == 0, output
    with start("extend", "study", "--trials", "+1", "--settings-only", cwd=tmp_path, PGPASSWORD=PASSWORD) as extended:
        output += extended.communicate(timeout=120)[0]
    assert extended.returncode == 0, output
    assert seen
    assert logs
    assert not tells(output)
    for path in (tmp_path / "results").rglob("*"):
        assert path.is_dir() or not tells(path.read_bytes().decode(errors="replace")), path


def everything_in(url):
    """Return the content of all tables as text."""
    with psycopg.connect(url) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return "".join(str(connection.execute(f'SELECT * FROM "{name}"').fetchall()) for (name,) in names)
