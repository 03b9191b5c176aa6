"""A small data set in the layout, of real WAV files."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

# Two scenes in two cities; s4 is only in the evaluation list.
TRAIN = [f"{scene}-oslo-1-7-{i}-{d}" for scene in ("bus", "park") for i, d in enumerate(("a", "b", "s1"))]
EVALUATE = [f"{scene}-bari-2-9-{i}-{d}" for scene in ("bus", "park") for i, d in enumerate(("a", "s1", "s4"))]


def write_lists(root: Path, meta: list[str], **splits: list[str]) -> None:
    """Write meta.csv and evaluation_setup/ for clips named SCENE-CITY-LOCATION-SEGMENT-CLIP-DEVICE."""
    (root / "evaluation_setup").mkdir(parents=True, exist_ok=True)
    lines = ["filename\tscene_label\tidentifier\tsource_label"]
    for name in meta:
        scene, city, location, *_, device = name.split("-")
        lines.append(f"audio/{name}.wav\t{scene}\t{city}-{location}\t{device}")
    (root / "meta.csv").write_text("\n".join(lines) + "\n")
    for split, names in splits.items():
        lines = ["filename\tscene_label", *(f"audio/{name}.wav\t{name.split('-')[0]}" for name in names)]
        (root / "evaluation_setup" / f"{split}.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def root(tmp_path):
    """Twelve clips of noise, each its own: 44.1 kHz, mono, 16 bit, one second."""
    root = tmp_path / "scenes"
    write_lists(root, TRAIN + EVALUATE, fold1_train=TRAIN, fold1_evaluate=EVALUATE)
    (root / "audio").mkdir()
    rng = np.random.default_rng(0)
    for name in TRAIN + EVALUATE:
        noise = rng.integers(-9000, 9000, 44_100, dtype=np.int16)
        soundfile.write(root / "audio" / f"{name}.wav", noise, 44_100, subtype="PCM_16")
    return root


@pytest.fixture
def lists():
    """`write_lists`, for a test that writes lists of its own."""
    return write_lists


@pytest.fixture
def shares(root):
    """The small data set with two further splits: "5" trains with one clip of each scene, "10" with one more."""
    write_lists(root, TRAIN + EVALUATE, split5=[TRAIN[4], TRAIN[1]], split10=[TRAIN[1], TRAIN[5], TRAIN[4]])
    return root
