"""Teacher logits: their mean on each training clip, against one clip at a time, and how they are cached."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from data.decoding import decode_clips
from data.errors import DataError
from data.front_end import FrontEnd, FrontEndConfig
from data.layout import read_scenes
from data.spectrum_correction import SpectrumCorrection
from training.inference_preprocessing import InferencePreprocessing
from training.teacher import Teacher, teacher_logits

COARSE = FrontEndConfig(rate_hz=8_000, window=512, hop=400, fft=512, mel_bins=16)
FINE = FrontEndConfig(rate_hz=16_000, window=1024, hop=500, fft=1024, mel_bins=24)
CPU = torch.device("cpu")


class LinearTeacher(nn.Module):
    """A teacher that weights the mean of each mel bin; counts the clips that it is evaluated on."""

    def __init__(self, mel_bins, num_classes, seed):
        super().__init__()
        weight = torch.randn(num_classes, mel_bins, generator=torch.Generator().manual_seed(seed))
        self.weight = nn.Parameter(weight)
        self.num_evaluated = 0

    def forward(self, x):
        self.num_evaluated += len(x)
        return x.mean(dim=(1, 3)) @ self.weight.T


@pytest.fixture
def scenes(tiny):
    return read_scenes(tiny)


@pytest.fixture
def teachers(scenes):
    first = Teacher("first", LinearTeacher(16, 3, 0), COARSE, scenes.classes, "digest one")
    second = Teacher("second", LinearTeacher(24, 3, 1), FINE, scenes.classes, "digest two")
    return first, second


def by_hand(scenes, teacher):
    """Return the logits of each training clip, evaluated on its own."""
    front_end = FrontEnd(teacher.front_end).eval()
    logits = []
    for row in scenes.train:
        sound = decode_clips([scenes.root / scenes.clips["filename"][row]], teacher.front_end.rate_hz)[0].to_float()[0]
        features = front_end(torch.from_numpy(sound)[None])[0, 0].mean(dim=1).numpy()
        logits.append(teacher.network.weight.detach().numpy() @ features)
    return np.array(logits)


def test_one_teachers_logits_are_those_of_each_clip_in_the_order_of_the_list(scenes, teachers, tmp_path):
    shuffled = replace(scenes, train=scenes.train[::-1].copy())
    logits = teacher_logits(teachers[:1], shuffled, tmp_path, CPU)
    assert (logits.shape, logits.dtype) == ((48, 3), torch.float32)
    np.testing.assert_allclose(logits, by_hand(shuffled, teachers[0]), rtol=1e-3, atol=1e-3)
    straight = teacher_logits(teachers[:1], scenes, tmp_path, CPU)
    assert torch.equal(straight, logits.flip(0))


def test_the_logits_of_several_teachers_are_averaged_each_with_its_own_front_end(scenes, teachers, tmp_path):
    logits = teacher_logits(teachers, scenes, tmp_path, CPU)
    mean = (by_hand(scenes, teachers[0]) + by_hand(scenes, teachers[1])) / 2
    np.testing.assert_allclose(logits, mean, rtol=1e-3, atol=1e-3)
    assert torch.equal(teacher_logits(teachers[::-1], scenes, tmp_path, CPU), logits)


def test_a_teacher_has_the_spectrum_correction_that_it_was_trained_with(scenes, teachers, tmp_path):
    gains = torch.linspace(0.5, 2.0, 16)
    correction = SpectrumCorrection(torch.stack([torch.ones(16), gains]), ("a", "b"), (3, 3))
    logits = teacher_logits(
        [replace(teachers[0], preprocessing=InferencePreprocessing(correction))], scenes, tmp_path, CPU
    )
    plain = by_hand(scenes, teachers[0])
    devices = np.array([scenes.devices[scenes.device_index[row]] for row in scenes.train])
    np.testing.assert_allclose(logits[devices != "b"], plain[devices != "b"], rtol=1e-3, atol=1e-3)
    row = scenes.train[devices == "b"][0]
    sound = decode_clips([scenes.root / scenes.clips["filename"][row]], 8_000)[0].to_float()[0]
    features = FrontEnd(COARSE).eval()(torch.from_numpy(sound)[None], gains=gains[None])[0, 0].mean(dim=1)
    with torch.no_grad():
        expected = teachers[0].network.weight @ features
    np.testing.assert_allclose(logits[devices == "b"][0], expected, rtol=1e-3, atol=1e-3)
    assert not np.allclose(expected, plain[devices == "b"][0], atol=0.1)


def test_another_order_of_the_classes_is_put_right(scenes, teachers, tmp_path):
    names = scenes.classes
    turned = replace(teachers[0], classes=(names[1], names[2], names[0]), digest="turned")
    straight = teacher_logits(teachers[:1], scenes, tmp_path, CPU)
    assert torch.equal(teacher_logits([turned], scenes, tmp_path, CPU), straight[:, [2, 0, 1]])


def test_other_classes_are_refused(scenes, teachers, tmp_path):
    other = replace(teachers[0], classes=("airport", "bus", "tram"))
    with pytest.raises(
        DataError, match=r"the teacher first has the classes airport, bus, tram, but .* has airport, bus"
    ):
        teacher_logits([other], scenes, tmp_path, CPU)
    assert teachers[0].network.num_evaluated == 0


def test_teacher_logits_are_evaluated_once(scenes, teachers, tmp_path):
    progress = []
    first = teacher_logits(teachers, scenes, tmp_path, CPU, lambda *counts: progress.append(counts))
    assert (progress[-1], teachers[0].network.num_evaluated, teachers[1].network.num_evaluated) == ((96, 96), 48, 48)
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)
    progress.clear()
    assert torch.equal(teacher_logits(teachers, scenes, tmp_path, CPU, lambda *counts: progress.append(counts)), first)
    assert (progress, teachers[0].network.num_evaluated) == ([], 48)


def cached(folder):
    return sorted(folder.rglob("teacher-*.safetensors"))


def test_other_weights_and_other_clips_have_logits_of_their_own(scenes, teachers, tmp_path):
    teacher_logits(teachers[:1], scenes, tmp_path, CPU)
    teacher_logits([replace(teachers[0], digest="other weights")], scenes, tmp_path, CPU)
    fewer = replace(scenes, train=scenes.train[:20])
    assert teacher_logits(teachers[:1], fewer, tmp_path, CPU).shape == (20, 3)
    assert len(cached(tmp_path)) == 3
    assert cached(tmp_path)[0].parent == next(tmp_path.rglob("waveforms-*.npy")).parent


@pytest.mark.parametrize("broken", [b"", b"not a file of tensors", None])
def test_a_broken_cache_file_is_replaced(scenes, teachers, tmp_path, broken):
    first = teacher_logits(teachers[:1], scenes, tmp_path, CPU)
    (path,) = cached(tmp_path)
    if broken is None:
        save_file({"logits": torch.zeros(4, 3)}, path)
    else:
        path.write_bytes(broken)
    assert torch.equal(teacher_logits(teachers[:1], scenes, tmp_path, CPU), first)
    assert teachers[0].network.num_evaluated == 96
    assert [each.suffix for each in path.parent.glob(".teacher*")] == []


def test_logits_that_are_not_finite_are_refused_and_not_cached(scenes, teachers, tmp_path):
    with torch.no_grad():
        teachers[0].network.weight[1, 2] = float("nan")
    with pytest.raises(DataError, match="the teacher first has logits that are not finite"):
        teacher_logits(teachers[:1], scenes, tmp_path, CPU)
    assert cached(tmp_path) == []


def test_a_teacher_is_evaluated_in_eval_mode(scenes, teachers, tmp_path):
    network = nn.Sequential(teachers[0].network, nn.Dropout(0.9)).train()
    logits = teacher_logits([replace(teachers[0], network=network)], scenes, tmp_path, CPU)
    np.testing.assert_allclose(logits, by_hand(scenes, teachers[0]), rtol=1e-3, atol=1e-3)
    assert not logits.requires_grad


def test_where_the_folder_cannot_be_written_teacher_logits_lie_in_the_users_cache(
    tiny, teachers, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    root = shutil.copytree(tiny, tmp_path / "tiny", ignore=shutil.ignore_patterns(".scenefront"))
    (root / ".scenefront").write_text("a file where the folder should be")
    scenes = read_scenes(root)
    logits = teacher_logits(teachers[:1], scenes, None, CPU)
    assert tmp_path / "own" in cached(tmp_path)[0].parents
    assert torch.equal(teacher_logits(teachers[:1], scenes, None, CPU), logits)
    assert teachers[0].network.num_evaluated == 48
    (tmp_path / "own").rename(tmp_path / "gone")
    (tmp_path / "own").write_text("here, too")
    for cache in (None, tmp_path / "own" / "named"):
        with pytest.raises(DataError, match="can be written"):
            teacher_logits(teachers[:1], scenes, cache, CPU)
