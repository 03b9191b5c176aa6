r"""Names that are no UTF-8, as old archives leave them: shown escaped (\xff), answered for, and kept out of studies."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data.layout import read_scenes

ROOT = Path(__file__).parents[3]
NAME = os.fsdecode(b"b\xff\xe9.wav")
SHOWN = r"b\xff\xe9.wav"


def noise(path):
    file = io.BytesIO()  # soundfile cannot write to such a name
    soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, 44_100), 44_100, format="WAV", subtype="PCM_16")
    path.write_bytes(file.getvalue())


def scenefront(folder, *arguments):
    """Run a command in a process of its own, in a folder; return its exit code, and the bytes that it wrote."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
    command = [sys.executable, "-m", "search", *map(os.fsencode, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def data(tiny, tmp_path):
    """The tiny data set in a folder whose name is no UTF-8."""
    return shutil.copytree(tiny, tmp_path / os.fsdecode(b"d\xff"), ignore=shutil.ignore_patterns(".scenefront"))


@pytest.mark.parametrize("as_json", [False, True])
def test_predict_answers_for_every_file_and_writes_utf_8(exported, tmp_path, as_json):
    for name in ("a.wav", NAME, "c.wav", "line\nbreak.wav"):
        noise(tmp_path / name)
    (tmp_path / os.fsdecode(b"no\xff.wav")).write_text("no sound")
    sounds = ("a.wav", NAME, os.fsdecode(b"no\xff.wav"), "c.wav", "line\nbreak.wav")
    code, out, err = scenefront(tmp_path, "predict", exported, *sounds, *["--json"] * as_json)
    assert code == 2
    text = out.decode()
    names = [each["file"] for each in json.loads(text)] if as_json else [x.split(": ")[0] for x in text.splitlines()]
    assert names == ["a.wav", SHOWN, "c.wav", r"line\nbreak.wav"]
    assert r"no\xff.wav: neither a WAV nor a FLAC file" in err.decode()
    assert "Traceback" not in err.decode()


def test_data_in_such_a_folder_is_checked_and_evaluated(exported, data):
    noise(data / "audio" / NAME)
    code, out, err = scenefront(data.parent, "data", "check", data.name)
    assert code == 1, err
    assert f"not listed: audio/{SHOWN}" in out.decode()
    code, out, err = scenefront(data.parent, "evaluate", exported, data.name)
    assert code == 0, err
    scenes = read_scenes(data)
    (data / scenes.clips["filename"][scenes.evaluate[0]]).unlink()
    code, _, err = scenefront(data.parent, "evaluate", exported, data.name)
    assert code == 2
    assert r"`scenefront data check d\xff` reads every file" in err.decode()


@pytest.mark.parametrize("command", [("search", "--space", "isotropic"), ("train", "isotropic")])
@pytest.mark.parametrize("setting", ["data", "--cache", "--impulse-responses"])
def test_a_study_refuses_such_a_folder_before_ray_starts_and_leaves_nothing(tiny, data, command, setting):
    name, *options = command
    given = [data.name] if setting == "data" else [tiny, setting, data.name]
    code, _, err = scenefront(data.parent, name, given[0], *options, *given[1:], "--results", "results")
    assert code == 2
    of = setting.removeprefix("--").replace("-", "_")
    assert f"{of} has bytes that are no UTF-8, so that no study can keep it: " in err.decode()
    assert r"d\xff" in err.decode()
    assert "Traceback" not in err.decode()
    assert [path.name for path in data.parent.iterdir()] == [data.name]


def test_a_study_refuses_to_be_kept_in_such_a_folder(tiny, data):
    code, _, err = scenefront(data.parent, "search", tiny, "--space", "isotropic", "--results", data.name)
    assert code == 2
    assert "no UTF-8" in err.decode()
    assert "Traceback" not in err.decode()
    assert not list(data.rglob("*.db"))


def test_an_evaluation_set_in_such_a_folder_is_named(data):
    code, _, err = scenefront(data.parent, "submit", "sheet.yaml", data.name)
    assert code == 2
    assert "Traceback" not in err.decode()
