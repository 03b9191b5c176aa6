"""Background exports: each in a process of its own, started once, followed, with the output of the command."""

import sys
import time

import pytest
from recorded import trial, write_study

from search.dashboard import background
from search.dashboard.background import Exports, export_command, train_command
from search.study.study import DATA


@pytest.fixture
def folder(tmp_path):
    recorded = {DATA: {"split": "fold1", "devices": ["a"], "classes": ["bus", "park"]}}
    return write_study(
        tmp_path / "results" / "-a study", trial("complete", 1_000_000, 0.3, 0.4, 0.5), attributes=recorded
    )


def wait(exports, folder, number):
    for _ in range(600):
        export = exports.find(folder, number)
        if export.state != "running":
            return export
        time.sleep(0.05)
    raise AssertionError("the export does not end")


def play(monkeypatch, program):
    """Replace the command by a program."""
    monkeypatch.setattr(background, "export_command", lambda *_: [sys.executable, "-c", program])


def test_the_command_takes_no_name_for_a_flag(folder):
    *_, flag, number, dashes, name = export_command(folder, 3)
    assert (flag, number, dashes, name) == ("--trial", "3", "--", "-a study")


def test_the_output_of_the_command_is_kept(folder, monkeypatch):
    play(monkeypatch, "print('trial 0: macro accuracy 0.5\\nwritten: exports/x')")
    exports = Exports()
    assert exports.start(folder, 0).state == "running"
    export = wait(exports, folder, 0)
    assert (export.state, export.output) == ("written", "trial 0: macro accuracy 0.5\nwritten: exports/x")
    assert str(export.target) == "exports/-a study-0"


def test_why_it_failed_is_kept(folder, monkeypatch):
    play(monkeypatch, "import sys; print('error: no such data', file=sys.stderr); sys.exit(2)")
    exports = Exports()
    exports.start(folder, 0)
    export = wait(exports, folder, 0)
    assert (export.state, export.output) == ("failed", "error: no such data")


def test_a_second_click_starts_nothing(folder, monkeypatch):
    play(monkeypatch, "import time; time.sleep(60)")
    exports = Exports()
    first = exports.start(folder, 0)
    process = exports._running
    assert exports.start(folder, 0) is first
    assert exports._running is process
    assert exports.start(folder, 1).state == "failed"
    exports.close()
    assert wait(exports, folder, 0).state == "failed"


@pytest.mark.slow
def test_the_real_command_prints_why_it_failed(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    exports = Exports()
    exports.start(folder, 0)
    export = wait(exports, folder, 0)
    assert export.state == "failed"
    assert export.output.startswith("error: ")
    assert not (tmp_path / "exports").exists()


def test_the_command_that_trains_again_can_be_typed(folder):
    command = train_command(folder, "my data", 0)
    assert command == f"scenefront train 'my data' --trial '-a study:0' --results {folder.path.parent}"
