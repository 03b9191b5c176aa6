"""Settings declared once: dataclass fields with metadata (help, rule, whether `extend` may change them, or why not).

The command line's options (`search.cli.options`), the validation of values, the permissions of `extend`
(`search.study.history`) and docs/reference.md (`search.cli.reference`) are generated from it.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any

from search.config.messages import text_of

FIXED = "the existing trials were made with it"  # why most settings of a study cannot change
_KEY = "setting"  # in a field's metadata


@dataclass(frozen=True)
class Rule:
    """Validation rule of a value.

    Attributes:
        text: The rule in words, after "must be".
        holds: Returns whether a value satisfies it.
        kind: Type of the option's value: int, float, bool or str; tuple and dict for an option that can be repeated.
        choices: The valid values of an enumeration.
    """

    text: str
    holds: Callable[[Any], bool]
    kind: type
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Metadata of a setting, beside the field's name, type and default.

    Attributes:
        help: Description, as a sentence.
        rule: Validation rule of its value.
        default: Text of the default, if the default value does not say it.
        extend: Whether `extend` can change it; a text: it can, and this is its option's help there.
        fixed: Why it cannot change, if not for `FIXED`; `extend` gives this reason when it refuses the option.
        moves: For a folder that may be elsewhere when a study goes on, if its content is the same: help of the option.
        metavar: Placeholder of its option's value.
    """

    help: str
    rule: Rule
    default: str = ""
    extend: str | bool = False
    fixed: str = ""
    moves: str = ""
    metavar: str | None = None

    @property
    def extend_help(self) -> str:
        """Help of its option of `extend`."""
        return self.extend if isinstance(self.extend, str) else self.help


def setting(default: Any = MISSING, /, **metadata: Any) -> Any:
    """Return a dataclass field with the metadata of `Setting`; a mutable default is copied for each instance."""
    metadata = {_KEY: Setting(**metadata)}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def metadata_of(each: "Field[Any]") -> Setting:
    """Return the metadata of a field."""
    found: Setting = each.metadata[_KEY]
    return found


def settings_of(job: type) -> dict[str, Setting]:
    """Return the metadata of every setting of a job, by name."""
    return {each.name: metadata_of(each) for each in fields(job)}


def default_of(job: type, name: str) -> str:
    """Return the default of a setting as text; "" if it has none."""
    [found] = [each for each in fields(job) if each.name == name]
    if metadata_of(found).default or found.default is MISSING:
        return metadata_of(found).default
    if isinstance(found.default, bool):
        return "on" if found.default else "off"
    if isinstance(found.default, tuple):
        return ",".join(found.default)
    return "" if found.default is None else str(found.default)


def violations(job: Any) -> list[str]:
    """Return an error text for every setting whose value breaks its rule."""
    found = []
    for name, meta in settings_of(type(job)).items():
        value = getattr(job, name)
        if not meta.rule.holds(value):
            found.append(f"{name} must be {meta.rule.text}, got {value!r}")
        elif not _is_unicode(value):
            found.append(f"{name} has bytes that are no UTF-8, so that no study can keep it: {text_of(str(value))}")
    return found


def _is_unicode(value: Any) -> bool:
    """Whether all texts in a value can be written: names of files may hold bytes that are no text."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    return True


def whole(least: int = 1, most: int = 10**9) -> Rule:
    """Return the rule of a whole number in a range."""
    text = f"of at least {least}" if most == 10**9 else f"from {least} to {most}"

    def holds(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

    return Rule(f"a whole number {text}", holds, int)


def number(text: str, holds: Callable[[float], bool]) -> Rule:
    """Return the rule of a number."""
    return Rule(
        text, lambda value: isinstance(value, int | float) and not isinstance(value, bool) and holds(value), float
    )


def one_of(choices: Iterable[str]) -> Rule:
    """Return the rule of an enumeration of names."""
    names = tuple(choices)
    return Rule(f"one of {', '.join(names)}", lambda value: value in names, str, names)


def text(what: str) -> Rule:
    """Return the rule of a non-empty text."""
    return Rule(what, _is_text, str)


def texts(what: str) -> Rule:
    """Return the rule of a list of non-empty texts."""
    return Rule(what, lambda value: isinstance(value, tuple) and all(_is_text(each) for each in value), tuple)


def mapping(what: str) -> Rule:
    """Return the rule of a mapping with text keys."""
    return Rule(what, is_mapping, dict)


def optional(rule: Rule) -> Rule:
    """Return the rule of a value that may be None."""
    return Rule(rule.text, lambda value: value is None or rule.holds(value), rule.kind, rule.choices)


def is_mapping(value: object) -> bool:
    """Whether a value is a mapping with text keys."""
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


FLAG = Rule("true or false", lambda value: isinstance(value, bool), bool)
FOLDER = optional(text("a folder"))
