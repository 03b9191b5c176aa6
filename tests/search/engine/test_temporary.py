"""Private temporary folders: closed to other users, and nothing planted under their name is touched."""

import os
import shutil
import stat
import subprocess
import sys
import time

import pytest

from search.engine.temporary import private_folder

HOLD = """
import sys, time
from search.engine.temporary import private_folder
with private_folder("sf-test-") as folder:
    (folder / "r").mkdir()
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_only_its_user_can_enter_it_whatever_the_mask(base):
    before = os.umask(0)
    try:
        with private_folder("sf-test-") as folder:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            (folder / "r").mkdir(mode=0o777)
    finally:
        os.umask(before)
    assert list(base.iterdir()) == []


def test_a_link_under_its_name_is_not_followed(base, tmp_path_factory):
    precious = tmp_path_factory.mktemp("precious")
    (precious / "study.db").touch()
    (base / "sf-test-planted").symlink_to(precious)
    (base / "sf-test-itself").symlink_to(base / "sf-test-itself")
    with private_folder("sf-test-"):
        pass
    assert (precious / "study.db").exists()
    assert (base / "sf-test-planted").is_symlink()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's folder")
def test_another_users_folder_is_left_alone_and_not_used(base):
    theirs = base / "sf-test-theirs"
    (theirs / "r").mkdir(parents=True)
    shutil.chown(theirs, "nobody")
    with private_folder("sf-test-") as folder:
        assert folder != theirs
        assert folder.stat().st_uid == os.getuid()
    assert (theirs / "r").exists()


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_uses_is_not(base):
    environment = {**os.environ, "TMPDIR": str(base)}
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as holder:
        held = base / os.path.basename(holder.stdout.readline().strip())  # noqa: PTH119 - text of another process
        with private_folder("sf-test-"):
            assert (held / "r").is_dir()
        holder.kill()
        holder.wait()
        assert held.exists()
        deadline = time.monotonic() + 10
        while held.exists() and time.monotonic() < deadline:
            with private_folder("sf-test-"):
                pass
        assert list(base.iterdir()) == []
