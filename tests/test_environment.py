"""What is installed: each file by its hash, each package under a licence that this project may be used with."""

import importlib.metadata
import re
import zipfile
from pathlib import Path

import pytest

import setup_env

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)((?: --hash=sha256:[0-9a-f]{64})+)$")
# Permissive, or copyleft that ends at the package's own files or at the library (MPL, LGPL).
ALLOWED = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "LLVM-exception", "MIT", "MIT-0",
    "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib", "LGPL-2.1-or-later", "LGPL-3.0-only",
}  # fmt: skip
# What packages without an SPDX expression write, in their field or as a classifier.
WRITTEN = {
    "Apache 2", "Apache 2.0", "Apache License 2.0", "Apache Software License", "BSD", "BSD 2-Clause License",
    "BSD 3-Clause License", "BSD License", "3-Clause BSD License", "MIT License",
    "MIT licensed, as found in the LICENSE file",
    "Mozilla Public License 2.0 (MPL 2.0)", "Python Software Foundation License",
}  # fmt: skip
# NVIDIA's libraries, beside a torch with CUDA, are under NVIDIA's own terms; they are never distributed from here.
NOT_OURS = re.compile(r"nvidia-.*|cuda-.*|triton")


def pins():
    return (ROOT / "constraints.txt").read_text().replace("\\\n    ", "").splitlines()


def name_of(text):
    return re.sub(r"[-_.]+", "-", text).lower()


def licences(distribution):
    """Return the licences of a package, by its SPDX expression, its classifiers or its field."""
    metadata = distribution.metadata
    if metadata.get("License-Expression"):
        return set(re.split(r" AND | OR | WITH |[()]", metadata["License-Expression"])) - {""}
    classifiers = metadata.get_all("Classifier") or []
    found = {each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License ::")} - {"OSI Approved"}
    return found or set(re.split(r" AND | OR ", (metadata.get("License") or "unknown").strip().splitlines()[0]))


def test_every_version_has_the_hashes_of_its_files():
    for line in pins():
        assert line.startswith("#") or PIN.match(line), line


def test_every_installed_package_is_pinned():
    pinned = {name_of(found[1]): found[2] for line in pins() if (found := PIN.match(line))}
    for each in importlib.metadata.distributions():
        name = name_of(each.metadata["Name"])
        if name != "scenefront" and not NOT_OURS.fullmatch(name) and name in pinned:
            assert each.version.partition("+")[0] == pinned[name], name


@pytest.mark.parametrize("name", sorted({each.metadata["Name"] for each in importlib.metadata.distributions()}))
def test_a_package_is_under_a_licence_that_is_known_and_no_strong_copyleft(name):
    if NOT_OURS.fullmatch(name_of(name)):
        pytest.skip("NVIDIA's own terms")
    found = licences(importlib.metadata.distribution(name))
    assert found <= ALLOWED | WRITTEN, f"{name} is under {', '.join(sorted(found))}: read it, then add it to this list"


def test_another_file_than_the_one_of_the_hash_is_refused_in_a_sentence(tmp_path, capfd):
    wheel = tmp_path / "harmless-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as package:
        package.writestr("harmless-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: harmless\nVersion: 1.0\n")
        package.writestr(
            "harmless-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        package.writestr("harmless-1.0.dist-info/RECORD", "")
    (tmp_path / "pins.txt").write_text(f"harmless==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(setup_env.SetUpError, match=r"not the file that constraints\.txt was written for"):
        setup_env.pip(
            *setup_env.CHECKED, "--no-index", "--find-links", str(tmp_path), "--target", str(tmp_path / "into"),
            "--requirement", str(tmp_path / "pins.txt"),
        )  # fmt: skip
    assert not (tmp_path / "into").exists()
