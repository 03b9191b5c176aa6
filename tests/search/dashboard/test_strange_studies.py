"""Study folders from strangers in the dashboard: a page says why they cannot be read, or shows it as text."""

import csv
import os
import urllib.request

import pytest
from recorded import trial, write_study
from small_study import write_small
from test_bad_requests import opened, post

SPARSE = 60_000_000_000
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
MARKUP = "<img src=x onerror=alert(1)>"


def settings(text):
    def apply(folder):
        (folder / "search.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())

    return apply


def linked(name, target):
    def apply(folder):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return apply


def sparse(name):
    def apply(folder):
        (folder / name).write_bytes(b"")
        os.truncate(folder / name, SPARSE)

    return apply


STRANGE = {
    "settings that are the password file": linked("search.yaml", "/etc/passwd"),
    "a database that is the password file": linked("study.db", "/etc/passwd"),
    "settings of 60 GB": sparse("search.yaml"),
    "a database of 60 GB": sparse("study.db"),
    "a YAML bomb": settings(BOMB),
    "a YAML bomb as the space": settings(f"{BOMB}data: x\nspace: *a11\n"),
    "YAML nested 10,000 deep": settings("[" * 10_000),
    "YAML that makes an object": settings("!!python/object/apply:os.system ['touch pwned']"),
    "settings in no UTF-8": settings(b"\xff\xfe\x00"),
    "a foreign database": settings("data: x\nspace: isotropic\nstorage: http://evil.example/x\n"),
    "a space in markup": settings(f"data: x\nspace: '{MARKUP}'\n"),
}


@pytest.mark.parametrize("change", STRANGE.values(), ids=STRANGE)
def test_a_strange_study_costs_others_nothing_and_shows_no_file(serve, tmp_path, change):
    results = tmp_path / "results"
    write_small(results / "small")
    write_small(results / "strange")
    change(results / "strange")
    address, _ = serve(results)
    port = int(address.rpartition(":")[2])
    for path in ("/", "/strange/front", "/strange/trial/0", "/small/front"):
        status, answer = post(port, opened({"path": path, "search": "", "theme": "light"}))
        assert status == 200, answer
        assert "root:" not in answer
        assert "traceback is in the terminal" not in answer
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("text", ["=1+1", "@x", "+1", "-1", "\t=1", MARKUP])
def test_a_table_for_a_spreadsheet_holds_no_formula(serve, tmp_path, text):
    write_study(tmp_path / "results" / "formulas", trial("complete", 1_000_000, 0.1, 0.2, 0.3, config={"norm": text}))
    address, _ = serve(tmp_path / "results")
    with urllib.request.urlopen(f"{address}/_csv/formulas/trials.csv", timeout=30) as answer:
        (row,) = csv.DictReader(answer.read().decode().splitlines(keepends=True))
    assert row["config.norm"] == (text if text == MARKUP else f"'{text}")
