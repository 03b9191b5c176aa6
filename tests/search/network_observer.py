"""What a command and all its children do outside: addresses by strace and /proc, files that they leave by strace.

    python tests/search/network_observer.py scenefront search demo-data

prints what left loopback and which files are left outside the current folder, and exits with 1 if anything is.
tests/search/connections.py does that for every command of the program.
"""

import ast
import ipaddress
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.1
NETWORK_CALLS = ("connect", "bind", "sendto", "sendmsg", "sendmmsg")
# Those that can put a new name into a folder; ? for those that not every processor's Linux has.
OPENING_CALLS = ("?open", "openat", "?creat")
NAMING_CALLS = (
    "?mkdir", "mkdirat", "?mknod", "mknodat", "?symlink", "symlinkat", "?link", "linkat", "?rename", "?renameat",
    "renameat2",
)  # fmt: skip
STRACE = [
    "strace", "-f", "--seccomp-bpf", "-qq", "-y",
    "-e", f"trace={','.join((*NETWORK_CALLS, *OPENING_CALLS, *NAMING_CALLS))}",
    "-e", "signal=none", "-o",
]  # fmt: skip
CALL = re.compile(r"^\d+ +(?P<name>\w+)\(")
RESUMED = re.compile(r"^\d+ +<\.\.\. \w+ resumed>")
UNFINISHED = " <unfinished ...>"
# A name, with the folder it is relative to where the call says one: AT_FDCWD</home/me>, "results"
NAME = re.compile(r'(?:\w+<(?P<base>[^>]*)>, )?(?P<name>"(?:[^"\\]|\\.)*")')
SOCKET_NAME = re.compile(r'sun_path=(?P<name>"(?:[^"\\]|\\.)*")')
PASSING = ("/dev", "/proc", "/sys")  # no files, but for /dev/shm
SHARED_MEMORY = Path("/dev/shm")
ADDRESS = re.compile(
    r"sa_family=AF_INET6?, sin6?_port=htons\((?P<port>\d+)\), [^}]*?"
    r'(?:inet_addr\("(?P<v4>[^"]+)"\)|inet_pton\(AF_INET6, "(?P<v6>[^"]+)")'
)
# Families that cannot leave the machine, and AF_UNSPEC, which undoes a connect.
LOCAL_FAMILY = re.compile(r"sa_family=AF_(?:UNIX|LOCAL|NETLINK|UNSPEC|INET6?)\b")
LISTEN, UNCONNECTED_UDP = 0x0A, 0x07
NAME_SERVICE = 53


@dataclass(frozen=True)
class Observation:
    """What a command did.

    Attributes:
        returncode: Its exit status.
        output: Its standard output and error together.
        outside: One line for each use of an address that is not loopback, and for each name look-up.
        num_local: Uses of loopback addresses; 0 means that nothing was seen at all.
        traced: Whether strace saw every call, or only /proc/net was polled.
        left: Files and folders that it made or wrote and that are there at its end, outside the folders that it was
            given. Without strace, only what is new in its HOME, its TMPDIR and the current folder.
    """

    returncode: int
    output: str
    outside: tuple[str, ...]
    num_local: int
    traced: bool
    left: tuple[str, ...] = ()


