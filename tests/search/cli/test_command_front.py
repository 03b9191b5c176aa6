"""The front, the rankings and the plot of a study, as the command line prints them."""

import json
import re

import pytest
from recorded import trial, write_study

from search.study.study import RUNGS

NUMBERS = ("5", "10", "25", "50", "100")


def trials():
    return [
        trial("complete", 5_000_000, 0.2, 0.3, 0.40, params=9_000),
        trial("complete", 20_000_000, 0.2, 0.4, 0.50, params=40_000),
        trial("complete", 21_000_000, 0.2, 0.3, 0.45, params=8_000, log_loss=0.9),
        trial("complete", 29_000_000, 0.2, 0.3, 0.55, params=50_000),
        *(trial("stopped", 1_000_000 + number, 0.1 + number / 100) for number in range(10)),
        trial("paused", 2_000_000, 0.3, 0.35),
        trial("rejected", 90_000_000),
    ]


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path / "results" / "s", *trials(), budget="macs=25M")


def test_the_front_is_printed_and_what_is_not_trained_to_the_end_apart_from_it(study, run):
    result = run("front", "s")
    assert result.code == 0
    lines = result.out.splitlines()
    assert [line.split()[0] for line in lines if re.search(r"complete +3/3", line)] == ["0", "1"]
    assert (
        "not trained to the end (11), macro accuracy so far: 14 (0.350 at 2/3), 13 (0.190 at 1/3), 12 (0.180 at 1/3), "
        "11 (0.170 at 1/3), 10 (0.160 at 1/3), 9 (0.150 at 1/3), 8 (0.140 at 1/3), 7 (0.130 at 1/3) and 3 more"
    ) in lines
    assert "over the budget macs=25M, at most 25,000,000 MACs (1): 3" in lines
    assert "all trials: `scenefront front s --all`" in lines
    everything = run("front", "s", "--all").out
    assert len([line for line in everything.splitlines() if re.search(r"stopped +1/3", line)]) == 10
    assert "not trained to the end" not in everything


def test_other_objectives_have_their_columns(tmp_path, run):
    objectives = ("worst_device_accuracy", "latency_ms")
    write_study(tmp_path / "results" / "s", trial("complete", 5_000_000, 0.4, latency_ms=3.21), objectives=objectives)
    (row,) = [line for line in run("front", "s").out.splitlines() if re.search(r"complete +1/3", line)]
    assert "0.300" in row
    assert "3.21" in row


def test_a_study_with_nothing_trained_has_an_empty_front(tmp_path, run):
    write_study(tmp_path / "results" / "s", trial("stopped", 5_000_000, 0.2))
    assert run("front", "s").out.splitlines()[:2] == [
        "the front is empty: no trial that fits is fully trained yet",
        "not trained to the end (1), macro accuracy so far: 0 (0.200 at 1/3)",
    ]
    assert "the ranking is empty" in run("front", "s", "--rank", "dcase2022").out


@pytest.mark.parametrize(
    ("edition", "wanted"),
    [
        ("dcase2022", [(1, 2, 0.9), (2, 1, 1.8), (3, 0, 1.9)]),
        # ranks of accuracy 1 2 3, of bytes 3 1 2 and of MACs 2 3 1, of trials 1, 2 and 0
        ("dcase2023", [(1, 1, 1.75), (2, 2, 2.0), (3, 0, 2.25)]),
    ],
)
def test_an_edition_ranks_what_is_trained_and_fits(study, run, edition, wanted):
    rows = json.loads(run("front", "s", "--rank", edition, "--json").out)
    assert [(row["rank"], row["number"], pytest.approx(row["score"])) for row in rows] == wanted
    shown = [
        line.split()
        for line in run("front", "s", "--rank", edition).out.splitlines()
        if re.search(r"complete +3/3", line)
    ]
    assert [(int(line[3]), int(line[0]), float(line[4])) for line in shown] == [
        (rank, number, round(score, 3)) for rank, number, score in wanted
    ]


def test_the_2024_edition_ranks_by_the_mean_over_the_splits(tmp_path, run):
    rungs = [{"split": split, "start": at, "end": at + 1} for at, split in enumerate(NUMBERS)]
    write_study(
        tmp_path / "results" / "s",
        trial("complete", 5_000_000, 0.30, 0.30, 0.30, 0.30, 0.30),
        trial("complete", 5_000_001, 0.10, 0.20, 0.30, 0.40, 0.60),
        trial("paused", 5_000_002, 0.9, 0.9),
        attributes={RUNGS: rungs},
        fidelity="split",
    )
    rows = json.loads(run("front", "s", "--rank", "dcase2024", "--json").out)
    assert [(row["rank"], row["number"]) for row in rows] == [(1, 1), (2, 0)]
    assert [row["score"] for row in rows] == pytest.approx([0.32, 0.30])


def test_the_2024_edition_cannot_rank_what_was_trained_on_one_split(study, run):
    result = run("front", "s", "--rank", "dcase2024")
    assert result.code == 2
    assert (
        "dcase2024 ranks by the mean accuracy over trainings on 5, 10, 25, 50, 100 % of the clips, and s trained none "
        "on 5, 10, 25, 50, 100 %; search with --fidelity split"
    ) in result.err


def test_trials_without_a_rank_cannot_be_listed_with_one(study, run):
    assert run("front", "s", "--all", "--rank", "dcase2022").code == 2


def test_any_two_objectives_are_plotted(study, run, tmp_path):
    assert run("plot", "s", "--x", "params", "--y", "log_loss", "--out", "pictures").code == 0
    page = (tmp_path / "pictures" / "front.html").read_text(encoding="utf-8")
    assert "Log loss against parameters" in page
    result = run("plot", "s", "--x", "para")
    assert result.code == 2
    assert "unknown objective 'para'; did you mean 'params'?" in result.err
