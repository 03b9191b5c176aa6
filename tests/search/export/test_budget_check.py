"""Checks of files against budgets, by their stored cost."""

from objectives.budget import BUDGETS, Budget
from objectives.cost import StoredCost
from search.export.budget_check import check_budget, check_editions


def cost(params, size_bytes, nonzero_bytes, precision="fp32", macs=20_000_000):
    return StoredCost(macs, params, size_bytes, nonzero_bytes, 100_000, precision)


def test_the_first_file_that_fits_decides_and_the_others_are_reported_too():
    found = check_budget(
        BUDGETS["dcase2024"],
        {"fp32": cost(60_000, 240_000, 240_000), "int8": cost(60_000, 61_000, 61_000)},
    )
    assert (found["fits"], found["file"], found["measured"]["size_bytes"]) == (True, "int8", 61_000)
    assert found["files"]["fp32"]["violations"] == ["size_bytes 240,000 > 128,000 (1.88x)"]
    assert found["limits"] == {"macs": 30_000_000, "size_bytes": 128_000}


def test_where_no_file_fits_the_smallest_is_reported():
    found = check_budget(BUDGETS["dcase2024"], {"fp32": cost(1, 500_000, 1), "int8": cost(1, 130_000, 1)})
    assert (found["fits"], found["file"]) == (False, "int8")


def test_zeros_count_by_the_rules_of_2022_and_not_by_those_of_2021():
    found = check_editions({"weights": cost(500_000, 1_000_000, 128_000)})
    assert {name: each["fits"] for name, each in found.items()} == {
        "dcase2021": True, "dcase2022": False, "dcase2023": False, "dcase2024": False, "dcase2025": False,
    }  # fmt: skip


def test_no_limits_fit_everything():
    assert check_budget(Budget("none"), {"weights": cost(1, 1, 1)})["fits"] is True
