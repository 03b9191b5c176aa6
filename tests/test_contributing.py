"""CONTRIBUTING.md: its tree is the project's, and every path that it names is there."""

import re

from project_tree import PACKAGES, PAGE, ROOT, tree, with_tree


def test_the_tree_is_that_of_the_project():
    page = PAGE.read_text()
    assert page == with_tree(page), "write it again: python tests/project_tree.py"


def test_every_file_says_in_a_phrase_what_it_holds():
    phrases = {line[:34].strip(): line[34:] for line in tree().splitlines()}
    assert {name: text for name, text in phrases.items() if not 3 <= len(text.split()) <= 25} == {}


def test_every_path_that_the_page_names_exists():
    named = re.findall(r"`([a-z_]+/[a-z0-9_/]*(?:\.[a-z]+)?)`", PAGE.read_text())
    assert [
        path for path in named if path.split("/")[0] in (*PACKAGES, "tests", "docs") and not (ROOT / path).exists()
    ] == []
