"""Rules of a package: each kind of damage is reported with its file, its place and what is there."""

import stat
import zipfile

import pytest
from packages import DEVICES, HEADER, LABEL, META_NAME, SCENES, SMALL, output, output_name, right_files, zipped

from search.submission.edition import DCASE2024, SubmissionError
from search.submission.package_rules import check_package

FIFTY, TEN = output_name("50"), output_name("10")
RIGHT_ROW = "2.wav\tmetro\t0.09\t0.09\t0.19"  # how row 4 begins
CHOICE = ", ".join(SCENES)
NUMBERS = "\t".join(["0.1"] * 10)


def changed(file, before, after, count=1):
    """Return damage that puts one text in the place of another."""

    def damage(files):
        assert before in files[file]
        files[file] = files[file].replace(before, after, count)

    return damage


def in_meta(before, after, count=1):
    return changed(META_NAME, before, after, count)


def dropped(file):
    return lambda files: files.pop(file)


def added(file, text=""):
    return lambda files: files.update({file: text})


def renamed(before, after):
    """Return damage to the label, wherever it stands."""

    def damage(files):
        for name in list(files):
            text = files.pop(name)
            files[name.replace(before, after)] = text.replace(before, after)

    return damage


def folder_of(label):
    return f"package.zip, task1/{label}: label "


