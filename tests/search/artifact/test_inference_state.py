"""Exports with inference state predict as they were evaluated; and CP-ResNet fits its budget when pruned."""

import json
from dataclasses import replace

import pytest
from trained import SMALL, train

from data.demo import DemoConfig, write_demo
from data.layout import read_scenes
from search.artifact.certificate import ExportError
from search.artifact.evaluation import evaluate_export
from search.artifact.files import INFERENCE_STATE
from search.artifact.inference import predict
from search.artifact.reading import load_export, read_export
from search.engine.teachers import export_digest
from search.export.writing import export_trial
from search.study.study import StudyFolder
from training.checkpoint import CheckpointError, read_tensors, write_tensors
from training.pruning import prunable_weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "demo"
    write_demo(root, DemoConfig(seed=1, clips_per_location=2, locations_per_scene=12))
    return root


@pytest.fixture(scope="module")
def exported(demo, tmp_path_factory):
    root = tmp_path_factory.mktemp("answering")
    folder = StudyFolder(root / "study")
    held = {**SMALL, "spectrum_correction": True, "quantize_share": 0.5, "test_copies": 3, "shift_frames": 4.0}
    run = train(folder, demo, **held)
    export_trial(folder, 0, root / "export")
    return root / "export", run


def test_an_export_evaluates_to_what_was_recorded(exported, demo):
    folder, run = exported
    quality = evaluate_export(load_export(folder), demo, "fold1", None)
    assert quality.to_dict() == run.results[-1].quality.to_dict()


def test_without_its_inference_preprocessing_it_would_predict_otherwise(exported, demo):
    folder, run = exported
    whole = load_export(folder)
    plain = replace(whole, preprocessing=replace(whole.preprocessing, correction=None))
    assert evaluate_export(plain, demo, "fold1", None) != run.results[-1].quality
    once = replace(whole, preprocessing=replace(whole.preprocessing, copies=0))
    assert evaluate_export(once, demo, "fold1", None) != run.results[-1].quality


def test_an_export_holds_the_network_s_weights_and_beside_them_ranges_and_gains(exported, demo):
    folder, run = exported
    weights, _ = read_tensors(folder / "weights.safetensors")
    assert set(weights) == set(run.network.state_dict())
    beside, metadata = read_tensors(folder / INFERENCE_STATE)
    assert json.loads(metadata["devices"]) == list(read_scenes(demo).devices)
    assert beside["correction.gains"].shape == (9, 256)
    assert {name.split(".")[0] for name in beside} == {"correction", "quantization"}
    card = (folder / "card.md").read_text()
    assert "the mean over 3 copies of a clip, at 3 times these MACs" in card


def test_a_sound_is_corrected_for_the_device_that_recorded_it(exported, demo):
    export = load_export(exported[0])
    scenes = read_scenes(demo)
    correction = export.preprocessing.correction
    aligned = [name for name, gains in zip(correction.devices, correction.gains, strict=True) if (gains != 1).any()]
    device = next(name for name in aligned if name != "a")
    path = demo / scenes.clips["filename"].iloc[scenes.evaluate[0]]
    unknown, known = predict(export, path), predict(export, path, device)
    assert sum(known.probabilities.values()) == pytest.approx(1.0, abs=1e-5)
    assert unknown.probabilities != known.probabilities
    assert predict(export, path, device) == known
    assert predict(export, path, "s4") == unknown  # never aligned in training
    with pytest.raises(ExportError, match="the network has no correction for device phone; it has for a, b, c, s1"):
        predict(export, path, "phone")


def test_an_export_that_lost_what_it_needs_is_refused(exported, tmp_path):
    folder, _ = exported
    damaged = tmp_path / "export"
    damaged.mkdir()
    for name in ("config.yaml", "weights.safetensors"):
        (damaged / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(CheckpointError, match=r"inference_state\.safetensors is not a whole safetensors file"):
        read_export(damaged)
    beside, metadata = read_tensors(folder / INFERENCE_STATE)
    for name, reason in (
        ("correction.gains", "correction.gains"),
        ("quantization.classifier", "classifier is missing"),
    ):
        write_tensors(damaged / INFERENCE_STATE, {key: value for key, value in beside.items() if key != name}, metadata)
        with pytest.raises(CheckpointError, match=f"does not hold the inference state of the network: .*{reason}"):
            read_export(damaged)


def test_the_digest_of_a_teacher_depends_on_its_inference_state(exported, tmp_path):
    folder, _ = exported
    other = tmp_path / "export"
    other.mkdir()
    for path in folder.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    assert export_digest(other) == export_digest(folder)
    beside, metadata = read_tensors(other / INFERENCE_STATE)
    write_tensors(other / INFERENCE_STATE, {**beside, "correction.gains": beside["correction.gains"] * 2}, metadata)
    assert export_digest(other) != export_digest(folder)


def test_cp_resnet_pruned_as_in_its_report_fits_the_budget_of_2021(demo, tmp_path):
    folder = StudyFolder(tmp_path / "study")
    sizes = {"width": 256, "groups": 16, "tail_blocks": 0, "rho": 7}
    run = train(folder, demo, "cp_resnet", epochs=4, clips=16, swa_epochs=1, **sizes)
    left = {name: int(weight.count_nonzero()) for name, weight in prunable_weights(run.network, (1, 256, 44)).items()}
    assert len(left) == 11
    assert min(left.values()) > 0
    cost = export_trial(folder, 0, tmp_path / "export", int8="none")["cost"]
    assert cost["stored_values"] == 504_104
    assert 60_000 < cost["nonzero_values"] <= 65_000
    assert cost["nonzero_bytes"] <= 128 * 1024
