"""Make .venv, with the versions of constraints.txt: run by make, safe to run again and after an interruption.

Only the standard library, so that any Python can run it. A digest of what decides the content of .venv is
left in it at the very end: where it agrees there is nothing to do, where it does not the work is taken up.
"""

from __future__ import annotations  # an old Python must get as far as being told so

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "set-up-done"
INPUTS = ("pyproject.toml", "constraints.txt", "setup_env.py")
MINIMUM = (3, 11)
# Measured 2.2 GB with a CPU-only torch, 6.0 GB with the one for CUDA that indexes have for Linux, and room to unpack.
NEEDED_BYTES = 25 * 10**8
NEEDED_WITH_CUDA_BYTES = 75 * 10**8
CPU_ONLY = (
    ".\nOn Linux torch comes with CUDA's libraries. Where there is no GPU, download torch's CPU wheel, the version of\n"
    "constraints.txt, to a folder and name that: PIP_FIND_LINKS=FOLDER make setup"
)
# hatchling builds this project. Some of what it needs comes as source that setuptools builds: an older one than that
# of constraints.txt, which a new .venv of Python 3.11 holds, cannot without a package more.
INSTALLERS = ("pip", "setuptools", "hatchling", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers")
# Checked packages are installed as they are listed, without their wishes: torchaudio asks for the torch of its own
# number, and works with the newer one.
CHECKED = ("--require-hashes", "--no-deps", "--no-build-isolation")
# Run in .venv: torch.version.cuda is None for a CPU-only torch.
FIND_UNUSABLE = """
import importlib.util, pathlib, torch
spec = importlib.util.find_spec("torchaudio")
folder = pathlib.Path(spec.origin).parent / "lib"
if torch.version.cuda is None:
    for file in sorted(folder.glob("*.so")):
        print(file)
"""


def main() -> int:
    """Bring .venv up to date; 0 when it is, 1 with the reason on standard error when it cannot be."""
    digest = content_digest()
    if STAMP.is_file() and STAMP.read_text() == digest and PYTHON.exists():
        return 0
    started = time.monotonic()
    try:
        set_up()
    except SetUpError as error:
        sys.stderr.write(f"\nset-up failed: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nset-up interrupted: the next make goes on from here\n")
        return 130
    STAMP.write_text(digest)
    say(f"done in {time.monotonic() - started:.0f} s")
    return 0


class SetUpError(Exception):
    """A step that cannot be taken, and what to do about it."""


def set_up() -> None:
    """Take every step; each one is a no-op where it has been taken before."""
    if sys.version_info < MINIMUM:
        raise SetUpError(
            f"Python {'.'.join(map(str, MINIMUM))} or newer is needed, "
            f"{sys.executable} is {sys.version.split()[0]}.\n"
            "Install one and name it: make PYTHON=/path/to/python3.12"
        )
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise SetUpError("this Python has no venv module. On Debian and Ubuntu: apt-get install python3-venv")
    if not PYTHON.exists():
        require_disk(NEEDED_BYTES)
    STAMP.unlink(missing_ok=True)
    if not works():
        say(f"making .venv with Python {sys.version.split()[0]}")
        run([sys.executable, "-m", "venv", "--clear", str(VENV)], "cannot make .venv")
    say("installing the installer and the build backends")
    pip(*CHECKED, "--requirement", str(chosen_pins("installers.txt", INSTALLERS)))
    brings_cuda = not install_local_torch() and sys.platform == "linux"
    if brings_cuda:
        require_disk(NEEDED_WITH_CUDA_BYTES, CPU_ONLY)
    size = "3 GB, most of it CUDA for torch" if brings_cuda else "some 100 MB"
    say(f"installing SceneFront and what it needs (the first time this downloads {size})")
    pip(*CHECKED, "--requirement", "constraints.txt")
    # What is left is what torch wants of a graphics card's libraries, at the versions that it names.
    pip("--constraint", str(versions()), "--group", "dev", "--no-build-isolation", "--editable", ".")
    mend_torchaudio()
    say("checking")
    run([str(PYTHON), "-c", "import optuna, ray, torch, torchaudio"], "the installed packages do not import")


def works() -> bool:
    """Return whether .venv has a Python of this version with a pip: an interrupted one may not."""
    version = f"import pip._internal.cli.main, sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    return PYTHON.exists() and subprocess.run([PYTHON, "-c", version], capture_output=True, check=False).returncode == 0


def chosen_pins(file_name: str, names: Sequence[str]) -> Path:
    """Write the pins of some packages, with their hashes, to a file in .venv, and return it."""
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    chosen = VENV / file_name
    chosen.write_text("\n".join(line for line in pins if line.partition("==")[0] in names) + "\n", encoding="utf-8")
    return chosen


def require_disk(size: int, advice: str = "") -> None:
    """Refuse to begin where the disk has less than `size` bytes free.

    Raises:
        SetUpError: It has less.
    """
    free = shutil.disk_usage(ROOT).free
    if free < size:
        raise SetUpError(f"{size / 1e9:.1f} GB of disk are needed under {ROOT}, {free / 1e9:.1f} GB are free{advice}")


def install_local_torch() -> bool:
    """Install torch from a folder that pip is told to look in (PIP_FIND_LINKS); return whether it is there now.

    Without a look at the index: pip prefers a file whose hash it knows before the download, thus the index's build with
    CUDA to the build that somebody has put there for this machine.
    """
    chosen = chosen_pins("local.txt", ("torch",))
    return run_pip(*CHECKED, "--no-index", "--requirement", str(chosen)).returncode == 0


def versions() -> Path:
    """Write constraints.txt without the hashes, since what is installed already has none, and return the file."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    chosen = VENV / "versions.txt"
    pins = [line.removesuffix(" \\") for line in lines if "==" in line and not line.startswith((" ", "#"))]
    chosen.write_text("\n".join(pins) + "\n", encoding="utf-8")
    return chosen


def run_pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pip's install, and return how it ended, with what it said on standard error."""
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)


def pip(*arguments: str) -> None:
    """Install with pip.

    Raises:
        SetUpError: It cannot be installed, or a file is not the one whose hash constraints.txt has.
    """
    done = run_pip(*arguments)
    sys.stderr.write(done.stderr)
    if "DO NOT MATCH THE HASHES" in done.stderr:
        raise SetUpError(
            "a package is not the file that constraints.txt was written for: it was changed on its way, or its index\n"
            "has another one. Nothing of it was installed; try another network or index"
        )
    if done.returncode:
        raise SetUpError(
            "pip could not install it. The lines above say why; without a network connection only what\n"
            "pip has in its cache can be installed"
        )


def mend_torchaudio() -> None:
    """Take torchaudio's compiled parts away beside a CPU-only torch.

    They are built against CUDA and do not load there; without them torchaudio uses its parts in pure PyTorch.
    """
    found = subprocess.run([PYTHON, "-c", FIND_UNUSABLE], capture_output=True, text=True, check=False)
    if found.returncode:
        raise SetUpError(f"torch does not import:\n{found.stderr}")
    for line in found.stdout.splitlines():
        say(f"torch is a CPU build: removing torchaudio's {Path(line).name}, which needs CUDA")
        Path(line).unlink()


def run(command: list[str], problem: str) -> None:
    """Run one step in the project's folder."""
    if subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode:
        raise SetUpError(problem)


def content_digest() -> str:
    """Digest everything that decides what is in .venv: the inputs, the Python and where the project lies."""
    digest = hashlib.sha256(f"{sys.version}\n{ROOT}\n".encode())
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def say(text: str) -> None:
    """Print one line at once, also into a pipe."""
    sys.stdout.write(f"set-up: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
