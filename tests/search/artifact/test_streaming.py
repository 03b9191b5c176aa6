"""A small file may hold hours: `predict` hears it window by window, in bounded memory, and shows how far it is."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from data.level import hear
from data.wav import read_wav, resample
from search.artifact.inference import Predictor, predict
from search.artifact.reading import load_export

ROOT = Path(__file__).parents[3]
MAX_MORE_BYTES = 150_000_000  # than for one second: two pieces of 16 s, at two rates, and their resampling
# Of this process alone; `ru_maxrss` of a child begins with its parent's.
PEAK = """
import json, sys
from pathlib import Path
from search.artifact.inference import predict
from search.artifact.reading import load_export
export, calls = load_export(Path(sys.argv[1])), []
answers = [predict(export, Path(each), None, lambda *done: calls.append(done)).probabilities for each in sys.argv[2:]]
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps([int(status["VmHWM"].split()[0]) * 1024, calls, answers]))
"""


def claim_rate(path, rate_hz):
    raw = bytearray(path.read_bytes())
    raw[24:32] = struct.pack("<II", rate_hz, 2 * rate_hz)
    path.write_bytes(raw)


def one_hertz(path, duration_s):
    """88 bytes a minute and a half: at 1 Hz each sample is a second."""
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, duration_s), 8_000, "PCM_16", format="WAV")
    claim_rate(path, 1)


def silent_flac(path, duration_s, rate_hz=8_000):
    with soundfile.SoundFile(path, "w", rate_hz, 1, format="FLAC") as file:
        for _ in range(duration_s // 10):
            file.write(np.zeros(10 * rate_hz, np.float32))


def many_channels(path, duration_s):
    """8-bit, of a thousand channels: 16 s of it at once would be half a gigabyte of floats."""
    raw = np.random.default_rng(0).integers(100, 156, (duration_s * 8_000, 1_000), np.uint8)
    head = struct.pack("<HHIIHH", 1, 1_000, 8_000, 8_000_000, 1_000, 8)
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", raw.size)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks) + raw.size) + chunks + raw.tobytes())


def measured(export, *paths):
    command = [sys.executable, "-c", PEAK, str(export), *map(str, paths)]
    return json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "duration_s"),
    [(one_hertz, 1_200), (silent_flac, 1_200), (many_channels, 16)],
    ids=["1 Hz", "FLAC", "channels"],
)
def test_hours_in_a_small_file_take_no_more_memory_than_some_seconds(exported, tmp_path, make, duration_s):
    soundfile.write(tmp_path / "second.wav", np.zeros(8_000), 8_000)
    make(tmp_path / "long", duration_s)
    short, _, _ = measured(exported, tmp_path / "second.wav")
    long, calls, _ = measured(exported, tmp_path / "second.wav", tmp_path / "long")
    assert long - short < MAX_MORE_BYTES
    assert calls == [[each, duration_s] for each in (*range(16, duration_s, 16), duration_s)] * (duration_s > 16)


@pytest.mark.parametrize("make", [one_hertz, silent_flac])
def test_the_answer_is_that_of_the_file_read_as_a_whole(exported, tmp_path, make):
    path, export = tmp_path / "minute", load_export(exported)
    make(path, 50)
    rate_hz = export.config.front_end_config.rate_hz
    whole = torch.from_numpy(read_wav(path)[0])
    clips = resample(whole, 1 if make is one_hertz else 8_000, rate_hz).reshape(50, rate_hz)
    expected = Predictor(export).probabilities(hear(clips)).mean(dim=0)
    found = predict(export, path)
    np.testing.assert_allclose(list(found.probabilities.values()), expected.detach().numpy(), atol=1e-4)


def test_the_command_says_how_long_a_long_file_is(run, exported, tmp_path):
    silent_flac(tmp_path / "minute.flac", 60)
    result = run("predict", exported, "minute.flac")
    assert (result.code, result.err) == (0, "seconds heard of minute.flac: 60\n")
