"""Reference page docs/reference.md, generated from commands and settings: python -m search.cli.reference."""

from collections.abc import Iterator, Sequence

import click

from search.cli.app import cli
from search.cli.console import EXIT_CODES
from search.cli.options import NAMES
from search.config.rules import FIXED, Setting, default_of, settings_of
from search.config.settings import JOBS, ConfirmSettings, JobSettings, SearchSettings, TrainSettings

HEAD = """# Reference

Written by `python -m search.cli.reference`; a test compares it with the code.

`scenefront COMMAND --help` prints the same on a terminal. [README.md](../README.md) shows the commands at work.
"""
SETTINGS = """## Settings

`results/<study>/search.yaml` holds the settings of a study: the `job` (search, train or confirm), the `format` of
the study, and the settings below. A search can be described by such a file: `scenefront search --config FILE`;
options override it. `scenefront extend` changes the settings for which the last column has its option.
"""


def commands(group: click.Group = cli, path: tuple[str, ...] = ("scenefront",)) -> Iterator[tuple[str, click.Command]]:
    """Yield the full name and the click command of every command, in the order of the help."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def reference() -> str:
    """Return the reference page as Markdown."""
    parts = [HEAD, "## Commands\n"]
    parts += [_command(name, command) for name, command in commands()]
    parts.append(SETTINGS)
    parts += [_settings(job) for job in JOBS.values()]
    parts.append("## Exit codes\n")
    parts.append(_table(["code", "meaning"], [[code, meaning] for code, meaning in EXIT_CODES.items()]))
    return "\n".join(parts)


def _command(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *(piece for piece in command.collect_usage_pieces(context))])
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in (command.help or "").split("\n\n"))
    records = [option.get_help_record(context) for option in command.params if isinstance(option, click.Option)]
    rows = [[f"`{record[0]}`", " ".join(record[1].split())] for record in records if record is not None]
    return "\n".join([f"### {name}\n", f"`{usage}`\n", f"{text}\n", _table(["option", "meaning"], rows)])


def _settings(job: type[JobSettings]) -> str:
    rows = [
        [f"`{name}`", meta.help, meta.rule.text, default_of(job, name) or "none", _extend(name, meta, job)]
        for name, meta in settings_of(job).items()
        if not _is_shared(name, meta, job)
    ]
    shared = "" if job is SearchSettings else "The settings of a search from `data` to `teacher`, and:\n"
    text = " ".join((job.__doc__ or "").split())
    table = _table(["setting", "meaning", "must be", "default", "`extend`"], rows)
    return "\n".join([f"### {job.job}\n", f"{text}\n", *([shared] if shared else []), table])


def _is_shared(name: str, meta: Setting, job: type[JobSettings]) -> bool:
    """Whether a setting is already listed under search."""
    return job in (TrainSettings, ConfirmSettings) and settings_of(JobSettings).get(name) == meta


def _extend(name: str, meta: Setting, job: type[JobSettings]) -> str:
    if meta.extend and (job is SearchSettings or name == "trials"):
        return f"`{NAMES.get(name, (f'--{name}',))[0]}`"
    return f"no: {meta.fixed or FIXED}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(head), ["---"] * len(head), *(list(row) for row in rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - the page
