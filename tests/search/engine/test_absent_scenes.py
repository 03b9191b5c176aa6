"""A scene without evaluation clips, from the search to the card: each mean says over how many scenes it is."""

import shutil

import pytest
from scenefront_process import SMALL, scenefront

OVER = "over 2 of 3 scenes"
WARNING = f"warning: park has no evaluation clip: means over the scenes are {OVER}"
NETWORK = [
    "--set", "patch=16", "--set", "width=8", "--set", "depth=1", "--set", "batch_size=12", "--workers", 1, "--no-fast",
]  # fmt: skip
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
def found(lacking, tmp_path_factory):
    """A search whose networks are measured on two of three scenes, and what it printed."""
    cwd = tmp_path_factory.mktemp("cwd")
    output = scenefront(
        "search", lacking, "--space", "isotropic", "--study", "first", "--validation", 0, "--trials", 2, "--epochs", 2,
        "--seed", 1, "--budget", "macs=1M,params=30K", "--workers", 1, "--no-fast", *SMALL, cwd=cwd,
    )  # fmt: skip
    return cwd, output


def test_search_preflight_and_train_warn(lacking, found, run):
    assert WARNING in found[1]
    assert WARNING in run("preflight", lacking, "--space", "isotropic", *SMALL).err
    trained = run("train", lacking, "isotropic", "--epochs", 1, "--study", "one", *NETWORK)
    assert WARNING in trained.out
    assert f"macro accuracy {OVER} (no clip of park)" in trained.out


def test_front_confirm_export_and_dashboard_say_it(lacking, found, run, tmp_path):
    cwd, output = found
    results = ("--results", cwd / "results")
    text = f"macro accuracy {OVER} (no clip of park)"
    assert text in output
    assert text in run("front", "first", *results).out
    assert text in run("confirm", "first", "--seeds", 1, "--near", 0, "--workers", 1, *results).out
    run("dashboard", "first", "--snapshot", "page.html", *results)
    assert text in (tmp_path / "page.html").read_text()
    assert OVER in run("export", "first", "--out", "export", "--int8", "none", *results).out
    card = (tmp_path / "export/card.md").read_text()
    assert f"the mean of the accuracies of the scenes, {OVER}: there is no clip of park," in card
    assert OVER in run("evaluate", "export", lacking).out


def test_a_data_set_with_every_scene_says_nothing(searched):
    _, seen = searched
    assert "warning" not in seen.output
    assert "scenes (no clip" not in seen.output
