"""Comparison of quantization variants, from training clips to evaluated files."""

import json
from dataclasses import replace

import pytest
import torch

from data.layout import read_scenes
from search.artifact.evaluation import load_dataset_for
from search.artifact.files import VARIANTS
from search.artifact.reading import Export
from search.config.trial_config import TrialConfig
from search.export.quantization_variants import compare, finetune_quantized, qat_recipe
from training.dataset import load_dataset
from training.loop import TrainingRun
from training.recipe import Recipe

CPU = torch.device("cpu")
PLAIN = {"mix_style_p": 0.0, "impulse_response_p": 0.0, "mask_bins": 0}


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A network that classifies the scenes of the tiny data, and the clips."""
    cache = tmp_path_factory.mktemp("sound")
    scenes = read_scenes(tiny)
    values = {"num_classes": 3, "width": 8, "depth": 1, "epochs": 6, "batch_size": 8, **PLAIN}
    config = TrialConfig.from_values("isotropic", values)
    dataset = load_dataset(scenes, config.front_end_config, None, cache)
    run = TrainingRun(config.build, config.recipe, dataset, CPU)
    while not run.is_over:
        run.run_epoch()
    export = Export(config, scenes.classes, run.network.eval(), run.preprocessing)
    return export, load_dataset_for(export, scenes, None, cache)


@pytest.fixture(scope="module")
def comparison(trained, tmp_path_factory):
    export, dataset = trained
    before = {name: value.clone() for name, value in export.network.state_dict().items()}
    found = compare(export, dataset, tmp_path_factory.mktemp("variants"), epochs=2)
    assert all(torch.equal(value, before[name]) for name, value in export.network.state_dict().items())
    return found


def test_each_variant_is_evaluated_from_its_file_and_drops_little_here(trained, comparison):
    export, dataset = trained
    assert tuple(each.name for each in comparison.variants) == VARIANTS
    assert comparison.num_clips == len(dataset.scenes.evaluate)
    fp32 = comparison["fp32"]
    assert fp32.quality.macro_accuracy == dataset.evaluate(export.network, CPU, export.preprocessing).macro_accuracy
    assert (fp32.accuracy_drop, fp32.disagreement) == (0, 0)
    for each in comparison.variants[1:]:
        assert each.accuracy_drop == pytest.approx(fp32.quality.macro_accuracy - each.quality.macro_accuracy)
        assert abs(each.accuracy_drop) <= 0.15
        assert each.stored.weight_bytes < fp32.stored.weight_bytes / 3


def test_quantization_aware_training_changes_weights_and_ranges(comparison):
    assert comparison["ptq"].path.read_bytes() != comparison["qat"].path.read_bytes()
    variant = json.loads(json.dumps(comparison["qat"].to_dict()))
    assert variant["variant"] == "qat"
    assert variant["file_bytes"] == comparison["qat"].path.stat().st_size


def test_a_network_from_quantization_aware_training_is_not_fine_tuned(trained, comparison, tmp_path):
    export, dataset = trained
    tuned = finetune_quantized(export, dataset, 1)
    again = compare(tuned, dataset, tmp_path, epochs=50)  # which would take long
    with torch.inference_mode():
        predicted = dataset.log_probabilities(tuned.network, CPU, tuned.preprocessing)
    assert again["qat"].quality.macro_accuracy == pytest.approx(dataset.score(predicted).macro_accuracy, abs=0.05)


def test_the_recipe_of_fine_tuning_quantizes_from_the_first_step_without_averaging():
    recipe = Recipe(
        epochs=100, swa_epochs=10, restart_epochs="4,8", distill_weight=3.0, prune_to=1000, label_smoothing=0.1
    )
    found = qat_recipe(recipe, 8, has_responses=False)
    assert found == replace(
        recipe, epochs=8, quantize_share=1.0, learning_rate=0.1 * recipe.learning_rate, warmup_share=0.0, swa_epochs=0,
        restart_epochs="", distill_weight=0.0, prune_share=0.125, impulse_response_p=0.0,
    )  # fmt: skip
    assert qat_recipe(recipe, 8, has_responses=True).impulse_response_p == recipe.impulse_response_p
