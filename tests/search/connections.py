"""Every command of the program, observed: connections that left this machine, and files outside the given folders.

    python tests/search/connections.py

prints one row for each command, and exits with 1 if any connects or leaves anything. Each command runs with a fresh
HOME, in an empty folder, and without CI: libraries with telemetry keep quiet where that is set.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from network_observer import Observation, observe

from search.__main__ import cli
from search.submission.edition import DCASE2024

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
# What a person's environment does not have, or what would keep a library quiet.
NAMES = {"CI", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR",
         "MPLCONFIGDIR", "ORT_DISABLE_TELEMETRY", "RAY_USAGE_STATS_ENABLED", "DO_NOT_TRACK"}  # fmt: skip
# What search, train, resume, extend and confirm have in common: networks that train in a moment.
SMALL = ["--space", "isotropic", "--epochs", "1", "--split", "5", "--budget", "macs=1M,params=30K",
         "--range", "patch=12:16", "--range", "width=32:48", "--range", "depth=2:3",
         "--range", "columns=1:1", "--set", "batch_size=12", "--workers", "1", "--no-fast"]  # fmt: skip
NETWORK = ["--epochs", "1", "--split", "5", "--set", "width=8", "--set", "depth=1", "--set", "batch_size=12",
           "--workers", "1", "--no-fast"]  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A command, and what was seen of it.

    Attributes:
        command: Its name: `data demo`.
        arguments: As they were given, below the name of the given folder.
        expected: Its exit code when all is well.
        seen: What it did.
    """

    command: str
    arguments: tuple[str, ...]
    expected: int
    seen: Observation

    def line(self) -> str:
        """Return the row of a Markdown table."""
        outside = "; ".join(self.seen.outside) or "0"
        left = "; ".join(self.seen.left) or "0"
        return f"| `{self.command}` | {self.seen.num_local} | {outside} | {left} |"


HEAD = (
    "| command | uses of loopback | connections and look-ups that left it | files outside the given folders |\n"
    "|---|---|---|---|"
)


def command_names(group: click.Group = cli, before: str = "") -> Iterator[str]:
    """Return the name of every command, as it is typed."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from command_names(command, f"{before}{name} ")
        else:
            yield f"{before}{name}"


def plan(given: Path, *, is_whole: bool) -> list[tuple[str, list[str], int]]:
    """Return name, arguments and expected exit code of runs that need each other's results, in order.

    `is_whole` adds what takes long, a submission of the whole evaluation set.
    """
    data, results, export = str(given / "tau"), ["--results", str(given / "results")], str(given / "export")
    sound = str(min((given / "tau/audio").iterdir()))
    sheet, cache = str(given / "sheet.yaml"), ["--cache", str(given / "cache")]
    exports = [part for split in DCASE2024.splits for part in ("--split", f"{split}={export}")]
    pipeline, package = f"{export}/pipeline.onnx", str(given / "submission.zip")
    return [
        ("data demo", [str(given / "demo")], 0),
        ("data check", [str(given / "demo")], 0),
        ("price", ["isotropic"], 0),
        ("published", [], 0),
        ("recipes", [], 0),
        ("preflight", [data, *SMALL, *cache, "--html", str(given / "preflight.html")], 0),
        ("search", [data, *SMALL, *cache, "--trials", "2", "--study", "found", *results], 0),
        ("resume", ["found", *results], 0),
        ("extend", ["found", *results, "--trials", "+1", "--workers", "1"], 0),
        ("confirm", ["found", *results, "--seeds", "1", "--near", "0", "--workers", "1"], 0),
        ("train", [data, "isotropic", *NETWORK, *cache, "--study", "trained", *results], 0),
        ("status", ["found", *results], 0),
        ("front", ["found", *results, "--csv"], 0),
        ("plot", ["found", *results], 0),
        ("dashboard", ["found", *results, "--snapshot", str(given / "snapshot.html")], 0),
        ("export", ["found", *results, "--out", str(given / "exported"), *cache], 0),
        ("evaluate", [pipeline, data, "--split", "5", *cache], 0),
        ("predict", [export, sound], 0),
        ("predict", [pipeline, sound], 0),
        ("bench", [f"{export}/model.int8.onnx"], 0),
        ("quantize", [export, data, "--split", "5", "--epochs", "1", *cache], 0),
        ("submit", ["--template", sheet], 0),
        ("submit", [sheet, str(given / "tau/audio"), *exports, "--out", str(given / "package.zip")], 2),
        *([("submit", [str(given / "filled.yaml"), str(given / "sounds"), "--out", package], 0)] if is_whole else []),
    ]  # fmt: skip


def make_given(root: Path, *, is_whole: bool) -> Path:
    """Make the folder that the commands are given: a data set and an export, of a whole plan an evaluation set, too."""
    sys.path.insert(0, str(HERE / "submission"))
    from tau_exports import link_sounds, make_export, write_sheet, write_tau

    data = write_tau(root / "tau")
    export = make_export(root / "export", data, "5", mask_bins=0)
    if is_whole:
        write_sheet(root / "filled.yaml", dict.fromkeys(DCASE2024.splits, export))
        link_sounds(root / "sounds", data, DCASE2024.num_clips)
    return root


def environment(home: Path, temporary: str) -> dict[str, str]:
    """Return the environment of a person who has never used the program, and who is no CI."""
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    return {**kept, "HOME": str(home), "TMPDIR": temporary, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def observe_all(folder: Path, *, is_whole: bool) -> Iterator[Row]:
    """Run every command, each in an empty folder of its own, below an empty folder.

    `is_whole` adds what takes long.
    """
    (folder / "given").mkdir()
    (scratch := folder / "scratch").mkdir()
    given = make_given(folder / "given", is_whole=is_whole)
    planned = plan(given, is_whole=is_whole)
    runs = [(name, ["-m", "search", *name.split()], arguments, expected) for name, arguments, expected in planned]
    serving = [str(HERE / "served_dashboard.py")]
    runs.append(("dashboard (served)", serving, ["--results", str(given / "results")], 0))
    for number, (name, program, arguments, expected) in enumerate(runs):
        home, cwd = scratch / f"{number}-home", scratch / f"{number}-cwd"
        home.mkdir()
        cwd.mkdir()
        with tempfile.TemporaryDirectory(prefix="sf", dir="/tmp") as temporary:  # short enough for Ray's sockets
            command = [sys.executable, *program, *arguments]
            seen = observe(command, cwd=cwd, env=environment(home, temporary), given=[given], timeout_s=400)
            yield Row(name, tuple(arguments), expected, seen)


def main() -> int:
    sys.stdout.write(f"{HEAD}\n")
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for row in observe_all(Path(folder), is_whole=True):
            sys.stdout.write(re.sub(re.escape(folder), "", row.line()) + "\n")
            if row.seen.returncode != row.expected:
                sys.stdout.write(row.seen.output)
            wrong += bool(row.seen.outside or row.seen.left or row.seen.returncode != row.expected)
            sys.stdout.flush()
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
