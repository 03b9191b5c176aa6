"""What a training method keeps in a checkpoint, held against what it is to be put into."""

from collections.abc import Mapping

from torch import Tensor


def require_same(what: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Refuse tensors of other names or shapes.

    Raises:
        ValueError: Every difference, after `what` the tensors are for.
    """
    wrong = [f"{name} is missing" for name in expected if name not in found]
    wrong += [f"{name} is not known" for name in found if name not in expected]
    wrong += [
        f"{name} has shape {tuple(found[name].shape)}, not {tuple(value.shape)}"
        for name, value in expected.items()
        if name in found and found[name].shape != value.shape
    ]
    if wrong:
        raise ValueError(f"{what} is of another network: {'; '.join(wrong)}")
