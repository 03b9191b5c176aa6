"""Cost tables: costs of a space's networks, priced before the search and stored beside the study. No torch.

results/<study>/space.npz   a cost table per architecture, and the report of the feasibility surveys as JSON
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from data.atomic_file import write_atomic
from data.regular_file import open_regular
from objectives.budget import LIMITS
from objectives.cost import Cost
from search.config.errors import UserError

FITS = "fits"
SPACE = "space.npz"
MAX_STORED = 5_000  # networks per architecture
_REPORT, _COSTS = "report", "costs:"  # names of the arrays; the second is followed by the architecture's


@dataclass(frozen=True)
class Nearest:
    """The network with the smallest excess over a budget.

    Attributes:
        values: Values of the `Subspace.cost_ranges`, by name.
        cost: Its cost.
        excess: Excess over each limit by name, as a fraction of the limit; 0 or less where it is met.
    """

    values: dict[str, Any]
    cost: Cost
    excess: dict[str, float]


@dataclass(frozen=True, eq=False)
class CostTable:
    """Costs of networks of one architecture.

    Attributes:
        costs: (num_networks, num_limits), a column for each of `LIMITS`.
        nearest: The network nearest to the budget, if none fits.
    """

    costs: NDArray[np.int64]
    nearest: Nearest | None = None


def write_space(path: Path, tables: Mapping[str, CostTable], report: Mapping[str, Any]) -> None:
    """Write the cost tables, the large ones as a random sample, and the report of the surveys."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        f"{_COSTS}{name}": found.costs[np.sort(rng.permutation(len(found.costs))[:MAX_STORED])]
        for name, found in tables.items()
    }
    arrays[_REPORT] = np.array(json.dumps(report))
    content = BytesIO()
    np.savez_compressed(content, **arrays)
    write_atomic(path, content.getvalue())


def read_space(path: Path) -> tuple[dict[str, CostTable], dict[str, Any]]:
    """Read the cost tables by architecture, and the report of the surveys.

    Raises:
        UserError: The file is missing, or is not of `write_space`.
    """
    try:
        with open_regular(path) as opened, np.load(opened, allow_pickle=False) as file:
            report = json.loads(str(file[_REPORT]))
            tables = {name.removeprefix(_COSTS): file[name] for name in file.files if name.startswith(_COSTS)}
    except (OSError, EOFError, BadZipFile, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    wrong = [name for name, table in tables.items() if table.shape[1:] != (len(LIMITS),) or table.dtype != np.int64]
    if wrong or not isinstance(report, dict):
        raise UserError(f"{path} holds no costs of networks")
    return {name: CostTable(table) for name, table in tables.items()}, report


def outcomes(costs: NDArray[np.int64], limits: Mapping[str, int]) -> NDArray[np.str_]:
    """Return `FITS` for each network, or the name of the limit that it exceeds by the largest factor."""
    if not limits:
        return np.full(len(costs), FITS)
    ratios = np.stack([costs[:, LIMITS.index(name)] / limit for name, limit in limits.items()])
    worst = np.array(list(limits))[ratios.argmax(axis=0)]
    return np.where((ratios > 1).any(axis=0), worst, FITS)
