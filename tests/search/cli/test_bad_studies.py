"""Studies, trials and numbers that cannot be: each command that reads a study refuses with one sentence, or says so.

Each row has the command, its exit code, and the end of what it says.
"""

import os
import shutil

import pytest
from recorded import trial, write_study

from tests.search.dashboard.small_study import GROUPS, write_small

MISSING = "unknown study 'nothere'; there are: {studies} (in results)"
STUDIES = "binary, broken, cut, device, duplicate, empty, emptydb, junkdb, mine, newer, nodb, pipe, pipedb, wrong"
MANGLED = {
    "cut": lambda text: text[:-40],
    "broken": lambda text: text[:0] + "data: [",
    "newer": lambda text: text.replace("format: 2", "format: 99"),
    "wrong": lambda text: text.replace("trials: 12", "trials: many"),
    "duplicate": lambda text: text.replace("trials: 12", "trials: 12\ntrials: 24"),
}
# Files in whose place there is a link: to a device, or to a pipe that nobody writes to.
LINKED = {"pipe": ("search.yaml", None), "device": ("search.yaml", "/dev/zero"), "pipedb": ("study.db", None)}
NOT_REGULAR = "not a regular file; write its content to a file first"
SAID = {
    "cut": "cut/search.yaml is cut short: it starts with --- and does not end with ...; remove it, and the settings "
    "are read from the study's database",
    "broken": "is not YAML that can be loaded safely: line 1: expected the node content, but found '<stream end>'",
    "newer": "newer/search.yaml has format 99, of a newer scenefront: this one knows 1 to 2",
    "wrong": "wrong/search.yaml: trials must be a whole number of at least 1, got 'many'",
    "duplicate": "the key trials is given a second time, after line 14",
    "binary": "binary/search.yaml cannot be read: it is not UTF-8 (invalid start byte at byte 0)",
    "nodb": "nodb holds no study: study.db is missing",
    "junkdb": "junkdb/study.db is no study that can be read: file is not a database",
    "emptydb": "emptydb/study.db is no study that can be read: it holds 0 studies, not one",
    "pipe": f"pipe/search.yaml cannot be read: it is a pipe, {NOT_REGULAR}",
    "device": f"device/search.yaml cannot be read: it is a device, {NOT_REGULAR}",
    "pipedb": "pipedb/study.db is no study that can be read: disk I/O error",
}
COMMANDS = [("front",), ("status",), ("plot",), ("resume",), ("extend", "--trials", "+1"), ("confirm",)]
BAD_STUDIES = [
    *(((name, study, *rest), 2, said) for study, said in SAID.items() for name, *rest in COMMANDS[:2]),
    *(((name, "cut", *rest), 2, SAID["cut"]) for name, *rest in COMMANDS[2:]),
    *(((name, "nothere", *rest), 2, MISSING) for name, *rest in COMMANDS),
    (("front", ""), 2, "unknown study ''; there are: {studies} (in results)"),
    (("front", "a\0b"), 2, "unknown study 'a\\x00b'; there are: {studies} (in results)"),
    (("front", "x" * 300), 2, "File name too long"),
    (("front", "../mine"), 2, "unknown study '../mine'; did you mean 'mine'? (in results)"),
    (("front", "--results", "nowhere"), 2, "there is no study in nowhere yet; start one with `scenefront search`"),
    (("front", "mine", "--rank", "dcase2030"), 2, "'dcase2030' is not one of 'dcase2022', 'dcase2023', 'dcase2024'."),
    (("front", "mine", "--rank", "dcase2024"), 2, "search with --fidelity split"),
    (
        ("front", "mine", "--all", "--rank", "dcase2022"),
        2,
        "--all and --rank exclude each other: partly trained trials have no rank",
    ),
    (("front", "mine", "--json", "--csv"), 2, "--json and --csv exclude each other"),
    (("front", "empty"), 0, "the front is empty: no trial that fits is fully trained yet"),
    (("front", "empty", "--rank", "dcase2022"), 0, "the ranking is empty: no trial is fully trained yet"),
    (("plot", "mine", "--x", "macz"), 2, "unknown objective 'macz'; did you mean 'macs'?"),
    (("plot", "mine", "--y", "macs"), 2, "x and y must be two objectives, got macs twice"),
    (("plot", "mine", "--out", "results/mine/search.yaml"), 2, "results/mine/search.yaml: File exists"),
    (("confirm", "empty"), 2, "the front of empty is empty: no trial that fits is fully trained yet"),
    (("confirm", "mine", "--trials", "a"), 2, "--trials takes comma-separated numbers, got 'a'"),
    (
        ("confirm", "mine", "--trials", "99"),
        2,
        "trial 99 of mine cannot be confirmed; fully trained and within the budget are: 0, 1, 2, 3, 11",
    ),
    (("confirm", "mine", "--trials", "4"), 2, "fully trained and within the budget are: 0, 1, 2, 3, 11"),
    (("confirm", "mine", "--seeds", "0"), 2, "Invalid value for '--seeds': 0 is not in the range x>=1."),
    (("confirm", "mine", "--near", "-1"), 2, "Invalid value for '--near': -1 is not in the range x>=0."),
    (("extend", "mine"), 2, "--trials, --budget, --range or another option of `scenefront extend --help`"),
    (
        ("extend", "mine", "--trials", "few"),
        2,
        "trials must be a whole number, or +NUMBER for that many more, got 'few'",
    ),
    (("extend", "mine", "--trials", "1"), 2, "trials cannot decrease: there are 12, got 1; +1 means that many more"),
    (("extend", "mine", "--trials", "-5"), 2, "or +NUMBER for that many more, got '-5'"),
    (("extend", "mine", "--budget", "macz=1"), 2, "there are macs, params, size_bytes, nonzero_bytes, peak_bytes"),
    (("extend", "mine", "--range", "width"), 2, "--range takes KEY=VALUE, got 'width'"),
    (("extend", "mine", "--epochs", "5"), 2, "start a new study, from this one's with --start"),
    (("extend", "mine", "--sampler", "x"), 2, "'x' is not one of 'tpe', 'nsga2', 'random'."),
    (("extend", "mine", "--space", "none.yaml"), 2, "only a file can take a file's place"),
    (("extend", "mine", "--data", "nowhere"), 2, "nowhere: no such folder; give the folder that holds meta.csv"),
    (("resume", "mine", "--data", "nowhere"), 2, "nowhere: no such folder; give the folder that holds meta.csv"),
    (("resume", "mine", "--workers", "0"), 2, "workers must be a whole number of at least 1, got 0"),
    (("resume", "mine", "--address", "x"), 2, "address must be auto or HOST:PORT of a running Ray, got 'x'"),
    (("export", "mine", "--trial", "x"), 2, "--trial must be a number or best, got 'x'"),
    (("export", "mine", "--trial", "4"), 2, "only fully trained ones can be exported: 0, 1, 2, 3, 11"),
    (("dashboard", "mine", "empty", "--snapshot", "x.html"), 2, "--snapshot writes one study to a file; name one"),
    (("dashboard", "--results", "nowhere"), 2, "--results names the folder of all studies"),
]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A study that is whole, one without trials, and some that are broken, each in a way of its own."""
    results = tmp_path_factory.mktemp("recorded") / "results"
    write_small(results / "mine")
    one, data = trial("complete", 1_200_000, 0.2, 0.3), {"data": {"classes": ["a"], "split": "fold1"}}
    attributes = {"objectives": ["macro_accuracy", "macs"], "device_groups": GROUPS, **data}
    write_study(results / "empty", attributes=attributes)
    for name in (*MANGLED, "binary", "nodb", "junkdb", "emptydb", *LINKED):
        folder = write_study(results / name, one, attributes=attributes)
        if name in MANGLED:
            folder.settings_file.write_text(MANGLED[name](folder.settings_file.read_text()))
    (results / "binary/search.yaml").write_bytes(b"\xff\xfe\0")
    (results / "nodb/study.db").unlink()
    (results / "junkdb/study.db").write_bytes(b"no database at all" * 100)
    (results / "emptydb/study.db").write_bytes(b"")
    os.mkfifo(pipe := results.parent / "pipe")
    for name, (file, target) in LINKED.items():
        (results / name / file).unlink()
        (results / name / file).symlink_to(target or pipe)
    return results


@pytest.mark.parametrize(("arguments", "code", "sentence"), BAD_STUDIES, ids=[repr(each[0]) for each in BAD_STUDIES])
def test_a_study_or_a_number_that_cannot_be_is_answered_in_one_sentence(
    run, recorded, tmp_path, arguments, code, sentence
):
    shutil.copytree(recorded, tmp_path / "results", symlinks=True)
    before = contents(tmp_path / "results")
    result = run(*arguments)
    assert (result.code, "Traceback" in result.err) == (code, False), result.err
    told = (result.err if code else result.out).strip().splitlines()[-1]
    assert told.endswith(sentence.format(studies=STUDIES))
    assert contents(tmp_path / "results") == before


def contents(results):
    return {path: path.read_bytes() for path in results.rglob("search.yaml") if path.is_file()}


def test_a_settings_file_cut_short_may_be_removed_and_is_read_from_the_database(run, recorded, tmp_path):
    shutil.copytree(recorded, tmp_path / "results", symlinks=True)
    whole = run("front", "empty", "--json")
    cut = tmp_path / "results/cut/search.yaml"
    assert run("front", "cut").code == 2
    cut.unlink()
    result = run("front", "cut", "--json")
    assert (result.code, whole.code) == (0, 0)
    assert '"number":0' in result.out.replace(" ", "")


def test_folders_of_systems_are_no_studies(run, recorded, tmp_path):
    shutil.copytree(recorded / "mine", tmp_path / "results/mine")
    shutil.copytree(recorded / "empty", tmp_path / "results/@eaDir")
    result = run("front", "nothere")
    assert result.err == "error: unknown study 'nothere'; there are: mine (in results)\n"
