"""Command line of the benchmarks: printed lines, the JSON file, and topics that fail."""

import json
import re

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import TOPICS, main
from benchmarks.machine import describe
from benchmarks.measurement import Measurement, compare

PASSING = '''"""Sums, against slower sums.

More details.
"""
import os
import sys

from benchmarks.measurement import Measurement


def measure():
    print("a library that prints")
    print("and one that warns", file=sys.stderr)
    yield Measurement("sum of ones", 3.5, "times", 3.0, True, {"baseline_s": 7.0, "ours_s": 2.0}, aim=5.0)
    yield Measurement("start", 2.5, "s", 2.0, False, {"clips": 12_000})
    yield Measurement("memory", 0.25, "GB", None, False, {})
'''
# Last line of a failing topic, and the message that is printed.
FAILING = {
    "raises": ('raise ValueError("loss is nan")', "ValueError: loss is nan"),
    "killed": ("os.kill(os.getpid(), 9)", "killed by SIGKILL"),
    "exits": ("sys.exit(3)", "exit code 3, with empty stderr"),
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs the command, with test topics beside the real ones."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def topic(name, source):
        (tmp_path / f"topic_{name}.py").write_text(source)
        monkeypatch.setitem(TOPICS, name, f"topic_{name}")
        # the argument's choices were read when the command was defined
        monkeypatch.setattr(main.params[0].type, "choices", list(TOPICS))

    topic("passing", PASSING)
    for name, (line, _) in FAILING.items():
        source = '"""Fails."""\nimport os, sys\nfrom benchmarks.measurement import Measurement\ndef measure():\n'
        topic(name, f'{source}    yield Measurement("first", 1.0, "s", None, True, {{}})\n    {line}\n')
    topic("missing", "")
    (tmp_path / "topic_missing.py").unlink()
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_every_result_is_printed_with_its_goal_its_aim_and_whether_the_goal_is_met(run):
    result = run("passing")
    assert result.exit_code == 0, result.output
    lines = [re.sub(" +", " ", line).strip() for line in result.output.splitlines()]
    assert "passing: Sums, against slower sums." in lines
    assert "sum of ones 3.5 times goal >= 3 met aim >= 5" in lines
    assert "baseline_s 7, ours_s 2" in lines
    assert "start 2.5 s goal <= 2 MISSED" in lines
    assert "memory 0.25 GB" in lines
    assert "goals met: 1 of 2" in lines
    assert "MISSED: passing: start" in lines
    assert "Seconds and rates per second depend on this machine" in result.output
    assert "a library that prints" not in result.output


def test_values_are_printed_in_one_column(run):
    lines = run("passing").output.splitlines()
    columns = {
        re.search(r"\S (times|s|GB)\b", line).start() for line in lines if re.match("  (sum|start|memory)", line)
    }
    assert len(columns) == 1


def test_the_machine_and_the_results_are_written_as_json(run, tmp_path):
    run("passing", "--json", tmp_path / "results.json")
    record = json.loads((tmp_path / "results.json").read_text())
    assert record["machine"] == json.loads(json.dumps(describe()))
    assert [(result["topic"], result["value"], result["met"]) for result in record["figures"]] == [
        ("passing", 3.5, True),
        ("passing", 2.5, False),
        ("passing", 0.25, None),
    ]
    assert record["figures"][0]["measured"] == {"baseline_s": 7.0, "ours_s": 2.0}
    assert record["broken"] == {}


@pytest.mark.parametrize("name", FAILING)
def test_a_failed_topic_is_reported_with_its_last_line_and_the_others_run(run, tmp_path, name):
    result = run(name, "passing")
    assert result.exit_code == 1
    assert f"FAILED: {name}: {FAILING[name][1]}" in result.output
    assert f"python -m benchmarks.topic topic_{name}" in result.output
    record = json.loads((tmp_path / "benchmarks.json").read_text())
    assert [result["topic"] for result in record["figures"]] == [name, "passing", "passing", "passing"]
    assert record["broken"] == {name: FAILING[name][1]}


def test_a_missing_module_is_reported(run):
    result = run("missing")
    assert result.exit_code == 1
    assert "No module named 'topic_missing'" in result.output


def test_the_list_describes_every_topic_and_runs_none(run, tmp_path):
    result = run("--list")
    assert result.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in result.output.splitlines())
    assert set(lines) == set(TOPICS)
    assert lines["passing"] == "Sums, against slower sums."
    assert lines["missing"] == "(missing: topic_missing)"
    assert not (tmp_path / "benchmarks.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["passings"], "'passings' is not one of"),
        (
            ["passing", "--json", "nowhere/results.json"],
            "nowhere/results.json cannot be written: No such file or directory",
        ),
        (["passing", "--json", "."], "is a directory"),
    ],
)
def test_invalid_arguments_are_refused_before_any_topic_runs(run, arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Sums" not in result.output


def test_a_measurement_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="sum: ours_s must be a finite number, got nan"):
        Measurement("sum", 1.0, "times", None, True, {"ours_s": float("nan")})


def test_a_comparison_alternates_between_both():
    calls = []
    times = compare(lambda: calls.append("baseline"), lambda: calls.append("ours"), rounds=3)
    assert calls == ["baseline", "ours"] * 4
    assert times["ratio"] == times["baseline_s"] / times["ours_s"]


def test_the_processor_is_named_as_linux_names_it(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: A Chip\nflags\t\t: fpu avx2 amx_tile\n\nprocessor\t: 1\n")
    machine = describe(cpuinfo)
    assert (machine["processor"], machine["flags"]) == ("A Chip", ["avx2", "amx_tile"])
    assert describe(tmp_path / "none")["processor"]
