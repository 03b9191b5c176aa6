"""docs/reference.md is what the code says; every command that a document shows can be typed."""

import re
import shlex
from contextlib import suppress
from pathlib import Path

import click
import pytest

from search.cli.app import cli
from search.cli.reference import commands, reference
from search.config.rules import settings_of
from search.config.settings import JOBS

ROOT = Path(__file__).parents[3]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted(ROOT.glob("docs/*.md"))))


def shown(text):
    """Yield the commands of a document: those of its blocks of shell, and those in its sentences."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    for block in blocks:
        yield from (line for line in block.replace("\\\n", " ").splitlines() if line.startswith("scenefront "))
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from (line for line in re.findall(r"`([^`]*)`", prose) if line.startswith("scenefront "))


COMMANDS = sorted(
    {line for name in DOCUMENTS if name != "docs/reference.md" for line in shown((ROOT / name).read_text())}
)


def test_the_reference_is_what_the_code_says():
    assert (ROOT / "docs/reference.md").read_text() == reference(), "python -m search.cli.reference > docs/reference.md"


def test_every_option_has_a_place_in_the_reference_and_says_what_it_is():
    page = reference()
    for name, command in commands():
        [section] = re.findall(rf"^### {name}\n(.*?)^##", page, flags=re.MULTILINE | re.DOTALL)
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.help, f"{name} {option.opts[0]} says nothing"
                assert all(each in section for each in (*option.opts, *option.secondary_opts)), (name, option.opts)


@pytest.mark.parametrize("job", JOBS.values())
def test_every_setting_says_what_it_is_and_either_can_change_or_cannot(job):
    for name, setting in settings_of(job).items():
        assert setting.help.endswith("."), name
        assert not (setting.extend and setting.fixed), name


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_that_a_document_shows_can_be_typed(line):
    arguments = shlex.split(line, comments=True)[1:]
    command, path = cli, "scenefront"
    while isinstance(command, click.Group):
        path, command, arguments = command.resolve_command(click.Context(command), arguments)
    with suppress(click.exceptions.Exit):  # of --help
        command.make_context(path, arguments)
