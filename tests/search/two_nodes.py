"""A Ray cluster of two nodes on this machine, for tests: prints its address, and does what its input says.

`kill` ends the second node as a power cut would: without a word. The end of the input ends the cluster.
"""

import json
import os
import signal
import sys
import tempfile

from ray.cluster_utils import Cluster


def main():
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with tempfile.TemporaryDirectory(prefix="sf-two-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        both = {"include_dashboard": False, "object_store_memory": 75 * 2**20, "num_cpus": 1}
        cluster = Cluster(initialize_head=True, head_node_args={**both, "temp_dir": folder})
        second = cluster.add_node(**both)
        cluster.wait_for_nodes()
        told = {"address": cluster.address, "ids": [cluster.head_node.node_id, second.node_id]}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        for line in sys.stdin:
            assert line.strip() == "kill"
            for processes in second.all_processes.values():
                for process in processes:
                    os.kill(process.process.pid, signal.SIGKILL)
            sys.stdout.write("killed\n")
            sys.stdout.flush()
        cluster.shutdown()


if __name__ == "__main__":
    main()
