"""kill -9 of a chain of commands: search, resume, extend, confirm, train and export, with the moment of each kill.

A moment is a number of lines that the command prints first, and a delay after the last of them: the same seed kills at
the same place, on a slow machine too. At every kill the study that is worked on holds a trial that is finished.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from network_observer import descendants
from scenefront_process import SMALL, command, environment
from terminal import listen_to_ctrl_c

from search.artifact.certificate import CERTIFICATE, read_certificate, verify
from search.study.study import StudyFolder

NUM_KILLS = int(os.environ.get("SCENEFRONT_KILLS", "10"))
takes_long = pytest.mark.skipif(NUM_KILLS < 100, reason="takes long: SCENEFRONT_KILLS=100")
TARGETS = ("driver", "worker", "raylet", "gcs", "all")
OPERATIONS = ("search", "resume", "extend", "confirm", "train", "export")
KILLS_A_ROUND = {"search": 1, "resume": 2, "extend": 2, "confirm": 2, "train": 2, "export": 1}
TRIALS, MORE_TRIALS = 8, 11
PATIENCE_S = 600  # other tests may run, too
NODE_DEATH_S = 30  # for a driver whose raylet or GCS is gone
# Two helpers of Ray's node try for 60 s to tell the dead cluster about its end, then go as well.
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
STUDY, CONFIRMED, TRAINED = "s", "s-confirm", "t"  # names of the studies


def commands(data, cwd):
    """Return the command of each operation; they are run in this order."""
    network = ["--set", "patch=16", "--set", "width=32", "--set", "depth=2", "--set", "columns=1"]
    return {
        "search": [
            "search", data, "--space", "isotropic", "--study", STUDY, "--trials", TRIALS, "--epochs", 6, "--seed", 0,
            "--workers", 1, "--no-fast", "--retries", 50, "--budget", "macs=1M,params=30K",
            "--cache", cwd / "cache", *SMALL,
        ],
        "extend": ["extend", STUDY, "--trials", MORE_TRIALS],
        "confirm": ["confirm", STUDY, "--seeds", 3, "--near", 0, "--workers", 1],
        "train": [
            "train", data, "isotropic", "--seeds", 3, "--epochs", 9, "--study", TRAINED, "--workers", 1, "--no-fast",
            "--cache", cwd / "cache", "--set", "batch_size=12", *network,
        ],
        "export": ["export", STUDY, "--retrain", "--cache", cwd / "cache"],
    }  # fmt: skip


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def role(pid):
    """Return what a process of ours is: a name of `TARGETS`, an agent, or nothing special."""
    text = command_of(pid)
    if text.startswith("ray::ResourceTrainable"):  # as Tune calls what it gives resources to
        return "worker"
    if text.startswith(AGENTS):
        return "agent"
    return {"raylet": "raylet", "gcs_server": "gcs"}.get(Path(text.split("\0")[0]).name, "")


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill(pids):
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Driver:
    """A command, and what it has printed."""

    def __init__(self, arguments, cwd, **values):
        self.process = subprocess.Popen(
            command(*arguments), cwd=cwd, env=environment(**values), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
            preexec_fn=listen_to_ctrl_c,  # noqa: PLW1509 - nothing of this process runs in the child
        )  # fmt: skip
        self.is_first = arguments[0] != "resume"
        self.lines, self.processes = [], {self.process.pid}
        self._news = threading.Condition()
        self._is_over = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        with self.process.stdout as output:
            for line in output:
                if " epoch 1/" in line:
                    self.look()
                with self._news:
                    self.lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._is_over = True
            self._news.notify_all()

    @property
    def is_over(self):
        return self.process.poll() is not None

    @property
    def text(self):
        return "".join(self.lines)

    def look(self):
        """Remember the processes that there are now, and return them by what they are."""
        found = {}
        for pid in descendants({self.process.pid}):
            self.processes.add(pid)
            found.setdefault(role(pid), set()).add(pid)
        return found

    def wait_for(self, is_there, patience_s=PATIENCE_S):
        """Wait until `is_there(lines)`, or until the command is over; return whether it is there."""
        with self._news:
            assert self._news.wait_for(lambda: is_there(self.lines) or self._is_over, patience_s), self.text
            return is_there(self.lines)

    def wait(self, patience_s=PATIENCE_S):
        code = self.process.wait(patience_s)
        self._reader.join()
        return code


@dataclass
class Round:
    """One chain of commands in a folder of its own, with its kills.

    Attributes:
        kills: Operation and target.
        missed: Targets by operation that was over before they were killed.
        processes: Every process that was seen.
        log: What was done, to be read where something fails.
    """

    data: Path
    cwd: Path
    temporary: Path
    seed: int
    kills: list = field(default_factory=list)
    missed: dict = field(default_factory=dict)
    processes: set = field(default_factory=set)
    log: list = field(default_factory=list)

    def note(self, text):
        self.log.append(text)
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def run(self, targets):
        """Run the whole chain; `targets` are killed, by operation."""
        self.rng = Random(self.seed)
        for name, first in commands(self.data, self.cwd).items():
            driver = self.operation(name, self.start(first), targets.get(name, []))
            if name == "search":
                if targets.get("resume") and driver.is_first and not driver.is_over:  # only a worker was killed
                    driver.process.send_signal(signal.SIGINT)
                    self.note(f"Ctrl-C: exit {self.ended(driver)}")
                driver = self.operation("resume", self.go_on(driver, "resume"), targets.get("resume", []))
            while driver.is_over and driver.process.returncode:
                driver = self.go_on(driver, name)
            assert self.ended(driver) == 0, driver.text

    def operation(self, name, driver, targets):
        """Kill each of the targets at a random moment of the operation, and return the driver that is left."""
        todo = list(targets)
        while todo:
            if driver.is_over:
                driver = self.go_on(driver, name)
            if not self.wait_for_moment(driver, name, todo[0]):
                assert driver.wait() == 0, driver.text
                if name != "export":  # which is written once more
                    self.missed[name] = todo
                    return driver
                driver = self.start(commands(self.data, self.cwd)[name])
                continue
            driver = self.kill(driver, name, todo.pop(0))
        return driver

    def wait_for_moment(self, driver, name, target):
        """Wait for a random moment at which a finished trial and the target are there; return whether one came."""
        base = len(driver.lines)
        last = 8 if name == "search" else 10 if name == "export" and target in {"worker", "raylet", "gcs"} else 16
        skipped, delay_s = self.rng.randrange(last), self.rng.uniform(0, 2.0 if self.rng.random() < 0.3 else 0.2)
        if not self.settled(name):
            if not driver.wait_for(lambda lines: any(" complete" in line for line in lines)):
                return False
            base = len(driver.lines)
        if not driver.wait_for(lambda lines: len(lines) >= base + skipped):
            return False
        time.sleep(delay_s)
        while not driver.is_over:
            if target in {"driver", "all"} or target in driver.look():
                self.note(f"{name}: kill {target} {delay_s:.3f} s after line {base + skipped}")
                return True
            time.sleep(0.01)
        return False

    def kill(self, driver, name, target):
        """Kill a target, and return the driver that goes on: this one, or the next."""
        before, there = self.settled(name), driver.look()
        assert before, f"nothing was finished when {target} was killed in {name}"
        kill({pid for pids in there.values() for pid in pids} if target == "all" else there.get(target, ()))
        if target in {"driver", "all"}:
            kill({driver.process.pid})
        if target in {"raylet", "gcs"}:
            try:
                driver.wait(NODE_DEATH_S)
            except subprocess.TimeoutExpired:
                kill({driver.process.pid})
                driver.wait()
                pytest.fail(f"the driver outlives its {target} by {NODE_DEATH_S} s: {''.join(driver.lines[-5:])}")
        self.kills.append((name, target))
        if target == "worker":
            return driver
        code = self.ended(driver)
        self.note(f"  exit {code}: {' '.join(driver.lines[-1:]).strip()}")
        now = self.settled(name)
        assert before.items() <= now.items(), "what was settled has changed"
        require_whole_or_none(self.cwd / "exports")
        return self.go_on(driver, name)

    def settled(self, name):
        """Return what is finished in the study of an operation, whole."""
        folder = self.study({"confirm": CONFIRMED, "train": TRAINED}.get(name, STUDY))
        if not folder.exists():
            return {}
        trials = [trial for trial in folder.open().get_trials() if trial.state.is_finished()]
        if not any(trial.state.name == "COMPLETE" for trial in trials):
            return {}
        return {trial.number: (trial.values, json.dumps(trial.user_attrs, sort_keys=True)) for trial in trials}

    def study(self, name):
        return StudyFolder(self.cwd / "results" / name)

    def start(self, arguments):
        self.note(" ".join(map(str, arguments[:2])))
        return Driver(arguments, self.cwd, TMPDIR=str(self.temporary))

    def go_on(self, driver, name):
        """Return the driver itself if it still runs, else the next one, of the command that a person would give."""
        if not driver.is_over:
            return driver
        self.ended(driver)
        known = {"search": STUDY, "resume": STUDY, "confirm": CONFIRMED, "train": TRAINED}.get(name)
        if known is not None and self.study(known).exists():
            return self.start(["resume", known])
        return self.start(commands(self.data, self.cwd)[name])

    def ended(self, driver):
        code = driver.wait()
        self.processes |= driver.processes
        return code


def require_whole_or_none(exports):
    """Require of each folder that it is an export of which all files are as certified, or that it is no export."""
    for folder in exports.glob("*"):
        if (folder / CERTIFICATE).exists():
            verify(folder, read_certificate(folder))


def run_whole(data, cwd, temporary):
    """Run the same chain with no kill, in one process."""
    program = "import json, sys; from search.__main__ import main\nfor each in json.loads(sys.argv[1]): main(each)"
    chain = [[str(part) for part in each] for each in commands(data, cwd).values()]
    ended = subprocess.run(
        [sys.executable, "-c", program, json.dumps(chain)], cwd=cwd, env=environment(TMPDIR=str(temporary)),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=2 * PATIENCE_S, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
