"""SpecAugment++ on hidden states: mixture masking of the outputs of a network's stages in training.

Sources: Wang et al., "SpecAugment++: A Hidden Space Data Augmentation Method for Acoustic Scene Classification",
Interspeech 2021; as the separable CNN's report has it: technical report for DCASE 2022 task 1, section 3.1.

Shape letters: B batch, C channels, F mel bins, T frames, D features.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from training.errors import TrainingError
from training.module_modes import eval_mode, zero_input

Mask = Callable[[Tensor, float], Tensor]


class HiddenStateMasking:
    """Masks the outputs of a network's stages through forward hooks; its weights are left alone.

    A stage is a block that runs before the features: a child of the network, or of a Sequential or ModuleList in it,
    that has children itself and returns (B, C, F, T) with F x T > 1. A Sequential of leaf layers is one block. In a
    network without blocks the layers with weights are the stages.

    Attributes:
        stages: Their names in the network, in the order in which they are first reached.
    """

    def __init__(self, network: nn.Module, shape: tuple[int, int, int], mask: Mask) -> None:
        """Find the stages by tracing the network on zeros, in eval mode.

        Args:
            network: Has a method `features` that maps (B, C, F, T) to (B, D).
            shape: Shape of one input: (C, F, T).
            mask: Maps a hidden state (B, C, F, T) and the largest masked share of each axis to the masked state; draws
                its own random numbers.

        Raises:
            ValueError: No stage is found.
        """
        self.mask = mask
        candidates = dict(_blocks(network)) or {
            name: module for name, module in network.named_modules() if list(module.parameters(recurse=False))
        }
        reached = _reached(network, shape, candidates)
        if not reached:
            raise TrainingError(
                f"{type(network).__name__} has no part that gives a hidden state (B, C, F, T) with F x T over 1 on "
                f"the way to its features, so there is nothing to mask (its parts: {', '.join(candidates) or 'none'}); "
                "set mixture_mask_share to 0"
            )
        self.stages = tuple(reached)
        self._modules = [candidates[name] for name in reached]

    @contextmanager
    def active(self, share: float, p: float) -> Iterator[None]:
        """Mask each stage's output with probability `p` at each forward pass, unless in eval mode."""

        def masked(module: nn.Module, _: Any, output: Tensor) -> Tensor | None:
            if not module.training or float(torch.rand(())) >= p:
                return None
            return self.mask(output, share)

        handles = [module.register_forward_hook(masked) for module in self._modules]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _blocks(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the blocks at the top of a network, with their names."""
    for name, child in network.named_children():
        if not list(child.children()):
            continue
        members = [(f"{name}.{key}", member) for key, member in child.named_children() if list(member.children())]
        if isinstance(child, nn.Sequential | nn.ModuleList) and members:
            yield from members
        elif not isinstance(child, nn.ModuleList):
            yield name, child


def _reached(network: nn.Module, shape: tuple[int, int, int], candidates: dict[str, nn.Module]) -> list[str]:
    """Return the candidates that return a hidden state before the features, in the order in which they run."""
    reached: dict[str, None] = {}

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.dim() == 4 and output.shape[2] * output.shape[3] > 1:
                reached[name] = None

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in candidates.items()]
    try:
        with torch.no_grad(), eval_mode(network):
            network.features(zero_input(network, shape))  # type: ignore[operator] # every network has it
    finally:
        for handle in handles:
            handle.remove()
    return list(reached)
