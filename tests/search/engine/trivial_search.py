"""200 trivial trials in Ray: prints the driver's resident memory in MB after every 50th, as JSON."""

import gc
import io
import json
import sys
from pathlib import Path

from rich.console import Console

from benchmarks.overhead import NUM_CLIPS, TrivialTrainable
from search.config.settings import SearchSettings
from search.engine.allocation import MACHINE, share_machine
from search.engine.interruption import Interruption
from search.engine.progress import PlainDisplay
from search.engine.ray_cluster import local_cluster
from search.engine.ray_tune import StudySearcher
from search.engine.run import make_tuner
from search.optimizer.scheduler import TrialScheduler
from search.space.priced_space import price_space
from search.space.search_space import make_search_space
from search.study.creation import create_study
from search.study.study import StudyFolder

NUM_TRIALS, EVERY = 200, 50


class MeasuredDisplay(PlainDisplay):
    """Plain progress lines, and the memory of the process as trials end."""

    def __init__(self, scheduler, console):
        super().__init__(scheduler, console)
        self.resident_mb = []

    def ended(self, row, reason=""):
        super().ended(row, reason)
        if self.scheduler.num_ended % EVERY == 0:
            gc.collect()
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.resident_mb.append(round(pages * 4096 / 1e6, 1))


def main():
    settings = SearchSettings(data="nowhere", space="isotropic", trials=NUM_TRIALS, epochs=1, early_stopping=False)
    folder = StudyFolder(Path(sys.argv[1]))
    space = price_space(make_search_space(settings, num_classes=10), NUM_CLIPS)
    scheduler = TrialScheduler(create_study(folder, settings, {}), space)
    display = MeasuredDisplay(scheduler, Console(file=io.StringIO()))
    with local_cluster(num_cpus=2, resources={MACHINE: 1.0}) as temporary:
        searcher = StudySearcher(scheduler, folder, share_machine(2), display)
        make_tuner(searcher, temporary, Interruption(), TrivialTrainable).fit()
    sys.stdout.write(json.dumps(display.resident_mb) + "\n")


if __name__ == "__main__":
    main()
