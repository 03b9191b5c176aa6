"""Validation of a state dict before loading: names and shapes."""

from collections.abc import Mapping

import torch
from torch import Tensor


def require_same_state(what: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Refuse tensors of other names or shapes.

    Raises:
        ValueError: Lists every difference.
    """
    wrong = state_differences(expected, found)
    if wrong:
        raise ValueError(f"{what} is of another network: {'; '.join(wrong)}")


@torch.no_grad()
def load_tensors(what: str, into: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Copy `found` in place into the tensors of the same names and shapes.

    Raises:
        ValueError: As `require_same_state`.
    """
    require_same_state(what, into, found)
    for name, value in into.items():
        value.copy_(found[name])


def state_differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """List every missing name, every unexpected name and every shape that differs."""
    wrong = [f"{name} is missing" for name in expected if name not in found]
    surplus = [name if name.isprintable() else ascii(name) for name in found if name not in expected]
    wrong += [f"{name} is not of this network" for name in surplus]
    wrong += [
        f"{name} has shape {tuple(found[name].shape)}, not {tuple(value.shape)}"
        for name, value in expected.items()
        if name in found and found[name].shape != value.shape
    ]
    return wrong
