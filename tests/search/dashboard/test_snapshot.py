"""Snapshot of a study: one HTML file, whole, without a server."""

import pytest
from recorded import write_study
from small_study import ODD, write_small

from search.dashboard.snapshot import write_snapshot
from search.study.study import StudyError, StudyFolder


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    root = tmp_path_factory.mktemp("snapshot")
    folder = write_small(root / "results" / ODD)
    write_snapshot(root / "sent" / "study.html", folder)
    return root / "sent" / "study.html"


def test_it_is_one_file_that_can_be_mailed(snapshot):
    assert [path.name for path in snapshot.parent.iterdir()] == ["study.html"]
    assert snapshot.stat().st_size < 8 * 2**20
    text = snapshot.read_text(encoding="utf-8")
    assert text.count("<html") == 1
    assert text.count("plotly.js v") == 1


@pytest.mark.browser
def test_it_shows_all_without_a_server(new_page, snapshot):
    page = new_page()
    page.goto(snapshot.as_uri())
    page.wait_for_selector("#plot-front .scatterlayer .point", state="attached")
    page.wait_for_selector("#plot-parallel .parcoords", state="attached")
    assert page.locator("h1").inner_text() == ODD
    tables = page.locator("table")
    assert tables.nth(0).locator("tbody th").all_inner_texts() == ["1", "2", "0"]
    assert tables.nth(1).locator("tbody tr").count() == 12
    assert page.title() != "taken"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_study_without_trials_is_written_all_the_same(tmp_path):
    folder = write_study(tmp_path / "empty", attributes={"objectives": ["macro_accuracy", "macs"]})
    write_snapshot(tmp_path / "empty.html", folder)
    assert "All trials (0)" in (tmp_path / "empty.html").read_text(encoding="utf-8")


def test_what_is_no_study_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "search.yaml").write_text("data: nowhere\nspace: isotropic\n")
    with pytest.raises(StudyError):
        write_snapshot(tmp_path / "half.html", StudyFolder(tmp_path / "half"))
    assert not (tmp_path / "half.html").exists()
