"""Whether the clips that a search chooses by can measure what it is to choose by. Needs no torch."""

from collections.abc import Sequence

import numpy as np

from data.layout import DataError, Scenes


def require_measurable(objectives: Sequence[str], scenes: Scenes) -> None:
    """Pass clips on which every objective can be measured.

    Args:
        objectives: Names of `GOALS`.
        scenes: Of which `evaluate` are the clips that are chosen by.

    Raises:
        DataError: The accuracy on unseen devices is an objective, and training hears every device of these clips.
    """
    if "unseen_accuracy" not in objectives:
        return
    heard = {scenes.devices[index] for index in np.unique(scenes.device_index[scenes.evaluate])}
    if not any(scenes.device_groups[device] == "unseen" for device in heard):
        raise DataError(
            "the objective unseen_accuracy needs clips of devices that training does not hear, and of the "
            f"{len(scenes.evaluate):,} clips to choose by there are none; name some with --unseen-devices, of "
            f"{', '.join(sorted(heard))}"
        )
