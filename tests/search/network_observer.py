"""Which addresses a command and all its children use: every network call by strace, open sockets by /proc.

    python tests/search/network_observer.py scenefront search demo-data

prints what left loopback, and exits with 1 if anything did.
"""

import ipaddress
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.1
STRACE = [
    "strace",
    "-f",
    "--seccomp-bpf",
    "-qq",
    "-e",
    "trace=connect,bind,sendto,sendmsg,sendmmsg",
    "-e",
    "signal=none",
    "-o",
]
CALL = re.compile(r"^\d+ +(?P<name>\w+)\(")
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
    """

    returncode: int
    output: str
    outside: tuple[str, ...]
    num_local: int
    traced: bool


def observe(
    command: Sequence[str],
    *,
    trace: bool = True,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 600,
) -> Observation:
    """Run `command` to its end, and watch it and every process that it starts.

    Args:
        command: Program and arguments.
        trace: Use strace, where there is one. Without it a connection shorter than `POLL_S` can be missed.
        cwd: Folder to run in.
        env: The whole environment.
        timeout_s: The command is killed, and TimeoutExpired raised, after this many seconds.
    """
    traced = trace and shutil.which("strace") is not None
    uses: dict[str, bool] = {}
    with tempfile.TemporaryDirectory() as folder:
        trace_file, output_file = Path(folder) / "trace", Path(folder) / "output"
        with output_file.open("w") as output:
            process = subprocess.Popen(
                [*STRACE, str(trace_file), *command] if traced else list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=env,
            )
            deadline = time.monotonic() + timeout_s
            pids = {process.pid}
            while process.poll() is None:
                if time.monotonic() > deadline:
                    process.kill()
                    process.wait()
                    raise subprocess.TimeoutExpired(list(command), timeout_s, output_file.read_text())
                pids |= descendants(pids)
                uses |= open_sockets(pids)
                time.sleep(POLL_S)
        if traced:
            uses |= traced_calls(trace_file.read_text(errors="replace"))
        return Observation(
            returncode=process.returncode,
            output=output_file.read_text(errors="replace"),
            outside=tuple(sorted(use for use, local in uses.items() if not local)),
            num_local=sum(uses.values()),
            traced=traced,
        )


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
    seen = observe(sys.argv[1:])
    sys.stdout.write(
        f"{seen.output}\nexit {seen.returncode}, {seen.num_local} uses of loopback, strace {seen.traced}\n"
        + ("\n".join(seen.outside) or "nothing left loopback, and nothing listened elsewhere")
        + "\n"
    )
    return 1 if seen.outside else 0


if __name__ == "__main__":
    sys.exit(main())
