"""Extension of a study: more trials, another budget, wider ranges or another sampler on the same database.

Settings that a trial's metrics depend on cannot change: trials could not be compared. The study keeps a history of its
settings. Finished trials are kept; configurations rejected for the old budget can be proposed again once they fit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from objectives.budget import Budget
from objectives.cost import Cost
from search.config.messages import unknown
from search.config.settings import Job, SearchSettings
from search.config.settings_file import is_space_file, make_settings
from search.config.user_file import file_digest
from search.study.data_identity import require_unchanged
from search.study.history import (
    PER_RUN,
    change_text,
    changeable,
    history_settings,
    initial_history,
    movable,
    refusal_text,
    require_unedited_settings,
    timestamp,
)
from search.study.settings_record import SECRET
from search.study.study import COST, DATA, FILES, HISTORY, REJECTED, WARM_STARTS, StudyError, StudyFolder

if TYPE_CHECKING:
    from search.space.search_space import SearchSpace


@dataclass(frozen=True)
class Extension:
    """A change of a study's settings, valid and not yet made.

    Attributes:
        settings: The new settings.
        attributes: User attributes of the study that change with them; empty if nothing changes.
        lines: The changes as text, and their effect on the existing trials.
    """

    settings: Job
    attributes: Mapping[str, Any]
    lines: Sequence[str]

    def make(self, folder: StudyFolder, study: optuna.Study) -> None:
        """Change the study, whose lock is held, in one transaction."""
        if self.attributes:
            folder.update_settings(study, self.settings, self.attributes)
        else:
            folder.record_settings(study, self.settings)


def new_settings(settings: Job, changes: Mapping[str, Any], source: str) -> Job:
    """Return a study's settings with changes.

    Args:
        changes: New values by setting; `trials` is the new total, or "+24" for 24 more; `ranges` has the ranges that
            change, None for the whole range of the space; `start` adds to the existing ones; `space` is another file.
        source: Where the changes come from, for error messages.

    Raises:
        UserError: A change that no study can make, fewer trials than there are, or a value that no search can have.
    """
    given = dict(changes)
    space = given.pop("space", settings.space)
    if space != settings.space and not (is_space_file(space) and is_space_file(settings.space)):
        raise StudyError(f"space cannot change from {settings.space} to {space}: only a file can take a file's place")
    plain, moves = history_settings(settings), movable(type(settings))
    can_change = [*changeable(type(settings)), *(name for name in moves if plain[name] is not None)]
    for name, value in given.items():
        if name not in plain and isinstance(settings, SearchSettings):
            raise StudyError(unknown("search setting", name, plain))
        if name in plain and name not in can_change and str(value) != str(plain[name]):
            why = refusal_text(settings, name, plain[name], value)
            raise StudyError(f"{why}; start a new study, from this one's with --start")
    if not isinstance(settings, SearchSettings) and set(given) - {"trials", *moves}:
        raise StudyError(f"nothing is searched in a {settings.job} study: only `trials` can change")
    if "trials" in given:
        given["trials"] = _num_trials(settings.trials, given["trials"])
    if isinstance(settings, SearchSettings) and "ranges" in given:
        given["ranges"] = _ranges(settings.ranges, given["ranges"])
    if isinstance(settings, SearchSettings) and "start" in given:
        given["start"] = [*settings.start, *(name for name in given["start"] if name not in settings.start)]
    changed = {name: value for name, value in given.items() if name in can_change}
    if isinstance(settings, SearchSettings):
        changed["space"] = space
    kept = {name: getattr(settings, name) for name in (*PER_RUN, *SECRET)}
    return make_settings({**plain, **kept, **changed}, source, kind=type(settings))


def extend_settings(folder: StudyFolder, changes: Mapping[str, Any], console: Console | None = None) -> Extension:
    """Change the settings of a study; its next run uses the new ones. Its data are read only if they have moved.

    Args:
        folder: Folder of the study.
        changes: As in `new_settings`.
        console: Shows the progress of decoding moved data; None: nowhere.

    Raises:
        UserError: The study is in use, or the change cannot be made; nothing is changed by then.
    """
    from search.engine.preparation import read_clips, read_sounds  # noqa: PLC0415  these take seconds
    from search.space.custom_architecture import register_architecture_file  # noqa: PLC0415
    from search.space.priced_space import price_space  # noqa: PLC0415
    from search.space.search_space import make_search_space  # noqa: PLC0415

    with folder.lock():
        study, before = open_for_changes(folder)
        after = new_settings(before, changes, "extend")
        if after.architecture_file is not None:
            register_architecture_file(Path(after.architecture_file))
        space = make_search_space(after, len(study.user_attrs[DATA]["classes"]))
        if {*movable(type(after))} & {*changes}:
            scenes = read_clips(after, study.user_attrs[DATA]["split"])
            front_end = next(iter(space.subspaces.values())).front_ends[0]
            sounds = read_sounds(after, scenes, front_end, console or Console(quiet=True))
            require_unchanged(folder, study, after, replaced={"space"} & {*changes}, scenes=scenes, sounds=sounds)
        if isinstance(after, SearchSettings):
            space = price_space(space).require_feasible()
        extension = plan_extension(folder, study, before, space, changes)
        extension.make(folder, study)
    return extension


def open_for_changes(folder: StudyFolder) -> tuple[optuna.Study, Job]:
    """Open a study whose lock is held, to continue or change it; return it with its settings.

    Raises:
        StudyError: It is of another format, or a fixed setting was edited.
    """
    study = folder.open()
    folder.require_current_format(study)
    settings = folder.current_settings(study)
    require_unedited_settings(study, folder)
    return study, settings


def plan_extension(
    folder: StudyFolder, study: optuna.Study, before: Job, space: "SearchSpace", changes: Mapping[str, Any]
) -> Extension:
    """Return the change of a study to the settings of `space`.

    Args:
        folder: Folder of the study.
        study: Its database.
        before: The settings now.
        space: The search space of the new ones.
        changes: What the user asked for, as in `new_settings`.

    Raises:
        UserError: The change cannot be made.
    """
    from search.optimizer.trial_store import open_trial_store  # noqa: PLC0415  these take seconds
    from search.optimizer.warm_start import read_warm_starts  # noqa: PLC0415

    after = space.settings
    files = dict(study.user_attrs.get(FILES, {}))
    if "space" in changes:
        files["space"] = file_digest(Path(after.space))
    changed = _changed(before, after)
    if not changed and files == study.user_attrs.get(FILES, {}):
        return Extension(after, {}, [f"{folder.name} has these settings already"] if changes else [])
    if isinstance(after, SearchSettings):
        open_trial_store(study, space)
    more = [name for name in after.start if name not in before.start]
    starts = [
        *study.user_attrs.get(WARM_STARTS, []),
        *(asdict(start) for start in read_warm_starts(more, space, folder.path.parent)),
    ]
    trials = study.get_trials(deepcopy=False)
    entry = {"at": timestamp(), "trials": len(trials), "changes": changed}
    history = [*(study.user_attrs.get(HISTORY) or initial_history(before)), entry]
    lines = [change_text(name, *change) for name, change in changed.items()] or [f"space: {after.space}, as it is now"]
    effects = _budget_effect_lines(trials, before.limits(), after.limits())
    return Extension(after, {WARM_STARTS: starts, FILES: files, HISTORY: history}, lines + effects)


def _num_trials(now: int, wanted_text: object) -> int:
    text = str(wanted_text)
    more = text.removeprefix("+")
    if not more.isdecimal():
        raise StudyError(f"trials must be a whole number, or +NUMBER for that many more, got {wanted_text!r}")
    wanted = int(more) + (now if more != text else 0)
    if wanted < now:
        raise StudyError(f"trials cannot decrease: there are {now}, got {wanted}; +{wanted} means that many more")
    return wanted


def _ranges(now: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ranges with changes; a name with its architecture replaces the same name without."""
    kept = {name: bounds for name, bounds in now.items() if not any(_is_same_range(name, other) for other in changes)}
    return {**kept, **{name: list(bounds) for name, bounds in changes.items() if bounds is not None}}


def _is_same_range(one: str, other: str) -> bool:
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def _changed(before: Job, after: Job) -> dict[str, tuple[Any, Any]]:
    was, now = history_settings(before), history_settings(after)
    return {name: (was[name], now[name]) for name in now if was[name] != now[name]}


def _budget_effect_lines(trials: Sequence[FrozenTrial], before: Budget, after: Budget) -> list[str]:
    """Describe the existing trials that fit one of two budgets only."""
    priced = [trial for trial in trials if COST in trial.user_attrs]
    lost = fit = 0
    for trial in priced:
        cost = Cost.from_dict(trial.user_attrs[COST])
        fitted, fits = before.fits(cost), after.fits(cost)
        if REJECTED not in trial.user_attrs:
            lost += trial.state == TrialState.COMPLETE and fitted and not fits
        elif trial.user_attrs[REJECTED]["kind"].startswith("over "):
            fit += fits and not fitted
    lines = []
    if lost:
        lines.append(
            f"{lost} fully trained trial{'s are' if lost > 1 else ' is'} over the new budget, and off the front"
        )
    if fit:
        lines.append(
            f"{fit} rejected configuration{'s fit' if fit > 1 else ' fits'} the new budget, and may be proposed again"
        )
    return lines