OUTPUTS = {
    "a row is missing": (
        changed(FIFTY, "3.wav\tmetro_station", "4.wav\tmetro_station"),
        [f"{FIFTY}, row 6, filename: 4.wav stands in row 5 already", f"{FIFTY}: has no row of 3.wav"],
    ),
    "a file ends early": (
        lambda files: files.update({TEN: files[TEN][: files[TEN].index("3.wav")]}),
        [f"{TEN}: must have 6 rows under its header, got 3", f"{TEN}: has no row of 3.wav to 5.wav"],
    ),
    "a name is doubled": (
        lambda files: files.update({TEN: files[TEN] + files[TEN].splitlines()[1] + "\n"}),
        [f"{TEN}: must have 6 rows under its header, got 7", f"{TEN}, row 8, filename: 0.wav stands in row 2 already"],
    ),
    "a name is unknown": (
        changed(FIFTY, "5.wav", "05.wav"),
        [f"{FIFTY}, row 7, filename: must be one of 0.wav to 5.wav, got '05.wav'", f"{FIFTY}: has no row of 5.wav"],
    ),
    "the header has another order": (
        changed(FIFTY, "airport\tbus", "bus\tairport"),
        [
            f"{FIFTY}, row 1: the columns are in another order: column 3 must be airport, got bus",
            f"{FIFTY}, row 2, scene_label: must be the likeliest scene, bus (0.19), got airport (0.09)",
            f"{FIFTY}, row 3, scene_label: must be the likeliest scene, airport (0.19), got bus (0.09)",
        ],
    ),
    "a column is missing": (
        changed(FIFTY, "\ttram\n", "\tTram\n"),
        [
            f"{FIFTY}, row 1: has no column tram: {(HEADER[:80] + '...')!r}",
            f"{FIFTY}, row 1: has a column that is none of the 12: 'Tram'",
        ],
    ),
    "there are commas between": (
        lambda files: files.update({FIFTY: files[FIFTY].replace("\t", ",")}),
        [
            (
                f"{FIFTY}, row 1: must be tab-separated, but there are commas between the cells: "
                f"{(HEADER.replace(chr(9), ',')[:80] + '...')!r}"
            )
        ],
    ),
    "a row has commas between": (
        changed(FIFTY, "5.wav\tpublic_square\t", "5.wav,public_square,"),
        [
            (
                f"{FIFTY}, row 7: must have 12 cells with tabs between, got 10 of them: "
                "'5.wav,public_square,0.09\\t0.09\\t0.09\\t0.09\\t0.09\\t0.19\\t0.09\\t0.09\\t0.09\\t0.09'"
            ),
            f"{FIFTY}: has no row of 5.wav",
        ],
    ),
    "probabilities do not add up": (
        changed(FIFTY, RIGHT_ROW, "2.wav\tmetro\t0.09\t0.09\t0.192"),
        [f"{FIFTY}, row 4: the probabilities must add up to 1, give or take 0.001, got 1.002"],
    ),
    "a label is not the likeliest": (
        changed(FIFTY, "2.wav\tmetro\t", "2.wav\tpark\t"),
        [f"{FIFTY}, row 4, scene_label: must be the likeliest scene, metro (0.19), got park (0.09)"],
    ),
    "a label is unknown": (
        changed(FIFTY, "2.wav\tmetro\t", "2.wav\tMetro\t"),
        [f"{FIFTY}, row 4, scene_label: must be one of {CHOICE}, got 'Metro'"],
    ),
    "a probability is NaN": (
        changed(FIFTY, RIGHT_ROW, "2.wav\tmetro\tnan\t0.09\t0.19"),
        [f"{FIFTY}, row 4, airport: must be a finite number, got 'nan'"],
    ),
    "a probability is infinite": (
        changed(FIFTY, RIGHT_ROW, "2.wav\tmetro\t0.09\t1e999\t0.19"),
        [f"{FIFTY}, row 4, bus: must be a finite number, got '1e999'"],
    ),
    "a probability is negative": (
        changed(FIFTY, RIGHT_ROW, "2.wav\tmetro\t-0.01\t0.19\t0.19"),
        [f"{FIFTY}, row 4, airport: must be between 0 and 1, got -0.01"],
    ),
    "a probability is in percent": (
        changed(FIFTY, RIGHT_ROW, "2.wav\tmetro\t9\t0.09\t0.19"),
        [
            f"{FIFTY}, row 4, airport: must be between 0 and 1, got 9",
            f"{FIFTY}, row 4: the probabilities must add up to 1, give or take 0.001, got 9.91",
            f"{FIFTY}, row 4, scene_label: must be the likeliest scene, airport (9), got metro (0.19)",
        ],
    ),
    "a probability is no number": (
        changed(FIFTY, RIGHT_ROW, "2.wav\tmetro\t0,09\t0.0_9\t0.19"),
        [
            f"{FIFTY}, row 4, airport: must be a number, got '0,09'",
            f"{FIFTY}, row 4, bus: must be a number, got '0.0_9'",
        ],
    ),
    "a file is no text": (
        lambda files: files.update({FIFTY: files[FIFTY].encode() + b"\xff"}),
        [f"{FIFTY}: is no text in UTF-8: byte {len(output(SMALL.num_clips))} is 0xff"],
    ),
}
TREES = {
    "an output is missing": (dropped(FIFTY), [f"package.zip, {FIFTY}: is missing"]),
    "the meta file is missing": (dropped(META_NAME), [f"package.zip, {META_NAME}: is missing"]),
    "a file is surplus": (
        added(f"task1/{LABEL}/.DS_Store"),
        [f"package.zip, task1/{LABEL}/.DS_Store: is surplus: the package of {LABEL} holds nothing of that name"],
    ),
    "a path climbs out": (
        added("task1/../../secrets"),
        [
            "package.zip, task1/../../secrets: climbs out of the package",
            f"package.zip, task1/../../secrets: is surplus: the package of {LABEL} holds nothing of that name",
        ],
    ),
    "the label has another form": (
        renamed(LABEL, "Doe-ACME-task1-1"),
        [
            (
                f"{folder_of('Doe-ACME-task1-1')}must be lastname_institute_task1_N, of letters, digits and hyphens, "
                "got 'Doe-ACME-task1-1'"
            ),
            (
                "task1/Doe-ACME-task1-1/Doe-ACME-task1-1.meta.yaml, submission.label: must be "
                "lastname_institute_task1_N, of letters, digits and hyphens, got 'Doe-ACME-task1-1'"
            ),
        ],
    ),
    "the label has the number 5": (
        renamed(LABEL, "Doe_ACME_task1_5"),
        [
            f"{folder_of('Doe_ACME_task1_5')}its number must be 1 to 4, got 5",
            "task1/Doe_ACME_task1_5/Doe_ACME_task1_5.meta.yaml, submission.label: its number must be 1 to 4, got 5",
        ],
    ),
    "all is in another folder": (
        renamed("task1/", "results/task1/"),
        [
            "package.zip: must hold task1/LABEL/LABEL.output.split_5.csv and so on, got no task1/LABEL",
        ],
    ),
}
META = {
    "the label is another than the folder's": (
        in_meta(LABEL, "Doe_ACME_task1_2"),
        [f"submission.label: must be {LABEL}, as its folder, got 'Doe_ACME_task1_2'"],
    ),
    "the abbreviation is long": (
        in_meta("abbreviation: Small", "abbreviation: SmallNetwork"),
        ["submission.abbreviation: must have at most 10 letters, got 12: 'SmallNetwork'"],
    ),
    "two authors are corresponding": (
        in_meta("email: richard.roe@acme.org", "email: richard.roe@acme.org\n      corresponding: true"),
        ["submission.authors: exactly one must be marked `corresponding: true`, got 2: authors 1, 2"],
    ),
    "no author is corresponding": (
        in_meta("corresponding: true", "corresponding: false"),
        ["submission.authors: exactly one must be marked `corresponding: true`, got none"],
    ),
    "an author has no email": (
        in_meta("      email: richard.roe@acme.org\n", ""),
        ["submission.authors, author 2.email: is missing"],
    ),
    "an address is none": (
        in_meta("jane.doe@acme.org", "jane.doe"),
        ["submission.authors, author 1.email: must be an address such as a@b.org, got 'jane.doe'"],
    ),
    "a block is missing": (
        in_meta("system:\n", "System:\n"),
        [
            "System: unknown block 'System'; did you mean 'system'?",
            "system: is missing",
        ],
    ),
    "a description is missing": (
        in_meta("    split_adaptations: null\n", ""),
        ["system.description.split_adaptations: is missing"],
    ),
    "a description says nothing": (
        in_meta("framework: PyTorch", "framework: ''"),
        ["system.description.framework: must be a text, a list of texts or null, got ''"],
    ),
    "the size is over budget": (
        in_meta("total_model_size: 122296", "total_model_size: 256000"),
        ["system.complexity.total_model_size: over budget dcase2024: 256,000 > 128,000 (2.00x)"],
    ),
    "the MACs are over budget": (
        in_meta("macs: 29419156", "macs: 33000000"),
        ["system.complexity.macs: over budget dcase2024: 33,000,000 > 30,000,000 (1.10x)"],
    ),
    "a count is none": (
        in_meta("total_parameters: 61148", "total_parameters: 0"),
        ["system.complexity.total_parameters: must be a whole number of at least 1, got 0"],
    ),
    "a data set has no url": (
        in_meta("      url: https://micirp.acme.org\n", ""),
        ["system.external_datasets, data set 1.url: is missing"],
    ),
    "the source code is not named": (
        in_meta("  source_code: https://acme.org/code\n", ""),
        ["system.source_code: is missing"],
    ),
    "a split has no results": (
        in_meta("split_25:", "split_20:"),
        [
            (
                "results.development_dataset.split_25: is missing: each split must be there "
                "(split_5, split_10, split_25, split_50, split_100)"
            ),
            (
                "results.development_dataset.split_20: is none of the splits split_5, split_10, split_25, split_50, "
                "split_100"
            ),
        ],
    ),
    "a device has no results": (
        in_meta("        s4: {accuracy: 42.4, logloss: 1.6}\n", ""),
        [
            (
                "results.development_dataset.split_5.device_wise.s4: is missing: each device must be there "
                f"({', '.join(DEVICES)})"
            )
        ],
    ),
    "a scene has no results": (
        in_meta("        tram: {accuracy: 42.4, logloss: 1.6}\n", ""),
        [f"results.development_dataset.split_5.class_wise.tram: is missing: each scene must be there ({CHOICE})"],
    ),
    "an accuracy is over 100": (
        in_meta("overall: {accuracy: 42.4", "overall: {accuracy: 424"),
        ["results.development_dataset.split_5.overall.accuracy: must be a number from 0 to 100, got 424"],
    ),
    "a log loss is NaN": (
        in_meta("s6: {accuracy: 42.4, logloss: 1.6}", "s6: {accuracy: 42.4, logloss: .nan}"),
        ["results.development_dataset.split_5.device_wise.s6.logloss: must be a number of at least 0, got nan"],
    ),
}
DAMAGES = (
    OUTPUTS
    | TREES
    | {name: (damage, [f"{META_NAME}, {fault}" for fault in faults]) for name, (damage, faults) in META.items()}
)


