"""Full and read-only disks, few open files, two searches at once: a sentence, and nothing is lost.

Small disks are mounted (tmpfs), so these tests need root, and are skipped without.
"""

import resource
import shutil
import subprocess
from contextlib import contextmanager, suppress

import pytest
from killed import Driver, takes_long
from scenefront_process import SMALL, command, environment, finished

pytestmark = pytest.mark.slow


@contextmanager
def disk(path, size):
    """Mount an empty disk of a size; yield a function that mounts it again with other options."""
    path.mkdir(parents=True, exist_ok=True)

    def mount(*arguments):
        return subprocess.run(["mount", *arguments, path], capture_output=True, text=True, check=False)

    mounted = mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs")
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted: {mounted.stderr.strip()}")
    try:
        yield lambda options: mount("-o", f"remount,{options}")
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def fill(folder):
    """Write until the disk of a folder is full; return the file."""
    file = folder / "filler"
    with suppress(OSError), file.open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    assert shutil.disk_usage(folder).free == 0
    return file


def search(data, cache, name="s", trials=4, epochs=6):
    return [
        "search", data, "--space", "isotropic", "--study", name, "--trials", trials, "--epochs", epochs, "--seed", 1,
        "--budget", "macs=1M,params=30K", "--cache", cache, "--workers", 1, "--no-fast", *SMALL,
    ]  # fmt: skip


def told(arguments, cwd, **options):
    """Run a command to its end; return its exit code and what it printed."""
    ended = subprocess.run(
        command(*arguments), cwd=cwd, env=environment(**options.pop("env", {})), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=600, check=False, **options,
    )  # fmt: skip
    assert "Traceback" not in ended.stdout
    return ended.returncode, ended.stdout


def test_a_search_ends_on_a_full_disk_in_a_sentence_and_goes_on_once_there_is_room(tiny, tmp_path):
    with disk(tmp_path, "1m") as mounted:
        code, said = told(search(tiny, tmp_path / "cache"), tmp_path)
        assert code == 2
        assert "not enough disk space: the store takes " in said
        assert not (tmp_path / "results").exists()
        assert mounted("size=32m").returncode == 0
        driver = Driver(search(tiny, tmp_path / "cache", trials=6, epochs=30), tmp_path)
        assert driver.wait_for(lambda lines: any(" complete" in line for line in lines)), driver.text
        before, filler = finished(tmp_path), fill(tmp_path)
        assert driver.wait() == 2, driver.text
        assert "Traceback" not in driver.text
        (reason,) = (line for line in driver.lines if line.startswith("error: "))
        assert "cannot be written" in reason
        assert reason.endswith("continue with `scenefront resume s`\n")
        filler.unlink()
        code, said = told(["resume", "s"], tmp_path)
        assert code == 0, said
        assert before.items() <= finished(tmp_path).items()
        assert before


def test_where_the_results_cannot_be_written_nothing_begins(tiny, tmp_path):
    with disk(tmp_path / "results", "1m") as mounted:
        assert mounted("ro").returncode == 0
        code, said = told(search(tiny, tmp_path / "cache"), tmp_path)
    assert code == 2
    assert said.splitlines()[-1].endswith(": Read-only file system")
    assert "starting Ray" not in said


def test_two_searches_at_once_share_a_store_but_not_a_study(tiny, tmp_path):
    drivers = [Driver(search(tiny, tmp_path / "cache", name, 2, 2), tmp_path) for name in ("s", "s", "t")]
    codes = [driver.wait() for driver in drivers]
    assert sorted(codes[:2]) == [0, 2], [driver.text for driver in drivers]
    assert codes[2] == 0, drivers[2].text
    (said,) = (driver.text for driver in drivers if driver.process.returncode == 2)
    assert "is in use by another search" in said or "already holds a study" in said
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 1
    assert not list((tmp_path / "cache").rglob("*.partial"))
    assert finished(tmp_path, "s") == finished(tmp_path, "t") != {}


@takes_long
def test_64_open_files_are_enough_for_a_search(tiny, tmp_path):
    few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))  # noqa: E731
    code, said = told(search(tiny, tmp_path / "cache", trials=2, epochs=2), tmp_path, preexec_fn=few)
    assert code == 0, said
    assert len(finished(tmp_path)) == 2


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_read_only_data_and_a_temporary_disk_that_takes_nothing_are_done_without(fault, tiny, tmp_path):
    with disk(tmp_path / "data", "32m") as mounted, disk(tmp_path / "temporary", "64k") as temporary:
        shutil.copytree(tiny, tmp_path / "data" / "tiny", ignore=shutil.ignore_patterns(".scenefront"))
        assert mounted("ro").returncode == 0
        fill(tmp_path / "temporary") if fault == "full" else temporary("ro")
        arguments = search(tmp_path / "data" / "tiny", "", trials=1, epochs=1)
        del arguments[arguments.index("--cache") : arguments.index("--cache") + 2]
        own = {"TMPDIR": str(tmp_path / "temporary"), "XDG_CACHE_HOME": str(tmp_path / "home")}
        code, said = told(arguments, tmp_path, env=own)
        assert code == 0, said
        assert finished(tmp_path)
        assert list((tmp_path / "home").rglob("*.npy"))


def test_a_named_cache_on_a_read_only_disk_is_refused_before_a_study_is_made(tiny, tmp_path):
    with disk(tmp_path / "cache", "1m") as mounted:
        assert mounted("ro").returncode == 0
        code, said = told(search(tiny, tmp_path / "cache"), tmp_path)
    assert code == 2
    assert "no folder for the store can be written" in said
    assert "Read-only file system" in said
    assert not (tmp_path / "results").exists()
