"""A certificate, and every kind of tampering that loading an export refuses, with the reason."""

import copy
import json
import pickle
import re

import pytest
import torch
import yaml
from safetensors.torch import load, save_file

from search.artifact.certificate import CERTIFICATE, CONFIG, WEIGHTS, ExportError, file_digest, read_certificate, verify
from search.artifact.files import INT8, MODEL
from search.artifact.opening import open_export
from search.artifact.reading import load_export
from search.export.card import card
from search.study.table import study_table
from training.checkpoint import CheckpointError


def change(export, **fields):
    """Write fields of the certificate anew."""
    path = export / CERTIFICATE
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def sign(export, name):
    """Write the checksum of a file as it is now into the certificate."""
    files = json.loads((export / CERTIFICATE).read_text())["files"]
    change(export, files={**files, name: {**files.get(name, {}), "sha256": file_digest(export / name)}})


def rename(export, old, new):
    files = json.loads((export / CERTIFICATE).read_text())["files"]
    change(export, files={new if name == old else name: known for name, known in files.items()})


def other_byte(export):
    data = bytearray((export / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (export / WEIGHTS).write_bytes(data)


def missing_file(export):
    (export / INT8).unlink()


def missing_certificate(export):
    (export / CERTIFICATE).unlink()


def of_before(export):
    (export / CERTIFICATE).rename(export / "report.json")


def archive_as_weights(export):
    torch.save(load((export / WEIGHTS).read_bytes()), export / WEIGHTS)
    sign(export, WEIGHTS)


def pickle_as_onnx(export):
    (export / MODEL).write_bytes(pickle.dumps({"weight": [1.0]}))
    sign(export, MODEL)


def old_pickle_as_weights(export):
    (export / WEIGHTS).write_bytes(pickle.dumps({"weight": [1.0] * 100}, protocol=2))
    sign(export, WEIGHTS)


def no_safetensors(export):
    (export / WEIGHTS).write_bytes(b"weights")
    sign(export, WEIGHTS)


def climbing_path(export):
    rename(export, INT8, f"../{INT8}")


def absolute_path(export):
    rename(export, INT8, str(export / INT8))


def windows_path(export):
    rename(export, INT8, f"..\\{INT8}")


def hidden_name(export):
    rename(export, INT8, "..")


def link_out(export):
    outside = export.parent / "outside.onnx"
    (export / INT8).rename(outside)
    (export / INT8).symlink_to(outside)


def python_tag(export):
    (export / CONFIG).write_text("format: !!python/object/apply:os.system ['touch pwned']\n")
    sign(export, CONFIG)


def other_front_end(export):
    described = yaml.safe_load((export / CONFIG).read_text())
    described["front_end"]["hop"] += 1
    (export / CONFIG).write_text(yaml.safe_dump(described))
    sign(export, CONFIG)


def other_shape(export):
    weights = load((export / WEIGHTS).read_bytes())
    weights["classifier.weight"] = torch.zeros(3, 9)
    save_file(weights, export / WEIGHTS)
    sign(export, WEIGHTS)


def not_finite(export):
    weights = load((export / WEIGHTS).read_bytes())
    weights["classifier.weight"][0, 0] = float("nan")
    save_file(weights, export / WEIGHTS)
    sign(export, WEIGHTS)


def no_json(export):
    (export / CERTIFICATE).write_text("{")


def deep_json(export):
    (export / CERTIFICATE).write_text("[" * 100_000)


def no_mapping(export):
    (export / CERTIFICATE).write_text("[]")


def other_format(export):
    change(export, format=4)


def earlier_format(export):
    change(export, format=2)


def lacking(export):
    path = export / CERTIFICATE
    certificate = json.loads(path.read_text())
    del certificate["versions"]
    path.write_text(json.dumps(certificate))


def no_digest(export):
    change(export, files={CONFIG: {"sha256": "0"}, WEIGHTS: {"sha256": "0"}})


def weights_unnamed(export):
    rename(export, WEIGHTS, "others.safetensors")


REFUSED = {
    other_byte: r"weights\.safetensors is not what was exported: its SHA-256 is",
    missing_file: r"lacks model\.int8\.onnx, which its certificate lists",
    missing_certificate: "is not an export: it has no certificate.json",
    of_before: "is an export of format 1, of an earlier version; export its trial again",
    archive_as_weights: r"weights\.safetensors is a pickle under another name; pickles are never opened",
    pickle_as_onnx: r"model\.onnx is a pickle under another name; pickles are never opened",
    old_pickle_as_weights: r"weights\.safetensors is a pickle under another name; pickles are never opened",
    no_safetensors: r"weights\.safetensors is not a whole safetensors file",
    climbing_path: r"lists '\.\./model\.int8\.onnx', which is not a file of the folder itself",
    absolute_path: r"lists '/.*/model\.int8\.onnx', which is not a file of the folder itself",
    windows_path: r"lists '\.\..*model\.int8\.onnx', which is not a file of the folder itself",
    hidden_name: r"lists '\.\.', which is not a file of the folder itself",
    link_out: r"model\.int8\.onnx leads out of the export, to .*outside\.onnx",
    python_tag: r"config\.yaml is not YAML that can be loaded safely: line 1: could not determine a constructor",
    other_front_end: r"config\.yaml: the front end dcase24 has other settings here",
    other_shape: r"holds weights of another network: classifier\.weight has shape \(3, 9\), not \(3, 8\)",
    not_finite: "holds values that are not finite",
    no_json: r"certificate\.json cannot be read as JSON",
    deep_json: r"certificate\.json cannot be read as JSON",
    no_mapping: r"certificate\.json is not a certificate: it is not a JSON object",
    other_format: r"certificate\.json has format 4; this version reads format 3$",
    earlier_format: r"has format 2; .* format 3; export its trial again: scenefront export small --trial 0",
    lacking: r"certificate as this program writes it: 'versions' is missing",
    no_digest: r"certificate\.json has no SHA-256 for 'config\.yaml'",
    weights_unnamed: r"certificate\.json does not list weights\.safetensors",
}


@pytest.mark.parametrize("tamper", REFUSED, ids=lambda tamper: tamper.__name__)
def test_an_export_that_was_tampered_with_is_refused_with_the_reason(export, tamper, monkeypatch):
    monkeypatch.chdir(export.parent)
    tamper(export)
    with pytest.raises((ExportError, CheckpointError), match=REFUSED[tamper]):
        load_export(export)
    assert not (export.parent / "pwned").exists()


def test_what_the_certificate_does_not_name_is_no_part_of_an_export(export):
    (export / "notes.txt").write_text("mine")
    assert load_export(export).classes == ("airport", "bus", "park")


def test_a_link_to_an_export_and_links_within_it_are_followed(export, tmp_path):
    (export / INT8).rename(export / "elsewhere.onnx")
    (export / INT8).symlink_to("elsewhere.onnx")
    (tmp_path / "latest").symlink_to(export)
    assert load_export(tmp_path / "latest").file == WEIGHTS


@pytest.mark.parametrize("length", [640, 896, 1152, 1408])
def test_weights_whose_header_is_as_long_as_a_pickle_begins_are_weights(tmp_path, length):
    path = tmp_path / WEIGHTS
    for more in range(0, 1400, 8):
        save_file({"a": torch.zeros(2)}, path, {"x": "x" * more})
        if path.read_bytes()[:8] == length.to_bytes(8, "little"):
            break
    assert path.read_bytes()[0] == 0x80
    verify(tmp_path, {"files": {WEIGHTS: {"sha256": file_digest(path)}}})


def test_a_certificate_lists_what_each_file_does_and_costs(exported, study):
    certificate = read_certificate(exported)
    assert (certificate["study"], certificate["trial"], certificate["architecture"], certificate["on_front"]) == (
        "small",
        0,
        "isotropic",
        bool(study_table(study)["on_front"].iloc[0]),
    )
    runs = {WEIGHTS, MODEL, "pipeline.onnx", INT8}
    assert set(certificate["quality"]) == runs
    assert set(certificate["files"]) == runs | {CONFIG, "card.md", "card.html"}
    for name, known in certificate["files"].items():
        assert known["sha256"] == file_digest(exported / name)
        assert known["bytes"] == (exported / name).stat().st_size
    assert {"onnx", "onnxruntime"} <= set(certificate["versions"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", certificate["written"])
    assert (certificate["validation"], certificate["selected_on"], certificate["confirmed"]) == (None, None, None)
    assert [certificate["data"][f"{kind}_clips"] for kind in ("training", "validation", "evaluation")] == [48, 0, 24]


@pytest.mark.parametrize("edition", ["dcase2021", "dcase2022", "dcase2023", "dcase2024", "dcase2025"])
def test_each_file_is_checked_against_each_edition(exported, edition):
    verdict = read_certificate(exported)["editions"][edition]
    assert list(verdict["files"]) == [WEIGHTS, MODEL, INT8]
    assert [found["precision"] for found in verdict["files"].values()] == ["fp32", "fp32", "int8"]
    assert (verdict["fits"], verdict["file"], verdict["violations"]) == (True, WEIGHTS, [])
    assert set(verdict["measured"]) == set(verdict["limits"])


def test_a_missing_file_and_one_that_is_no_network_have_errors_of_their_own(exported, tmp_path):
    with pytest.raises(ExportError, match=r"nowhere: no such export$"):
        open_export(tmp_path / "nowhere")
    with pytest.raises(ExportError, match=r"card\.md is not a network of the export; those are weights\.safetensors"):
        open_export(exported / "card.md")
    with pytest.raises(ExportError, match=r"model\.pte is not a network of the export"):
        open_export(exported / "model.pte")


def places(value, path=()):
    """Return the places of all values in a certificate; of a list, and of a mapping by file, class or device, one."""
    yield path
    if isinstance(value, dict):
        open_names = path and path[-1] in {
            "by_class", "by_device", "by_group", "versions", "device_groups", "quality", "editions", "files",
        }  # fmt: skip
        for name in list(value)[: 1 if open_names else None]:
            yield from places(value[name], (*path, name))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


def changed(certificate, path, value):
    changed = copy.deepcopy(certificate)
    *parents, last = path
    place = changed
    for name in parents:
        place = place[name]
    if value is REMOVED:
        del place[last]
    else:
        place[last] = value
    return changed


REMOVED = object()


@pytest.mark.slow
def test_a_certificate_with_any_value_replaced_or_removed_is_refused_or_can_be_used(exported, tmp_path):
    certificate, config = read_certificate(exported), load_export(exported).config
    certificate["validation"] = certificate["quality"][WEIGHTS]
    certificate["confirmed"] = {
        "study": "c", "seeds": [1, 2], "confidence": 0.95, "p_front": 0.5, "mean": {"macro_accuracy": 0.5},
        "half": {"macro_accuracy": None}, "by_class": {"bus": {"mean": 0.5, "half": 0.1}}, "by_device": {},
        "by_group": {},
    }  # fmt: skip
    refused, used = 0, 0
    for path in list(places(certificate))[1:]:
        for value in (REMOVED, None, "\x1b[31m", -1, 0.5, 10**400, [], {"a": {}}):
            (tmp_path / CERTIFICATE).write_text(json.dumps(changed(certificate, path, value)))
            try:
                card(read_certificate(tmp_path), config)
                used += 1
            except ExportError:
                refused += 1
    assert refused > 5 * used > 0
