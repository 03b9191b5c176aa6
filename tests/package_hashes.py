"""Hashes of constraints.txt, from the package index: `python tests/package_hashes.py` adds those of a new version.

A version that has hashes keeps them as they are, so that one of a package that is changed in the index is noticed.
"""

import json
import re
import sys
import urllib.request
from pathlib import Path

PATH = Path(__file__).parents[1] / "constraints.txt"
INDEX = "https://pypi.org/simple"
# Wheels of the Pythons and machines that set-up is for; a package without wheels has its source instead.
MACHINES = re.compile(r"^any$|manylinux.*(?:x86_64|aarch64)|macosx.*(?:arm64|universal2)|win_amd64")


def is_installable(file: str) -> bool:
    """Return whether a file is a wheel for these Pythons, with their lock, and machines."""
    if not file.endswith(".whl"):
        return False
    python, abi, machine = file.removesuffix(".whl").split("-")[-3:]
    fits = "py3" in python or "abi3" in abi or re.search(r"cp31[1-4]\b", python)
    return bool(fits and not abi.endswith("t") and MACHINES.search(machine))


def hashes(pin: str) -> list[str]:
    """Return the SHA-256 of each file of a version that set-up may install."""
    name, _, version = pin.partition("==")
    url = f"{INDEX}/{re.sub(r'[-_.]+', '-', name).lower()}/"
    request = urllib.request.Request(url, headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = {each["filename"]: each["hashes"]["sha256"] for each in json.load(answer)["files"]}
    of_version = {file: digest for file, digest in files.items() if f"-{version}-" in file or f"-{version}.tar" in file}
    wheels = {digest for file, digest in of_version.items() if is_installable(file)}
    found = sorted(wheels or {digest for file, digest in of_version.items() if file.endswith(".tar.gz")})
    if not found:
        raise SystemExit(f"{pin} has no file for these Pythons and machines in {INDEX}")
    return found


def main() -> None:
    """Complete constraints.txt."""
    lines = []
    for line in PATH.read_text(encoding="utf-8").replace("\\\n    ", "").splitlines():
        pin, *kept = line.split(" --hash=sha256:")
        if line.startswith("#"):
            lines.append(line)
        else:
            lines.append(" \\\n    --hash=sha256:".join([pin, *(kept or hashes(pin))]))
    PATH.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
