"""Ray cluster of a search: a local one on loopback, or an existing one.

By default `ray.init` asks a cloud's metadata service where it runs, and listens on every interface. Three settings of
search/engine/ray_private.py prevent that: sockets on loopback alone, no dashboard, no usage statistics.
tests/search/engine/test_ray_cluster.py verifies it by the system calls.
"""

import logging
import os
import secrets
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import ray

from search.config.errors import UserError
from search.engine.node_guard import NodeGuard, connection_probe, process_probe
from search.engine.ray_private import (
    LOOPBACK_ENVIRONMENT,
    NO_SPARE_WORKERS,
    NO_USAGE_STATS,
    hidden_messages,
    init_options,
    joined_raylet,
    started_address,
    started_processes,
    switched_off,
    without_helpers,
)
from search.engine.temporary import private_folder
from training.allocator import huge_pages

# Ray keeps the first token that a process uses, so all clusters of one process share it.
_TOKEN = secrets.token_hex(32)
_PREFIX = "sf-ray-"
# A Unix socket's path holds 107 bytes (103 on macOS), of which Ray appends up to 64 to its temporary folder:
# /session_YYYY-MM-DD_hh-mm-ss_ffffff_PID/sockets/plasma_store
# Ray opens its temporary folder to every user (mode 0777): it lies in one that no other user can enter.
_RAY_FOLDER = "r"
_MAX_FOLDER_BYTES = 103 - 64 - len(f"/{_RAY_FOLDER}")
# Ray's minimum; trials exchange data through files, not through the object store.
_OBJECT_STORE_BYTES = 75 * 2**20
_CONNECT_TIMEOUT_S = 10.0
_HOW_TO_JOIN = (
    "start one with `ray start --head`, and have this machine take part with `ray start --address=HOST:PORT`, with the "
    "same versions of Ray and Python"
)
# Uploaded by the driver to all nodes of a cluster.
_PACKAGES = ("data", "models", "objectives", "search", "spaces", "training")


class ClusterError(UserError):
    """A Ray cluster that does not run, or that this process cannot join; the message says what to do."""


@dataclass(frozen=True)
class Node:
    """A node of a Ray cluster.

    Attributes:
        id: Ray's node id.
        host: Host name.
        cores: CPU cores that Ray may allocate.
        gpus: GPUs that Ray may allocate.
    """

    id: str
    host: str
    cores: int
    gpus: int


@contextmanager
def cluster(
    address: str | None,
    *,
    num_cpus: int,
    num_gpus: int = 0,
    resources: Mapping[str, float] | None = None,
    advice: str = "",
) -> Iterator[Path]:
    """Start a local Ray cluster, or join an existing one, for the length of a `with` block.

    Args:
        address: HOST:PORT of a running Ray, or "auto" for the one that this machine is a node of; None: start one.
        advice: What a person is told to do if Ray dies: this process then ends, by `search.engine.node_guard`.

    Yields:
        A private temporary folder on this machine.

    Raises:
        ClusterError: No Ray can be joined at the address.
        OSError: No temporary folder can be written.
        RuntimeError: This process already uses a Ray.
    """
    started = local_cluster(num_cpus=num_cpus, num_gpus=num_gpus, resources=resources, advice=advice)
    with started if address is None else joined_cluster(address, advice) as folder:
        yield folder


def nodes() -> list[Node]:
    """Return the nodes of the cluster that this process is connected to: those that are alive and have cores."""
    found = [
        Node(
            each["NodeID"],
            each["NodeManagerHostname"],
            int(each["Resources"].get("CPU", 0)),
            int(each["Resources"].get("GPU", 0)),
        )
        for each in ray.nodes()  # type: ignore[no-untyped-call] # Ray's own
        if each["Alive"]
    ]
    return sorted((node for node in found if node.cores), key=lambda node: node.id)


@contextmanager
def joined_cluster(address: str, advice: str = "") -> Iterator[Path]:
    """Join an existing Ray cluster for the length of a `with` block; its end stops the block's actors, not the cluster.

    The nodes import this project's packages as the driver has them, and third-party packages as they are installed
    there. The driver's machine must be a node itself: Ray requires that.

    Args:
        address: HOST:PORT, or "auto" for RAY_ADDRESS or the Ray that was started on this machine.
        advice: As for `cluster`.

    Yields:
        A private temporary folder on this machine.

    Raises:
        ClusterError: No Ray can be joined there.
        RuntimeError: This process already uses a Ray.
    """
    if ray.is_initialized():
        raise RuntimeError("this process already uses a Ray: leave the first cluster before the next")
    require_listening(address)
    root = Path(__file__).parents[2]
    with ExitStack() as stack:
        folder = stack.enter_context(private_folder(_PREFIX))
        stack.enter_context(_restored_sigterm_handler())
        stack.enter_context(hidden_messages())
        stack.enter_context(_environment(PYTHONBREAKPOINT=os.environ.get("PYTHONBREAKPOINT")))
        # Workers on every node import from the driver's current folder first: an empty one.
        with (
            _current_folder(folder),
            _environment(**NO_USAGE_STATS),
            switched_off("RAY_ENABLE_UV_RUN_RUNTIME_ENV"),
        ):
            try:
                ray.init(
                    address=address,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    runtime_env={
                        "env_vars": huge_pages(),
                        "py_modules": [str(root / package) for package in _PACKAGES],
                    },
                )
            except (ConnectionError, RuntimeError, ValueError) as error:
                ray.shutdown()
                raise ClusterError(f"no Ray can be joined at {address}: {error}; {_HOW_TO_JOIN}") from error
        stack.callback(ray.shutdown)
        probes = {name: process_probe(process) for name, process in joined_raylet().items()}
        probes["the cluster's head (gcs_server)"] = connection_probe(ray.get_runtime_context().gcs_address)
        stack.enter_context(NodeGuard(probes, folder, advice))
        yield folder


