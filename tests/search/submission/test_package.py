"""A submission from end to end: exports, a sheet, an evaluation set of 135,730 names, a package that breaks no rule."""

import hashlib
import json
import resource
import shutil
import zipfile
from dataclasses import replace
from io import StringIO

import pytest
import yaml
from packages import DEVICES, META_NAME, SCENES, SPLITS, output_name
from rich.console import Console
from tau_exports import SHEET, link_sounds, make_export, write_sheet, write_tau

from search.engine.progress import counting
from search.submission.batch_inference import predict_evaluation_set
from search.submission.edition import DCASE2024, SubmissionError
from search.submission.evaluation_set import find_evaluation_set
from search.submission.package import BrokenRulesError, make_package, work_folder
from search.submission.sheet import read_sheet
from search.submission.systems import read_system

EDITION = replace(DCASE2024, num_clips=20)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_tau(tmp_path_factory.mktemp("data") / "tau")


@pytest.fixture(scope="module")
def exports(data, tmp_path_factory):
    """Exports of two networks trained on split 5, with two front ends."""
    root = tmp_path_factory.mktemp("exports")
    make_export(root / "one", data, "5", front_end="tfsepnet", mask_bins=0)
    make_export(root / "two", data, "5", int8="none", front_end="sepcnn", mask_bins=0)
    return root


@pytest.fixture(scope="module")
def places(exports):
    return {split: exports / ("two" if split == "25" else "one") for split in SPLITS}


@pytest.fixture(scope="module")
def sounds(data, tmp_path_factory):
    return link_sounds(tmp_path_factory.mktemp("sounds") / "few", data, EDITION.num_clips)


@pytest.fixture
def sheet(tmp_path, places):
    return write_sheet(tmp_path / "sheet.yaml", places)


def make(sheet, sounds, target):
    console = Console(file=StringIO())
    return make_package(read_sheet(sheet, EDITION), sounds, target, EDITION, lambda what: counting(what, console))


@pytest.mark.slow
def test_an_evaluation_set_of_full_size_becomes_a_package_that_passes_its_own_check(run, data, sheet, tmp_path):
    root = link_sounds(tmp_path / "sounds", data, DCASE2024.num_clips)
    try:
        made = run("submit", sheet, root, "--out", "made.zip")
        assert (made.code, made.out.splitlines()[-2]) == (0, "written: made.zip, no rule is broken")
    finally:
        shutil.rmtree(root)  # 135,730 names
    checked = run("submit", "--check", "made.zip")
    assert (checked.code, checked.out) == (0, "made.zip: no rule is broken\n")
    with zipfile.ZipFile("made.zip") as package:
        assert sorted(package.namelist()) == sorted([META_NAME, *(output_name(split) for split in SPLITS)])
        last = package.read(output_name("5")).decode().splitlines()[-1].split("\t")
    assert last[0] == "135729.wav"
    assert last[1] == max(zip(SCENES, map(float, last[2:]), strict=True), key=lambda pair: pair[1])[0]


def test_the_meta_file_agrees_with_the_certificates(sheet, sounds, exports, tmp_path):
    make(sheet, sounds, tmp_path / "made.zip")
    with zipfile.ZipFile(tmp_path / "made.zip") as package:
        meta = yaml.safe_load(package.read(META_NAME))
    one, two = (json.loads((exports / name / "certificate.json").read_text()) for name in ("one", "two"))
    measured = [each["editions"]["dcase2024"]["measured"] for each in (one, two)]
    assert meta["system"]["complexity"] == {
        "total_model_size": max(each["size_bytes"] for each in measured),
        "total_parameters": max(each["cost"]["params"] for each in (one, two)),
        "macs": max(each["macs"] for each in measured),
    }
    described = meta["system"]["description"]
    assert described["input_sampling_rate"] == "32kHz (splits 5, 10, 50, 100), 44.1kHz (split 25)"
    assert described["framework"] == "our own words"
    assert described["pipeline"] == "training"
    assert described["split_adaptations"] is None
    assert "time rolling" in described["data_augmentation"]
    assert "frequency masking" not in described["data_augmentation"]
    for split, certificate in (("5", one), ("25", two)):
        quality = certificate["quality"][certificate["editions"]["dcase2024"]["file"]]
        results = meta["results"]["development_dataset"][f"split_{split}"]
        assert results["overall"]["accuracy"] == round(100 * quality["macro_accuracy"], 2)
        assert results["overall"]["logloss"] == round(quality["log_loss"], 4)
        assert results["device_wise"]["s6"]["accuracy"] == round(100 * quality["by_device"]["s6"]["accuracy"], 2)
        assert sorted(results["class_wise"]) == sorted(SCENES)
        assert sorted(results["device_wise"]) == sorted(DEVICES)


