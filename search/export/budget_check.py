"""What the files of an export cost as they are: their values and bytes, as read from them."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from objectives.budget import BUDGETS, UNLIMITED, Budget
from objectives.cost import Cost, StoredCost
from search.artifact.certificate import WEIGHTS
from search.artifact.files import INT8, MODEL
from search.artifact.stored_values import OF_NETWORK, Stored, StoredTensor, read_stored

HELD_AGAINST_LIMITS = (WEIGHTS, MODEL, INT8)  # the one that is preferred first
NAMES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}  # of data types, as budgets have them
EDITIONS = tuple(name for name in BUDGETS if name != UNLIMITED)


def ship(folder: Path, file: str, network: nn.Module, cost: Cost) -> tuple[StoredCost, dict[str, Any]]:
    """Read what a file of an export holds.

    Of the file of weights, what is learned counts as parameters, and what norms have measured as stored values alone.
    In an ONNX file the one is folded into the other, and all that is the network's own counts as both; scales of
    rounded values do not.

    Args:
        folder: Of the export.
        file: One of `HELD_AGAINST_LIMITS`.
        network: That the weights are of.
        cost: Of the network.

    Returns:
        What it costs, for a budget; and what it stores, for the certificate.

    Raises:
        CheckpointError: The file is broken.
    """
    stored = read_stored(folder / file)
    own = [each for each in stored.tensors if each.kind in OF_NETWORK]
    learned = {name for name, _ in network.named_parameters()} if file == WEIGHTS else {each.name for each in own}
    params = [each for each in own if each.name in learned]
    shipped = StoredCost(
        macs=cost.macs,
        params=sum(each.num_values for each in params),
        size_bytes=sum(each.num_bytes for each in params),
        nonzero_bytes=sum(_nonzero_bytes(each) for each in own),
        peak_bytes=cost.peak_bytes,
        precision=_precision(params),
    )
    return shipped, _sums(stored)


def _nonzero_bytes(tensor: StoredTensor) -> int:
    return tensor.nonzero_values * tensor.num_bytes // tensor.num_values if tensor.num_values else 0


def _precision(tensors: list[StoredTensor]) -> str:
    """Name the type of most values."""
    counts = Counter[str]()
    for each in tensors:
        counts[each.dtype] += each.num_values
    most = counts.most_common(1)[0][0]
    return NAMES.get(most, most)


def _sums(stored: Stored) -> dict[str, Any]:
    return {name: value for name, value in stored.to_dict().items() if name != "tensors"}


def judge(budget: Budget, shipped: Mapping[str, StoredCost]) -> dict[str, Any]:
    """Hold every file against a budget.

    Args:
        budget: Its limits.
        shipped: What each file costs, the one that is preferred first.

    Returns:
        `limits`; by name of a file in `files` whether it `fits`, its `precision`, what is `measured` of it, and its
        `violations`; and the verdict of one of them, the `file`: the first that fits, or else the smallest.
    """
    limits = budget.limits()
    files = {
        name: {
            "fits": budget.fits(cost),
            "precision": cost.precision,
            "measured": {limit: getattr(cost, limit) for limit in limits},
            "violations": budget.violations(cost),
        }
        for name, cost in shipped.items()
    }
    smallest = min(shipped, key=lambda name: shipped[name].size_bytes)
    chosen = next((name for name, found in files.items() if found["fits"]), smallest)
    told = {name: files[chosen][name] for name in ("fits", "measured", "violations")}
    return {"limits": limits, **told, "file": chosen, "files": files}


def judge_editions(shipped: Mapping[str, StoredCost]) -> dict[str, Any]:
    """Hold every file against the limits of each edition of the challenge; see `judge`."""
    return {name: judge(BUDGETS[name], shipped) for name in EDITIONS}
