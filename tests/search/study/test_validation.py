"""Which objectives can be measured on which clips; tiny has the devices a, s1 and, unseen, s4."""

import pytest

from data.errors import DataError
from data.layout import read_scenes
from data.validation_split import hold_out
from search.study.data_identity import require_measurable


def test_an_unseen_device_must_be_held_out_where_validation_has_training_devices_only(tiny):
    scenes = hold_out(read_scenes(tiny), 0.5)
    require_measurable(("macro_accuracy", "macs"), scenes)
    with pytest.raises(DataError) as error:
        require_measurable(("unseen_accuracy", "macs"), scenes)
    devices = sorted({scenes.devices[index] for index in scenes.device_index[scenes.evaluate]})
    assert str(error.value) == (
        "the objective unseen_accuracy needs clips of devices that are not in the training set, and the "
        f"{len(scenes.evaluate)} validation clips have none; name some with --unseen-devices, of "
        f"{', '.join(devices)}"
    )
    require_measurable(("unseen_accuracy", "macs"), hold_out(read_scenes(tiny), 0.5, devices[:1]))
