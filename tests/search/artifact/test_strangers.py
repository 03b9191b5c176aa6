"""Exports from strangers whose checksums match: refused in one sentence, or shown as plain text."""

import hashlib
import json
import os
import struct

import pytest
import torch
import yaml
from safetensors.torch import load, save_file

from search.artifact.certificate import CERTIFICATE, CONFIG, WEIGHTS

SPARSE = 60_000_000_000  # bytes that a file claims, and that no disk holds


def sign(export, *names):
    """Write the checksums of changed files into the certificate, as a stranger would."""
    path = export / CERTIFICATE
    certificate = json.loads(path.read_text())
    for name in names:
        with (export / name).open("rb") as file:
            certificate["files"][name]["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    path.write_text(json.dumps(certificate))


def header(content, data=b"", length=None):
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def weights(content):
    def apply(export):
        (export / WEIGHTS).write_bytes(content)
        sign(export, WEIGHTS)

    return apply


def sparse(name, start=b""):
    def apply(export):
        (export / name).write_bytes(start)
        os.truncate(export / name, SPARSE)

    return apply


def configured(change):
    def apply(export):
        described = yaml.safe_load((export / CONFIG).read_text())
        change(described)
        (export / CONFIG).write_text(yaml.safe_dump(described, allow_unicode=True))
        sign(export, CONFIG)

    return apply


def written(text):
    def apply(export):
        (export / CONFIG).write_bytes(text if isinstance(text, bytes) else text.encode())
        sign(export, CONFIG)

    return apply


def tensor(change):
    def apply(export):
        held = load((export / WEIGHTS).read_bytes())
        save_file(change(held) or held, export / WEIGHTS)
        sign(export, WEIGHTS)

    return apply


def fifo(name):
    def apply(export):
        (export / name).unlink()
        os.mkfifo(export / name)

    return apply


def linked(name, target):
    def apply(export):
        (export / name).unlink()
        (export / name).symlink_to(target)

    return apply


def certified(**changes):
    def apply(export):
        path = export / CERTIFICATE
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return apply


def set_network(**values):
    return configured(lambda described: described["network"].update(values))


def named(*classes):
    return configured(lambda described: described.update(classes=list(classes)))


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
ONE = {"t": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
HOSTILE = {
    "a header of 4 EB": weights(header(b"{}", length=2**62)),
    "a header of 3 GB": weights(header(b"{}", length=3 * 2**30)),
    "a header of 90 MB of nothing": weights(header(b"\0" * 90_000_000)),
    "a header that is no JSON": weights(header(b"{" * 1000)),
    "a header nested 100,000 deep": weights(header(b"[" * 100_000)),
    "a tensor of a million TB": weights(
        header({"t": {"dtype": "F32", "shape": [2**58], "data_offsets": [0, 4]}}, b"1234")
    ),
    "a tensor beyond the end": weights(
        header({"t": {"dtype": "F32", "shape": [1], "data_offsets": [2**40, 2**40 + 4]}})
    ),
    "overlapping tensors": weights(header({**ONE, "u": ONE["t"]}, b"1234")),
    "an unknown type": weights(header({"t": {**ONE["t"], "dtype": "PICKLE"}}, b"1234")),
    "a negative shape": weights(header({"t": {**ONE["t"], "shape": [-1]}}, b"1234")),
    "a name with control characters": weights(header({"\x1b[2Jt\n": ONE["t"]}, b"1234")),
    "weights of 60 GB": sparse(WEIGHTS),
    "weights that are a FIFO": fifo(WEIGHTS),
    "weights that are a device": linked(WEIGHTS, "/dev/zero"),
    "weights of NaN": tensor(lambda held: {name: value * float("nan") for name, value in held.items()}),
    "weights of 64-bit complex numbers": tensor(
        lambda held: {name: value.to(torch.complex64) for name, value in held.items()}
    ),
    "an ONNX file of 60 GB": sparse("model.onnx"),
    "a certificate of 60 GB": sparse(CERTIFICATE),
    "a certificate that is a FIFO": fifo(CERTIFICATE),
    "a certificate that is the password file": linked(CERTIFICATE, "/etc/passwd"),
    "a certificate of a name in control characters": certified(files={"\x1b[2J": {"sha256": "0"}}),
    "a certificate whose files are a number": certified(files=7),
    "a certificate of a format in control characters": certified(
        format="\x1b]0;title\x07", study="\x1b[2J", trial="\n"
    ),
    "a YAML bomb": written(BOMB),
    "a YAML bomb as classes": written("format: 1\n" + BOMB + "classes: *a11\n"),
    "YAML nested 10,000 deep": written("[" * 10_000),
    "YAML of 60 GB": sparse(CONFIG),
    "YAML that makes an object": written("!!python/object/apply:os.system ['touch pwned']"),
    "YAML in no UTF-8": written(b"\xff\xfe\x00"),
    "a billion channels": set_network(width=1_000_000_000),
    "a million layers": set_network(depth=1_000_000),
    "a width that is a text": set_network(width="\x1b[31m8"),
    "a width of NaN": set_network(width=float("nan")),
    "a negative width": set_network(width=-8),
    "a number of 10,000 digits": written("format: 1\nwidth: " + "9" * 10_000),
    "an architecture that is a path": configured(lambda described: described.update(architecture="../../evil")),
    "an architecture in control characters": configured(lambda described: described.update(architecture="\x1b[2J")),
    "no network": configured(lambda described: described.update(network=None)),
    "a recipe that is a list": configured(lambda described: described.update(recipe=[1])),
    "a front end that is a text": configured(lambda described: described.update(front_end="x")),
    "classes that are a number": configured(lambda described: described.update(classes=3)),
    "a class too many": named("airport", "bus", "park", "tram"),
    "a class twice": named("airport", "airport", "park"),
    "a class that is a list": named("airport", "bus", ["park"]),
    "a class in control characters": named("airport", "bus", "\x1b[2Jpark"),
    "a class of two lines": named("airport", "bus", "pa\nrk"),
    "a class from right to left": named("airport", "bus", "\u202epark"),
    "a class of a million letters": named("airport", "bus", "a" * 1_000_000),
}


@pytest.mark.parametrize("tamper", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_export_is_refused_in_one_sentence(run, export, tiny, tamper):
    tamper(export)
    sound = min((tiny / "audio").iterdir())
    result = run("predict", export, sound)
    assert result.code == 2, result.err[-2000:]
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert result.err.strip().isprintable()
    assert len(result.err) < 3000
    assert result.out == ""
    assert not (export.parent / "pwned").exists()


MARKED = ('=HYPERLINK("http://evil")', "<script>alert(1)</script>", "[bold]park[/bold]")


def test_class_names_are_shown_as_text(run, export, tiny):
    named(*MARKED)(export)
    sound = min((tiny / "audio").iterdir())
    result = run("predict", export, sound)
    assert (result.code, result.out.count("\n")) == (0, 1), result.err
    assert result.out.strip().isprintable()
    told = run("predict", export, sound, "--json")
    assert set(json.loads(told.out)[0]["probabilities"]) == set(MARKED)


@pytest.mark.parametrize(
    "command",
    [("bench",), ("evaluate", "tiny"), ("quantize", "tiny"), ("price", "--config"), ("train", "tiny", "--config")],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize(
    "name",
    [
        "a YAML bomb as classes",
        "a billion channels",
        "YAML nested 10,000 deep",
        "an architecture in control characters",
    ],
)
def test_no_command_reads_a_hostile_configuration_otherwise(run, export, tiny, command, name):
    HOSTILE[name](export)
    given = [tiny if part == "tiny" else part for part in command[1:]]
    result = run(command[0], *((*given, export / CONFIG) if "--config" in command else (export, *given)))
    assert result.code == 2, result.err[-2000:]
    assert result.err.strip().splitlines()[-1].isprintable()
    assert "Traceback" not in result.err
