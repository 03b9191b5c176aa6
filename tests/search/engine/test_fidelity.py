"""A search that begins with few clips and goes on with more."""

import shutil

import pytest

from search.study.study import StudyFolder, learning_curve
from search.study.table import study_table

SMALL = ["--range", "patch=12:16", "--range", "width=32:48", "--range", "depth=2:3", "--range", "columns=1:1"]


@pytest.fixture
def nested(tiny, tmp_path):
    """The tiny data set, with lists of a quarter, a half and all of its training clips."""
    root = shutil.copytree(tiny, tmp_path / "nested")
    lists = root / "evaluation_setup"
    header, *rows = (lists / "fold1_train.csv").read_text().splitlines()
    for name, step in (("25", 4), ("50", 2), ("100", 1)):
        (lists / f"split{name}.csv").write_text("\n".join([header, *rows[::step]]) + "\n")
    return root


@pytest.mark.slow
def test_the_best_are_trained_anew_on_more_clips_and_only_whole_trainings_are_on_the_front(run, nested):
    said = run(
        "search", nested, "--space", "isotropic", "--study", "grown", "--trials", 9, "--epochs", 2, "--seed", 1,
        "--fidelity", "split", "--budget", "macs=1M,params=30K", "--no-fast", "--set", "batch_size=4", "--workers", 1,
        *SMALL,
    )  # fmt: skip
    assert said.code == 0, said.err
    folder = StudyFolder(nested.parent / "results" / "grown")
    curves = [learning_curve(trial) for trial in folder.open().get_trials()]
    splits = [[epoch["split"] for epoch in curve] for curve in curves if curve]
    whole = ["25", "25", "50", "50", "100", "100"]
    assert all(each == whole[: len(each)] and len(each) % 2 == 0 for each in splits)
    began, went_on, ended = (sum(len(each) >= length for each in splits) for length in (2, 4, 6))
    assert 9 == began > went_on >= ended >= 1
    table = study_table(folder)
    assert (table["state"] == "complete").sum() == ended
    assert table.loc[table["on_front"], "state"].eq("complete").all()
    ranked = run("front", "grown", "--rank", "dcase2024")
    assert ranked.code == 2
    assert "5, 10, 25, 50, 100 %" in ranked.err


def test_one_list_alone_is_refused(run, tiny, tmp_path):
    root = shutil.copytree(tiny, tmp_path / "one")
    shutil.copy(root / "evaluation_setup/fold1_train.csv", root / "evaluation_setup/split100.csv")
    said = run("search", root, "--space", "isotropic", "--fidelity", "split")
    assert said.code == 2
    assert "fidelity by split needs two" in said.err