def observe(
    command: Sequence[str],
    *,
    trace: bool = True,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 600,
    given: Sequence[Path] = (),
) -> Observation:
    """Run `command` to its end, and watch it and every process that it starts.

    Args:
        command: Program and arguments.
        trace: Use strace, where there is one. Without it a connection shorter than `POLL_S` can be missed.
        cwd: Folder to run in.
        env: The whole environment.
        timeout_s: The command is killed, and TimeoutExpired raised, after this many seconds.
        given: Folders that the command was given: files may appear there.
    """
    traced = trace and shutil.which("strace") is not None
    here, variables = cwd or Path.cwd(), os.environ if env is None else env
    watched = [here, *(Path(variables[name]) for name in ("HOME", "TMPDIR") if name in variables)]
    before = set() if traced else listing(watched)
    started_at = time.time()
    with tempfile.TemporaryDirectory() as folder:
        trace_file, output_file = Path(folder) / "trace", Path(folder) / "output"
        prefix = [*STRACE, str(trace_file)] if traced else []
        with output_file.open("w") as output:
            process = subprocess.Popen(
                [*prefix, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=cwd, env=env
            )
            uses = sockets_until_end(process, timeout_s, output_file)
        if traced:
            trace_text = trace_file.read_text(errors="replace")
            uses |= traced_calls(trace_text)
            made = {path for path in named_files(trace_text, here) if is_left(path, started_at)}
        else:
            made = listing(watched) - before
        return Observation(
            returncode=process.returncode,
            output=output_file.read_text(errors="replace"),
            outside=tuple(sorted(use for use, local in uses.items() if not local)),
            num_local=sum(uses.values()),
            traced=traced,
            left=tuple(sorted(str(path) for path in made if not is_allowed(path, [*given, Path(folder)]))),
        )


def sockets_until_end(process: subprocess.Popen[bytes], timeout_s: float, output: Path) -> dict[str, bool]:
    """Poll the sockets of a process and all that it starts until it ends."""
    uses: dict[str, bool] = {}
    deadline = time.monotonic() + timeout_s
    pids = {process.pid}
    while process.poll() is None:
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise subprocess.TimeoutExpired(process.args, timeout_s, output.read_text())
        pids |= descendants(pids)
        uses |= open_sockets(pids)
        time.sleep(POLL_S)
    return uses


def traced_calls(trace: str) -> dict[str, bool]:
    """Map each use of an address in strace's output to whether it stays on this machine."""
    uses = {}
    for line in trace.splitlines():
        call = CALL.match(line)
        if call is None or "sa_family=" not in line:
            continue
        for match in ADDRESS.finditer(line):
            address, port = match["v4"] or match["v6"], int(match["port"])
            uses[f"{call['name']} {address} port {port}"] = is_local(address) and port != NAME_SERVICE
        if not LOCAL_FAMILY.search(line):
            uses[line.split(maxsplit=1)[1]] = False
    return uses


def whole_calls(trace: str) -> Iterator[str]:
    """Return strace's lines, each call in one: calls of several processes interrupt each other."""
    begun: dict[str, str] = {}
    for line in trace.splitlines():
        process = line.split(maxsplit=1)[0] if line.strip() else ""
        if line.endswith(UNFINISHED):
            begun[process] = line.removesuffix(UNFINISHED)
        elif RESUMED.match(line):
            yield begun.pop(process, "") + RESUMED.sub("", line)
        else:
            yield line
    yield from begun.values()  # killed inside a call


def named_files(trace: str, cwd: Path) -> set[Path]:
    """Return every path that a call of strace's output made, opened for making, or renamed to."""
    opening, naming = ({name.lstrip("?") for name in names} for names in (OPENING_CALLS, NAMING_CALLS))
    found = set()
    for line in whole_calls(trace):
        call = CALL.match(line)
        if call is None or "= -1 " in line:
            continue
        if call["name"] == "bind" and (socket := SOCKET_NAME.search(line)):
            found.add(cwd / unquote(socket["name"]))
        elif call["name"] in naming or (call["name"] in opening and ("O_CREAT" in line or call["name"] == "creat")):
            names = list(NAME.finditer(line))
            if names:  # the last one: what is made, where a call names what it is made of too
                made = names[-1]
                found.add(Path(unquote(f'"{made["base"]}"') if made["base"] else cwd) / unquote(made["name"]))
    return {Path(os.path.normpath(path)) for path in found}


def unquote(text: str) -> str:
    """Return a string of strace's, which writes bytes that are not ASCII as octal numbers."""
    return os.fsdecode(ast.literal_eval(f"b{text}"))


def is_left(path: Path, since: float) -> bool:
    """Return whether a path is there, and was made or changed after a time in seconds."""
    try:
        return path.lstat().st_ctime >= since - 1  # the file system's clock ticks coarsely
    except OSError:
        return False


def listing(folders: Sequence[Path]) -> set[Path]:
    """Return every path below some folders."""
    return {path for folder in folders for path in folder.rglob("*")}


def is_allowed(path: Path, given: Sequence[Path]) -> bool:
    """Return whether a command may leave a path: in a given folder, in Python's cache, or as no file at all."""
    real = path.parent.resolve() / path.name
    passing = any(real.is_relative_to(each) for each in PASSING) and not real.is_relative_to(SHARED_MEMORY)
    return passing or "__pycache__" in real.parts or any(real.is_relative_to(each.resolve()) for each in given)


def open_sockets(pids: set[int]) -> dict[str, bool]:
    """Map each Internet socket that `pids` hold open to whether it stays on this machine."""
    inodes = set()
    for pid in pids:
        inodes |= socket_inodes(pid)
    uses = {}
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        table = Path(f"/proc/net/{protocol}")
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            _, local, remote, state, *_, inode = line.split()[:10]
            if inode not in inodes:
                continue
            waits = int(state, 16) == (LISTEN if protocol.startswith("tcp") else UNCONNECTED_UDP)
            address, port = decode(local if waits else remote)
            if not waits and port == 0:
                continue  # opened, not connected yet
            verb = "waits on" if waits else "is connected to"
            uses[f"{protocol} {verb} {address} port {port}"] = is_local(address) and port != NAME_SERVICE
    return uses


def is_local(address: str) -> bool:
    """Return whether an address is loopback, also when it is IPv4 written as IPv6."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return ip.is_loopback


def decode(field: str) -> tuple[str, int]:
    """Read an address and port of /proc/net: 32-bit words in the machine's byte order, in hexadecimal."""
    words, port = field.split(":")
    packed = b"".join(int(words[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(words), 8))
    return str(ipaddress.ip_address(packed)), int(port, 16)


def socket_inodes(pid: int) -> set[str]:
    inodes = set()
    try:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = str(fd.readlink())
            except FileNotFoundError:  # closed since
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # ended since, or being ended
        pass
    return inodes


def descendants(pids: set[int]) -> set[int]:
    """Find the living processes that `pids` started, directly or not."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = set(), list(pids)
    while todo:
        for child in children.get(todo.pop(), []):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found


def main() -> int:
    seen = observe(sys.argv[1:], given=[Path.cwd()])
    sys.stdout.write(
        f"{seen.output}\nexit {seen.returncode}, {seen.num_local} uses of loopback, strace {seen.traced}\n"
        + ("\n".join(seen.outside) or "nothing left loopback, and nothing listened elsewhere")
        + "\n"
        + ("\n".join(seen.left) or "no file is left outside the current folder")
        + "\n"
    )
    return 1 if seen.outside or seen.left else 0


if __name__ == "__main__":
    sys.exit(main())
