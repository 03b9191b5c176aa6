"""Who proposes values: TPE, for each architecture from its own trials."""

import warnings
from typing import Any, cast

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial

ARCHITECTURE = "architecture"  # name of the choice, where a study has several
FIXED = "fixed_params"  # Optuna's name for what was enqueued


class ArchitectureSampler(TPESampler):
    """Ranks a trial among those of its own architecture.

    TPE ranks all trials of a study before it looks at the values that some of them have: an architecture that another
    one dominates would have no good trials, and be sampled at random to the end.
    """

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample what the trials of this architecture have in common, and nothing of the others."""
        architecture = _architecture(trial)
        if architecture is not None:
            shared_or_own = ("", architecture)
            search_space = {
                name: each for name, each in search_space.items() if name.rpartition(".")[0] in shared_or_own
            }
        return super().sample_relative(_own(study, architecture), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Sample one value."""
        own = _own(study, _architecture(trial))
        return super().sample_independent(own, trial, param_name, param_distribution)


def make_sampler(seed: int) -> ArchitectureSampler:
    """Make a sampler that varies values together, and expects nothing better of what is running already."""
    with warnings.catch_warnings(category=ExperimentalWarning, action="ignore"):
        return ArchitectureSampler(multivariate=True, group=True, constant_liar=True, seed=seed)


def _architecture(trial: FrozenTrial) -> str | None:
    chosen = {**trial.params, **trial.system_attrs.get(FIXED, {})}.get(ARCHITECTURE)
    return None if chosen is None else str(chosen)


def _own(study: Study, architecture: str | None) -> Study:
    return study if architecture is None else cast(Study, _Part(study, architecture))


class _Part:
    """A study as if it had the trials of one architecture alone."""

    def __init__(self, study: Study, architecture: str) -> None:
        self._whole, self._architecture = study, architecture

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def _get_trials(self, *args: Any, **kwargs: Any) -> list[FrozenTrial]:
        trials = self._whole._get_trials(*args, **kwargs)
        return [trial for trial in trials if trial.params.get(ARCHITECTURE) == self._architecture]
