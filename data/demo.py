"""Synthetic demo data set in the TAU layout, generated from a seed: a first search needs no download.

Ten scenes in five pairs. The scenes of a pair have the same mean spectrum and differ only in their time-frequency
structure: chirps rise or fall, a hum is steady or has vibrato, ticks are periodic or not, noise is modulated slowly or
fast, two noise bands are gated in phase or in antiphase. As in real recordings each location has its own pitches, rates
and background spectrum, training and evaluation locations are disjoint, and each of nine devices has its own frequency
response and reverberation, strongest for the three devices that occur in evaluation clips only.

Some training clips are aligned recordings, as in TAU Urban Acoustic Scenes: the same sound recorded by device a and by
another device. Their file names differ in the device alone.
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

from data.decoding import Progress
from data.errors import DataError
from data.store import FOLDER as STORE_FOLDER

Signal = npt.NDArray[np.float64]
Spectrum = npt.NDArray[np.complex128]

RATE_HZ = 44_100
NUM_SAMPLES = RATE_HZ
FULL_SCALE = 32_768  # of 16 bits
SECONDS: Signal = np.arange(NUM_SAMPLES) / RATE_HZ
HZ: Signal = np.linspace(0, RATE_HZ / 2, NUM_SAMPLES // 2 + 1)
OCTAVE: Signal = np.log2(np.maximum(HZ, 20.0) / 1000)  # from 1 kHz

EVALUATION_DIVISOR = 3  # one in three locations of a scene is for evaluation
CITIES = ("alder", "birch", "cedar", "elm", "hazel", "larch", "maple", "rowan")
TRAIN_DEVICES = ("b", "c", "s1", "s2", "s3")  # besides a
DEVICES = ("a", *TRAIN_DEVICES, "s4", "s5", "s6")
SHARE_OF_A = 0.73  # of the training clips, as in TAU Urban Acoustic Scenes 2022 Mobile

# Signal-to-noise ratio of the event in its own band; drawn for each clip.
EVENT_DB = (0.0, 12.0)
LEVEL_DB = (-38.0, -26.0)  # root mean square of a clip, relative to full scale


@dataclass(frozen=True)
class DeviceKind:
    """Spread of a device's frequency response, and its reverberation.

    Attributes:
        colour_db: Standard deviation of the gain from octave to octave.
        echo: Amplitude of the reverberant tail relative to the direct sound.
        decay_s: Time constant of the tail: it falls to 1/e.
    """

    colour_db: float = 0.0
    echo: float = 0.0
    decay_s: float = 0.1


# Devices without training clips deviate the most.
DEVICE_KINDS = (
    {"a": DeviceKind()}
    | dict.fromkeys(("b", "c"), DeviceKind(4.0, 0.3, 0.05))
    | dict.fromkeys(("s1", "s2", "s3"), DeviceKind(8.0, 0.4, 0.08))
    | dict.fromkeys(("s4", "s5", "s6"), DeviceKind(10.0, 0.8, 0.12))
)

FOLDERS = ("audio", "evaluation_setup")
LISTS = [f"evaluation_setup/fold1_{split}.csv" for split in ("train", "test", "evaluate")]
RECORD = "demo.json"
FORMAT = 3  # 1 had no aligned recordings; 1 and 2 had 12 locations of each scene
LOCATIONS_IN_FORMAT_2 = 12


@dataclass(frozen=True)
class Location:
    """Parameters that the clips of one location share.

    Attributes:
        background: Gain of the background noise at each frequency of `HZ`.
        pitch: Factor on the centre frequency of a scene's events.
        pace: Factor on the rate of a scene's events.
    """

    background: Signal
    pitch: float
    pace: float


def chirps(rng: np.random.Generator, location: Location, rising: bool) -> Signal:
    """Return chirps of about an octave, three to five per second, all rising or all falling."""
    sound = np.zeros(NUM_SAMPLES)
    for start in _even_times(rng, 4.0 * location.pace, jitter=0.2):
        length = rng.uniform(0.14, 0.24)
        middle = 1600 * location.pitch * rng.uniform(0.85, 1.18)
        octaves = rng.uniform(0.8, 1.4)
        phase = (SECONDS - start) / length
        inside = (phase >= 0) & (phase < 1)
        slope = octaves if rising else -octaves
        hz = middle * 2 ** (slope * (phase[inside] - 0.5))
        sound[inside] += np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ) * np.sin(np.pi * phase[inside]) ** 2
    return sound


def hum(rng: np.random.Generator, location: Location, wavering: bool) -> Signal:
    """Return a harmonic tone, steady or with a vibrato of five to six hertz."""
    base = 400 * location.pitch * rng.uniform(0.93, 1.07)
    # A held pitch lies anywhere in the span of a wavering one, so the means agree.
    swing = np.sin(2 * np.pi * (rng.uniform(4.5, 6.5) * location.pace**0.5 * SECONDS + rng.random()))
    depth = rng.uniform(0.08, 0.2)
    octaves = depth * swing if wavering else np.full(NUM_SAMPLES, depth * np.sin(2 * np.pi * rng.random()))
    phase = 2 * np.pi * np.cumsum(base * 2**octaves) / RATE_HZ
    return sum((np.sin(k * phase + 2 * np.pi * rng.random()) / k**0.7 for k in range(1, 13)), np.zeros(NUM_SAMPLES))


def ticks(rng: np.random.Generator, location: Location, even: bool) -> Signal:
    """Return short noise bursts, about six per second, periodic or at random times."""
    rate = 6.0 * location.pace
    times = _even_times(rng, rate, jitter=0.03) if even else np.sort(rng.random(max(2, rng.poisson(rate))))
    envelope = np.zeros(NUM_SAMPLES)
    for start in times:
        after = SECONDS - start
        envelope += np.where(after >= 0, np.exp(-np.maximum(after, 0) / 0.018), 0.0) * rng.uniform(0.7, 1.0)
    return envelope * _band(rng, 3200 * location.pitch, 1.2)


def flutter(rng: np.random.Generator, location: Location, fast: bool) -> Signal:
    """Return a noise band with amplitude modulation of two to three, or six to eight, hertz."""
    rate = (7.0 if fast else 2.8) * location.pace**0.5 * rng.uniform(0.9, 1.1)
    envelope: Signal = 0.5 + 0.5 * np.sin(2 * np.pi * (rate * SECONDS + rng.random()))
    return envelope * _band(rng, 700 * location.pitch, 1.0)


def bands(rng: np.random.Generator, location: Location, together: bool) -> Signal:
    """Return two gated noise bands, one above the other by 0.6 to 1.2 octaves, in phase or in antiphase."""
    rate = 3.6 * location.pace * rng.uniform(0.9, 1.1)
    gate = np.sin(2 * np.pi * (rate * SECONDS + rng.random())) + rng.uniform(-0.2, 0.2)
    low, high = 1 / (1 + np.exp(-8 * gate)), 1 / (1 + np.exp(-8 * gate if together else 8 * gate))
    # So near that a network of few layers sees both at once, and nearer still in some clips.
    middle_hz, factor = 1500 * location.pitch, 2 ** rng.uniform(0.3, 0.6)
    return low * _band(rng, middle_hz / factor, 0.6) + high * _band(rng, middle_hz * factor, 0.6)


# Scene -> its event.
SCENES: dict[str, Callable[[np.random.Generator, Location], Signal]] = {
    "even_ticks": lambda rng, location: ticks(rng, location, even=True),
    "falling_calls": lambda rng, location: chirps(rng, location, rising=False),
    "fast_flutter": lambda rng, location: flutter(rng, location, fast=True),
    "joint_bands": lambda rng, location: bands(rng, location, together=True),
    "rising_calls": lambda rng, location: chirps(rng, location, rising=True),
    "slow_flutter": lambda rng, location: flutter(rng, location, fast=False),
    "steady_hum": lambda rng, location: hum(rng, location, wavering=False),
    "trading_bands": lambda rng, location: bands(rng, location, together=False),
    "uneven_ticks": lambda rng, location: ticks(rng, location, even=False),
    "wavering_hum": lambda rng, location: hum(rng, location, wavering=True),
}


@dataclass(frozen=True)
class DemoConfig:
    """Config of a demo data set; the same values make the same bytes.

    Attributes:
        seed: Seed of all random numbers.
        clips_per_location: Number of clips of one second.
        locations_per_scene: Number of locations of each of ten scenes, the last third of them for evaluation. Clips of
            one location are similar: many locations with few clips each make tighter intervals than the reverse.
    """

    seed: int = 0
    clips_per_location: int = 3
    locations_per_scene: int = 36

    def __post_init__(self) -> None:
        """Refuse values that make no data set."""
        if self.seed < 0:
            raise DataError(f"seed must be at least 0, got {self.seed}")
        if self.clips_per_location < 1:
            raise DataError(f"clips_per_location must be at least 1, got {self.clips_per_location}")
        if self.locations_per_scene < EVALUATION_DIVISOR:
            raise DataError(
                f"locations_per_scene must be at least {EVALUATION_DIVISOR}, got {self.locations_per_scene}"
            )

    @property
    def num_train_locations(self) -> int:
        """Number of locations of each scene whose clips are for training."""
        return self.locations_per_scene - self.locations_per_scene // EVALUATION_DIVISOR


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
    """Write a demo data set, unless the folder already holds one of the same config.

    Args:
        root: Folder to write to: new, empty, or one that holds a demo data set and nothing else, which is
            then replaced.

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
    # Killed between any two of these, the folder holds a part of the recorded files: a demo to be replaced.
    for folder in FOLDERS:
        if (root / folder).exists():
            shutil.rmtree(root / folder)
    for name in (RECORD, "meta.csv", *FOLDERS):
        (partial / name).replace(root / name)
    partial.rmdir()


