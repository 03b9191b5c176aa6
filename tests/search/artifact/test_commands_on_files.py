"""The commands evaluate, predict, bench and quantize on every file of an export."""

import json

import numpy as np
import pytest
import soundfile

from search.artifact.certificate import WEIGHTS, read_certificate
from search.artifact.files import INT8, MODEL, PIPELINE

RUNS = [WEIGHTS, MODEL, PIPELINE, INT8]


def place(exported, file):
    return exported if file == WEIGHTS else exported / file


@pytest.mark.parametrize("file", RUNS)
def test_each_file_evaluates_to_the_metrics_in_the_certificate(run, exported, tiny, file):
    result = run("evaluate", place(exported, file), tiny, "--json")
    assert result.code == 0, result.err
    measured, expected = json.loads(result.out), read_certificate(exported)["quality"][file]
    assert measured["confusion"] == expected["confusion"]
    assert measured["log_loss"] == pytest.approx(expected["log_loss"], rel=1e-4)


def test_each_file_predicts_the_same_for_a_sound(run, exported, tiny, tmp_path):
    clip, _ = soundfile.read(min((tiny / "audio").iterdir()))
    sound = np.stack([np.resize(clip, 70_000)] * 2, 1)
    soundfile.write(tmp_path / "noise.flac", sound, 44_100)
    predictions = {}
    for file in RUNS:
        result = run("predict", place(exported, file), "noise.flac", "--json")
        assert result.code == 0, result.err
        predictions[file] = json.loads(result.out)[0]["probabilities"]
    for file in (MODEL, PIPELINE):
        assert predictions[file] == pytest.approx(predictions[WEIGHTS], abs=1e-4)
    assert predictions[INT8] == pytest.approx(predictions[WEIGHTS], abs=0.1)


def test_files_that_are_not_sounds_are_named_and_the_others_predicted(run, exported, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(44_100), 44_100)
    (tmp_path / "text.txt").write_text("no sound")
    result = run("predict", exported, "silence.wav", "text.txt", "missing.wav")
    assert result.code == 2
    assert result.out.startswith("silence.wav: ")
    assert "2 of 3 files cannot be decoded" in result.err
    assert "text.txt: neither a WAV nor a FLAC file" in result.err


def test_a_pipeline_knows_no_devices(run, exported, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(44_100), 44_100)
    result = run("predict", exported / PIPELINE, "silence.wav", "--device", "a")
    assert (result.code, "treats every device as unknown" in result.err) == (2, True)


@pytest.mark.slow
@pytest.mark.parametrize("file", [WEIGHTS, PIPELINE])
def test_an_export_is_timed_in_a_process_of_its_own(run, exported, file):
    result = run("bench", place(exported, file), "--json")
    assert result.code == 0, result.err
    measured = json.loads(result.out)
    assert (measured["file"], measured["threads"]) == (file, 1)
    parts = ["end_to_end"] if file == PIPELINE else ["front_end", "network", "end_to_end"]
    assert list(measured["latency_ms"]) == parts
    for found in measured["latency_ms"].values():
        assert 0 < found["p05"] <= found["median"] <= found["p95"]
        assert found["calls"] >= 5
    memory = measured["memory_bytes"]
    assert 0 < memory["before"] < memory["peak"] < 10_000_000_000
    assert memory["increase"] == memory["peak"] - memory["before"]


def test_what_cannot_be_timed_is_refused_with_the_reason(run, tmp_path):
    result = run("bench", "nowhere")
    assert (result.code, result.err) == (2, "error: nowhere: no such export\n")


@pytest.mark.slow
def test_another_int8_variant_can_be_kept_and_is_certified(run, export, tiny):
    before = read_certificate(export)
    result = run("quantize", export, tiny, "--epochs", 1, "--keep", "qat")
    assert result.code == 0, result.err
    after = read_certificate(export)
    assert after["files"][INT8]["sha256"] != before["files"][INT8]["sha256"]
    assert after["files"][MODEL] == before["files"][MODEL]
    assert after["notes"] == [f"{INT8} is from quantization-aware training, 1 epoch after the rest."]
    again = run("evaluate", export / INT8, tiny, "--json")
    assert json.loads(again.out)["confusion"] == after["quality"][INT8]["confusion"]
