"""A checkpoint is where it was put, whole or not at all, in a folder and on any filesystem that a URI names."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from search.engine.checkpoints import Checkpoints, CheckpointsError

ROOT = Path(__file__).parents[3]
PUSH_FOR_EVER = """
import sys
from search.engine.checkpoints import Checkpoints
checkpoints = Checkpoints(sys.argv[1], "study")
for number in range(1_000_000):
    path = checkpoints.path(7)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes([number % 256]) * 4_000_000)
    checkpoints.push(7)
    print(number, flush=True)
"""


@pytest.fixture(params=["folder", "file", "memory"])
def place(request, tmp_path):
    folder = tmp_path / "a place"
    return {
        "folder": str(folder),
        "file": folder.as_uri(),
        "memory": f"memory://{uuid.uuid4()}/a%20place",  # fsspec's
    }[request.param]


def put(checkpoints, content, number=3, start=0):
    path = checkpoints.path(number, start)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    checkpoints.push(number, start)


def test_what_was_put_last_is_what_is_fetched(place):
    checkpoints = Checkpoints.from_dict(Checkpoints(place, "study").to_dict())
    assert checkpoints.fetch(3) is None
    for content in (b"first", b"second, longer"):
        put(checkpoints, content)
        assert checkpoints.fetch(3).read_bytes() == content
    put(checkpoints, b"from epoch 2 on", start=2)
    put(Checkpoints(place, "other"), b"of another study")
    again = Checkpoints(place, "study")
    assert again.fetch(3).read_bytes() == b"second, longer"
    assert again.fetch(3, start=2).read_bytes() == b"from epoch 2 on"
    assert again.fetch(4) is None
    again.discard(3)
    again.discard(3)
    assert again.fetch(3) is None
    assert again.fetch(3, start=2).read_bytes() == b"from epoch 2 on"


def test_a_place_is_tried_before_it_is_used_and_left_as_it_was(place, tmp_path):
    checkpoints = Checkpoints(place, "study")
    checkpoints.require_usable(is_new=True)
    assert not list((tmp_path / "a place").rglob("*.safetensors"))
    put(checkpoints, b"mine")
    checkpoints.require_usable(is_new=False)
    with pytest.raises(CheckpointsError, match="/study already holds checkpoints of another study"):
        Checkpoints(place, "study").require_usable(is_new=True)
    Checkpoints(place, "other").require_usable(is_new=True)


def test_in_the_study_s_own_folder_nothing_is_copied(tmp_path):
    checkpoints = Checkpoints(str(tmp_path))
    assert checkpoints.path(12) == tmp_path / "trials" / "12" / "checkpoint.safetensors"
    put(checkpoints, b"here", number=12)
    assert checkpoints.fetch(12) == checkpoints.path(12)
    checkpoints.require_usable(is_new=True)
    assert [path.name for path in (tmp_path / "trials").iterdir()] == ["12"]


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("nope://me:secret@host/folder?key=secret", "cannot be kept in nope://host/folder/study: "),
        ("file://", "cannot be kept in file:///study: "),
        ("/proc/nowhere", "cannot be kept in /proc/nowhere/study: "),
    ],
)
def test_a_place_that_cannot_be_used_is_named_without_its_keys(place, told):
    with pytest.raises(CheckpointsError) as error:
        Checkpoints(place, "study").require_usable(is_new=True)
    assert told in str(error.value)
    assert "secret" not in str(error.value)


def test_a_kill_in_the_middle_leaves_a_whole_checkpoint_and_the_rest_is_cleared_away(tmp_path):
    uri = tmp_path.as_uri()
    for _ in range(4):
        pusher = subprocess.Popen(
            [sys.executable, "-c", PUSH_FOR_EVER, uri], env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        )  # fmt: skip
        with pusher.stdout:
            pusher.stdout.readline()
            time.sleep(0.05 + 0.003 * pusher.pid % 0.1)
            pusher.send_signal(signal.SIGKILL)
            pusher.wait()
        content = Checkpoints(uri, "study").fetch(7).read_bytes()
        assert len(content) == 4_000_000
        assert len(set(content)) == 1
        assert [path.name for path in (tmp_path / "study/trials/7").iterdir()] == ["checkpoint.safetensors"]


def test_what_a_killed_process_began_to_write_is_removed(tmp_path):
    checkpoints = Checkpoints(str(tmp_path), "study")
    put(checkpoints, b"whole")
    written = checkpoints.path(3)
    for leftover in (f".{written.name}.4711", f".{written.name}.4712"):
        written.with_name(leftover).write_bytes(b"hal")
    assert checkpoints.fetch(3).read_bytes() == b"whole"
    assert [path.name for path in written.parent.iterdir()] == [written.name]
