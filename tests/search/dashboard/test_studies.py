"""The studies of a folder: which there are, and that no name leads out of it."""

import pytest
from recorded import write_study

from search.dashboard.data.studies import Studies, list_studies
from search.study.study import (
    StudyFolder,
)


def test_studies_are_listed_the_last_one_first_broken_ones_too(tmp_path):
    results = tmp_path / "results"
    assert list_studies(results) == []
    for name in ("b", "a", "torn", "c"):
        write_study(results / name)
    (results / "torn" / "search.yaml").write_text("{")
    (results / "c" / "search.yaml").unlink()
    (results / "no study").mkdir()
    (results / "README.md").write_text("hello")
    assert {each.name for each in list_studies(results)} == {"a", "b", "c", "torn"}
    (results / "a" / ".lock").touch()
    assert list_studies(results)[0] == StudyFolder(results / "a")


NAMES = [
    "", ".", "..", "../outside", "a/../../outside", "/", "a/", "./a", "a\0", "\0", "link", "linked", "circle", "a\n",
    "~", "%2e%2e", "A", "\udcff", "a" * 10_000,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_the_folder_of_studies(tmp_path, name):
    results = tmp_path / "results"
    write_study(results / "a")
    outside = write_study(tmp_path / "outside")
    (results / "link").symlink_to(outside.path)
    (results / "linked").symlink_to(results / "a")
    (results / "circle").symlink_to(results / "circle")
    for wrong in (name, str(outside.path), str(results / "a")):
        assert Studies(results).folder(wrong) is None
    assert Studies(results).folder("a") == StudyFolder(results / "a")


def test_a_folder_of_studies_may_be_a_link_itself(tmp_path):
    write_study(tmp_path / "disk" / "a")
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    assert [each.name for each in list_studies(tmp_path / "results")] == ["a"]
