"""Signals to a search in a terminal: what it prints, its exit code, and that nothing is left and nothing is lost."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time

import pytest
from killed import NUM_KILLS, Driver, commands, is_alive, kill, role, takes_long
from network_observer import descendants
from scenefront_process import command, environment, finished
from terminal import listen_to_ctrl_c

from search.study.study import ATTEMPTS, StudyFolder

pytestmark = pytest.mark.slow

PATIENCE_S = 600  # other tests may run, too
STOPPED_S = 60
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")  # how a terminal is told to move its cursor, and of colours
HINT = "interrupted; finished trials are kept. Continue with `scenefront resume s`"


def in_terminal():
    """Make standard input, a terminal, that of this process and its children."""
    listen_to_ctrl_c()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A command in a terminal of its own, and what is written to that."""

    def __init__(self, arguments, cwd, temporary):
        self.keyboard, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
        self.process = subprocess.Popen(
            command(*arguments), cwd=cwd, env=environment(TMPDIR=str(temporary), TERM="xterm"), stdin=inside,
            stdout=inside, stderr=inside, start_new_session=True,
            preexec_fn=in_terminal,  # noqa: PLW1509 - nothing of this process runs in the child
        )  # fmt: skip
        os.close(inside)
        self.pieces = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        while True:
            try:
                self.pieces.append(os.read(self.keyboard, 65536))
            except OSError:  # nobody holds its other end any more
                return

    def text(self, since=0):
        return CONTROL.sub("", b"".join(self.pieces[since:]).decode(errors="replace")).replace("\r", "\n")

    def type(self, *keys):
        for key in keys:
            os.write(self.keyboard, key)
            time.sleep(0.3)


def ctrl_c(terminal):
    terminal.type(b"\x03")


def ctrl_c_twice(terminal):
    terminal.type(b"\x03", b"\x03")


def terminate(terminal):
    terminal.process.send_signal(signal.SIGTERM)


def hang_up(terminal):
    terminal.process.send_signal(signal.SIGHUP)


def test_a_search_in_a_terminal_is_interrupted_in_a_sentence_and_resumes(tiny, tmp_path, temporary):
    wanted = [("--trials", 60), ("--epochs", 12)]
    start = [str(part) for part in commands(tiny, tmp_path)["search"]]
    for name, value in wanted:
        start[start.index(name) + 1] = str(value)
    before = {}
    ways = [(ctrl_c_twice, 130), (terminate, 143), (ctrl_c, 130), (hang_up, 129)]
    for interrupt, code in ways if NUM_KILLS >= 100 else ways[:2]:
        terminal = Terminal(start if not before else ["resume", "s"], tmp_path, temporary)
        deadline = time.monotonic() + PATIENCE_S
        while len(finished(tmp_path)) <= len(before):
            assert terminal.process.poll() is None, terminal.text()
            assert time.monotonic() < deadline, terminal.text()
            time.sleep(0.5)
        processes = descendants({terminal.process.pid})
        mark = len(terminal.pieces)
        interrupt(terminal)
        assert terminal.process.wait(PATIENCE_S / 4) == code, (interrupt.__name__, terminal.text(mark))
        terminal.reader.join()
        said = [line.strip() for line in terminal.text(mark).splitlines()]
        assert HINT in said, (interrupt.__name__, said)
        assert not any("Traceback" in line for line in said), said
        assert_nothing_left(processes, temporary)
        now = finished(tmp_path)
        assert before.items() <= now.items()
        before = now
    assert not StudyFolder(tmp_path / "results/s").is_locked()


def assert_nothing_left(processes, temporary):
    deadline = time.monotonic() + 20
    while left := [role(pid) or pid for pid in processes if is_alive(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    kill(processes)
    assert [path for path in temporary.rglob("*") if not path.is_dir()] == []


@takes_long
def test_a_worker_that_is_suspended_goes_on_and_no_trial_is_charged_for_it(tiny, tmp_path, temporary):
    start = commands(tiny, tmp_path)["search"]
    start[start.index("--trials") + 1], start[start.index("--epochs") + 1] = 12, 24
    driver = Driver(start, tmp_path, TMPDIR=str(temporary))
    assert driver.wait_for(lambda lines: any(" complete" in line for line in lines)), driver.text
    while "worker" not in (found := driver.look()):
        assert not driver.is_over, driver.text
    (worker,) = found["worker"]
    os.kill(worker, signal.SIGSTOP)
    time.sleep(STOPPED_S)
    assert not driver.is_over, driver.text
    os.kill(worker, signal.SIGCONT)
    assert driver.wait() == 0, driver.text
    trials = StudyFolder(tmp_path / "results/s").open().get_trials()
    assert [trial.number for trial in trials if ATTEMPTS in trial.user_attrs] == []
    assert sum(trial.state.name == "COMPLETE" for trial in trials) >= 1
    assert_nothing_left(driver.processes, temporary)
