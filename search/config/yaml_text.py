"""YAML as plain values: read with the numbers of YAML 1.2 and no key twice, and written.

PyYAML reads YAML 1.1, in which 1e-3 is a text (it needs a point and a sign), 16:32 is 992 (base 60), and the last of
two equal keys silently counts. Here numbers are those of YAML 1.2.

A file may come from a stranger: its size, its depth and what its references expand to are bounded, and no error quotes
a line of it, which may hold a password.
"""

import os
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from data.regular_file import open_regular
from search.config.errors import UserError

INT, FLOAT, MERGE = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:merge"
MAX_BYTES = 10_000_000
MAX_VALUES = 200_000  # a value that is named once and repeated counts each time
_INTEGER = re.compile(r"[-+]?(?:0b[0-1_]+|0x[0-9a-fA-F_]+|0o?[0-7_]*|[1-9][0-9_]*)")
_REAL = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


class YamlError(UserError):
    """Text that is no YAML, or that does not mean one thing; the message names the line."""


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse a key that is given twice."""
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            key = (key_node.tag, key_node.value) if isinstance(key_node, yaml.ScalarNode) else None
            line = key_node.start_mark.line + 1
            if key is None or key[0] == MERGE:
                continue
            if key in lines:
                raise YamlError(f"line {line}: the key {key[1]} is given a second time, after line {lines[key]}")
            lines[key] = line
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that a reader of YAML 1.1 or of 1.2 would take for something else."""


def _replace_resolvers() -> None:
    """Resolve numbers by the patterns above, and no longer those of base 60."""
    _Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in (INT, FLOAT)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for cls in (_Loader, _Dumper):
        for tag, pattern in ((INT, _INTEGER), (FLOAT, _REAL)):
            cls.add_implicit_resolver(tag, re.compile(rf"(?:{pattern.pattern})\Z"), list("-+0123456789."))


_replace_resolvers()


def load_yaml(text: str) -> Any:
    """Return the plain values of a YAML text, by a safe loader.

    Raises:
        YamlError: It is no YAML, has a key twice, or holds something that is no plain value.

    >>> load_yaml("{rate: 1e-3, from: 16:32, epochs: 150}")
    {'rate': 0.001, 'from': '16:32', 'epochs': 150}
    """
    try:
        loaded = yaml.load(text, _Loader)  # noqa: S506  a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f"line {mark.line + 1}: "
        raise YamlError(f"{where}{error.problem or error.context}") from None  # it quotes the line: a password perhaps
    except yaml.YAMLError as error:
        raise YamlError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise YamlError("it is nested too deeply") from error
    except ValueError as error:
        if isinstance(error, YamlError):
            raise
        raise YamlError(str(error)) from error  # a date that is none, or a number of thousands of digits
    if _is_larger(loaded, MAX_VALUES):
        raise YamlError(f"written out, it has more than {MAX_VALUES:,} values")
    return loaded


def _is_larger(value: Any, most: int) -> bool:
    """Whether a value has more parts than `most`, without following all of them."""
    left, count = [value], 0
    while left and count <= most:
        count += 1
        each = left.pop()
        if isinstance(each, dict):
            left += [*each.keys(), *each.values()]
        elif isinstance(each, list | set | tuple):
            left += each
    return count > most


def read_yaml(path: Path) -> Any:
    """Return the plain values of a YAML file in UTF-8.

    Raises:
        YamlError: It cannot be read, or as for `load_yaml`; the message names the file.
    """
    return parse_yaml(read_text(path), path)


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8.

    Raises:
        YamlError: It cannot be read, or is too large.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise YamlError(f"{path} cannot be read: it has {size:,} bytes; {MAX_BYTES:,} are the most")
            return file.read(MAX_BYTES).decode().replace("\r\n", "\n")
    except OSError as error:
        raise YamlError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise YamlError(f"{path} cannot be read: it is not UTF-8 ({error.reason} at byte {error.start:,})") from error


def parse_yaml(text: str, path: Path) -> Any:
    """Return the plain values of the text of a file.

    Raises:
        YamlError: As for `load_yaml`; the message names the file.
    """
    try:
        return load_yaml(text)
    except YamlError as error:
        raise YamlError(f"{path} is not YAML that can be loaded safely: {error}") from error


def dump_yaml(values: Any, *, is_marked: bool = False) -> str:
    """Return plain values as YAML, in their order; every reader of YAML, of 1.1 or 1.2, gets the same values.

    Args:
        is_marked: Whether the text is between the marks of a document, `---` and `...`, so that a part of it can be
            told from the whole.
    """
    text: str = yaml.dump(
        values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, explicit_start=is_marked, explicit_end=is_marked
    )
    return text
