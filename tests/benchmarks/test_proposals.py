"""The topic proposals, on a study of a few trials."""

import pytest
import torch

from benchmarks import proposals


@pytest.fixture
def measured(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, value in {"SPACES": ("isotropic",), "NUM_TRIALS": 3, "NUM_REJECTED": 2, "ROUNDS": 1}.items():
        monkeypatch.setattr(proposals, name, value)
    threads = torch.get_num_threads()
    (measurement,) = proposals.measure()
    torch.set_num_threads(threads)
    return measurement.measured


@pytest.mark.slow
def test_a_rejected_proposal_is_one_transaction_against_many(measured, tmp_path):
    assert measured["ours_transactions"] == 1
    assert measured["baseline_transactions"] > 10
    assert list((tmp_path / "results").iterdir()) == []
