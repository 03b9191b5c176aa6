"""An export is written whole or not at all, and the same trial is written the same."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import listen_to_ctrl_c
from trained import SMALL, train

from search.artifact.certificate import CERTIFICATE, WEIGHTS, ExportError, read_certificate
from search.artifact.files import INT8, MODEL
from search.artifact.reading import load_export
from search.export import certification
from search.export.atomic_folder import UNFINISHED
from search.export.certification import certify
from search.export.writing import export_trial
from search.study.study import StudyError, StudyFolder
from training.checkpoint import read_tensors

ROOT = Path(__file__).parents[3]


def contents(folder):
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    certificate = json.loads(files.pop(CERTIFICATE))
    certificate.pop("written")
    return files, certificate


@pytest.fixture(scope="module")
def again(study, tmp_path_factory):
    """The same trial, exported a second time, over the first."""
    target = tmp_path_factory.mktemp("again") / "small-0"
    logged = []
    export_trial(study, 0, target, int8="none")
    (target / "mine.txt").write_text("mine")
    export_trial(study, 0, target, log=logged.append)
    return target, logged


def test_the_same_trial_is_exported_as_the_same_bytes_but_for_when_it_was_written(exported, again):
    target, _ = again
    found, expected = contents(target), contents(exported)
    assert found[0].pop("mine.txt") == b"mine"
    assert set(found[0]) == set(expected[0])
    assert [name for name, data in expected[0].items() if found[0][name] != data] == []
    assert found[1] == expected[1]


def test_each_step_is_logged(again):
    _, logged = again
    assert logged[:4] == [f"writing {name}" for name in (WEIGHTS, MODEL, "pipeline.onnx", INT8)]
    assert f"evaluating {INT8} on 24 evaluation clips" in logged
    assert any(line.startswith("quantization drops the macro accuracy by ") for line in logged)


def test_without_int8_there_is_none(study, tmp_path):
    certificate = export_trial(study, 0, tmp_path / "out", int8="none")
    assert INT8 not in certificate["files"]
    assert "| model.int8.onnx |" not in (tmp_path / "out" / "card.md").read_text()


def test_a_folder_that_holds_something_else_is_refused(study, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "certificate.json").write_text("{}")
    (tmp_path / "file").write_text("mine")
    for name, reason in (("mine", "holds something else than an export"), ("file", "is a file; name a folder")):
        with pytest.raises(ExportError, match=reason):
            export_trial(study, 0, tmp_path / name)
    assert (tmp_path / "mine" / "certificate.json").read_text() == "{}"


def test_an_export_of_format_1_is_replaced(exported, study, tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    for name in ("config.yaml", WEIGHTS, "report.json", "report.md"):
        (old / name).write_text("old")
    export_trial(study, 0, old, int8="none")
    assert not (old / "report.json").exists()
    assert not (old / "report.md").exists()
    assert load_export(old).classes == ("airport", "bus", "park")


def test_an_export_of_format_2_is_replaced_with_all_its_files(export, study):
    certificate = read_certificate(export)
    (export / "answering.safetensors").write_bytes(b"old")
    certificate["files"]["answering.safetensors"] = {"sha256": "0" * 64}
    (export / CERTIFICATE).write_text(json.dumps({**certificate, "format": 2}))
    export_trial(study, 0, export, int8="none")
    assert not (export / "answering.safetensors").exists()
    assert load_export(export).classes == ("airport", "bus", "park")


class BrokenOffError(Exception):
    """Raised in the middle of an export, as by a signal."""


def test_what_fails_in_the_middle_leaves_nothing_or_what_was_there_before(study, export, tmp_path, monkeypatch):
    def break_off(*_):
        raise BrokenOffError

    before = contents(export)
    monkeypatch.setattr(certification, "card", break_off)
    for target in (tmp_path / "new", export):
        with pytest.raises(BrokenOffError):
            export_trial(study, 0, target, int8="none")
    assert not (tmp_path / "new").exists()
    assert contents(export) == before
    load_export(export)


@pytest.mark.slow
def test_a_killed_export_is_none_and_the_next_takes_its_place(study, tmp_path):
    target = tmp_path / "killed"
    program = (
        "import os, signal, sys; from pathlib import Path; from search.export import writing;"
        "from search.study.study import StudyFolder;"
        "writing.convert = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL);"
        "writing.export_trial(StudyFolder(Path(sys.argv[1])), 0, Path(sys.argv[2]), int8='none')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, study.path, target], cwd=ROOT, check=False, capture_output=True
    )
    assert ended.returncode == -signal.SIGKILL
    assert [path.name for path in target.iterdir()] == [UNFINISHED]
    with pytest.raises(ExportError, match=r"is not an export: it has no certificate\.json"):
        load_export(target)
    export_trial(study, 0, target, int8="none")
    assert UNFINISHED not in {path.name for path in target.iterdir()}
    load_export(target)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_an_export_that_is_interrupted_leaves_nothing(study, tmp_path, number):
    program = (
        "import os, sys; from search.export import writing; from search.__main__ import main;"
        f"writing.convert = lambda *_, **__: os.kill(os.getpid(), {int(number)});"
        "main(sys.argv[1:])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "export", study.path, "--trial", "0", "--out", tmp_path / "out"], cwd=ROOT,
        check=False, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(tmp_path)},
        preexec_fn=listen_to_ctrl_c,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr.strip()) == (128 + number, "interrupted")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_leaves_nothing(study, tmp_path):
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, old[1]))
    try:
        with pytest.raises(
            ExportError, match=r"cannot be written: File too large; free disk space, then export again"
        ) as caught:
            export_trial(study, 0, tmp_path / "out", int8="none")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert caught.value.__cause__.errno == errno.EFBIG
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(study):
    with pytest.raises(OSError, match="/proc/scenefront"):
        export_trial(study, 0, Path("/proc/scenefront"), int8="none")


def test_other_data_than_the_study_s_are_refused(study, tiny, tmp_path):
    other = tmp_path / "other"
    (other / "evaluation_setup").mkdir(parents=True)
    for name in ("meta.csv", "evaluation_setup/fold1_train.csv", "evaluation_setup/fold1_evaluate.csv"):
        lines = (tiny / name).read_text().splitlines()
        (other / name).write_text("\n".join(lines[:-1] if "train" in name else lines))
    with pytest.raises(
        StudyError, match=r"is not the data that .* was started on: training_clips was .*; lists_sha256 was"
    ):
        export_trial(study, 0, tmp_path / "out", other)
    with pytest.raises(ExportError, match="--data names the folder where they are now"):
        export_trial(study, 0, tmp_path / "out", tmp_path / "nowhere")
    assert not (tmp_path / "out").exists()


def test_where_the_budget_limits_bytes_the_weights_are_stored_as_it_counts_them(tiny, tmp_path):
    folder = StudyFolder(tmp_path / "bytes")
    train(folder, tiny, epochs=1, settings={"budget": "dcase2024", "precision": "fp16"}, **SMALL)
    certificate = export_trial(folder, 0, tmp_path / "out", int8="none")
    weights, _ = read_tensors(tmp_path / "out" / WEIGHTS)
    assert {str(value.dtype) for value in weights.values()} == {"torch.float16", "torch.int64"}
    verdict = certificate["budget"]["files"][WEIGHTS]
    assert (verdict["precision"], verdict["measured"]["size_bytes"]) == ("fp16", 2 * certificate["cost"]["params"])
    assert certificate["budget"]["name"] == "dcase2024"


def test_files_can_be_replaced_and_are_measured_and_certified_anew(export, exported, tiny, tmp_path):
    before = read_certificate(export)
    shutil.copy(export / MODEL, tmp_path / "new.onnx")
    note = f"{INT8} is not quantized at all."
    certificate = certify(export, {INT8: tmp_path / "new.onnx"}, tiny, notes=[note])
    assert certificate == read_certificate(export)
    assert certificate["files"][INT8]["sha256"] == certificate["files"][MODEL]["sha256"]
    assert certificate["quality"][INT8] == certificate["quality"][MODEL]
    assert certificate["editions"]["dcase2024"]["files"][INT8]["precision"] == "fp32"
    assert certificate["notes"] == [note]
    assert note in (export / "card.md").read_text()
    assert {name: certificate[name] for name in ("study", "cost", "data")} == {
        name: before[name] for name in ("study", "cost", "data")
    }
    certify(export, {INT8: exported / INT8}, tiny)
    assert contents(export) == contents(exported)


def test_an_export_is_certified_on_its_own_data_alone(export, tiny, tmp_path):
    other = shutil.copytree(tiny, tmp_path / "other")
    path = other / "evaluation_setup" / "fold1_evaluate.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    before = contents(export)
    with pytest.raises(ExportError, match="is not the data that the export was evaluated on"):
        certify(export, {INT8: export / MODEL}, other)
    assert contents(export) == before
