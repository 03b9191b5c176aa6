"""Fixtures: the command line run in this process, a study and its export, a table of trials, a browser, a database."""

import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg
import pytest
from trained import SMALL, train

from models import ARCHITECTURES
from search.__main__ import main
from search.export.writing import export_trial
from search.space import custom_architecture
from search.study.study import StudyFolder
from spaces import SPACES

NAN = float("nan")
SCRIPT = "<script>alert(1)</script>"
_NUMBERS = itertools.count()
PATIENCE_MS = 60_000  # with a page, however busy this machine is
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
]


@dataclass
class CommandResult:
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Run a command in this process, in an empty folder; return its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def go(*arguments):
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code or 0
        return CommandResult(code, *capsys.readouterr())

    return go


@pytest.fixture(scope="session")
def study(tiny, tmp_path_factory):
    """A study of one tiny network, trained; not to be changed."""
    folder = StudyFolder(tmp_path_factory.mktemp("results") / "small")
    train(folder, tiny, epochs=8, **SMALL)
    return folder


@pytest.fixture(scope="session")
def exported(study, tmp_path_factory):
    """The export of `study`; not to be changed."""
    target = tmp_path_factory.mktemp("exports") / "small-0"
    export_trial(study, 0, target)
    return target


@pytest.fixture
def export(exported, tmp_path):
    """A copy of the export, to be changed."""
    return shutil.copytree(exported, tmp_path / "export")


@pytest.fixture
def registries():
    """Forget the custom architectures that a test registers."""
    kept = [(each, dict(each)) for each in (ARCHITECTURES, SPACES, custom_architecture._LOADED)]
    modules = set(sys.modules)
    yield
    for each, before in kept:
        each.clear()
        each.update(before)
    for name in set(sys.modules) - modules:
        if name.startswith("user_file_"):
            del sys.modules[name]


@pytest.fixture
def trials():
    """Three on the front, two dominated, one over today's budget, two stopped, one failed, one running, one paused,
    four rejected.
    """
    rows = [
        # number, state, on_front, macro_accuracy, macs, params, reason
        (0, "complete", True, 0.44, 29_747_914, 47_946, ""),
        (1, "complete", True, 0.31, 1_250_000, 8_010, ""),
        (2, "complete", True, 0.40, 9_900_000, 21_500, ""),
        (3, "complete", False, 0.37, 14_000_000, 30_100, ""),
        (4, "complete", False, 0.29, 4_100_000, 90_000, ""),
        (5, "stopped", False, 0.18, 21_270_026, 86_666, "not in the better half at epoch 4"),
        (6, "stopped", False, 0.15, 2_300_000, 9_300, "not in the better half at epoch 4"),
        (7, "failed", False, NAN, 7_500_000, 16_000, f"loss is not finite: nan at epoch 2 {SCRIPT}"),
        (8, "running", False, 0.22, 17_000_000, 42_000, ""),
        (9, "rejected", False, NAN, 53_174_356, 253_880, "over budget: macs 53,174,356 > 30,000,000 (1.77x)"),
        (10, "rejected", False, NAN, 91_000_000, 120_000, "over budget: macs 91,000,000 > 30,000,000 (3.03x)"),
        (11, "rejected", False, NAN, 46_000_000, 47_946, "over budget: macs 46,000,000 > 30,000,000 (1.53x)"),
        (12, "rejected", False, NAN, NAN, NAN, "invalid: patch 300 is larger than the input 256 x 65"),
        (13, "complete", False, 0.46, 38_000_000, 110_000, ""),
        (14, "paused", False, 0.21, 5_600_000, 18_000, ""),
    ]
    table = pd.DataFrame(rows, columns=["number", "state", "on_front", "macro_accuracy", "macs", "params", "reason"])
    table["size_bytes"] = table["params"] * 2
    table["log_loss"] = np.where(table["macro_accuracy"].notna(), 2.3 - table["macro_accuracy"], NAN)
    table["unseen_accuracy"] = table["macro_accuracy"] - 0.06
    table["worst_device_accuracy"] = table["macro_accuracy"] - 0.11
    table["peak_bytes"] = table["macs"] / 200
    table["latency_ms"] = NAN
    table["fits"] = table["number"] != 13
    table["epoch"] = np.where(table["state"] == "rejected", 0, np.where(table["state"] == "complete", 16, 4))
    table["epochs"] = 16
    table["config.architecture"] = "isotropic"
    table["config.width"] = 8 * (1 + table["number"])
    table["config.learning_rate"] = 0.005 / (1 + table["number"])
    table["config.base_channels"] = NAN  # of another architecture
    return table


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium: install the package chromium")
        pytest.skip("no Chromium on the PATH: install the package chromium")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser_context(browser):
    """A context whose cache holds the scripts and their compiled code for all pages of a file of tests."""
    context = browser.new_context(reduced_motion="reduce")
    yield context
    context.close()


@pytest.fixture
def new_page(browser_context):
    """Open pages on which nothing may go wrong, and which may request nothing from any place but their own."""
    opened = []

    def go(home="file://", *, width=1200, height=900):
        page = browser_context.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.set_default_timeout(PATIENCE_MS)
        wrong, requested = [], []
        page.on("console", lambda message: wrong.append(message.text) if message.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda sent: requested.append(sent.url))
        opened.append((page, home, wrong, requested))
        return page

    yield go
    for page, home, wrong, requested in opened:
        assert page.locator(".modebar-btn[data-title^=Share]").count() == 0  # which uploads a plot
        page.evaluate("localStorage.clear()")
        page.close()
        assert [text for text in wrong if "GPU stall" not in text] == []
        assert [url for url in requested if not url.startswith((home, "data:", "blob:"))] == []
        assert requested


@pytest.fixture(scope="session")
def postgres_server():
    """A PostgreSQL server of these tests alone: what stands before `/database` in its URLs, with a password."""
    tools = shutil.which("pg_ctl") or next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))), None)
    if tools is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no PostgreSQL: install the package postgresql")
        pytest.skip("no PostgreSQL: install the package postgresql")
    folder = Path(tempfile.mkdtemp(prefix="sf-postgres-"))  # the server's user may not enter pytest's folders
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}  # never as root
    try:
        (folder / "password").write_text("sec:ret/{1}")
        if user:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres")
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]

        def pg_ctl(*arguments):
            subprocess.run([tools, "-D", folder / "data", "-s", *arguments], check=True, cwd=folder, **user)

        pg_ctl("init", "-o", f"-U tester -A scram-sha-256 --pwfile {folder}/password --no-sync")
        pg_ctl("start", "-w", "-l", folder / "log", "-o", f"-F -p {port} -h 127.0.0.1 -k {folder}")
        try:
            yield f"postgresql://tester:sec%3Aret%2F%7B1%7D@127.0.0.1:{port}"
        finally:
            pg_ctl("stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server):
    """URL of an empty database."""
    name = f"studies_{next(_NUMBERS)}"
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{postgres_server}/{name}"
