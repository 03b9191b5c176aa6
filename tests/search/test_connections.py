"""No command connects to anything but loopback, or leaves a file outside the folders that it was given."""

import sys

import pytest
from connections import command_names, observe_all
from network_observer import named_files, observe

LEAVE = "import os, pathlib; pathlib.Path(os.environ['HOME'], {!r}).{}"
LEFT = {
    "file": LEAVE.format("left", "write_text('x')"),
    "folder": LEAVE.format("left", "mkdir()"),
    "link": LEAVE.format("left", "symlink_to('nowhere')"),
    "renamed": LEAVE.format(
        "before", "touch(); os.rename(os.environ['HOME'] + '/before', os.environ['HOME'] + '/left')"
    ),
    "in the folder": "import os; os.chdir(os.environ['HOME']); open('left', 'w').close()",
    "by a child": "import subprocess; subprocess.run(['/bin/sh', '-c', ': > $HOME/left'])",
}
COMMANDS = [*command_names(), "dashboard (served)"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return list(observe_all(tmp_path_factory.mktemp("observed"), is_whole=False))


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_stays_on_this_machine_and_in_its_folders(rows, command):
    found = [row for row in rows if row.command == command]
    assert found, f"{command} is not in tests/search/connections.py: add it to its plan"
    for row in found:
        assert row.seen.returncode == row.expected, row.seen.output
        assert row.seen.outside == ()
        assert row.seen.left == ()


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("code", LEFT.values(), ids=LEFT)
def test_the_observer_sees_what_is_left_at_home(tmp_path, code, trace):
    (home := tmp_path / "home").mkdir()
    (cwd := tmp_path / "cwd").mkdir()
    command = [sys.executable, "-c", code]
    seen = observe(command, trace=trace, cwd=cwd, env={"HOME": str(home)}, given=[cwd])
    assert (seen.returncode, seen.left) == (0, (str(home / "left"),))
    (home / "left").rmdir() if (home / "left").is_dir() else (home / "left").unlink()
    assert observe(command, trace=trace, cwd=cwd, env={"HOME": str(home)}, given=[home]).left == ()


def test_what_is_gone_at_the_end_is_not_left(tmp_path):
    code = "import tempfile; tempfile.TemporaryDirectory().cleanup()"
    assert observe([sys.executable, "-c", code], cwd=tmp_path, given=[]).left == ()


def test_calls_that_were_interrupted_or_failed_are_read(tmp_path):
    trace = (
        '7 openat(AT_FDCWD</here>, "one", O_WRONLY|O_CREAT, 0666 <unfinished ...>\n'
        '8 mkdir("/two", 0777) = -1 EEXIST (File exists)\n'
        "7 <... openat resumed>) = 3</here/one>\n"
        '8 openat(AT_FDCWD</here>, "three", O_RDONLY) = 4</here/three>\n'
        '8 renameat2(5</a>, "four", 6</b>, "f\\303\\274nf", 0) = 0\n'
        '8 bind(3<UNIX:[1]>, {sa_family=AF_UNIX, sun_path="/run/six"}, 110) = 0\n'
    )
    assert {str(path) for path in named_files(trace, tmp_path)} == {"/here/one", "/b/fünf", "/run/six"}