def _is_demo(root: Path, config: DemoConfig) -> bool:
    """Return whether `root` already is this demo; raise if it holds files that no demo wrote."""
    if root.exists() and not root.is_dir():
        raise DataError(f"{root}: not a folder; give another place for the demo")
    there = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_symlink() or not p.is_dir()}
    there = {name for name in there if not name.startswith(f"{STORE_FOLDER}/")}
    record = _read_record(root / RECORD)
    ours, ours_in_format_1 = (set() if record is None else _files(record, aligned) for aligned in (True, False))
    foreign = sorted(there - ours - ours_in_format_1)
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
        return DemoConfig(
            values["seed"], values["clips_per_location"], values.get("locations_per_scene", LOCATIONS_IN_FORMAT_2)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _clips(config: DemoConfig, aligned: bool = True) -> list[_Clip]:
    other_devices, evaluation_devices = cycle(TRAIN_DEVICES), cycle(DEVICES)
    # Every second clip of another device that can be an aligned recording is one.
    is_aligned = cycle((aligned, False))
    clips = []
    num_train = 0
    for number, scene in enumerate(SCENES):
        for offset in range(config.locations_per_scene):
            location = 100 + number * config.locations_per_scene + offset
            train = offset < config.num_train_locations
            for number_in_location in range(config.clips_per_location):
                index = number_in_location
                if not train:
                    device = next(evaluation_devices)
                else:
                    is_device_a = int((num_train + 1) * SHARE_OF_A) > int(num_train * SHARE_OF_A)
                    device = "a" if is_device_a else next(other_devices)
                    num_train += 1
                    # Over half of the clips are a's, evenly spread, so the one before another device's is a's.
                    if not is_device_a and index > 0 and next(is_aligned):
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
    locations = {clip.location: _location(config, clip.location) for clip in clips}

    def write(clip: _Clip) -> None:
        rng = np.random.default_rng([config.seed, 2, clip.location, clip.index])
        # Circular convolution: the tail of the response wraps around to the start.
        recorded = _inverse_fft(_scene(rng, locations[clip.location], clip.scene) * responses[clip.device])
        recorded *= 10.0 ** (rng.uniform(*LEVEL_DB) / 20) / math.sqrt((recorded**2).mean())
        samples = np.clip(np.rint(recorded * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
        soundfile.write(root / clip.filename, samples, RATE_HZ, subtype="PCM_16")

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        for done, _ in enumerate(pool.map(write, clips), start=1):
            if progress is not None:
                progress(done, len(clips))


def _scene(rng: np.random.Generator, location: Location, scene: str) -> Spectrum:
    event = np.fft.rfft(SCENES[scene](rng, location))
    background = _noise(rng) * location.background
    power, masking = np.abs(event) ** 2, np.abs(background) ** 2
    # Powers within the event's band.
    event_there, background_there = (power**2).sum() / power.sum(), (power * masking).sum() / power.sum()
    gain = float(10.0 ** (rng.uniform(*EVENT_DB) / 10) * background_there / event_there)
    return event * math.sqrt(gain) + background


def _location(config: DemoConfig, location: int) -> Location:
    rng = np.random.default_rng([config.seed, 1, location])
    tilt_db = rng.uniform(-6, -2)  # an octave
    gain_db = tilt_db * OCTAVE + _curve_db(rng, 5.0)
    return Location(10 ** (gain_db / 20), pitch=2 ** rng.uniform(-0.6, 0.6), pace=2 ** rng.uniform(-0.35, 0.35))


def _response(config: DemoConfig, device: str) -> Spectrum:
    """Return a device's frequency response: minimum phase with random gains, and a reverberant tail."""
    rng = np.random.default_rng([config.seed, 0, DEVICES.index(device)])
    kind = DEVICE_KINDS[device]
    gain_db = _curve_db(rng, kind.colour_db)
    if kind.colour_db:
        lowest, highest = rng.uniform(-4.5, -2.5), rng.uniform(1.5, 3.5)  # octaves from 1 kHz
        gain_db -= 12 * np.maximum(lowest - OCTAVE, 0) + 12 * np.maximum(OCTAVE - highest, 0)
    cepstrum = _inverse_fft(gain_db * np.log(10) / 20)
    cepstrum[1 : NUM_SAMPLES // 2] *= 2
    cepstrum[NUM_SAMPLES // 2 + 1 :] = 0
    tail = rng.normal(size=NUM_SAMPLES) * np.exp(-SECONDS / kind.decay_s)
    tail *= kind.echo / math.sqrt((tail**2).sum())
    return np.asarray(np.exp(np.fft.rfft(cepstrum)) * (1 + np.fft.rfft(tail)))


def _curve_db(rng: np.random.Generator, spread_db: float) -> Signal:
    """Return a smooth random gain at each frequency of `HZ`, interpolated between octaves."""
    knots = np.arange(-6.0, 6.0)
    gains = spread_db * rng.normal(size=len(knots))
    return np.asarray(np.interp(OCTAVE, knots, gains), dtype=np.float64)


def _inverse_fft(spectrum: Spectrum | Signal) -> Signal:
    return np.asarray(np.fft.irfft(spectrum, NUM_SAMPLES), dtype=np.float64)


def _noise(rng: np.random.Generator) -> Spectrum:
    return rng.normal(size=len(HZ)) + 1j * rng.normal(size=len(HZ))


def _band(rng: np.random.Generator, middle_hz: float, octaves: float) -> Signal:
    """Return band-pass noise; `octaves` is the width at half amplitude."""
    distance = np.log2(np.maximum(HZ, 1.0) / middle_hz)
    return _inverse_fft(_noise(rng) * 0.5 ** ((2 * distance / octaves) ** 2))


def _even_times(rng: np.random.Generator, rate: float, jitter: float) -> Signal:
    beats = np.arange(-1, rate + 1) + rng.random()
    return (beats + rng.uniform(-jitter, jitter, len(beats))) / rate
