"""The learning rate over the steps of a training run."""

import math


def warmup_cosine(step: int, num_steps: int, warmup_share: float) -> float:
    """Give the share of the peak learning rate at `step`, counted from 0: a linear rise, then half a cosine to 0.

    Source: the DCASE 2024 Task 1 baseline, https://github.com/CPJKU/dcase2024_task1_baseline at 9948d19.

    Args:
        step: Of the optimizer, from 0 to `num_steps` - 1.
        num_steps: Of the whole run.
        warmup_share: Share of `num_steps` in which the rate rises; at least one step if it is above 0.

    >>> [round(warmup_cosine(step, 8, 0.25), 2) for step in range(8)]
    [0.5, 1.0, 1.0, 0.93, 0.75, 0.5, 0.25, 0.07]
    """
    num_warmup = math.ceil(warmup_share * num_steps)
    if step < num_warmup:
        return (step + 1) / num_warmup
    done = (step - num_warmup) / (num_steps - num_warmup)
    return 0.5 * (1 + math.cos(math.pi * done))
