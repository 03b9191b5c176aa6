"""Command line of the benchmarks: `python -m benchmarks` runs topics and prints each result with its goal.

Each topic runs in a subprocess of its own, so that thread settings and caches of one do not affect another.
"""

import ast
import importlib
import importlib.util
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from benchmarks.measurement import Measurement

ROOT = Path(__file__).parents[1]
TOPICS = {
    "log-mel": "benchmarks.log_mel",
    "storage": "benchmarks.storage",
    "pricing": "benchmarks.pricing",
    "epoch": "benchmarks.epoch",
    "memory": "benchmarks.memory",
    "accuracy": "benchmarks.accuracy",
    "proposals": "benchmarks.proposals",
    "scale": "benchmarks.scale",
    "growth": "benchmarks.growth",
    "search-efficiency": "benchmarks.search_efficiency",
    "overhead": "benchmarks.overhead",
    "front-time": "benchmarks.front_time",
    "dashboard": "benchmarks.dashboard_time",
    "gpu": "benchmarks.gpu",
    "int8": "benchmarks.int8",
}
# Commands with arguments of their own, by the first argument; they are no part of a run of all topics.
COMMANDS = {"beats-published": "benchmarks.beats_published"}
NOTE = (
    "Seconds and rates per second depend on this machine, ratios mostly on the code: their two sides alternate in one "
    "run. Compare ratios between machines, seconds only on one machine."
)


class TopicFailedError(RuntimeError):
    """A topic failed; the message is the last line of its stderr, or the signal that killed it."""


@click.command()
@click.argument("topics", nargs=-1, type=click.Choice(list(TOPICS)), metavar="[TOPIC]...")
@click.option("--list", "is_list", is_flag=True, help="List the topics and exit.")
@click.option(
    "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), default="benchmarks.json",
    show_default=True, help="File for the results and the description of the machine.",
)  # fmt: skip
def main(topics: Sequence[str], is_list: bool, json_path: Path) -> None:
    """Run the benchmarks of TOPICS, by default all, and print each result with its goal.

    The exit code is 1 if a topic failed, else 0, even if a goal was missed. `beats-published DATA` is a command of its
    own: `beats-published --help`.
    """
    if is_list:
        for name, module in TOPICS.items():
            click.echo(f"{name:<{max(map(len, TOPICS))}}  {headline(module)}")
        return
    record: dict[str, Any] = {"machine": None, "figures": [], "broken": {}}
    _write(json_path, record)
    record["machine"] = machine = describe_machine()
    click.echo(machine_line(machine))
    for topic in dict.fromkeys(topics or TOPICS):
        click.echo(f"\n{topic}: {headline(TOPICS[topic])}")
        num_before = len(record["figures"])
        try:
            for result in run_topic(TOPICS[topic]):
                click.echo(result_lines(result))
                record["figures"].append({"topic": topic, **asdict(result), "met": result.is_met})
            if len(record["figures"]) == num_before:
                click.echo("  skipped: this machine lacks what the topic needs")
        except TopicFailedError as error:
            record["broken"][topic] = str(error)
            click.echo(f"  FAILED: {error}\n  `python -m benchmarks.topic {TOPICS[topic]}` shows the whole error")
        _write(json_path, record)
    click.echo(f"\n{summary(record)}\n{NOTE}\nwritten to {json_path}")
    if record["broken"]:
        sys.exit(1)


def run_topic(module: str) -> Iterator[Measurement]:
    """Run the `measure` of a topic's module in a subprocess; yield each measurement as soon as it is there.

    Raises:
        TopicFailedError: The subprocess failed.
    """
    command = [sys.executable, "-m", "benchmarks.topic", module]
    with (
        tempfile.TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                yield Measurement(**json.loads(line))
        except BaseException:  # interrupted: the topic may need another hour
            process.kill()
            raise
        if process.wait():
            errors.seek(0)
            raise TopicFailedError(_failure_message(process.returncode, errors.read()))


def _failure_message(returncode: int, errors: str) -> str:
    """Return why a process failed: the signal that killed it, or the last line of its stderr."""
    if returncode < 0:
        return f"killed by {signal.Signals(-returncode).name}"
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {returncode}, with empty stderr"


def describe_machine() -> dict[str, Any]:
    """Return the description of this machine, from a subprocess: this one must not hold GPU memory."""
    command = [sys.executable, "-m", "benchmarks.machine"]
    completed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    description: dict[str, Any] = json.loads(completed.stdout)
    return description


def headline(module: str) -> str:
    """Return the first line of a module's docstring, without importing it."""
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        return f"(missing: {module})"
    docstring = ast.get_docstring(ast.parse(Path(found.origin).read_text(encoding="utf-8"))) or "(no docstring)"
    return docstring.splitlines()[0]


def machine_line(machine: dict[str, Any]) -> str:
    """Return the description of the machine as one line."""
    cores = f"{machine['cores']} core{'s' if machine['cores'] > 1 else ''}"
    flags = " ".join(machine["flags"]) or "no AVX, AMX or bf16"
    return (
        f"{machine['processor']} ({flags}), {cores}, {machine['memory_gb']:g} GB, {machine['gpu'] or 'no GPU'}; "
        f"{machine['system']}, Python {machine['python']}, torch {machine['torch']}"
    )


def result_lines(result: Measurement) -> str:
    """Return value, goal, verdict and aim in columns, and the raw numbers on a second line."""
    sign = ">=" if result.at_least else "<="
    goal = "" if result.goal is None else f"goal {sign} {number(result.goal)}"
    aim = "" if result.aim is None else f"aim {sign} {number(result.aim)}"
    verdict = {None: "", True: "met", False: "MISSED"}[result.is_met]
    line = f"  {result.name:<52} {number(result.value):>8} {result.unit:<8} {goal:<14} {verdict:<6} {aim}".rstrip()
    measured = ", ".join(f"{name} {number(value)}" for name, value in result.measured.items())
    return f"{line}\n      {measured}" if measured else line


def number(value: float) -> str:
    """Format a number: four significant digits, or whole with thousands separators.

    >>> number(12_345.6), number(0.0123456), number(2.0)
    ('12,346', '0.01235', '2')
    """
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def summary(record: dict[str, Any]) -> str:
    """Return the number of goals that were met, the missed ones, and the topics that failed."""
    with_goal = [result for result in record["figures"] if result["met"] is not None]
    missed = [f"{result['topic']}: {result['name']}" for result in with_goal if not result["met"]]
    lines = [f"goals met: {len(with_goal) - len(missed)} of {len(with_goal)}"]
    lines += [f"MISSED: {each}" for each in missed]
    lines += [f"FAILED: {topic}: {error}" for topic, error in record["broken"].items()]
    return "\n".join(lines)


def _write(path: Path, record: dict[str, Any]) -> None:
    """Write the results so far.

    Raises:
        BadParameter: The file cannot be written.
    """
    try:
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be written: {error.strerror}", param_hint="--json") from error


def run() -> None:
    """Run one of `COMMANDS` if the first argument names it, else topics."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in COMMANDS:
        importlib.import_module(COMMANDS[name]).main(sys.argv[2:], prog_name=f"python -m benchmarks {name}")
    main()


if __name__ == "__main__":
    run()
