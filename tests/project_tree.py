"""The tree of the project with a phrase a file, each the first sentence of the file's docstring.

`python tests/project_tree.py` writes it into CONTRIBUTING.md; tests/test_contributing.py holds it there.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "CONTRIBUTING.md"
PACKAGES = ("search", "training", "models", "spaces", "objectives", "data", "benchmarks")
BEGIN, END = "<!-- tree: python tests/project_tree.py -->\n```text\n", "```\n<!-- end of tree -->\n"


def phrase(path: Path) -> str:
    """Return the first sentence of a file's docstring, without its full stop."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = re.split(r"\n\n|\.(?:\s|$)", docstring, maxsplit=1)[0]
    return " ".join(first.split()).rstrip(".")


def lines(folder: Path, depth: int = 0) -> Iterator[str]:
    """Yield a line for a package, its files and its folders."""
    indent = "  " * depth
    yield f"{f'{indent}{folder.name}/':34}{phrase(folder / '__init__.py')}"
    children = [path for path in folder.iterdir() if path.name not in {"__init__.py", "__pycache__"}]
    for path in sorted(children, key=lambda path: (path.is_dir(), path.name)):
        if path.suffix == ".py":
            yield f"{f'{indent}  {path.name}':34}{phrase(path)}"
        elif (path / "__init__.py").exists():
            yield from lines(path, depth + 1)


def tree() -> str:
    """Return the tree of every package."""
    return "\n".join(line for package in PACKAGES for line in lines(ROOT / package)) + "\n"


def with_tree(page: str) -> str:
    """Return the page with the tree in its place."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + tree() + END + after


if __name__ == "__main__":
    PAGE.write_text(with_tree(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
