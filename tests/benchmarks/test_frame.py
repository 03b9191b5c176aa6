"""The frame of the benchmarks: what is printed, what is written, and what a broken topic leaves standing."""

import json
import re

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import TOPICS, main
from benchmarks.figure import Figure, compare
from benchmarks.machine import describe

WHOLE = '''"""Sums, against slower sums.

More of it.
"""
import os
import sys

from benchmarks.figure import Figure


def figures():
    print("a library that prints")
    print("and one that warns", file=sys.stderr)
    yield Figure("sum of ones", 3.5, "times", 3.0, True, {"plain_s": 7.0, "ours_s": 2.0}, aim=5.0)
    yield Figure("start", 2.5, "s", 2.0, False, {"clips": 12_000})
    yield Figure("memory", 0.25, "GB", None, False, {})
'''
# Each with what is said of it.
BREAKS = {
    "raises": ('raise ValueError("loss is nan")', "ValueError: loss is nan"),
    "killed": ("os.kill(os.getpid(), 9)", "ended by SIGKILL"),
    "leaves": ("sys.exit(3)", "ended with exit code 3 and said nothing"),
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command, with topics of our own beside the real ones."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def topic(name, source):
        (tmp_path / f"topic_{name}.py").write_text(source)
        monkeypatch.setitem(TOPICS, name, f"topic_{name}")
        # the argument's choices were taken when the command was defined
        monkeypatch.setattr(main.params[0].type, "choices", list(TOPICS))

    topic("whole", WHOLE)
    for name, (line, _) in BREAKS.items():
        source = '"""Breaks."""\nimport os, sys\nfrom benchmarks.figure import Figure\ndef figures():\n'
        topic(name, f'{source}    yield Figure("first", 1.0, "s", None, True, {{}})\n    {line}\n')
    topic("absent", "")
    (tmp_path / "topic_absent.py").unlink()
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_every_figure_is_printed_with_its_goal_its_aim_and_whether_it_is_met(run):
    told = run("whole")
    assert told.exit_code == 0, told.output
    lines = [re.sub(" +", " ", line).strip() for line in told.output.splitlines()]
    assert "whole: Sums, against slower sums." in lines
    assert "sum of ones 3.5 times goal >= 3 met aim >= 5" in lines
    assert "plain_s 7, ours_s 2" in lines
    assert "start 2.5 s goal <= 2 MISSED" in lines
    assert "memory 0.25 GB" in lines
    assert "goals met: 1 of 2" in lines
    assert "MISSED: whole: start" in lines
    assert "Seconds, and what is counted a second, belong to this machine." in told.output
    assert "a library that prints" not in told.output


def test_figures_stand_below_each_other(run):
    lines = run("whole").output.splitlines()
    ends = {re.search(r"\S (times|s|GB)\b", line).start() for line in lines if re.match("  (sum|start|memory)", line)}
    assert len(ends) == 1


def test_the_machine_and_the_figures_are_written_as_json(run, tmp_path):
    run("whole", "--json", tmp_path / "told.json")
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["machine"] == json.loads(json.dumps(describe()))
    assert [(figure["topic"], figure["value"], figure["met"]) for figure in told["figures"]] == [
        ("whole", 3.5, True),
        ("whole", 2.5, False),
        ("whole", 0.25, None),
    ]
    assert told["figures"][0]["measured"] == {"plain_s": 7.0, "ours_s": 2.0}
    assert told["broken"] == {}


@pytest.mark.parametrize("name", BREAKS)
def test_a_topic_that_breaks_is_named_with_its_last_line_and_the_others_run(run, tmp_path, name):
    told = run(name, "whole")
    assert told.exit_code == 1
    assert f"BROKEN: {name}: {BREAKS[name][1]}" in told.output
    assert f"python -m benchmarks.topic topic_{name}" in told.output
    record = json.loads((tmp_path / "benchmarks.json").read_text())
    assert [figure["topic"] for figure in record["figures"]] == [name, "whole", "whole", "whole"]
    assert record["broken"] == {name: BREAKS[name][1]}


def test_a_module_that_is_missing_is_named(run):
    told = run("absent")
    assert told.exit_code == 1
    assert "No module named 'topic_absent'" in told.output


def test_the_list_says_what_each_topic_is_and_runs_none(run, tmp_path):
    told = run("--list")
    assert told.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in told.output.splitlines())
    assert set(lines) == set(TOPICS)
    assert lines["whole"] == "Sums, against slower sums."
    assert lines["absent"] == "(missing: topic_absent)"
    assert not (tmp_path / "benchmarks.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wholes"], "'wholes' is not one of"),
        (["whole", "--json", "nowhere/told.json"], "nowhere/told.json cannot be written: No such file or directory"),
        (["whole", "--json", "."], "is a directory"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_timed(run, arguments, message):
    told = run(*arguments)
    assert told.exit_code == 2
    assert message in told.output
    assert "Sums" not in told.output


def test_a_figure_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="sum: ours_s must be a finite number, got nan"):
        Figure("sum", 1.0, "times", None, True, {"ours_s": float("nan")})


def test_a_comparison_runs_both_in_turn():
    ran = []
    told = compare(lambda: ran.append("plain"), lambda: ran.append("ours"), rounds=3)
    assert ran == ["plain", "ours"] * 4
    assert told["ratio"] == told["plain_s"] / told["ours_s"]


def test_the_processor_is_named_as_linux_names_it(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: A Chip\nflags\t\t: fpu avx2 amx_tile\n\nprocessor\t: 1\n")
    told = describe(cpuinfo)
    assert (told["processor"], told["flags"]) == ("A Chip", ["avx2", "amx_tile"])
    assert describe(tmp_path / "none")["processor"]
