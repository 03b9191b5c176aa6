"""An error of our own code is told as a bug with its traceback, never as something that the user asked for."""

from dataclasses import replace

import numpy as np
import pytest

from models import ARCHITECTURES


@pytest.mark.parametrize(
    "command", [("price", "isotropic"), ("preflight", "--space", "isotropic"), ("search",), ("train", "isotropic")]
)
def test_a_count_that_breaks_is_no_budget_that_nothing_fits(run, tiny, monkeypatch, command):
    name, *arguments = command
    data = {"search": [tiny, "--space", "isotropic"], "train": [tiny]}.get(name, [])
    entry = replace(ARCHITECTURES["isotropic"], count=lambda *_: np.ones(3) + np.ones(4))
    monkeypatch.setitem(ARCHITECTURES, "isotropic", entry)
    answer = run(name, *data, *arguments)
    assert answer.code == 70
    assert "Traceback" in answer.err
    assert "operands could not be broadcast" in answer.err
    assert answer.err.rstrip().endswith("please report it, with the command and the lines above")
    assert "fits" not in answer.out
