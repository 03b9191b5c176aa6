"""The topic of the proposals, on a study of a few."""

import pytest
import torch

from benchmarks import proposals


@pytest.fixture
def one(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, value in {"SPACES": ("isotropic",), "NUM_BEFORE": 3, "NUM_REJECTED": 2, "ROUNDS": 1}.items():
        monkeypatch.setattr(proposals, name, value)
    threads = torch.get_num_threads()
    (figure,) = proposals.figures()
    torch.set_num_threads(threads)
    return figure


def test_a_rejected_proposal_is_one_transaction_against_many(one, tmp_path):
    assert one.measured["ours_transactions"] == 1
    assert one.measured["plain_transactions"] > 10
    assert list((tmp_path / "results").iterdir()) == []
