"""What int8 costs published networks in accuracy: after training, with some layers in fp32, and trained for it.

The networks are trained on the data set in $SCENEFRONT_DATA (its folders `scenes` and `impulse_responses`), and each
variant is measured from its file, through ONNX Runtime, on the evaluation clips. `python -m benchmarks.int8` writes
results/int8.md; networks that are trained already are taken from `--kept`.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from data.layout import read_scenes
from search.export.comparison import Comparison, compare
from search.export.measuring import material_for
from search.export.reading import Export
from search.trial_config import TrialConfig
from training.allocator import keep_freed_memory
from training.checkpoint import read_checkpoint
from training.execution import Execution, has_bf16
from training.hearing import Hearing
from training.loop import TrainingRun
from training.material import load_material

CPU = torch.device("cpu")
WAY = Execution(channels_last=True, bf16=has_bf16(CPU))
BATCH_SIZE, EPOCHS, TUNED_EPOCHS = 64, 24, 8
MAX_LOST = 1.0  # points
# Name in the table -> architecture and values. The first four have the goal.
NETWORKS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "isotropic": ("isotropic", {}),
    "TF-SepNet, C = 40": ("tf_sepnet", {}),
    "CP-Mobile": ("cp_mobile", {}),
    "separable CNN": ("sep_cnn", {}),
    "BC-ResNet-Mod": ("bc_resnet", {}),
    "CP-ResNet, W = 64, G = 4": ("cp_resnet", {"width": 64, "groups": 4}),
}
JUDGED = tuple(NETWORKS)[:4]


def config_of(name: str, num_classes: int, epochs: int) -> TrialConfig:
    """Give what is trained under a name of `NETWORKS`."""
    architecture, values = NETWORKS[name]
    given = {"num_classes": num_classes, "batch_size": BATCH_SIZE, "epochs": epochs, **values}
    return TrialConfig.from_values(architecture, given)


def train(data: Path, cache: Path, name: str, epochs: int, kept: Path) -> Path:
    """Train a network on one core, or go on with it; give where its weights are."""
    keep_freed_memory()
    torch.set_num_threads(1)
    path = kept / f"{NETWORKS[name][0]}.safetensors"
    scenes = read_scenes(data / "scenes")
    config = config_of(name, len(scenes.classes), epochs)
    material = load_material(scenes, config.front_end_config, data / "impulse_responses", cache)
    run = TrainingRun(config.build, config.recipe, material, CPU, WAY)
    if path.is_file():
        run.load(path)
    while not run.is_over:
        run.run_epoch()
        run.save(path)
    return path


def compared(data: Path, cache: Path, name: str, epochs: int, kept: Path) -> Comparison:
    """Train a network where it is not trained yet, and compare its variants."""
    path = train(data, cache, name, epochs, kept)
    scenes = read_scenes(data / "scenes")
    config = config_of(name, len(scenes.classes), epochs)
    network = config.build()
    read_checkpoint(path).restore_network(network)
    export = Export(config, scenes.classes, network.eval(), Hearing.of(config.recipe, None))
    material = material_for(export, scenes, data / "impulse_responses", cache)
    with tempfile.TemporaryDirectory(prefix="scenefront-") as folder:
        return compare(export, material, Path(folder), epochs=TUNED_EPOCHS)
