"""Checks of an export's files against budgets, by the values and bytes that are stored in them."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from objectives.budget import BUDGETS, UNLIMITED, Budget
from objectives.cost import Cost, StoredCost
from search.artifact.certificate import WEIGHTS
from search.artifact.files import INT8, MODEL
from search.artifact.stored_values import NETWORK_KINDS, StoredTensor, StoredValues, read_stored_values

BUDGET_FILES = (WEIGHTS, MODEL, INT8)  # files checked against budgets, in order of preference
PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}  # data type -> its name in budgets
EDITIONS = tuple(name for name in BUDGETS if name != UNLIMITED)


def measure_stored_cost(folder: Path, file: str, network: nn.Module, cost: Cost) -> tuple[StoredCost, dict[str, Any]]:
    """Measure the stored cost of an export's file.

    In the weights file trainable values count as parameters, running statistics as stored values only. In an ONNX file
    batch norms are folded, and all weights, biases and norms count as both; scales of int8 values do not.

    Returns:
        The cost, for a budget; and the totals of its stored values, for the certificate.

    Raises:
        CheckpointError: The file is broken.
    """
    stored = read_stored_values(folder / file)
    own = [tensor for tensor in stored.tensors if tensor.kind in NETWORK_KINDS]
    trainable = {name for name, _ in network.named_parameters()} if file == WEIGHTS else {each.name for each in own}
    params = [tensor for tensor in own if tensor.name in trainable]
    stored_cost = StoredCost(
        macs=cost.macs,
        params=sum(tensor.num_values for tensor in params),
        size_bytes=sum(tensor.num_bytes for tensor in params),
        nonzero_bytes=sum(_nonzero_bytes(tensor) for tensor in own),
        peak_bytes=cost.peak_bytes,
        precision=_precision(params),
    )
    return stored_cost, _sums(stored)


def _nonzero_bytes(tensor: StoredTensor) -> int:
    return tensor.nonzero_values * tensor.num_bytes // tensor.num_values if tensor.num_values else 0


def _precision(tensors: list[StoredTensor]) -> str:
    """Return the data type of most values."""
    counts = Counter[str]()
    for tensor in tensors:
        counts[tensor.dtype] += tensor.num_values
    dtype = counts.most_common(1)[0][0]
    return PRECISIONS.get(dtype, dtype)


def _sums(stored: StoredValues) -> dict[str, Any]:
    return {name: value for name, value in stored.to_dict().items() if name != "tensors"}


def check_budget(budget: Budget, costs: Mapping[str, StoredCost]) -> dict[str, Any]:
    """Check every file against a budget.

    Args:
        costs: Stored cost of each file, in order of preference.

    Returns:
        `limits`; in `files`, by name, whether the file `fits`, its `precision`, the `measured` value of each limit, and
        its `violations`; and the same of one `file`: the first that fits, or else the smallest.
    """
    limits = budget.limits()
    files = {
        name: {
            "fits": budget.fits(cost),
            "precision": cost.precision,
            "measured": {limit: getattr(cost, limit) for limit in limits},
            "violations": budget.violations(cost),
        }
        for name, cost in costs.items()
    }
    smallest = min(costs, key=lambda name: costs[name].size_bytes)
    selected = next((name for name, result in files.items() if result["fits"]), smallest)
    result = {name: files[selected][name] for name in ("fits", "measured", "violations")}
    return {"limits": limits, **result, "file": selected, "files": files}


def check_editions(costs: Mapping[str, StoredCost]) -> dict[str, Any]:
    """Check every file against the limits of each edition of the challenge; see `check_budget`."""
    return {name: check_budget(BUDGETS[name], costs) for name in EDITIONS}
