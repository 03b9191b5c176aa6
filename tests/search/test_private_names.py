"""What Optuna and Ray do not document is used in two files alone, each written against one version."""

import ast
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
FOLDERS = ("benchmarks", "data", "models", "objectives", "search", "spaces", "tests", "training")
LIBRARIES = ("optuna", "ray")
ADAPTERS = {
    "search/study/optuna_private.py": "optuna",
    "search/engine/ray_private.py": "ray",
}


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def parsed(path):
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def defined_names(nodes):
    """Return the private names that a module defines: functions, classes, variables and attributes."""
    names = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    names |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    names |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return set(filter(is_private, names))


def private_names(nodes, own=frozenset()):
    """Return the private names of Optuna and Ray that a module uses, whichever object of theirs they are read from.

    In a module that imports one of the two these are: a private part of such an import, and a private attribute of
    anything but another library's module, unless this module defines the name, or it is one of `own`.
    """
    imported = {}  # local name -> full name
    for node in nodes:
        if isinstance(node, ast.Import):
            imported |= {each.asname or each.name.partition(".")[0]: each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imported |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    theirs = {local: name for local, name in imported.items() if name.partition(".")[0] in LIBRARIES}
    if not theirs:
        return set()
    others = imported.keys() - theirs.keys() | own | defined_names(nodes)
    attributes = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute)
        and is_private(node.attr)
        and not (isinstance(node.value, ast.Name) and node.value.id in others)
    }
    return {name for name in theirs.values() if any(map(is_private, name.split(".")))} | attributes - others


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from ray._private import services", {"ray._private.services"}),
        ("import optuna\noptuna.create_study()._storage", {"_storage"}),
        ("from optuna.samplers import TPESampler\nclass A(TPESampler):\n    def f(self):\n        self._rng", {"_rng"}),
        (
            "import ray\nclass A:\n    def f(self):\n        self._x = ray\n        self._x",
            set(),
        ),
        ("import ray, torch\ntorch._C", set()),
        ("import torch\ntorch.ones(1)._version", set()),
    ],
)
def test_private_names_are_found(source, found):
    assert private_names(list(ast.walk(ast.parse(source)))) == found


def test_no_module_but_the_adapters_uses_a_private_name_of_optuna_or_ray():
    modules = {
        path.relative_to(ROOT).as_posix(): parsed(path) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")
    }
    in_adapters = {name: private_names(modules[name]) for name in ADAPTERS}
    assert all(in_adapters.values())  # what is to be found is found
    own = set().union(*map(defined_names, modules.values())) - set().union(*in_adapters.values())
    found = {name: private_names(nodes, own) for name, nodes in modules.items() if name not in ADAPTERS}
    assert not {name: names for name, names in found.items() if names}, f"to be moved to {' or '.join(ADAPTERS)}"


@pytest.mark.parametrize(("path", "library"), ADAPTERS.items())
def test_only_the_versions_that_an_adapter_was_written_against_are_admitted(path, library):
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    requirement = next(each for each in map(Requirement, requirements) if each.name == library)
    bounds = {each.operator: each.version for each in requirement.specifier}
    assert set(bounds) == {">=", "<"}
    major, minor = map(int, bounds[">="].split("."))
    assert bounds["<"] == f"{major}.{minor + 1}"
    line = (ROOT / path).read_text(encoding="utf-8").splitlines()[2]
    assert line.startswith(f"Read in {library.title()} {bounds['>=']}.")
