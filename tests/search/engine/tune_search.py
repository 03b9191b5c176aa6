"""A small search by Ray Tune in a closed cluster, run as a command of its own by test_cluster.py."""

import json
import os
import signal
import sys
import time
from pathlib import Path

from ray import tune

from search.engine.ray_cluster import local_cluster


def trainable(config):
    import objectives  # the worker finds this project's packages, whatever folder the driver runs in

    for epoch in range(2):
        tune.report({"loss": config["x"] + epoch, "package": objectives.__file__, "home": os.environ["HOME"]})


def state():
    # pyarrow sets the one that is left out, when Tune first writes a result.
    return (
        {k: v for k, v in os.environ.items() if k != "CRC32C_SW_MODE"},
        signal.getsignal(signal.SIGTERM),
        Path.cwd(),
    )


def main(folder, wait=False):
    before = state()
    with local_cluster(num_cpus=2):
        inside = os.environ["HOME"], str(Path.cwd())
        tuner = tune.Tuner(
            trainable,
            param_space={"x": tune.grid_search([1.0, 2.0, 3.0, 4.0])},
            tune_config=tune.TuneConfig(metric="loss", mode="min", reuse_actors=True),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        results = tuner.fit()
        if wait:
            Path(folder, "waiting").touch()
            time.sleep(600)
    best = results.get_best_result().metrics
    report = {
        "num_trials": len(results),
        "num_errors": results.num_errors,
        "loss": best["loss"],
        "package": best["package"],
        "worker_home": best["home"],
        "driver_inside": inside,
        "restored": before == state(),
    }
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], wait="wait" in sys.argv)
