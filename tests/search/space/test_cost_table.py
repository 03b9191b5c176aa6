"""Cost tables are stored beside a study, a sample of large ones, and read without torch."""

import pickle

import numpy as np
import pytest

from objectives.budget import LIMITS
from search.space.cost_table import MAX_STORED, CostTable, read_space, write_space

REPORT = {"space": "isotropic,ä", "limits": {"macs": 30_000_000}, "architectures": {"isotropic": {"priced": 3}}}


def table(count):
    return np.arange(count * len(LIMITS), dtype=np.int64).reshape(count, len(LIMITS))


def test_what_is_written_is_what_is_read(tmp_path):
    path = tmp_path / "space.npz"
    write_space(path, {"isotropic": CostTable(table(3)), "cp_mobile": CostTable(table(0))}, REPORT)
    found, report = read_space(path)
    assert report == REPORT
    assert found["isotropic"].costs.tolist() == table(3).tolist()
    assert found["cp_mobile"].costs.shape == (0, len(LIMITS))
    assert [file.name for file in tmp_path.iterdir()] == ["space.npz"]


def test_of_many_networks_a_part_is_kept_in_their_order(tmp_path):
    write_space(tmp_path / "space.npz", {"isotropic": CostTable(table(3 * MAX_STORED))}, REPORT)
    kept = read_space(tmp_path / "space.npz")[0]["isotropic"].costs[:, 0]
    assert len(set(kept.tolist())) == MAX_STORED
    assert kept.tolist() == sorted(kept.tolist())
    assert kept.max() > len(LIMITS) * 2 * MAX_STORED  # not the first ones


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", pickle.dumps({"costs:isotropic": 1})])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "space.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"space\.npz cannot be read"):
        read_space(tmp_path / "space.npz")
    with pytest.raises(ValueError, match="nowhere cannot be read"):
        read_space(tmp_path / "nowhere")


def test_costs_of_another_shape_are_refused(tmp_path):
    np.savez(tmp_path / "space.npz", **{"report": np.array("{}"), "costs:isotropic": np.zeros((3, 2), np.int64)})
    with pytest.raises(ValueError, match="holds no costs of networks"):
        read_space(tmp_path / "space.npz")


def test_nothing_is_unpickled(tmp_path):
    np.savez(tmp_path / "space.npz", report=np.array("{}"), **{"costs:x": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(ValueError, match="cannot be read"):
        read_space(tmp_path / "space.npz")