@contextmanager
def local_cluster(
    *, num_cpus: int, num_gpus: int = 0, resources: Mapping[str, float] | None = None, advice: str = ""
) -> Iterator[Path]:
    """Start a Ray cluster on this machine for the length of a `with` block, closed to the network.

    Ends this process if Ray dies (`search.engine.node_guard`), with `advice` for the person.

    Call it from the main thread: Ray's processes end with the thread that started them, so that nothing is
    left after a `kill -9`. Trials see the caller's HOME, and import this project's packages whatever the
    current folder is. Logs go to a private temporary folder, which is removed at the end; folders that a
    killed process left are removed first. Inside the block a SIGTERM raises SystemExit (Ray's handler).

    Yields:
        The private folder.

    Raises:
        OSError: No temporary folder can be written whose path is short enough for a socket.
        RuntimeError: This process already uses a Ray.
    """
    if ray.is_initialized():
        raise RuntimeError("this process already uses a Ray: leave the first local_cluster before the next")
    with ExitStack() as stack:
        folder = stack.enter_context(private_folder(_PREFIX, _MAX_FOLDER_BYTES))
        stack.enter_context(_restored_sigterm_handler())
        stack.enter_context(hidden_messages())
        stack.enter_context(
            _environment(
                RAY_AUTH_TOKEN=os.environ.get("RAY_AUTH_TOKEN", _TOKEN),
                # Ray sets these two in the driver: put back at the end.
                RAY_AUTH_MODE=os.environ.get("RAY_AUTH_MODE"),
                PYTHONBREAKPOINT=os.environ.get("PYTHONBREAKPOINT"),
            )
        )
        stack.callback(ray.shutdown)
        guard = stack.enter_context(NodeGuard({}, folder, advice))
        with started_processes(guard.own):
            _start(folder, num_cpus, num_gpus, dict(resources or {}))
        yield folder


def _start(folder: Path, num_cpus: int, num_gpus: int, resources: dict[str, float]) -> None:
    home = os.environ.get("HOME")
    # What a network of the user's own compiles is private, and gone at the end.
    variables = {**huge_pages(), "TORCHINDUCTOR_CACHE_DIR": str(folder), **({} if home is None else {"HOME": home})}
    with (
        _environment(HOME=str(folder), **LOOPBACK_ENVIRONMENT, **NO_SPARE_WORKERS),
        without_helpers(),
        switched_off("ENABLE_RAY_CLUSTER"),
        switched_off("RAY_ENABLE_UV_RUN_RUNTIME_ENV"),
        _current_folder(Path(__file__).parents[2]),
    ):
        ray.init(
            address="local",  # RAY_ADDRESS may name another user's cluster
            num_cpus=num_cpus,
            num_gpus=num_gpus,
            resources=resources,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": variables},
            **init_options(folder / _RAY_FOLDER),
        )


def require_listening(address: str) -> None:
    """Refuse an address on which nothing listens, where Ray would retry for five minutes.

    Raises:
        ClusterError: It is not an address, or no connection can be made.
    """
    found = address
    if address == "auto":  # Ray itself would join any cluster that it finds, even another process's private one
        found = os.environ.get("RAY_ADDRESS") or started_address()
        if not found:
            raise ClusterError(f"no Ray was started on this machine; {_HOW_TO_JOIN}")
    host, _, port = found.rpartition(":")
    if "://" in found or not host or not port.isdigit():
        raise ClusterError(f"address must be auto or HOST:PORT of a running Ray, got {found!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ClusterError(f"no Ray can be joined at {found}: {error}; {_HOW_TO_JOIN}") from error


@contextmanager
def _current_folder(folder: Path) -> Iterator[None]:
    # Workers look for modules in the driver's current folder first, where a user's data.py would hide ours.
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _environment(**values: str | None) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    _set_environment(values)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _restored_sigterm_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        with suppress(ValueError):  # not in the main thread: Ray has set none there either
            signal.signal(signal.SIGTERM, before)
