"""Adapter for undocumented parts of Ray: private names, switches and messages that this project relies on.

Read in Ray 2.60.0; pyproject.toml admits 2.60 alone. Before another version is admitted, read there:

- `TuneController._trial_to_actor`, `TuneController._actor_manager._live_actors_to_ray_actors_resources`
  (ray/tune/execution/tune_controller.py, ray/air/execution/_internal/actor_manager.py): which actor trains which trial,
  from before it is ready. Gone, the watchdog fails at its first poll, and with it every search.
- `Trial.run_metadata`, `Trial.evaluated_params` (ray/tune/experiment/trial.py): results that Tune keeps of every trial.
  Kept elsewhere, the driver grows with each of them: tests/search/engine/test_leftovers.py.
- `ray_constants.ENABLE_RAY_CLUSTER` (ray/_private/ray_constants.py, read by services.py): off, every socket is bound to
  loopback. No longer read, Ray listens on all interfaces, silently: tests/search/engine/test_ray_cluster.py notices.
- `ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV` (read by worker.py): off, a driver under `uv run` has its workers start
  as the driver did, and not by `uv run` once more in the current folder.
- `ray._private.utils.read_ray_address`: the address that `ray start` left on this machine.
- `ray._private.services.start_ray_process`: starts each of Ray's processes, which the node guard watches; none, and a
  search whose raylet died would stand still. `ray._private.worker._global_node.raylet_socket_name` finds the raylet of
  a cluster that was joined. tests/search/engine/test_node_guard.py kills both.
- `Node.start_monitor`, `.start_log_monitor`, `.start_api_server` (ray/_private/node.py) start helpers that a private
  cluster does without, and the two `..._prestart_...` variables below workers that no trial can use, as each has
  environment variables of its own. Gone, a search starts 3 s later: tests/search/engine/test_ray_cluster.py.
- `ray._private.node.wait_for_persisted_port`: waits for the GCS of `ray.init`, up to 30 s, with Python's lock held.
- `ray._private.state.actors`: what the GCS knows of an actor, which tells a crash from a machine out of reach.
- `ray._private.worker.print_to_stdstream`: prints what Ray's processes have to say in the driver, dozens of lines
  between those of the display, even with `log_to_driver=False`.
- `_temp_dir` of `ray.init`: a private folder for logs and sockets.
- The environment variables below (ray/tune/constants.py, ray/_common/usage/). One that is no longer read costs speed or
  prints more; `TUNE_DISABLE_SIGINT_HANDLER` would have Ctrl-C swallowed by Ray: tests/search/engine/test_kills.py.
- `RayActorManager._actor_task_failed` (ray/air/execution/_internal/actor_manager.py): raises a RuntimeError, which ends
  the whole run, for an error that is neither a RayActorError nor a RayTaskError, such as that of an actor which Ray's
  memory monitor has killed. Held by tests/search/engine/test_memory.py.
- The messages of `ActorDiedError` and `ActorUnavailableError` (ray/exceptions.py), which tell a lost machine from a
  crash. Reworded, a trial whose machine was lost counts as one that crashed: tests/search/engine/test_watchdog.py.

`ray.kill` of an actor is public, but not that it ends a process within 5 s even if that is stopped or holds Python's
lock; tests/search/engine/test_watchdog.py holds it.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING, Any, Literal

import psutil
import ray
from ray._private import node, ray_constants, services, state, worker
from ray._private.utils import read_ray_address
from ray.air.execution._internal import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.experiment import Trial

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController

# In the driver and its daemons: no usage statistics (and no address to send them to), sockets on loopback.
NO_USAGE_STATS = {"RAY_USAGE_STATS_ENABLED": "0"}
LOOPBACK_ENVIRONMENT = {
    **NO_USAGE_STATS,
    "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9",  # the discard port, should a report be sent after all
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
NO_SPARE_WORKERS = {"RAY_prestart_worker_first_driver": "0", "RAY_enable_worker_prestart": "0"}
TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON and TensorBoard files: the study has it all
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C reaches `Interruption`, not Ray
    "RAY_AIR_NEW_OUTPUT": "0",  # with verbose=0: Ray itself prints nothing
    "TUNE_GLOBAL_CHECKPOINT_S": "100000000",  # no snapshots of the experiment, which nothing reads
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}

# Parts of Ray without which nothing goes on, by their name there and ours.
_VITAL = {
    ray_constants.PROCESS_TYPE_RAYLET: "Ray's node (raylet)",
    ray_constants.PROCESS_TYPE_GCS_SERVER: "Ray's head (gcs_server)",
}
# The autoscaler, which has no machines to start, what forwards logs that nobody reads, and the dashboard's server.
_HELPERS = ("start_monitor", "start_log_monitor", "start_api_server")
_PORT_WAIT_MS = 500
# A raylet reports the death of an actor at once; that of a machine is noticed after many seconds.
_VERDICT_PATIENCE_S = 3.0

NODE_DIED = re.compile(r"^(?:The actor died because its node has died|(?:LocalRaylet|Node)DiedError\b)", re.MULTILINE)
ACTOR_DIED = re.compile(r"^The actor (?:died|is dead)", re.MULTILINE)
ACTOR_UNREACHABLE = re.compile(r"^The actor (\S+) is unavailable", re.MULTILINE)
# Ray lists "out of memory" among the possible causes of any death.
POSSIBLE_CAUSES = re.compile(r"Some common causes include.*", re.DOTALL)


def set_tune_environment(workers: int) -> None:
    """Disable Ray Tune's own records and output in this process, and have no trial's death end the run.

    Args:
        workers: Actors that may be started at the same time; Ray's default is one after the other.
    """
    os.environ |= {**TUNE_ENVIRONMENT, "TUNE_MAX_PENDING_TRIALS_PG": str(workers)}
    RayActorManager._actor_task_failed = _actor_task_failed  # type: ignore[method-assign]


_tunes_own_task_failed = RayActorManager._actor_task_failed


def _actor_task_failed(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
    """Pass every error of Ray on as one of the actor, so that it is its trial's alone."""
    if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
        exception = RayActorError(error_msg=f"{type(exception).__name__}: {exception}")
    _tunes_own_task_failed(self, tracked_actor_task, exception)