def faults_of(files, tmp_path):
    return [str(fault) for fault in check_package(zipped(tmp_path / "package.zip", files), SMALL)]


def test_a_right_package_breaks_no_rule(tmp_path):
    assert faults_of(right_files(), tmp_path) == []


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_reported(name, tmp_path):
    damage, expected = DAMAGES[name]
    files = right_files()
    damage(files)
    assert faults_of(files, tmp_path) == expected


def test_several_damages_are_all_reported(tmp_path):
    apart = {"a name is doubled", "a column is missing", "a file is surplus", "a device has no results"}
    files = right_files()
    for name in apart:
        DAMAGES[name][0](files)
    assert sorted(faults_of(files, tmp_path)) == sorted(fault for name in apart for fault in DAMAGES[name][1])


def test_ties_and_rounded_sums_of_probabilities_are_valid(tmp_path):
    files = right_files()
    for label in SCENES:
        files[FIFTY] = files[FIFTY].replace("1.wav\tbus\t0.09\t0.19", f"1.wav\t{label}\t0.1\t0.1")
    row = files[FIFTY].splitlines()[2]
    text = files[FIFTY].replace(row, f"1.wav\ttram\t{NUMBERS}")
    files[FIFTY] = text.replace("5.wav\tpublic_square\t0.09", "5.wav\tpublic_square\t0.0909")
    assert faults_of(files, tmp_path) == []


