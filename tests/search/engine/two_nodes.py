"""A Ray cluster of two nodes on this machine, for tests: prints its address, and does what its input says.

With the argument 1 it has one node. `kill` ends the second node as a power cut would: all of its processes at once,
without a word. The end of the input ends the cluster.
"""

import json
import os
import signal
import sys
import tempfile
from pathlib import Path

import psutil

# A dead node is noticed within seconds, not within a quarter of a minute.
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_initial_delay_ms": "500",
}

from ray.cluster_utils import Cluster


def kill(node):
    started = [process.process.pid for processes in node.all_processes.values() for process in processes]
    whole = [each for pid in started for each in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))]
    for process in whole:
        process.send_signal(signal.SIGKILL)


def main():
    Path("/tmp/ray").mkdir(
        exist_ok=True
    )  # where a cluster that is started without Ray's own command writes its address
    with tempfile.TemporaryDirectory(prefix="sf-two-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        each = {"include_dashboard": False, "object_store_memory": 75 * 2**20, "num_cpus": 1}
        cluster = Cluster(initialize_head=True, head_node_args={**each, "temp_dir": folder})
        second = None if sys.argv[1:] == ["1"] else cluster.add_node(**each)
        cluster.wait_for_nodes()
        sys.stdout.write(json.dumps({"address": cluster.address}) + "\n")
        sys.stdout.flush()
        for line in sys.stdin:
            assert line == "kill\n"
            kill(second)
            sys.stdout.write("killed\n")
            sys.stdout.flush()
        cluster.shutdown()


if __name__ == "__main__":
    main()
