"""A demo data set in the layout, synthesized from a seed: for a first search without any download.

Ten scenes in five pairs. The two scenes of a pair have the same mean spectrum and differ only in how sound
moves through time and frequency: calls rise or fall, a hum holds its pitch or wavers, ticks come evenly or
not, noise flutters slowly or fast, two bands sound together or in turn. What makes it hard is what makes
recordings hard: each location has its own pitches, rates and coloured background, the clips of one location
are all on one side, and nine devices each colour the sound and add echoes in their own way: most of all
the three that only evaluation clips are recorded with.

A part of the training clips are aligned recordings, as in TAU Urban Acoustic Scenes: another device has recorded
what device a did, at the same time. Their file names differ in the device alone.
"""

import json
import math
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from data.decoding import FULL_SCALE, Progress
from data.errors import DataError
from data.store import FOLDER as STORE_FOLDER

Signal = npt.NDArray[np.float64]
Spectrum = npt.NDArray[np.complex128]

RATE_HZ = 44_100
NUM_SAMPLES = RATE_HZ
SECONDS: Signal = np.arange(NUM_SAMPLES) / RATE_HZ
HZ: Signal = np.linspace(0, RATE_HZ / 2, NUM_SAMPLES // 2 + 1)
OCTAVE: Signal = np.log2(np.maximum(HZ, 20.0) / 1000)  # from 1 kHz

TRAIN_LOCATIONS, EVALUATE_LOCATIONS = 8, 4  # of each scene
CITIES = ("alder", "birch", "cedar", "elm", "hazel", "larch", "maple", "rowan")
TRAIN_DEVICES = ("b", "c", "s1", "s2", "s3")  # besides a
DEVICES = ("a", *TRAIN_DEVICES, "s4", "s5", "s6")
SHARE_OF_A = 0.73  # of the training clips, as in TAU Urban Acoustic Scenes 2022 Mobile

# Power of the event over that of the background, where the event lies; drawn for each clip.
EVENT_DB = (0.0, 12.0)
LEVEL_DB = (-38.0, -26.0)  # root mean square of a clip, against full scale


@dataclass(frozen=True)
class DeviceKind:
    """How far the response of a device strays from the sound itself.

    Attributes:
        colour_db: Standard deviation of its gain from octave to octave.
        echo: Amplitude of its tail, whole, against the direct sound.
        decay_s: Time in which the tail falls to 1/e.
    """

    colour_db: float = 0.0
    echo: float = 0.0
    decay_s: float = 0.1


# Devices without training clips deviate the most.
DEVICE_KINDS = (
    {"a": DeviceKind()}
    | dict.fromkeys(("b", "c"), DeviceKind(4.0, 0.3, 0.05))
    | dict.fromkeys(("s1", "s2", "s3"), DeviceKind(8.0, 0.4, 0.08))
    | dict.fromkeys(("s4", "s5", "s6"), DeviceKind(12.0, 1.0, 0.15))
)

FOLDERS = ("audio", "evaluation_setup")
LISTS = [f"evaluation_setup/fold1_{split}.csv" for split in ("train", "test", "evaluate")]
RECORD = "demo.json"
FORMAT = 2  # 1 had no aligned recordings


@dataclass(frozen=True)
class Place:
    """What the clips of one location share.

    Attributes:
        background: Gain of the background noise at each of `HZ`.
        pitch: Where the events lie, as a factor on a scene's middle frequency.
        pace: How fast they come, as a factor on a scene's middle rate.
    """

    background: Signal
    pitch: float
    pace: float


def calls(rng: np.random.Generator, place: Place, rising: bool) -> Signal:
    """Glides of an octave or so, three to five a second, all up or all down."""
    sound = np.zeros(NUM_SAMPLES)
    for start in _even_times(rng, 4.0 * place.pace, jitter=0.2):
        length = rng.uniform(0.14, 0.24)
        middle = 1600 * place.pitch * rng.uniform(0.85, 1.18)
        octaves = rng.uniform(0.8, 1.4)
        way = (SECONDS - start) / length
        inside = (way >= 0) & (way < 1)
        slope = octaves if rising else -octaves
        hz = middle * 2 ** (slope * (way[inside] - 0.5))
        sound[inside] += np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ) * np.sin(np.pi * way[inside]) ** 2
    return sound


