"""A search is closed to the network, by its system calls, and leaves nothing behind, not even when killed."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray
from network_observer import decode, descendants, is_local, observe

import objectives
from search.engine.ray_cluster import local_cluster

ROOT = Path(__file__).parents[3]
TUNE_SEARCH = Path(__file__).with_name("tune_search.py")
SOCKET = "import socket, time; s = socket.{}; time.sleep(.5)"
# RFC 5737: an address for documentation, which nothing has. Connecting a UDP socket sends no packet.
CONNECT = SOCKET.format("socket(type=socket.SOCK_DGRAM); s.connect(('192.0.2.1', 9))")
LOOK_UP = SOCKET.format("socket(type=socket.SOCK_DGRAM); s.connect(('127.0.0.1', 53))")
LISTEN = SOCKET.format("create_server(('0.0.0.0', 0))")
LISTEN_UNBOUND = SOCKET.format("socket(); s.listen()")
STAY = SOCKET.format("create_server(('127.0.0.1', 0))")
CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', {!r}])"
# Two helpers of Ray's node try for 60 s to tell the dead cluster about its end, then go as well.
AGENTS = {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}


def environment(**values):
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **values}


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("code", [CONNECT, LISTEN, LISTEN_UNBOUND, LOOK_UP, CHILD.format(CONNECT)])
def test_the_observer_sees_what_is_not_loopback(code, trace, tmp_path):
    assert observe([sys.executable, "-c", code], trace=trace, cwd=tmp_path, env={"HOME": str(tmp_path)}).outside


@pytest.mark.parametrize("trace", [True, False])
def test_the_observer_lets_loopback_pass(trace, tmp_path):
    seen = observe([sys.executable, "-c", STAY], trace=trace, cwd=tmp_path, env={"HOME": str(tmp_path)})
    assert (seen.returncode, seen.outside) == (0, ())
    assert seen.num_local


@pytest.mark.parametrize(
    ("field", "address", "local"),
    [
        ("0100007F:0035", ("127.0.0.1", 53), True),
        ("00000000:1F90", ("0.0.0.0", 8080), False),
        ("0000000000000000FFFF00000100007F:0001", ("::ffff:7f00:1", 1), True),
        ("00000000000000000000000001000000:0001", ("::1", 1), True),
        ("00000000000000000000000000000000:0001", ("::", 1), False),
    ],
)
@pytest.mark.skipif(sys.byteorder != "little", reason="the fields were read on a little-endian machine")
def test_addresses_of_proc_net_are_read(field, address, local):
    assert decode(field) == address
    assert is_local(address[0]) is local


@pytest.mark.slow
def test_a_search_stays_on_loopback_in_any_folder_and_with_any_home(tmp_path):
    for name in ("data", "objectives", "search"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('a file of the user, not of this project')")
    seen = observe(
        [sys.executable, str(TUNE_SEARCH), str(tmp_path / "tune")],
        cwd=tmp_path,
        env=environment(HOME="/proc"),  # not even root can write there
        timeout_s=180,
    )
    assert seen.returncode == 0, seen.output
    assert json.loads(seen.output.splitlines()[-1]) == {
        "num_trials": 4,
        "num_errors": 0,
        "loss": 2.0,
        "package": objectives.__file__,
        "worker_home": "/proc",
        "driver_inside": ["/proc", str(tmp_path)],
        "restored": True,
    }
    assert seen.outside == ()
    assert seen.num_local > 10  # Ray's own processes talk to each other


@pytest.mark.slow
def test_the_same_observer_sees_what_an_unguarded_ray_does(tmp_path):
    code = "import ray; ray.init(num_cpus=1, include_dashboard=False, address='local'); ray.shutdown()"
    seen = observe([sys.executable, "-c", code], env=environment(HOME=str(tmp_path)), cwd=tmp_path, timeout_s=180)
    assert seen.returncode == 0, seen.output
    assert any("waits on" in use or "bind" in use for use in seen.outside), seen.outside
    assert any("connect" in use for use in seen.outside), seen.outside


@pytest.mark.slow
def test_a_cluster_has_a_head_a_node_and_their_agents_and_no_process_besides():
    # Each of Ray's other helpers takes up to 100 MB and half a second of a core, at every start of a search.
    before = descendants({os.getpid()})
    with local_cluster(num_cpus=2):
        wait_until(lambda: {name(pid) for pid in descendants({os.getpid()})} >= AGENTS, 30)
        time.sleep(2)  # what a raylet starts besides, it starts by then
        running = [Path(name(pid).partition("\0")[0]).name for pid in descendants({os.getpid()}) - before]
        assert sorted(running) == sorted([*AGENTS, "gcs_server", "raylet"])


@pytest.mark.slow
def test_a_killed_search_leaves_no_process_and_the_next_start_removes_its_folder(tmp_path, monkeypatch):
    # Not in tmp_path, which is too long for a socket.
    short = Path("/tmp") / f"sf{os.getpid()}"
    short.mkdir()
    monkeypatch.setenv("TMPDIR", str(short))
    monkeypatch.setattr("tempfile.tempdir", None)
    log = tmp_path / "log"
    processes = set()
    with log.open("w") as output:
        driver = subprocess.Popen(
            [sys.executable, str(TUNE_SEARCH), str(tmp_path / "tune"), "wait"],
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: (tmp_path / "tune/waiting").exists() or driver.poll() is not None, 120)
        processes = descendants({driver.pid})
        assert len(processes) >= len(AGENTS) + 3, log.read_text()
        (running,) = short.glob("sf-ray-*")
        assert stat.S_IMODE(running.stat().st_mode) == 0o700
        assert any(path.is_socket() for path in running.rglob("*"))
        assert open_to_others(running) == []
        if os.getuid() == 0:
            tried = subprocess.run(
                ["/bin/ls", running / "r"], user="nobody", capture_output=True, cwd="/", text=True, check=False
            )
            assert (tried.returncode, "Permission denied" in tried.stderr) == (2, True)
        # A killed process leaves nothing in shared memory that has no name there.
        assert [path for path in opened(processes) if path.startswith("/dev/shm/") and "(deleted)" not in path] == []
        driver.kill()
        wait_until(lambda: {name(pid) for pid in processes if alive(pid)} <= AGENTS, 10)
        (left,) = short.glob("sf-ray-*")
        with local_cluster(num_cpus=1):
            (own,) = short.glob("sf-ray-*")
            assert own != left
            assert ray.cluster_resources()["CPU"] == 1
            with pytest.raises(RuntimeError, match="already uses a Ray"), local_cluster(num_cpus=1):
                pass
        assert list(short.iterdir()) == []
    finally:
        driver.kill()
        driver.wait()
        for pid in processes:
            if name(pid) in AGENTS:
                os.kill(pid, signal.SIGKILL)
        short.rmdir()


def open_to_others(folder):
    """Return what another user can reach below a folder, by the modes of the whole way from the root to it."""
    found = []
    for place, folders, files in os.walk(folder):
        for path in (Path(place), *(Path(place, each) for each in (*folders, *files))):
            way = [parent.stat().st_mode & stat.S_IXOTH for parent in path.parents if parent != path]
            if all(way) and path.lstat().st_mode & stat.S_IRWXO:
                found.append(path)
    return found


def opened(pids):
    """Return the paths of the files that processes hold open or have mapped."""
    found = set()
    for pid in pids:
        try:
            found |= {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()}
            lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
            found |= {fields[5] for line in lines if len(fields := line.split(maxsplit=5)) == 6}
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def name(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition, timeout_s):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.02)
