"""Batch inference of a submission: the same predictions as one by one, each file once, stored and resumed."""

import os
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from torch.nn.modules.module import register_module_forward_hook

from data.front_end import FrontEnd
from objectives.quality import Quality
from search.artifact.inference import predict
from search.artifact.reading import Export
from search.config.trial_config import TrialConfig
from search.submission.batch_inference import predict_evaluation_set
from search.submission.edition import DCASE2024, SubmissionError
from search.submission.evaluation_set import find_evaluation_set, validate_headers
from search.submission.systems import System
from training.inference_preprocessing import InferencePreprocessing

FIVE = 5  # sounds that differ
EDITION = replace(DCASE2024, num_clips=8)
BLOCK_SIZE = 2
CLASSES = DCASE2024.classes
NO_QUALITY = Quality(0.0, 0.0, 0.0, (), {}, {}, {}, ())


def infer(systems, clips, work, progress=None):
    return predict_evaluation_set(systems, clips, work, progress, block_size=BLOCK_SIZE)


def write(path, seed):
    sound = np.random.default_rng(seed).normal(0, 0.1, 44_100)
    soundfile.write(path, sound, 44_100, subtype="PCM_16")


@pytest.fixture
def folder(tmp_path):
    """Eight names of five sounds: clips 5, 6 and 7 are those of 0, 1 and 2 again."""
    root = tmp_path / "sounds"
    root.mkdir()
    for number in range(FIVE):
        write(root / f"{number}.wav", number)
    for number in range(FIVE, EDITION.num_clips):
        os.link(root / f"{number - FIVE}.wav", root / f"{number}.wav")
    return root


def system(split, front_end, **held):
    config = TrialConfig.from_values("isotropic", {"front_end": front_end, "width": 8, "depth": 1, "patch": 16, **held})
    torch.manual_seed(int(split))
    export = Export(config, CLASSES, config.build().eval(), InferencePreprocessing.of(config.recipe, None))
    return System(
        split=split, folder="exports", file="weights.safetensors", export=export, precision="fp32", macs=1, params=1,
        size_bytes=1, over_budget=(), training_split="5", quality=NO_QUALITY, sha256=(split,),
    )  # fmt: skip


@pytest.fixture
def systems():
    """Three front ends at two rates; two systems share one, one of them with test-time augmentation."""
    return {
        "5": system("5", "tfsepnet"),
        "10": system("10", "tfsepnet", test_copies=2),
        "25": system("25", "sepcnn"),
        "50": system("50", "dcase24"),
    }


@pytest.fixture
def evaluated(systems):
    """Number of clips that each system has evaluated since."""
    counts = Counter()
    for split, each in systems.items():
        each.export.network.register_forward_hook(
            lambda _, inputs, __, split=split: counts.update({split: len(inputs[0])})
        )
    return counts


def test_each_system_predicts_as_it_does_alone(systems, folder, tmp_path):
    sounds = find_evaluation_set(folder, EDITION)
    predictions = infer(systems, sounds, tmp_path / "work")
    for split, each in systems.items():
        for name, row in zip(sounds.names, predictions[split], strict=True):
            alone = predict(each.export, folder / name).probabilities
            np.testing.assert_allclose(row, list(alone.values()), atol=1e-4)
    np.testing.assert_allclose([rows.sum(axis=1) for rows in predictions.values()], 1, atol=1e-12)


def test_several_names_of_a_file_are_evaluated_once(systems, evaluated, folder, tmp_path):
    sounds = find_evaluation_set(folder, EDITION)
    assert sounds.names == ("0.wav", "1.wav", "2.wav", "3.wav", "4.wav")
    assert sounds.file_index.tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    infer(systems, sounds, tmp_path / "work")
    assert evaluated == {"5": FIVE, "10": 2 * FIVE, "25": FIVE, "50": FIVE}


def test_systems_with_one_front_end_share_a_spectrogram(systems, folder, tmp_path):
    computed = Counter()

    def count(module, inputs, _):
        if isinstance(module, FrontEnd):
            computed[module.config.mel_bins, module.config.rate_hz] += len(inputs[0])

    hook = register_module_forward_hook(count)
    try:
        alike = {"5": system("5", "tfsepnet"), "10": system("10", "tfsepnet"), "25": system("25", "sepcnn")}
        infer(alike, find_evaluation_set(folder, EDITION), tmp_path / "work")
    finally:
        hook.remove()
    assert computed == {(128, 32_000): FIVE, (256, 44_100): FIVE}


class StopError(Exception):
    pass