def hum(rng: np.random.Generator, place: Place, wavering: bool) -> Signal:
    """Harmonics of one pitch, that holds or swings five or six times a second."""
    base = 260 * place.pitch * rng.uniform(0.93, 1.07)
    # A held pitch lies anywhere in the span of a wavering one, so the means agree.
    swing = np.sin(2 * np.pi * (rng.uniform(4.5, 6.5) * place.pace**0.5 * SECONDS + rng.random()))
    depth = rng.uniform(0.05, 0.09)
    octaves = depth * swing if wavering else np.full(NUM_SAMPLES, depth * np.sin(2 * np.pi * rng.random()))
    phase = 2 * np.pi * np.cumsum(base * 2**octaves) / RATE_HZ
    return sum((np.sin(k * phase + 2 * np.pi * rng.random()) / k**0.7 for k in range(1, 13)), np.zeros(NUM_SAMPLES))


def ticks(rng: np.random.Generator, place: Place, even: bool) -> Signal:
    """Short bursts of noise, six or so a second, on a beat or at any time."""
    rate = 6.0 * place.pace
    times = _even_times(rng, rate, jitter=0.03) if even else np.sort(rng.random(max(2, rng.poisson(rate))))
    envelope = np.zeros(NUM_SAMPLES)
    for start in times:
        after = SECONDS - start
        envelope += np.where(after >= 0, np.exp(-np.maximum(after, 0) / 0.018), 0.0) * rng.uniform(0.7, 1.0)
    return envelope * _band(rng, 3200 * place.pitch, 1.2)


def flutter(rng: np.random.Generator, place: Place, fast: bool) -> Signal:
    """A band of noise that swells and fades, two to three or six to eight times a second."""
    rate = (7.0 if fast else 2.8) * place.pace**0.5 * rng.uniform(0.9, 1.1)
    envelope: Signal = 0.5 + 0.5 * np.sin(2 * np.pi * (rate * SECONDS + rng.random()))
    return envelope * _band(rng, 700 * place.pitch, 1.0)


def bands(rng: np.random.Generator, place: Place, together: bool) -> Signal:
    """Two bands of noise that are on and off together, or one while the other is not."""
    rate = 3.6 * place.pace * rng.uniform(0.9, 1.1)
    gate = np.sin(2 * np.pi * (rate * SECONDS + rng.random())) + rng.uniform(-0.2, 0.2)
    low, high = 1 / (1 + np.exp(-8 * gate)), 1 / (1 + np.exp(-8 * gate if together else 8 * gate))
    return low * _band(rng, 450 * place.pitch, 0.7) + high * _band(rng, 3600 * place.pitch, 0.7)


# Scene -> the event in the middle of it.
SCENES: dict[str, Callable[[np.random.Generator, Place], Signal]] = {
    "even_ticks": lambda rng, place: ticks(rng, place, even=True),
    "falling_calls": lambda rng, place: calls(rng, place, rising=False),
    "fast_flutter": lambda rng, place: flutter(rng, place, fast=True),
    "joint_bands": lambda rng, place: bands(rng, place, together=True),
    "rising_calls": lambda rng, place: calls(rng, place, rising=True),
    "slow_flutter": lambda rng, place: flutter(rng, place, fast=False),
    "steady_hum": lambda rng, place: hum(rng, place, wavering=False),
    "trading_bands": lambda rng, place: bands(rng, place, together=False),
    "uneven_ticks": lambda rng, place: ticks(rng, place, even=False),
    "wavering_hum": lambda rng, place: hum(rng, place, wavering=True),
}


@dataclass(frozen=True)
class DemoConfig:
    """What a demo data set is made from; the same values make the same bytes.

    Attributes:
        seed: Of everything that is random.
        clips_per_location: Of one second each; 12 locations for each of ten scenes, 8 of them for training.
    """

    seed: int = 0
    clips_per_location: int = 6

    def __post_init__(self) -> None:
        """Refuse values that make no data set."""
        if self.seed < 0:
            raise DataError(f"seed must be at least 0, got {self.seed}")
        if self.clips_per_location < 1:
            raise DataError(f"clips_per_location must be at least 1, got {self.clips_per_location}")


@dataclass(frozen=True)
class _Clip:
    scene: str
    location: int
    index: int
    device: str
    train: bool

    @property
    def city(self) -> str:
        return CITIES[self.location % len(CITIES)]

    @property
    def identifier(self) -> str:
        return f"{self.city}-{self.location}"

    @property
    def filename(self) -> str:
        return f"audio/{self.scene}-{self.identifier}-{self.location}-{self.index}-{self.device}.wav"