def test_folders_and_windows_line_ends_are_no_damage(tmp_path):
    files = {"task1/": "", f"task1/{LABEL}/": ""} | right_files()
    files[FIFTY] = files[FIFTY].replace("\n", "\r\n")
    assert faults_of(files, tmp_path) == []


def test_a_link_and_a_duplicate_in_the_zip_are_reported(tmp_path):
    files = right_files()
    link = zipfile.ZipInfo(FIFTY)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as package:
        for name, text in files.items():
            package.writestr(link if name == FIFTY else name, text)
        with pytest.warns(UserWarning, match="Duplicate name"):
            package.writestr(TEN, files[TEN])
    found = [str(fault) for fault in check_package(tmp_path / "package.zip", SMALL)]
    assert found == [
        f"package.zip, {FIFTY}: is a link, and must be a file",
        f"package.zip, {TEN}: is in the ZIP 2 times",
    ]


def test_a_file_that_would_fill_the_memory_is_not_unpacked(tmp_path):
    files = right_files() | {FIFTY: "0" * 1_000_000}
    assert faults_of(files, tmp_path) == [f"{FIFTY}: has 1,000,000 bytes, more than any such file: at most 7,000"]


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system [echo]", "submission: [", "[" * 1000])
def test_a_meta_file_that_is_no_plain_yaml_is_refused(text, tmp_path):
    (found,) = faults_of(right_files() | {META_NAME: text}, tmp_path)
    assert found.startswith(f"{META_NAME}: cannot be read as YAML: ")


def test_corrupted_bytes_are_reported(tmp_path):
    path = zipped(tmp_path / "package.zip", right_files())
    with zipfile.ZipFile(path) as package:
        start = package.getinfo(FIFTY).header_offset + 30 + len(FIFTY)
    whole = bytearray(path.read_bytes())
    whole[start + 20] ^= 0xFF
    path.write_bytes(whole)
    (found,) = check_package(path, SMALL)
    assert (found.file, found.detail.split(":")[0]) == (FIFTY, "cannot be unpacked")


def test_a_file_that_is_not_a_zip_is_reported(tmp_path):
    (tmp_path / "package.zip").write_text("task1")
    (found,) = check_package(tmp_path / "package.zip", SMALL)
    assert str(found) == "package.zip: is no ZIP file that can be read: File is not a zip file"
    with pytest.raises(SubmissionError, match="nowhere\\.zip cannot be read: No such file or directory"):
        check_package(tmp_path / "nowhere.zip", SMALL)


@pytest.mark.slow
def test_a_package_of_full_size_is_read_to_its_last_row(tmp_path):
    files = right_files(DCASE2024.num_clips)
    changed(FIFTY, "\n135729.wav\ttram\t0.09", "\n135729.wav\ttram\t0.07")(files)
    (found,) = check_package(zipped(tmp_path / "package.zip", files), DCASE2024)
    assert str(found) == f"{FIFTY}, row 135731: the probabilities must add up to 1, give or take 0.001, got 0.98"


def test_the_edition_is_that_of_the_data_sets_readme():
    assert DCASE2024.classes == SCENES
    assert DCASE2024.devices == DEVICES
    assert DCASE2024.budget.limits() == {"macs": 30_000_000, "size_bytes": 128_000}