def test_the_same_input_makes_the_same_bytes(sheet, sounds, tmp_path):
    digests = set()
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        made = make(sheet, sounds, tmp_path / name / "made.zip")
        digests.add(hashlib.sha256(made.path.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_a_changed_sheet_is_packed_without_inference(sheet, sounds, places, tmp_path):
    target = tmp_path / "made.zip"
    make(sheet, sounds, target)
    predictions = {path.name: path.stat().st_mtime_ns for path in work_folder(target).iterdir()}
    make(write_sheet(sheet, places, SHEET.replace("A small", "A tiny")), sounds, target)
    assert {path.name: path.stat().st_mtime_ns for path in work_folder(target).iterdir()} == predictions
    with zipfile.ZipFile(target) as package:
        assert b"A tiny network" in package.read(META_NAME)


def test_every_file_of_an_export_can_be_submitted(exports, sounds, tmp_path):
    certificate = json.loads((exports / "one" / "certificate.json").read_text())
    files = list(certificate["editions"]["dcase2024"]["files"])
    assert {"weights.safetensors", "model.onnx", "model.int8.onnx"} <= set(files)
    systems = {str(n): read_system("5", exports / "one" / file, DCASE2024) for n, file in enumerate(files)}
    systems = {n: replace(each, split=n) for n, each in systems.items()}
    predictions = predict_evaluation_set(systems, find_evaluation_set(sounds, EDITION), tmp_path / "work")
    exact = predictions[str(files.index("weights.safetensors"))]
    for n, file in enumerate(files):
        assert abs(predictions[str(n)] - exact).max() < (0.2 if "int8" in file else 1e-4), file


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("abbreviation: Small", "abbreviation: SmallNetwork",
         f"{META_NAME}, submission.abbreviation: must have at most 10 letters, got 12: 'SmallNetwork'"),
        ("corresponding: true", "corresponding: false",
         f"{META_NAME}, submission.authors: exactly one must be marked `corresponding: true`, got none"),
        ("name: A small network\n", "",
         f"{META_NAME}, submission.name: must be a text that is not empty, got null"),
    ],
)  # fmt: skip
def test_a_sheet_that_breaks_a_rule_is_refused_before_inference(before, after, fault, places, sounds, tmp_path):
    sheet = write_sheet(tmp_path / "sheet.yaml", places, SHEET.replace(before, after))
    with pytest.raises(BrokenRulesError) as refused:
        make(sheet, sounds, tmp_path / "made.zip")
    assert [str(each) for each in refused.value.violations] == [fault]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sheet.yaml"]


def test_a_label_that_leads_elsewhere_is_refused(run, places, sounds, tmp_path):
    sheet = tmp_path / "sheet.yaml"
    sheet.write_text(SHEET.replace("lastname: Doe, institute", "lastname: ../Doe, institute"))
    result = run("submit", sheet, sounds, *(f"--split={split}={place}" for split, place in places.items()))
    assert result.code == 1
    assert (
        "label: must be lastname_institute_task1_N, of letters, digits and hyphens, got '../Doe_ACME_task1_1'"
        in result.out
    )
    assert result.err == "error: 1 broken rule; no package was written\n"


def test_systems_that_cannot_be_submitted_are_reported(exports, places, sounds, tmp_path):
    whole = tmp_path / "whole"
    shutil.copytree(exports / "one", whole)
    certificate = json.loads((whole / "certificate.json").read_text())
    certificate["data"]["split"] = "100"
    (whole / "certificate.json").write_text(json.dumps(certificate))
    others = {split: place for split, place in places.items() if split != "50"}
    sheet = write_sheet(tmp_path / "sheet.yaml", {**others, "10": whole})
    with pytest.raises(BrokenRulesError) as refused:
        make(sheet, sounds, tmp_path / "made.zip")
    file = whole / certificate["editions"]["dcase2024"]["file"]
    assert [str(each) for each in refused.value.violations] == [
        f"{sheet}, splits.50: is missing: there must be an export for each split (5, 10, 25, 50, 100)",
        f"{sheet}, splits.10, {file}: was trained on split 100, of which split 10 is only a part",
    ]


