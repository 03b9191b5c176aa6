"""A study can be read at any moment of its creation, and readers write nothing."""

import sqlite3

import pytest

from search.study.study import StudyError, StudyFolder


def test_a_reader_of_a_database_that_is_being_created_makes_no_tables_in_it(tmp_path):
    folder = StudyFolder(tmp_path / "s")
    folder.path.mkdir()
    sqlite3.connect(folder.database).close()  # as it is before the first table
    folder.database.touch()
    with pytest.raises(StudyError, match=r"study\.db is no study that can be read"):
        folder.open()
    with sqlite3.connect(folder.database) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    database.close()
    assert tables == []
    assert not folder.exists()
