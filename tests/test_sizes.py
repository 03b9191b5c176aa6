"""Files and functions stay small enough to be read: at most 400 lines a file, 50 a function."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "data", "models", "objectives", "search", "spaces", "tests", "training")
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 50
REASON = "# long: "  # at the end of the line of `def` or of its last line, with the reason behind it


def python_files():
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def long_functions(path):
    """Return the functions of a file that are too long, of which nobody says why."""
    text = path.read_text()
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            num_lines = node.end_lineno - node.lineno + 1
            head = lines[node.lineno - 1 : node.body[0].lineno]
            if num_lines > MAX_FUNCTION_LINES and not any(REASON in line for line in head):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {num_lines} lines"


def test_no_file_is_longer_than_400_lines():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in python_files()}
    assert {name: length for name, length in lengths.items() if length > MAX_FILE_LINES} == {}


def test_a_function_over_50_lines_says_why():
    assert [found for path in python_files() for found in long_functions(path)] == []