@pytest.mark.slow
def test_an_export_over_budget_and_of_other_scenes_is_reported(places, sounds, tmp_path):
    data = write_tau(tmp_path / "other", {"tram": "lift", "airport": "harbour"})
    make_export(tmp_path / "large", data, "5", int8="none", front_end="dcase24", width=256, patch=5)
    file = tmp_path / "large" / "weights.safetensors"
    sheet = write_sheet(tmp_path / "sheet.yaml", {**places, "5": file})
    with pytest.raises(BrokenRulesError) as refused:
        make(sheet, sounds, tmp_path / "made.zip")
    measured = json.loads((tmp_path / "large" / "certificate.json").read_text())["editions"]["dcase2024"]["files"]
    macs, size = (measured[file.name]["measured"][name] for name in ("macs", "size_bytes"))
    where = f"{sheet}, splits.5, {file}"
    assert [str(each) for each in refused.value.violations] == [
        f"{where}: over budget dcase2024: macs {macs:,} > 30,000,000 ({macs / 30_000_000:.2f}x)",
        f"{where}: over budget dcase2024: size_bytes {size:,} > 128,000 ({size / 128_000:.2f}x)",
        (
            f"{where}: has other classes: it lacks airport, tram; has harbour, lift; "
            f"the challenge's scenes are {', '.join(SCENES)}"
        ),
    ]


def test_a_full_disk_is_reported_and_predictions_are_kept(sheet, sounds, tmp_path):
    target = tmp_path / "made.zip"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500, hard))
    try:
        with pytest.raises(
            SubmissionError, match=r"not enough disk space.*predictions so far are kept in .*made\.zip\.work"
        ):
            make(sheet, sounds, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not target.exists()
    assert make(sheet, sounds, target).path.exists()


def test_something_else_is_not_overwritten(sheet, sounds, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SubmissionError, match=r"notes\.txt is something else than a package; name another"):
        make(sheet, sounds, tmp_path / "notes.txt")


def test_the_template_can_be_read_and_lists_what_is_filled_in(run, exports, sounds, places, tmp_path):
    options = [f"--split={split}={place}" for split, place in places.items()]
    assert run("submit", "--template", "sheet.yaml", *options).code == 0
    text = (tmp_path / "sheet.yaml").read_text()
    assert "  input_sampling_rate: # filled in: 32kHz (splits 5, 10, 50, 100), 44.1kHz (split 25)" in text
    assert {split: str(place) for split, place in places.items()} == {
        split: str(place) for split, place in read_sheet(tmp_path / "sheet.yaml", DCASE2024).splits.items()
    }
    assert make(tmp_path / "sheet.yaml", sounds, tmp_path / "made.zip").path.exists()
    again = run("submit", "--template", "sheet.yaml")
    assert (again.code, again.err.splitlines()[-1]) == (2, "Error: sheet.yaml is there already; name another file")


def test_a_sheet_that_describes_nothing_names_all_that_is_wrong(tmp_path):
    (tmp_path / "sheet.yaml").write_text(
        "label: {lastname: Doe, number: 1}\nauthor: []\ndescription: {framewrok: x}\nsplits: {20: exports, 5: 7}\n"
    )
    with pytest.raises(SubmissionError) as refused:
        read_sheet(tmp_path / "sheet.yaml", DCASE2024)
    assert str(refused.value).splitlines()[1:] == [
        "  unknown key 'author'; did you mean 'authors'?",
        "  description: unknown key 'framewrok'; did you mean 'framework'?",
        "  splits: unknown key '20'; there are: 10, 100, 25, 5, 50",
        "  label.institute is missing",
        "  splits.5 must be a folder or a file, got 7",
    ]


def test_broken_rules_of_a_package_are_listed_as_lines_and_as_json(run, sheet, sounds, tmp_path):
    made = make(sheet, sounds, tmp_path / "made.zip")  # of 20 clips, where the command expects them all
    result = run("submit", "--check", made.path)
    assert result.code == 1
    assert result.out.splitlines()[:2] == [
        f"{output_name('5')}: must have 135,730 rows under its header, got 20",
        f"{output_name('5')}: has no row of 20.wav to 135729.wav",
    ]
    assert result.out.splitlines()[-1] == "10 broken rules"
    listed = json.loads(run("submit", "--check", made.path, "--json").out)
    assert listed[0] == {
        "file": output_name("5"), "place": "", "detail": "must have 135,730 rows under its header, got 20",
    }  # fmt: skip
