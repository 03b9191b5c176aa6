"""The figures that this project claims, each with its goal: `python -m benchmarks`.

Each topic runs in a process of its own, so that settings and caches of one do not help another.
"""

import ast
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

from benchmarks.figure import Figure

ROOT = Path(__file__).parents[1]
TOPICS = {
    "log-mel": "benchmarks.log_mel",
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
NOTE = (
    "Seconds, and what is counted a second, belong to this machine. Ratios belong mostly to the code: both sides ran "
    "in turn in the same process. Compare them between machines, and seconds only on one."
)


class BrokenTopicError(RuntimeError):
    """A topic ended before its figures were all there; says its last line."""


@click.command()
@click.argument("topics", nargs=-1, type=click.Choice(list(TOPICS)), metavar="[TOPIC]...")
@click.option("--list", "is_list", is_flag=True, help="List the topics, and run none.")
@click.option(
    "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), default="benchmarks.json",
    show_default=True, help="Where the machine and all figures are written.",
)  # fmt: skip
def main(topics: Sequence[str], is_list: bool, json_path: Path) -> None:
    """Measure the figures of TOPICS, or of all, and print each with its goal.

    Exits with 0 also where a goal is missed, with 1 where a topic broke.
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
        num_trials_before_extension = len(record["figures"])
        try:
            for figure in run_topic(TOPICS[topic]):
                click.echo(figure_lines(figure))
                record["figures"].append({"topic": topic, **asdict(figure), "met": figure.is_met})
            if len(record["figures"]) == num_trials_before_extension:
                click.echo("  no figure: this machine has nothing to time it on")
        except BrokenTopicError as error:
            record["broken"][topic] = str(error)
            click.echo(f"  BROKEN: {error}\n  `python -m benchmarks.topic {TOPICS[topic]}` shows all of it")
        _write(json_path, record)
    click.echo(f"\n{summary(record)}\n{NOTE}\nwritten to {json_path}")
    if record["broken"]:
        sys.exit(1)


def run_topic(module: str) -> Iterator[Figure]:
    """Run a module's `figures` in a process of its own, and give each as it comes.

    Raises:
        BrokenTopicError: The process failed.
    """
    command = [sys.executable, "-m", "benchmarks.topic", module]
    with (
        tempfile.TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                yield Figure(**json.loads(line))
        except BaseException:  # interrupted: the process may be in the middle of an hour
            process.kill()
            raise
        if process.wait():
            errors.seek(0)
            raise BrokenTopicError(_last_words(process.returncode, errors.read()))


def _last_words(returncode: int, errors: str) -> str:
    """Return why a process failed: the signal that ended it, or the last line that it wrote."""
    if returncode < 0:
        return f"ended by {signal.Signals(-returncode).name}"
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return lines[-1] if lines else f"ended with exit code {returncode} and said nothing"


def describe_machine() -> dict[str, Any]:
    """Ask another process what machine this is: this one keeps no GPU memory."""
    command = [sys.executable, "-m", "benchmarks.machine"]
    told = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    described: dict[str, Any] = json.loads(told.stdout)
    return described


def headline(module: str) -> str:
    """Return the first line of a module's docstring, without importing it."""
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        return f"(missing: {module})"
    docstring = ast.get_docstring(ast.parse(Path(found.origin).read_text(encoding="utf-8"))) or "(says nothing)"
    return docstring.splitlines()[0]


def machine_line(machine: dict[str, Any]) -> str:
    """Describe the machine in a line."""
    cores = f"{machine['cores']} core{'s' if machine['cores'] > 1 else ''}"
    flags = " ".join(machine["flags"]) or "no flags of interest"
    return (
        f"{machine['processor']} ({flags}), {cores}, {machine['memory_gb']:g} GB, {machine['gpu'] or 'no GPU'}; "
        f"{machine['system']}, Python {machine['python']}, torch {machine['torch']}"
    )


def figure_lines(figure: Figure) -> str:
    """Return a figure's value, goal, verdict and aim in columns, and below them what was measured."""
    sign = ">=" if figure.at_least else "<="
    goal = "" if figure.goal is None else f"goal {sign} {number(figure.goal)}"
    aim = "" if figure.aim is None else f"aim {sign} {number(figure.aim)}"
    verdict = {None: "", True: "met", False: "MISSED"}[figure.is_met]
    line = f"  {figure.name:<52} {number(figure.value):>8} {figure.unit:<8} {goal:<14} {verdict:<6} {aim}".rstrip()
    measured = ", ".join(f"{name} {number(value)}" for name, value in figure.measured.items())
    return f"{line}\n      {measured}" if measured else line


def number(value: float) -> str:
    """Write a number short enough to read.

    >>> number(12_345.6), number(0.0123456), number(2.0)
    ('12,346', '0.01235', '2')
    """
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def summary(record: dict[str, Any]) -> str:
    """Return how many goals were met, and which were not."""
    judged = [figure for figure in record["figures"] if figure["met"] is not None]
    missed = [f"{figure['topic']}: {figure['name']}" for figure in judged if not figure["met"]]
    lines = [f"goals met: {len(judged) - len(missed)} of {len(judged)}"]
    lines += [f"MISSED: {each}" for each in missed]
    lines += [f"BROKEN: {topic}: {error}" for topic, error in record["broken"].items()]
    return "\n".join(lines)


def _write(path: Path, record: dict[str, Any]) -> None:
    """Write what is known by now.

    Raises:
        BadParameter: It cannot be written.
    """
    try:
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be written: {error.strerror}", param_hint="--json") from error


if __name__ == "__main__":
    main()
