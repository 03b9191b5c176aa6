"""Demo data set: the same bytes from the same seed, in the layout, and not classified by mean spectra alone."""

import hashlib
import shutil
from collections import Counter, defaultdict

import numpy as np
import pytest
import soundfile
import torch

from data.check import check_data
from data.decoding import decode_clips
from data.demo import DemoConfig, write_demo
from data.errors import DataError
from data.front_end import FRONT_ENDS, LogMel
from data.layout import read_scenes
from data.spectrum_correction import fit_correction
from data.store import open_store
from data.validation_split import read_for_search

SMALL = DemoConfig(seed=3, clips_per_location=1, locations_per_scene=12)
ALIGNED = DemoConfig(seed=3, clips_per_location=2, locations_per_scene=12)


def digests(root):
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo") / "small"
    write_demo(root, SMALL)
    return root


def test_it_has_no_problem(demo):
    # So few clips are at a location each, which is a note.
    assert [problem for problem in check_data(demo) if not problem.is_note] == []


def test_it_has_the_layout_and_the_proportions_of_the_real_one(demo):
    scenes = read_scenes(demo)
    assert (len(scenes.classes), len(scenes.train), len(scenes.evaluate)) == (10, 80, 40)
    groups = dict.fromkeys("abc", "real") | dict.fromkeys(("s1", "s2", "s3"), "seen")
    assert scenes.device_groups == groups | dict.fromkeys(("s4", "s5", "s6"), "unseen")
    of_a = (scenes.device_index[scenes.train] == 0).mean()
    assert of_a == pytest.approx(0.73, abs=0.01)
    devices = Counter(scenes.clips["source_label"].iloc[scenes.evaluate])
    assert set(devices.values()) == {4, 5}
    assert len(scenes.cities) > 5
    for rows, locations in ((scenes.train, 8), (scenes.evaluate, 4)):
        places = scenes.clips.iloc[rows].groupby("scene_label")["identifier"].nunique()
        assert set(places) == {locations}


def test_its_files_are_clips_of_one_second_at_44_khz(demo):
    for path in (demo / "audio").iterdir():
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (44_100, 1, 44_100, "PCM_16")


def test_the_same_seed_makes_the_same_bytes(demo, tmp_path):
    calls = []
    write_demo(tmp_path / "again", SMALL, progress=lambda *done: calls.append(done))
    assert digests(tmp_path / "again") == digests(demo)
    assert calls == [(i, 120) for i in range(1, 121)]


def test_one_that_is_there_is_left_and_another_seed_replaces_all_its_sound(demo, tmp_path):
    root = shutil.copytree(demo, tmp_path / "demo")
    before = {path: path.stat().st_mtime_ns for path in (root / "audio").iterdir()}
    write_demo(root, SMALL)
    assert {path: path.stat().st_mtime_ns for path in (root / "audio").iterdir()} == before
    write_demo(root, DemoConfig(seed=4, clips_per_location=1, locations_per_scene=12))
    first, other = digests(demo), digests(root)
    assert set(first) == set(other)
    assert not {first[name] for name in first if "audio" in name} & set(other.values())
    assert read_scenes(root).classes == read_scenes(demo).classes


def test_one_that_was_interrupted_is_written_again(demo, tmp_path):
    root = shutil.copytree(demo, tmp_path / "demo")
    (root / "meta.csv").unlink()
    next((root / "audio").iterdir()).unlink()
    (root / ".scenefront" / "demo" / "audio").mkdir(parents=True)
    (root / ".scenefront" / "demo" / "audio" / "half.wav").write_bytes(b"RIFF")
    write_demo(root, SMALL)
    assert digests(root) == digests(demo)


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    """The smallest demo with aligned recordings, and where these are: recording -> files of its two devices."""
    root = tmp_path_factory.mktemp("demo") / "aligned"
    write_demo(root, ALIGNED)
    files = defaultdict(list)
    for path in sorted((root / "audio").iterdir()):
        files[path.stem.rpartition("-")[0]].append(path)
    return root, {recording: paths for recording, paths in files.items() if len(paths) > 1}


def test_some_training_clips_are_recorded_by_device_a_and_by_another_at_once(aligned):
    root, recordings = aligned
    scenes = read_scenes(root)
    assert (len(scenes.train), len(scenes.evaluate)) == (160, 80)
    assert len(recordings) == 12
    learned = set(scenes.clips["filename"].iloc[scenes.train])
    others = Counter()
    log_mel = LogMel(FRONT_ENDS["tfsepnet"])
    for paths in recordings.values():
        assert {str(path.relative_to(root)) for path in paths} <= learned
        first, other = (path.stem.rpartition("-")[2] for path in paths)
        assert first == "a"
        others[other] += 1
        # What moves through time and frequency is the same; colour and echo are the device's.
        moves = log_mel(torch.from_numpy(decode_clips(paths, 32_000)[0].to_float()))[:, 0]
        moves -= moves.mean(2, keepdim=True)
        assert np.corrcoef(moves.flatten(1).numpy())[0, 1] > 0.7
    assert set(others) <= {"b", "c", "s1", "s2", "s3"}
    correction = fit_correction(scenes, open_store(scenes, 32_000), FRONT_ENDS["tfsepnet"])
    assert correction.num_pairs == (12, *(others[device] for device in correction.devices[1:]))


