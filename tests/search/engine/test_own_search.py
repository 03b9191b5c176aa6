"""A whole search of a user's own architecture and space, as a person runs it."""

import json
import shutil

import pytest
import yaml
from scenefront_process import ROOT, scenefront, start

from search.study.study import StudyFolder
from search.study.table import trials_table

SPACE = """
networks:
  plain_cnn: {width: {low: 8, high: 16, step: 8}, depth: [2, 3]}
  isotropic: {width: 32, patch: [12, 16], depth: {low: 2, high: 3}}
front_ends: [tfsepnet]
training: {learning_rate: {low: 1e-3, high: 1e-2, log: true}, batch_size: 12}
"""
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("registries")]


@pytest.fixture(scope="module")
def own_study(tiny, tmp_path_factory):
    """A search of three networks, the folder that it was run in, and an export of one of the user's own."""
    cwd = tmp_path_factory.mktemp("own")
    shutil.copy(ROOT / "docs" / "plain_cnn.py", cwd)
    (cwd / "space.yaml").write_text(SPACE)
    scenefront(
        "search", tiny, "--architecture-file", "plain_cnn.py", "--space", "space.yaml", "--study", "own",
        "--budget", "macs=2M,params=20K", "--trials", 3, "--epochs", 2, "--no-early-stopping", "--no-fast",
        "--workers", 1, "--cache", cwd / "cache", cwd=cwd,
    )  # fmt: skip
    table = trials_table(StudyFolder(cwd / "results" / "own").open())
    number = table.loc[(table["config.architecture"] == "plain_cnn") & (table["state"] == "complete"), "number"].iloc[0]
    scenefront("export", "own", "--trial", number, "--int8", "none", "--out", "found", cwd=cwd)
    return cwd, table


def test_both_architectures_are_trained_within_the_budget_and_the_space(own_study):
    _, table = own_study
    trained = table[table["epoch"] > 0]
    assert trained["state"].eq("complete").all()
    assert len(trained) == 3
    assert set(trained["config.architecture"]) == {"plain_cnn", "isotropic"}
    assert trained["macs"].le(2_000_000).all()
    assert trained["params"].le(20_000).all()
    assert trained["config.front_end"].eq("tfsepnet").all()
    assert trained["config.batch_size"].eq(12).all()
    own = trained[trained["config.architecture"] == "plain_cnn"]
    assert set(own["config.width"]) <= {8, 16}
    assert set(own["config.depth"]) <= {2, 3}


def test_an_export_of_ones_own_brings_its_file_and_is_what_it_was(own_study, run, tiny):
    cwd, _ = own_study
    found = cwd / "found"
    report = json.loads((found / "certificate.json").read_text())
    assert yaml.safe_load((found / "config.yaml").read_text())["architecture"] == "plain_cnn"
    without = run("evaluate", found, tiny, "--cache", cwd / "cache")
    assert without.code == 2
    assert "unknown architecture 'plain_cnn'" in without.err
    assert f"name its file: --architecture-file {found}/plain_cnn.py" in without.err
    told = run(
        "evaluate", found, tiny, "--architecture-file", found / "plain_cnn.py", "--cache", cwd / "cache", "--json"
    )
    assert told.code == 0, told.err
    measured = json.loads(told.out)
    assert measured["confusion"] == report["quality"]["weights.safetensors"]["confusion"]
    assert measured["log_loss"] == pytest.approx(report["quality"]["weights.safetensors"]["log_loss"], rel=1e-4)


@pytest.mark.parametrize("name", ["plain_cnn.py", "space.yaml"])
def test_a_study_whose_files_have_changed_is_left_as_it_is(own_study, run, name):
    cwd, table = own_study
    results, file = cwd / "results", cwd / name
    before = file.read_text()
    file.write_text(before + "\n# changed\n")
    try:
        refused = run("resume", "own", "--results", results)
        assert refused.code == 2
        assert refused.err == (
            f"error: {file} is gone or has changed since own was started; bring it back, or start a new study\n"
        )
        if name == "plain_cnn.py":
            refused = run("export", "own", "--results", results, "--trial", 0, "--out", cwd / "late")
            assert refused.code == 2
            assert f"{file} is gone or has changed since own was started; bring it back" in refused.err
            assert not (cwd / "late").exists()
    finally:
        file.write_text(before)
    assert len(trials_table(StudyFolder(results / "own").open())) == len(table)


def test_a_study_of_ones_own_that_is_complete_has_nothing_to_resume(own_study, run):
    cwd, table = own_study
    assert "all 3 trials are done" in run("resume", "own", "--results", cwd / "results").out
    assert len(trials_table(StudyFolder(cwd / "results" / "own").open())) == len(table)


def test_a_search_with_a_broken_file_is_refused_before_anything_starts(run, tiny, tmp_path):
    source = (ROOT / "docs" / "plain_cnn.py").read_text()
    (tmp_path / "plain_cnn.py").write_text(source.replace("frozen=True, ", ""))
    refused = run("search", tiny, "--architecture-file", "plain_cnn.py", "--space", "plain_cnn")
    assert refused.code == 2
    assert refused.err == (
        f"error: {tmp_path}/plain_cnn.py is not a valid architecture: its config must be frozen: "
        "@dataclass(frozen=True)\n"
    )
    assert not (tmp_path / "results").exists()


def test_an_error_in_a_network_s_own_code_fails_its_trial_at_once_and_its_traceback_is_kept(tiny, tmp_path):
    source = (ROOT / "docs" / "plain_cnn.py").read_text()
    forward = source.index("    def forward(")
    body = source.index('"""\n', source.index('"""', forward) + 3) + 4
    # only batches of training are as large
    wrong = '        if len(x) > 8:\n            raise LookupError("a weight that is not there")\n'
    (tmp_path / "broken_cnn.py").write_text(source[:body] + wrong + source[body:])
    process = start(
        "search", tiny, "--architecture-file", "broken_cnn.py", "--space", "broken_cnn", "--study", "broken",
        "--trials", 2, "--epochs", 2, "--set", "batch_size=12", "--no-early-stopping", "--no-fast", "--workers", 1,
        "--cache", tmp_path / "cache", cwd=tmp_path,
    )  # fmt: skip
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 1, output
    folder = StudyFolder(tmp_path / "results" / "broken")
    failed = [trial for trial in folder.open().get_trials() if trial.state.name == "FAIL"]
    assert len(failed) == 2
    for trial in failed:
        file = folder.path / "trials" / str(trial.number) / "traceback.txt"
        text = f"internal error: LookupError: a weight that is not there; its traceback is in {file}"
        assert (trial.user_attrs["failure"], trial.user_attrs.get("attempts")) == (text, None)
        assert "broken_cnn.py" in file.read_text()
        assert text in output
