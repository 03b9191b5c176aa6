"""A scene without evaluation clips, from the search to the card: each mean says over how many scenes it is."""

import shutil

import pytest
from scenefront_process import SMALL, scenefront

OVER = "over 2 of 3 scenes"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lacking(tiny, tmp_path_factory):
    """The tiny data set without evaluation clips of one scene."""
    root = shutil.copytree(tiny, tmp_path_factory.mktemp("lacking") / "scenes")
    path = root / "evaluation_setup/fold1_evaluate.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.endswith("\tpark\n")))
    return root


@pytest.fixture(scope="module")
def searched(lacking, tmp_path_factory):
    """A search whose networks are measured on two of three scenes, and what it printed."""
    cwd = tmp_path_factory.mktemp("cwd")
    options = ["--validation", 0, "--trials", 2, "--epochs", 2, "--seed", 1, "--budget", "macs=1M,params=30K"]
    return cwd, scenefront("search", lacking, "--space", "isotropic", "--study", "first", *options, *SMALL, cwd=cwd)


def test_search_preflight_and_train_warn(lacking, searched, tmp_path):
    warning = f"warning: park has no evaluation clip: means over the scenes are {OVER}"
    assert warning in searched[1]
    assert warning in scenefront("preflight", lacking, "--space", "isotropic", *SMALL, cwd=tmp_path)
    small = ["--set", "patch=16", "--set", "width=8", "--set", "depth=1", "--set", "batch_size=12"]
    output = scenefront("train", lacking, "isotropic", "--epochs", 1, "--study", "one", *small, cwd=tmp_path)
    assert warning in output
    assert f"macro accuracy {OVER} (no clip of park)" in output


def test_front_confirm_export_and_dashboard_say_it(lacking, searched, tmp_path):
    cwd, output = searched
    text = f"macro accuracy {OVER} (no clip of park)"
    assert text in output
    assert text in scenefront("front", "first", cwd=cwd)
    assert text in scenefront("confirm", "first", "--seeds", 1, "--near", 0, "--workers", 1, cwd=cwd)
    scenefront("dashboard", "first", "--snapshot", tmp_path / "page.html", cwd=cwd)
    assert text in (tmp_path / "page.html").read_text()
    output = scenefront("export", "first", "--out", tmp_path / "export", "--int8", "none", cwd=cwd)
    assert OVER in output
    card = (tmp_path / "export/card.md").read_text()
    assert f"the mean of the accuracies of the scenes, {OVER}: there is no clip of park." in card
    assert OVER in scenefront("evaluate", tmp_path / "export", lacking, cwd=cwd)


def test_a_data_set_with_every_scene_says_nothing(tiny, tmp_path):
    small = ["--set", "patch=16", "--set", "width=8", "--set", "depth=1", "--set", "batch_size=12"]
    output = scenefront("train", tiny, "isotropic", "--epochs", 1, "--study", "one", *small, cwd=tmp_path)
    assert "warning" not in output
    assert "scenes (no clip" not in output