def write_demo(root: Path, config: DemoConfig | None = None, progress: Progress | None = None) -> None:
    """Write a demo data set; one of the same config that is there already is left as it is.

    Args:
        root: Folder to write to: new, empty, or one that holds a demo data set and nothing else, which is
            then replaced.
        config: Seed and size.
        progress: Called with the clips written and their number.

    Raises:
        DataError: The folder holds anything else, or cannot be written to.
    """
    config = config or DemoConfig()
    clips = _clips(config)
    partial = root / STORE_FOLDER / "demo"
    try:
        if _is_demo(root, config):
            return
        if partial.exists():
            shutil.rmtree(partial)
        for folder in FOLDERS:
            (partial / folder).mkdir(parents=True)
        _write_sound(partial, clips, config, progress)
        _write_lists(partial, clips)
        (partial / RECORD).write_text(_record(config), encoding="utf-8")
        _move(partial, root)
    except OSError as error:
        raise DataError(f"{root}: the demo cannot be written ({error.strerror})") from error


def _move(partial: Path, root: Path) -> None:
    # After a kill between any two of these, what is there is some of what the record names: not yet a demo,
    # and nobody else's.
    for folder in FOLDERS:
        if (root / folder).exists():
            shutil.rmtree(root / folder)
    for name in (RECORD, "meta.csv", *FOLDERS):
        (partial / name).replace(root / name)
    partial.rmdir()


def _is_demo(root: Path, config: DemoConfig) -> bool:
    """Return whether `root` is this demo already; raise if it holds what no demo wrote."""
    if root.exists() and not root.is_dir():
        raise DataError(f"{root}: not a folder; give another place for the demo")
    there = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_symlink() or not p.is_dir()}
    there = {name for name in there if not name.startswith(f"{STORE_FOLDER}/")}
    record = _read_record(root / RECORD)
    ours, of_an_older_format = (set() if record is None else _files(record, aligned) for aligned in (True, False))
    foreign = sorted(there - ours - of_an_older_format)
    if foreign:
        raise DataError(f"{root}: holds {foreign[0]}, which the demo did not write; give a new or an empty folder")
    return there == ours and bool(there) and (root / RECORD).read_text(encoding="utf-8") == _record(config)


def _files(config: DemoConfig, aligned: bool) -> set[str]:
    return {RECORD, "meta.csv", *LISTS, *(clip.filename for clip in _clips(config, aligned))}


def _record(config: DemoConfig) -> str:
    return json.dumps({"written_by": "scenefront data demo", "format": FORMAT, **asdict(config)}) + "\n"