def stop_after(count):
    def progress(done, total):
        if done >= count:
            raise StopError

    return progress


def test_an_interrupted_run_resumes(systems, evaluated, folder, tmp_path):
    sounds = find_evaluation_set(folder, EDITION)
    whole = infer(systems, sounds, tmp_path / "other")
    evaluated.clear()
    with pytest.raises(StopError):
        infer(systems, sounds, tmp_path / "work", stop_after(2 * BLOCK_SIZE))
    again = infer(systems, sounds, tmp_path / "work")
    assert evaluated == {"5": FIVE, "10": 2 * FIVE, "25": FIVE, "50": FIVE}
    for split, rows in whole.items():
        np.testing.assert_array_equal(again[split], rows)


@pytest.mark.parametrize("damage", ["torn", "changed", "foreign"])
def test_damaged_predictions_are_computed_again(damage, systems, evaluated, folder, tmp_path):
    sounds = find_evaluation_set(folder, EDITION)
    whole = infer(systems, sounds, tmp_path / "work")
    evaluated.clear()
    path = tmp_path / "work" / "split_25.predictions"
    kept = bytearray(path.read_bytes())
    if damage == "torn":
        kept = kept[:-1]  # of the last slot, which has one sound
    elif damage == "changed":
        kept[3] ^= 1  # of the first slot
    else:
        kept = (tmp_path / "work" / "split_5.predictions").read_bytes()
    path.write_bytes(kept)
    again = infer(systems, sounds, tmp_path / "work")
    assert evaluated == {"25": {"torn": 1, "changed": BLOCK_SIZE, "foreign": FIVE}[damage]}
    np.testing.assert_array_equal(again["25"], whole["25"])


def test_a_sound_that_changed_is_evaluated_again(systems, evaluated, folder, tmp_path):
    before = infer(systems, find_evaluation_set(folder, EDITION), tmp_path / "work")
    evaluated.clear()
    (folder / "4.wav").unlink()
    write(folder / "4.wav", 77)
    after = infer(systems, find_evaluation_set(folder, EDITION), tmp_path / "work")
    assert evaluated == {"5": 1, "10": 2, "25": 1, "50": 1}
    assert (before["5"][:4] == after["5"][:4]).all()
    assert (before["5"][4] != after["5"][4]).any()


def test_another_network_is_evaluated_anew(systems, evaluated, folder, tmp_path):
    sounds = find_evaluation_set(folder, EDITION)
    infer(systems, sounds, tmp_path / "work")
    evaluated.clear()
    infer(systems | {"25": replace(systems["25"], sha256=("other",))}, sounds, tmp_path / "work")
    assert evaluated == {"25": FIVE}


def test_predictions_for_other_sounds_are_kept_when_one_is_truncated(systems, evaluated, folder, tmp_path):
    whole = (folder / "3.wav").read_bytes()
    (folder / "3.wav").write_bytes(whole[:1000])
    sounds = find_evaluation_set(folder, EDITION)
    with pytest.raises(SubmissionError, match=r"1 file of .* cannot be decoded:\n  3.wav: 0.0.. s long"):
        infer(systems, sounds, tmp_path / "work")
    (folder / "3.wav").write_bytes(whole)
    infer(systems, find_evaluation_set(folder, EDITION), tmp_path / "work")
    assert evaluated == {"5": FIVE, "10": 2 * FIVE, "25": FIVE, "50": FIVE}


def test_missing_sounds_are_named(folder):
    for number in (2, 6, 7):
        (folder / f"{number}.wav").unlink()
    with pytest.raises(SubmissionError) as refused:
        find_evaluation_set(folder, EDITION)
    assert str(refused.value) == f"{folder} lacks 3 of the 8 sounds of the evaluation set: 2.wav, 6.wav to 7.wav"
    with pytest.raises(SubmissionError, match="is not the folder of an evaluation set: No such file or directory"):
        find_evaluation_set(folder / "nowhere", EDITION)


def test_files_that_are_no_clips_are_named_before_inference(folder):
    soundfile.write(folder / "1.wav", np.zeros(88_200), 44_100, subtype="PCM_16")
    (folder / "3.wav").unlink()
    (folder / "3.wav").write_text("no sound")
    with pytest.raises(SubmissionError) as refused:
        validate_headers(find_evaluation_set(folder, EDITION))
    assert str(refused.value) == (
        f"2 files of {folder} cannot be decoded:\n"
        "  1.wav: 2.000 s long; a clip has 1.000 s, give or take 10%\n"
        "  3.wav: neither a WAV nor a FLAC file: it starts with b'no s'"
    )
