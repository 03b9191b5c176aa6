"""The simulation of coverage on few draws: intervals by recording hold, those by clip fail."""

import pytest
from click.testing import CliRunner

from benchmarks.coverage import LAYOUTS, confirmation, main, paired, single_network

EVALUATION = LAYOUTS["evaluation: 33 recordings"]


def test_intervals_by_recording_hold_the_truth_where_those_by_clip_fail():
    found = single_network(EVALUATION, 150, 0.3, 0)
    for name in ("macro_accuracy", "log_loss"):
        assert found[name].held == pytest.approx(0.95, abs=0.055)  # three standard errors of 150 draws
        assert found[name].by_clip < 0.75
    assert all(each.held > 0.88 for each in found.values())


def test_differences_hold_zero_and_none_is_certain_of_it():
    unchanged, changed = paired(EVALUATION, 0.0, 5, 0), paired(EVALUATION, 0.1, 150, 0)
    assert unchanged.half > 0.01
    assert changed.held > 0.88 > changed.by_clip


def test_a_confirmation_needs_the_error_of_the_recordings():
    found = confirmation(4, 3, 25, 0)
    assert found.held > 0.88
    assert found.by_seeds < 0.75


def test_the_page_is_written(tmp_path):
    page = tmp_path / "coverage.md"
    result = CliRunner().invoke(main, ["--repeats", "2", "--out", str(page)])
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert text.startswith("# Coverage of the 95 % intervals")
    assert text.count("## ") == 4
    assert "| evaluation: 33 recordings | macro accuracy |" in text
