"""Version of the code that a training depends on: a checksum of its source files, and torch's version."""

from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("data", "models", "objectives", "training")  # what a network computes, and how it is trained and scored


@lru_cache(maxsize=1)
def code_version() -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of these packages' sources and of the version of torch."""
    root = Path(__file__).parents[1]
    digest = sha256(version("torch").encode())
    for package in PACKAGES:
        for file in sorted((root / package).rglob("*.py")):
            digest.update(f"\n{file.relative_to(root).as_posix()}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:16]
