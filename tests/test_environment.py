"""What is installed: each file by its hash, each package under a licence that this project may be used with."""

import hashlib
import importlib.metadata
import re
import shutil
import types
import venv
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


def write_wheel(folder, name, version):
    """Write a wheel that holds nothing, and return its path."""
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as package:
        package.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        package.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        package.writestr(f"{info}/RECORD", "")
    return wheel


def test_another_file_than_the_one_of_the_hash_is_refused_in_a_sentence(tmp_path, capfd):
    write_wheel(tmp_path, "harmless", "1.0")
    (tmp_path / "pins.txt").write_text(f"harmless==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(setup_env.SetUpError, match=r"not the file that constraints\.txt was written for"):
        setup_env.pip(
            *setup_env.CHECKED, "--no-index", "--find-links", str(tmp_path), "--target", str(tmp_path / "into"),
            "--requirement", str(tmp_path / "pins.txt"),
        )  # fmt: skip
    assert not (tmp_path / "into").exists()


def test_a_build_of_torch_that_lies_in_a_folder_of_pip_is_taken_before_that_of_an_index(tmp_path, monkeypatch):
    venv.create(tmp_path / "env", with_pip=True)
    monkeypatch.setattr(setup_env, "ROOT", tmp_path)
    monkeypatch.setattr(setup_env, "VENV", tmp_path / "env")
    monkeypatch.setattr(setup_env, "PYTHON", tmp_path / "env" / "bin" / "python")
    built = write_wheel(tmp_path, "torch", "1.0+cpu")
    digest = hashlib.sha256(built.read_bytes()).hexdigest()
    (tmp_path / "constraints.txt").write_text(f"torch==1.0 \\\n    --hash=sha256:{digest}\nother==1.0\n")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "env"))
    assert not setup_env.install_local_torch()
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert setup_env.install_local_torch()
    installed = next((tmp_path / "env").glob("lib/python*/site-packages/torch-*.dist-info"))
    assert installed.name == "torch-1.0+cpu.dist-info"


def test_too_small_a_disk_is_refused_before_a_download(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=3_000_000_000))
    setup_env.require_disk(setup_env.NEEDED_BYTES)
    with pytest.raises(
        setup_env.SetUpError, match=r"7\.5 GB of disk are needed .* 3\.0 GB are free\.(?s:.*)PIP_FIND_LINKS"
    ):
        setup_env.require_disk(setup_env.NEEDED_WITH_CUDA_BYTES, setup_env.CPU_ONLY)