def trial_actors(tune_controller: "TuneController") -> dict[Trial, Any]:
    """Return the actor of every trial that has one, ready or not."""
    controller = getattr(tune_controller, "_tune_controller", tune_controller)
    started = controller._actor_manager._live_actors_to_ray_actors_resources
    return {trial: started[actor][0] for trial, actor in controller._trial_to_actor.items() if actor in started}


def cached_actors(tune_controller: "TuneController") -> list[Any]:
    """Return the idle actors that Ray keeps for reuse by a next trial."""
    controller = getattr(tune_controller, "_tune_controller", tune_controller)
    started = controller._actor_manager._live_actors_to_ray_actors_resources
    with_trial = set(controller._trial_to_actor.values())
    return [actor for tracked, (actor, _) in started.items() if tracked not in with_trial]


def forget_results(trial: Trial) -> None:
    """Drop what Tune keeps of an ended trial's results: it adds up over a search, and nothing reads it."""
    trial.run_metadata.metric_analysis.clear()
    trial.run_metadata.metric_n_steps.clear()
    trial.run_metadata.last_result = {}
    trial.evaluated_params = {}


def started_address() -> str:
    """Return the address of the Ray that `ray start` started on this machine; empty where there is none."""
    return read_ray_address() or ""


@contextmanager
def started_processes(found: "Callable[[str, Popen[Any]], None]") -> Iterator[None]:
    """Call `found` with each process that Ray starts in a `with` block: at once, while `ray.init` waits for others.

    Its first argument is what a person calls the part of Ray, without which nothing goes on; "" for other parts.
    """
    before, wait_for_port = services.start_ray_process, vars(node)["wait_for_persisted_port"]

    def wait(*arguments: Any, timeout_ms: int, **options: Any) -> int:
        deadline = time.monotonic() + timeout_ms / 1000
        while True:
            try:
                return int(wait_for_port(*arguments, timeout_ms=_PORT_WAIT_MS, **options))
            except Exception:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.01)  # other threads run: the call itself holds Python's lock

    def start(command: list[str], process_type: str, *arguments: Any, **options: Any) -> Any:
        started = before(command, process_type, *arguments, **options)
        found(_VITAL.get(process_type, ""), started.process)
        return started

    with _replaced(services, start_ray_process=start), _replaced(node, wait_for_persisted_port=wait):
        yield


def without_helpers() -> AbstractContextManager[None]:
    """Return a context in which Ray starts its head, its node and their two agents alone."""
    return _replaced(node.Node, **dict.fromkeys(_HELPERS, _do_nothing))


def joined_raylet() -> dict[str, psutil.Process]:
    """Return the raylet of this machine's node in the cluster that was joined, by its name; none where it is hidden."""
    node: Any = worker._global_node
    for process in psutil.process_iter(["cmdline"]):
        if f"--raylet_socket_name={node.raylet_socket_name}" in (process.info["cmdline"] or ()):
            return {_VITAL[ray_constants.PROCESS_TYPE_RAYLET]: process}
    return {}


def has_died(actor_id: str) -> bool:
    """Return whether the GCS reports the death of an actor that is unreachable, and its machine as alive."""
    deadline = time.monotonic() + _VERDICT_PATIENCE_S
    while time.monotonic() < deadline:
        actor = state.actors(actor_id)
        if actor.get("State") == "DEAD":
            alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]
            return actor["Address"]["NodeID"] in alive
        time.sleep(0.1)
    return False


def init_options(folder: Path) -> dict[str, Any]:
    """Return the options of `ray.init` that put Ray's logs and sockets into a folder."""
    return {"_temp_dir": str(folder)}


def hidden_messages() -> AbstractContextManager[None]:
    """Return a context that keeps the messages of Ray's processes out of this one's output."""
    return _replaced(worker, print_to_stdstream=_do_nothing)


def switched_off(name: Literal["ENABLE_RAY_CLUSTER", "RAY_ENABLE_UV_RUN_RUNTIME_ENV"]) -> AbstractContextManager[None]:
    """Return a context in which a constant of Ray is False.

    The environment variable alone is too late: Ray reads it when it is imported.
    """
    return _replaced(ray_constants, **{name: False})


@contextmanager
def _replaced(owner: object, **values: Any) -> Iterator[None]:
    """Replace attributes of a module or class of Ray for the length of a `with` block."""
    before = {name: getattr(owner, name) for name in values}
    for name, value in values.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


def _do_nothing(*_: Any, **__: Any) -> None:
    """Take the place of a function of Ray that is not wanted."""