def test_a_demo_from_before_there_were_aligned_recordings_is_replaced(aligned, tmp_path):
    root = tmp_path / "demo"
    before = {name: digest for name, digest in digests(aligned[0]).items() if not name.startswith(".scenefront")}
    shutil.copytree(aligned[0], root, ignore=shutil.ignore_patterns(".scenefront"))
    for _, other in aligned[1].values():
        recording, index, device = other.stem.rsplit("-", 2)
        (root / "audio" / other.name).rename(root / "audio" / f"{recording}-{int(index) + 1}-{device}.wav")
    record = root / "demo.json"
    new = '"format": 3, "seed": 3, "clips_per_location": 2, "locations_per_scene": 12'
    assert new in record.read_text()
    record.write_text(record.read_text().replace(new, '"format": 1, "seed": 3, "clips_per_location": 2'))
    write_demo(root, ALIGNED)
    assert digests(root) == before


def test_a_folder_with_anything_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("two years")
    with pytest.raises(DataError) as caught:
        write_demo(tmp_path, SMALL)
    assert str(caught.value) == (
        f"{tmp_path}: holds thesis.txt, which the demo did not write; give a new or an empty folder"
    )
    assert digests(tmp_path).keys() == {"thesis.txt"}


def test_a_demo_with_a_file_of_somebody_is_refused(demo, tmp_path):
    root = shutil.copytree(demo, tmp_path / "demo")
    (root / "audio" / "mine.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"holds audio/mine\.wav, which the demo did not write"):
        write_demo(root, DemoConfig(seed=4))


def test_a_place_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="not a folder"):
        write_demo(tmp_path / "file", SMALL)
    with pytest.raises(DataError, match="cannot be written"):
        write_demo(tmp_path / "file" / "below", SMALL)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"clips_per_location": 0}, "clips_per_location must be"),
        ({"locations_per_scene": 2}, "locations_per_scene must be at least 3, got 2"),
    ],
)
def test_a_config_that_makes_no_data_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        DemoConfig(**values)


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo") / "default"
    write_demo(root)
    return root


def logistic_regression(x, labels, penalty=0.1):
    """Return the predictions of a logistic regression with an L2 penalty, as a function of the features."""
    mean, deviation = x.mean(0), x.std(0)
    layer = torch.nn.Linear(x.shape[1], 10, dtype=torch.float64)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=200)

    def loss():
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(layer((x - mean) / deviation), labels)
        value = value + penalty / 2 * layer.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return lambda new: layer((new - mean) / deviation).argmax(1).numpy()


@pytest.mark.slow
def test_the_default_has_sixty_validation_locations(default):
    scenes = read_scenes(default)
    assert (len(scenes.train), len(scenes.evaluate)) == (720, 360)
    for rows, locations in ((scenes.train, 24), (scenes.evaluate, 12)):
        assert set(scenes.clips.iloc[rows].groupby("scene_label")["identifier"].nunique()) == {locations}
    validation = read_for_search(default, share=0.25)
    assert (len(validation.train), len(validation.evaluate)) == (540, 180)
    assert validation.clips["identifier"].iloc[validation.evaluate].nunique() == 60


@pytest.mark.slow
def test_mean_spectra_predict_the_pairs_and_not_the_scenes_and_unseen_devices_worst(default):
    scenes = read_scenes(default)
    store = open_store(scenes, 32_000)
    log_mel = LogMel(FRONT_ENDS["dcase24"])
    batches = [log_mel(torch.from_numpy(store.read(np.arange(i, i + 60))))[:, 0] for i in range(0, 1080, 60)]
    spectra = torch.cat(batches).double()
    x = torch.cat([spectra.mean(2), spectra.std(2)], dim=1)
    predict = logistic_regression(x[scenes.train], torch.from_numpy(scenes.labels[scenes.train]).long())
    predicted, truth = predict(x[scenes.evaluate]), scenes.labels[scenes.evaluate]
    pair_of = np.unique([name.split("_")[-1] for name in scenes.classes], return_inverse=True)[1]
    unseen = np.isin(scenes.device_index[scenes.evaluate], [scenes.devices.index(d) for d in ("s4", "s5", "s6")])
    is_right, is_pair = predicted == truth, pair_of[predicted] == pair_of[truth]
    # Chance is 0.1 and 0.2; one standard deviation of a share of 360 clips is 0.026. Networks reach 0.8.
    assert 0.2 < is_right.mean() < 0.45
    assert is_pair.mean() > is_right.mean() + 0.1
    # Chance is 0.5; one standard deviation of a pair's share, of about 45 clips, is 0.075.
    within_pairs = [is_right[is_pair & (pair_of[truth] == pair)].mean() for pair in range(5)]
    assert max(within_pairs) < 0.75
    assert is_right[~unseen].mean() > is_right[unseen].mean() + 0.05
