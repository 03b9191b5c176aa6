"""Learning rate schedule: linear warm-up, plateau, cosine or linear decay, warm restarts (SGDR)."""

import math
from bisect import bisect_right

from training.recipe import Recipe


def rate_at(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate at a step over the peak rate.

    Linear warm-up, plateau, then a half-cosine or linear decay to `final_share`, reached one step after the last.
    Restarts divide the run into segments, each with a plateau and a decay, the first with a warm-up; the recipe's
    shares are shares of a segment's steps.

    A warm-up of a number of steps is as long on every data set, as in the ASCDomain scripts; on data so small that it
    would be more than half of the steps before the decay, it is half of them, so that the peak is reached.

    Sources: the DCASE 2024 Task 1 baseline, https://github.com/CPJKU/dcase2024_task1_baseline at 9948d19 (warm-up and
    cosine); Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017 (restarts).

    Args:
        step: Optimizer step, from 0 to epochs x `steps_per_epoch` - 1.
        steps_per_epoch: At least 1.

    Raises:
        ValueError: A step that the run does not have.

    >>> def rates(**shape):
    ...     recipe = Recipe(epochs=8, **shape)
    ...     return [round(rate_at(recipe, step, steps_per_epoch=1), 2) for step in range(8)]
    >>> rates(warmup_share=0.25)
    [0.5, 1.0, 1.0, 0.93, 0.75, 0.5, 0.25, 0.07]
    >>> rates(warmup_share=0.25, plateau_share=0.25, schedule="linear", final_share=0.2)
    [0.5, 1.0, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4]
    >>> rates(warmup_share=0.0, warmup_steps=2), rates(warmup_share=0.0, warmup_steps=99)[:4]
    ([0.5, 1.0, 1.0, 0.93, 0.75, 0.5, 0.25, 0.07], [0.25, 0.5, 0.75, 1.0])
    >>> rates(warmup_share=0.0, schedule="linear", restart_epochs="2,4")
    [1.0, 0.5, 1.0, 0.5, 1.0, 0.75, 0.5, 0.25]
    """
    num_steps = recipe.epochs * steps_per_epoch
    if not 0 <= step < num_steps:
        raise ValueError(f"step must be from 0 to {num_steps - 1}, got {step}")
    starts = [0, *(epoch * steps_per_epoch for epoch in recipe.restarts if epoch < recipe.epochs), num_steps]
    segment = bisect_right(starts, step) - 1
    length = starts[segment + 1] - starts[segment]
    step -= starts[segment]
    num_warmup, num_before_fall = _before_fall(recipe, length, is_first=segment == 0)
    if step < num_warmup:
        return (step + 1) / num_warmup
    if step < num_before_fall:
        return 1.0
    done = (step - num_before_fall) / (length - num_before_fall)
    left = 0.5 * (1 + math.cos(math.pi * done)) if recipe.schedule == "cosine" else 1 - done
    return recipe.final_share + (1 - recipe.final_share) * left


def _before_fall(recipe: Recipe, length: int, *, is_first: bool) -> tuple[int, int]:
    """Return the steps of a segment's warm-up, and those of its warm-up and plateau together."""
    if recipe.warmup_steps and is_first:
        num_plateau = math.ceil(recipe.plateau_share * length)
        num_warmup = min(recipe.warmup_steps, (length - num_plateau) // 2)
        return num_warmup, num_warmup + num_plateau
    share = recipe.warmup_share if is_first else 0.0
    return math.ceil(share * length), math.ceil((share + recipe.plateau_share) * length)