def _read_record(path: Path) -> DemoConfig | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return DemoConfig(values["seed"], values["clips_per_location"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _clips(config: DemoConfig, aligned: bool = True) -> list[_Clip]:
    others, evaluated = cycle(TRAIN_DEVICES), cycle(DEVICES)
    # Every second clip of another device that can be an aligned recording is one.
    is_aligned = cycle((aligned, False))
    clips = []
    learned = 0
    for number, scene in enumerate(SCENES):
        for place in range(TRAIN_LOCATIONS + EVALUATE_LOCATIONS):
            location = 100 + number * (TRAIN_LOCATIONS + EVALUATE_LOCATIONS) + place
            train = place < TRAIN_LOCATIONS
            for number_here in range(config.clips_per_location):
                index = number_here
                if not train:
                    device = next(evaluated)
                else:
                    of_a = int((learned + 1) * SHARE_OF_A) > int(learned * SHARE_OF_A)
                    device = "a" if of_a else next(others)
                    learned += 1
                    # Over half of the clips are a's, evenly spread, so the one before another device's is a's.
                    if not of_a and index > 0 and next(is_aligned):
                        index -= 1
                clips.append(_Clip(scene, location, index, device, train))
    return clips


def _write_lists(root: Path, clips: list[_Clip]) -> None:
    def write(name: str, *lines: str) -> None:
        (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    rows = (f"{clip.filename}\t{clip.scene}\t{clip.identifier}\t{clip.device}" for clip in clips)
    write("meta.csv", "filename\tscene_label\tidentifier\tsource_label", *rows)
    for split, train in (("train", True), ("evaluate", False)):
        rows = (f"{clip.filename}\t{clip.scene}" for clip in clips if clip.train is train)
        write(f"evaluation_setup/fold1_{split}.csv", "filename\tscene_label", *rows)
    write("evaluation_setup/fold1_test.csv", "filename", *(clip.filename for clip in clips if not clip.train))


def _write_sound(root: Path, clips: list[_Clip], config: DemoConfig, progress: Progress | None) -> None:
    responses = {device: _response(config, device) for device in DEVICES}
    places = {clip.location: _place(config, clip.location) for clip in clips}

    def write(clip: _Clip) -> None:
        rng = np.random.default_rng([config.seed, 2, clip.location, clip.index])
        # What a response carries over the end comes in at the start, as if the scene went on like this.
        recorded = _in_time(_scene(rng, places[clip.location], clip.scene) * responses[clip.device])
        recorded *= 10.0 ** (rng.uniform(*LEVEL_DB) / 20) / math.sqrt((recorded**2).mean())
        samples = np.clip(np.rint(recorded * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
        soundfile.write(root / clip.filename, samples, RATE_HZ, subtype="PCM_16")

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        for done, _ in enumerate(pool.map(write, clips), start=1):
            if progress is not None:
                progress(done, len(clips))


def _scene(rng: np.random.Generator, place: Place, scene: str) -> Spectrum:
    event = np.fft.rfft(SCENES[scene](rng, place))
    background = _noise(rng) * place.background
    power, masking = np.abs(event) ** 2, np.abs(background) ** 2
    # Both powers as they are where the event lies.
    event_there, background_there = (power**2).sum() / power.sum(), (power * masking).sum() / power.sum()
    gain = float(10.0 ** (rng.uniform(*EVENT_DB) / 10) * background_there / event_there)
    return event * math.sqrt(gain) + background


def _place(config: DemoConfig, location: int) -> Place:
    rng = np.random.default_rng([config.seed, 1, location])
    tilt_db = rng.uniform(-6, -2)  # an octave
    gain_db = tilt_db * OCTAVE + _curve_db(rng, 5.0)
    return Place(10 ** (gain_db / 20), pitch=2 ** rng.uniform(-0.6, 0.6), pace=2 ** rng.uniform(-0.35, 0.35))


def _response(config: DemoConfig, device: str) -> Spectrum:
    """Frequency response of a device: a random colour with the least delay, and a tail of echoes."""
    rng = np.random.default_rng([config.seed, 0, DEVICES.index(device)])
    kind = DEVICE_KINDS[device]
    gain_db = _curve_db(rng, kind.colour_db)
    if kind.colour_db:
        lowest, highest = rng.uniform(-4.5, -2.5), rng.uniform(1.5, 3.5)  # octaves from 1 kHz
        gain_db -= 12 * np.maximum(lowest - OCTAVE, 0) + 12 * np.maximum(OCTAVE - highest, 0)
    cepstrum = _in_time(gain_db * np.log(10) / 20)
    cepstrum[1 : NUM_SAMPLES // 2] *= 2
    cepstrum[NUM_SAMPLES // 2 + 1 :] = 0
    tail = rng.normal(size=NUM_SAMPLES) * np.exp(-SECONDS / kind.decay_s)
    tail *= kind.echo / math.sqrt((tail**2).sum())
    return np.asarray(np.exp(np.fft.rfft(cepstrum)) * (1 + np.fft.rfft(tail)))


def _curve_db(rng: np.random.Generator, spread_db: float) -> Signal:
    """A smooth random gain at each of `HZ`, with a knot every octave or so."""
    knots = np.arange(-6.0, 6.0)
    gains = spread_db * rng.normal(size=len(knots))
    return np.asarray(np.interp(OCTAVE, knots, gains), dtype=np.float64)


def _in_time(spectrum: Spectrum | Signal) -> Signal:
    return np.asarray(np.fft.irfft(spectrum, NUM_SAMPLES), dtype=np.float64)


def _noise(rng: np.random.Generator) -> Spectrum:
    return rng.normal(size=len(HZ)) + 1j * rng.normal(size=len(HZ))


def _band(rng: np.random.Generator, middle_hz: float, octaves: float) -> Signal:
    """Noise around a frequency, `octaves` wide where its amplitude is half."""
    distance = np.log2(np.maximum(HZ, 1.0) / middle_hz)
    return _in_time(_noise(rng) * 0.5 ** ((2 * distance / octaves) ** 2))


def _even_times(rng: np.random.Generator, rate: float, jitter: float) -> Signal:
    beats = np.arange(-1, rate + 1) + rng.random()
    return (beats + rng.uniform(-jitter, jitter, len(beats))) / rate
