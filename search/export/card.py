"""The model card of an export: input, quality, cost, limitations, and how to run it.

It is made from the certificate and the config alone, without a time stamp, so that the same trial gives the same card.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from data.front_end import ENERGY_FLOOR, FrontEndConfig
from objectives.budget import UNITS
from objectives.quality import Quality, Score
from objectives.sampling_error import paired_difference, sampling_errors
from objectives.seed_spread import MIN_FREEDOM
from search.artifact.certificate import CONFIG, WEIGHTS
from search.artifact.files import DESCRIPTIONS, INT8, MODEL, PIPELINE, PROGRAM
from search.config.messages import counted
from search.config.trial_config import TrialConfig
from search.report.document import Block, Code, Heading, Items, Text
from search.report.format import INTERVAL, macro_text
from search.report.table import Table
from search.report.tables import accuracy_text, confusion_table, cost_table, layer_table, recordings_text

PER_CLASS, PER_DEVICE, PER_GROUP = "by_class", "by_device", "by_group"


def card(certificate: Mapping[str, Any], config: TrialConfig) -> tuple[str, list[Block]]:
    """Return the title and the blocks of an export's card.

    Args:
        certificate: Certificate without its own checksum, which does not exist yet.
    """
    title = f"{config.architecture}, trial {certificate['trial']} of {certificate['study']}"
    return title, [
        *_summary(certificate),
        *_input(certificate, config.front_end_config),
        *_quality(certificate),
        *_cost(certificate, config),
        *_data(certificate),
        *_limitations(certificate, config),
        *_usage(certificate, config),
        *_origin(certificate, config),
    ]


def _summary(certificate: Mapping[str, Any]) -> list[Block]:
    cost, data, quality = certificate["cost"], certificate["data"], _of(certificate, WEIGHTS)
    scenes = ", ".join(data["classes"])
    clips = f"{data['evaluation_clips']:,} clips that it was not trained on"
    return [
        Text(
            f"Classifies one second of sound as one of {len(data['classes'])} scenes: {scenes}. A network of "
            f"{cost['params']:,} parameters and {cost['macs']:,} multiply-accumulates (MACs) a second of sound. On "
            f"{clips} its macro accuracy is {_macro(quality)}: the mean of the accuracies of the scenes"
            f"{_scope(quality)}, and its 95 % interval over recordings."
        ),
        *([Text(f"Note: {note}") for note in certificate["notes"]]),
    ]


def _scope(quality: Quality) -> str:
    """Return which scenes have no clip, where some have none."""
    absent = [name for name in quality.classes if name not in quality.by_class]
    return f",{quality.scope}: there is no clip of {_listed(absent)}" if absent else ""


def _input(certificate: Mapping[str, Any], front_end: FrontEndConfig) -> list[Block]:
    channels, bins, frames = front_end.shape()
    rows = {
        "sample rate": f"{front_end.rate_hz:,} Hz, one channel",
        "window": f"{front_end.window:,} samples, {front_end.window_function}",
        "hop": f"{front_end.hop:,} samples",
        "Fourier transform": f"{front_end.fft:,} samples",
        "mel bins": f"{front_end.mel_bins}, from 0 Hz to {front_end.rate_hz // 2:,} Hz",
        "logarithm": f"natural, of the mel energy plus {ENERGY_FLOOR:g}",
        "deltas": "two further channels: slope over time, and its slope" if front_end.deltas else "none",
        "shape": f"{channels} x {bins} x {frames}: channels, mel bins, frames",
    }
    return [
        Heading("Input"),
        Text(
            "One second of sound, as a log-mel spectrogram; of longer audio the mean of each second's probabilities. "
            f"It was trained on recordings of the devices {_listed(_devices(certificate, in_training=True))}."
        ),
        Table("The front end", ("setting", "value"), tuple(rows.items()), texts=("value",)),
    ]


def _devices(certificate: Mapping[str, Any], *, in_training: bool) -> list[str]:
    groups = certificate["data"]["device_groups"]
    return [name for name in certificate["data"]["devices"] if (groups[name] != "unseen") == in_training]


def _quality(certificate: Mapping[str, Any]) -> list[Block]:
    quality, confirmed = _of(certificate, WEIGHTS), certificate["confirmed"]
    by_file = [
        (name, _macro(found), f"{found.accuracy:.1%}", f"{found.log_loss:.3f}")
        for name, found in ((name, _of(certificate, name)) for name in certificate["quality"])
    ]
    data = certificate["data"]
    head = ("file", "macro accuracy", "accuracy", "log loss")
    return [
        Heading("Quality"),
        Text(
            f"Measured by running each file on the {data['evaluation_clips']:,} evaluation clips of {data['folder']}, "
            f"split {data['split']}. Macro accuracy is the mean over the scenes{_scope(quality)}. {INTERVAL}."
        ),
        Table("Each file", head, tuple(by_file)),
        *_model_selection(certificate),
        *([] if confirmed is None else _confirmed(confirmed)),
        Text(f"The tables below are of {WEIGHTS}{f', and beside it of {INT8}' if _int8(certificate) else ''}."),
        _scores("Each scene", "scene", PER_CLASS, certificate),
        _scores("Each device", "device", PER_DEVICE, certificate),
        _scores("Each group of devices", "group", PER_GROUP, certificate),
        Text(
            "Real devices recorded the sound themselves; seen ones are simulated and were trained on; unseen ones were "
            "not."
        ),
        confusion_table(quality),
    ]


def _model_selection(certificate: Mapping[str, Any]) -> list[Block]:
    """Describe the clips used for model selection, if there was any."""
    if certificate["validation"] is not None:
        chosen = Quality.from_dict(certificate["validation"])
        clips = f"{certificate['data']['validation_clips']:,} other clips, split off the training clips by location"
        figures = f"macro accuracy {macro_text(chosen, percent=True)}, log loss {chosen.log_loss:.3f}"
        return [Text(f"Model selection used {clips}: {figures} on these.")]
    if certificate["selected_on"] == "evaluation clips":
        return [Text("Model selection used these same clips, so these figures are optimistic.")]
    return []


def _confirmed(confirmed: Mapping[str, Any]) -> list[Block]:
    chance = confirmed["p_front"]
    on_front = "" if chance is None else f" The probability that it is on the front of its search is {chance:.2f}."
    mean, half = confirmed["mean"], confirmed["half"]
    figures = []  # a confirmation measures the objectives of its search only
    if "macro_accuracy" in mean:
        figures.append(f"a macro accuracy of {_percent(mean['macro_accuracy'], half['macro_accuracy'])}")
    if "log_loss" in mean:
        figures.append(f"a log loss of {_plain(mean['log_loss'], half['log_loss'])}")
    return [
        Text(
            f"Trained anew from {len(confirmed['seeds'])} seeds on all training clips (study {confirmed['study']}), "
            f"networks of this configuration have on these clips "
            f"{' and '.join(figures) or 'the accuracies below'}: the mean, and its {confirmed['confidence']:.0%} "
            f"interval.{on_front}"
        )
    ]


def _percent(mean: float, half: float | None) -> str:
    return f"{mean:.1%}" if half is None else f"{mean:.1%} ± {100 * half:.1f}"


def _plain(mean: float, half: float | None) -> str:
    return f"{mean:.3f}" if half is None else f"{mean:.3f} ± {half:.3f}"


def _scores(title: str, what: str, table: str, certificate: Mapping[str, Any]) -> Table:
    """Tabulate accuracy and log loss by scene, device or group: fp32, int8, and the mean over confirmation seeds."""
    int8, confirmed = _int8(certificate), certificate["confirmed"]
    has_intervals = confirmed is not None and len(confirmed["seeds"]) > MIN_FREEDOM  # of its own seeds alone
    scores: Mapping[str, Score] = getattr(_of(certificate, WEIGHTS), table)
    int8_scores: Mapping[str, Score] = {} if int8 is None else getattr(int8, table)
    seeds: Mapping[str, Mapping[str, float | None]] = {} if confirmed is None else confirmed[table]
    head = [
        what,
        "clips",
        "recordings",
        "accuracy",
        "log loss",
        *["accuracy, int8"] * bool(int8_scores),
        *["mean of seeds"] * bool(seeds),
    ]
    rows = []
    for name, score in scores.items():
        row = [name, f"{score.clips:,}", recordings_text(score), accuracy_text(score), f"{score.log_loss:.3f}"]
        if int8_scores:
            row.append(f"{int8_scores[name].accuracy:.1%}")
        if seeds:
            found = seeds.get(name)
            row.append(
                ""
                if found is None or found["mean"] is None
                else _percent(found["mean"], found["half"] if has_intervals else None)
            )
        rows.append(tuple(row))
    return Table(title, tuple(head), tuple(rows))


def _cost(certificate: Mapping[str, Any], config: TrialConfig) -> list[Block]:
    cost, copies = certificate["cost"], config.recipe.test_copies
    audit = (
        "fvcore counts no biases, and a batch norm once or twice per element: it is an audit, the limits are by the "
        "challenge's rule."
    )
    if copies:
        audit += f" Test-time augmentation: the mean over {copies} copies of a clip, at {copies} times these MACs."
    budgets = {**certificate["editions"]}
    if certificate["budget"]["name"] not in budgets:
        budgets[certificate["budget"]["name"]] = certificate["budget"]
    verdicts = [
        (edition, file, found["precision"], _limits(verdict, found), "fits" if found["fits"] else "over")
        for edition, verdict in budgets.items()
        for file, found in verdict["files"].items()
    ]
    return [
        Heading("Cost"),
        cost_table(cost, "One second of sound, by the challenge's rule"),
        Text(audit),
        Text(
            "The limits differ by edition of the challenge. A file is checked as it is exported: bytes "
            "are those of its values at the precision that it has, without the scales of quantized values."
        ),
        Table(
            "Every edition's limits",
            ("edition", "file", "stored as", "measured, and its limit", "verdict"),
            tuple(verdicts),
            texts=("file", "stored as", "measured, and its limit", "verdict"),
        ),
        layer_table(cost, "Layer by layer"),
        _files(certificate),
    ]


def _limits(verdict: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    measured = [f"{UNITS[name]} {found['measured'][name]:,} of {limit:,}" for name, limit in verdict["limits"].items()]
    return ", ".join(measured) or "no limits"


def _files(certificate: Mapping[str, Any]) -> Table:
    rows = [
        (name, DESCRIPTIONS.get(name, "the network's own code"), f"{known['bytes']:,}", f"{known['sha256'][:16]}...")
        for name, known in certificate["files"].items()
    ]
    return Table("Files", ("file", "what it holds", "bytes", "SHA-256 begins"), tuple(rows), texts=("what it holds",))


def _data(certificate: Mapping[str, Any]) -> list[Block]:
    data = certificate["data"]
    terms = data["license_files"]
    terms_text = (
        f"The data's own terms and sources are in {_listed(terms)}, in the folder of the data: they hold for what is "
        "done with this network, too."
        if terms
        else "The data's folder has no file that states its terms: contact its authors."
    )
    validation = f", of which {data['validation_clips']:,} validation clips" if data["validation_clips"] else ""
    clips = data["training_clips"] + data["validation_clips"]
    rows = (
        ("data set", data["folder"]),
        ("split", data["split"]),
        ("training clips", f"{clips:,}{validation}"),
        ("evaluation clips", f"{data['evaluation_clips']:,}"),
        ("SHA-256 of the lists", data["lists_sha256"]),
    )
    return [
        Heading("Data and licences"),
        Table("Training data", ("", "value"), rows, texts=("value",)),
        Text(terms_text),
        Text("SceneFront, which made this folder, is under the MIT licence."),
    ]


def _limitations(certificate: Mapping[str, Any], config: TrialConfig) -> list[Block]:
    quality = _of(certificate, WEIGHTS)
    clips = f"The {certificate['data']['evaluation_clips']:,} evaluation clips"
    unseen = _devices(certificate, in_training=False)
    points = [
        f'Closed-set classifier of {len(quality.classes)} scenes, no "unknown" class.',
        f"{_extremes(quality.by_class, 'scene')} {_extremes(quality.by_device, 'device')}",
        f"{clips}{_recordings(quality)} alone leave the macro accuracy uncertain by {_uncertainty(quality)}.",
    ]
    if unseen:
        points.append(f"It was not trained on recordings of {_listed(unseen)}.")
    int8 = _int8(certificate)
    if int8 is not None:
        points.append(_lost(quality, int8))
    if config.recipe.spectrum_correction:
        points.append("It corrects the spectrum of each device that it was trained on; others are left as they are.")
    return [Heading("Limitations"), Items(tuple(points))]


def _lost(quality: Quality, int8: Quality) -> str:
    """Return what int8 costs, with the interval of the difference where the recordings are known."""
    found = paired_difference(quality, int8)
    lost = 100 * found.value
    interval = "" if found.half is None else f" ± {100 * found.half:.1f}"
    paired = "" if found.half is None else " (95 % interval of the difference on the same clips, paired by recording)"
    change = f"{'loses' if lost >= 0 else 'gains'} {abs(lost):.1f}{interval}"
    return f"Quantized to int8 it {change} points of macro accuracy{paired}."


def _uncertainty(quality: Quality) -> str:
    """Return the interval of the macro accuracy, and how it is taken."""
    error = sampling_errors(quality)["macro_accuracy"]
    assert error is not None
    how = (
        "by clip: the recordings are not known, and the true interval is wider"
        if quality.recordings is None
        else ("clustered by recording")
    )
    return f"± {100 * error.half:.1f} points (95 % interval, {how})"


def _recordings(quality: Quality) -> str:
    return "" if quality.recordings is None else f" of {counted(len(quality.recordings.clips), 'recording')}"


def _macro(quality: Quality) -> str:
    error = sampling_errors(quality)["macro_accuracy"]
    assert error is not None
    return _percent(quality.macro_accuracy, error.half)


def _extremes(scores: Mapping[str, Score], what: str) -> str:
    best = max(scores, key=lambda name: scores[name].accuracy)
    worst = min(scores, key=lambda name: scores[name].accuracy)
    if scores[best].accuracy == scores[worst].accuracy:
        return f"Its accuracy is the same for every {what}: {scores[best].accuracy:.1%}."
    return (
        f"By {what} its accuracy lies between {scores[worst].accuracy:.1%} ({worst}) and {scores[best].accuracy:.1%} "
        f"({best})."
    )


def _usage(certificate: Mapping[str, Any], config: TrialConfig) -> list[Block]:
    files, front_end = certificate["files"], config.front_end_config
    blocks: list[Block] = [Heading("How to run it")]
    if PIPELINE in files:
        blocks += [
            Text(
                f"In Python with onnxruntime and soundfile, in this folder, on a second of sound of any number of "
                f"channels at {front_end.rate_hz:,} Hz (resample any other before):"
            ),
            Code(inference_code(certificate["data"]["classes"])),
        ]
    shape = " x ".join(map(str, front_end.shape()))
    blocks += [
        Text("With SceneFront, on files of any length, rate and number of channels:"),
        Code("scenefront predict FOLDER street.wav\nscenefront evaluate FOLDER DATA\nscenefront bench FOLDER", "sh"),
    ]
    on_device = [
        f"{name} takes a log-mel spectrogram (batch x {shape}, fp32) and gives the scores of the scenes before "
        "softmax, in the order in which they are listed at the top. ONNX Runtime runs it."
        for name in (MODEL, INT8)
        if name in files
    ]
    on_device.append(
        f"The activations of a layer-by-layer int8 run take at most {certificate['cost']['peak_bytes']:,} bytes at one "
        "time, beside the weights."
    )
    if PROGRAM in files:
        on_device.append(f"{PROGRAM} is a program for ExecuTorch with its XNNPACK backend, for phones and boards.")
    return [*blocks, Text("On a device:"), Items(tuple(on_device))]


def inference_code(classes: Sequence[str]) -> str:
    """Return five lines of Python that run a pipeline on one second of audio."""
    return f"""import onnxruntime, soundfile
sound, rate_hz = soundfile.read("street.wav", dtype="float32", always_2d=True)
session = onnxruntime.InferenceSession("{PIPELINE}")
probabilities = session.run(None, {{session.get_inputs()[0].name: sound[:rate_hz].mean(axis=1)[None]}})[0][0]
print(dict(zip({json.dumps(list(classes))}, probabilities.tolist())))"""


def _origin(certificate: Mapping[str, Any], config: TrialConfig) -> list[Block]:
    values = tuple((name, str(value)) for name, value in config.to_dict().items())
    versions = tuple((name, str(value)) for name, value in certificate["versions"].items())
    return [
        Heading("Made with"),
        Text(f"Seed {certificate['seed']}. {CONFIG} is the whole configuration, for a machine to read."),
        Table("Packages", ("package", "version"), versions, texts=("version",)),
        Table("Configuration", ("field", "value"), values, texts=("value",)),
    ]


def _of(certificate: Mapping[str, Any], file: str) -> Quality:
    return Quality.from_dict(certificate["quality"][file])


def _int8(certificate: Mapping[str, Any]) -> Quality | None:
    return _of(certificate, INT8) if INT8 in certificate["quality"] else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
