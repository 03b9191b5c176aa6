"""Reading of YAML files that may come from strangers: bounded in size, depth and expansion, and by the safe loader."""

from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 10_000_000
MAX_VALUES = 200_000  # a value that is named once and repeated counts each time


class UnreadableYamlError(ValueError):
    """Why a file cannot be read as YAML, in one line that quotes nothing of it: it may hold a password."""


def load_yaml(path: Path) -> Any:
    """Return the value of a YAML file.

    Raises:
        UnreadableYamlError: It cannot be read, is too large, or is no YAML that can be loaded safely.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UnreadableYamlError(f"cannot be read: it has {size:,} bytes; {MAX_BYTES:,} are the most")
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnreadableYamlError(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UnreadableYamlError(f"cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise UnreadableYamlError(f"is not YAML that can be loaded safely: {_unquoted(error)}") from None
    except RecursionError:
        raise UnreadableYamlError("is not YAML that can be loaded safely: it is nested too deeply") from None
    except ValueError as error:  # of a number or a date
        raise UnreadableYamlError(f"is not YAML that can be loaded safely: {error}") from None
    if _is_larger(loaded, MAX_VALUES):
        raise UnreadableYamlError(f"is too large: written out, it has more than {MAX_VALUES:,} values")
    return loaded


def _unquoted(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    return f"{error.problem}, line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"


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
