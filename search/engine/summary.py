"""Summary lines before training: data, budget, search space, recipe, networks, resource allocation."""

from dataclasses import asdict

from data.coverage import coverage_warnings, recordings_by_scene
from data.layout import Scenes
from data.validation_split import num_recordings
from search.config.messages import counted, span
from search.config.settings import ConfirmSettings, Job, SearchSettings
from search.config.trial_config import DERIVED_FIELDS
from search.engine.allocation import ResourceAllocation
from search.optimizer.scheduler import TrialScheduler
from search.space.priced_space import PricedSpace
from search.space.pricing import price
from search.space.search_space import SearchSpace
from search.study.repeats import ROLE, TRIAL
from training.recipe import Recipe


def data_line(scenes: Scenes, settings: Job) -> str:
    """Describe the clips that networks are trained and measured on."""
    kind = "validation" if settings.validation else "evaluation"
    return (
        f"data: {len(scenes.train):,} training and {len(scenes.evaluate):,} {kind} clips of {len(scenes.classes)} "
        f"scenes and {len(scenes.devices)} devices in {scenes.root}"
    )


def validation_lines(scenes: Scenes, settings: Job, folds: int) -> list[str]:
    """Describe the recordings that networks are validated on; nothing where none are held out."""
    if not settings.validation:
        return []
    counts, num_held = recordings_by_scene(scenes, scenes.evaluate), num_recordings(scenes, scenes.evaluate)
    several = "" if folds == 1 else f"; the best are trained on {folds} folds, which hold out every recording"
    return [f"validation: {counted(num_held, 'recording')}, {span(counts)} a scene{several}"]


def warning_lines(scenes: Scenes, settings: Job) -> list[str]:
    """Return what the clips cannot show: absent scenes, and locations of one clip each."""
    return [f"warning: {text}" for text in coverage_warnings(scenes, is_validation=bool(settings.validation))]


def job_lines(space: PricedSpace) -> list[str]:
    """Describe the search space, or the trained networks."""
    return search_lines(space) if isinstance(space.settings, SearchSettings) else training_lines(space)


def search_lines(space: PricedSpace) -> list[str]:
    """Describe the budget, and the feasible fraction of each architecture's networks."""
    lines = [f"budget: {space.budget} ({space.budget.describe()})"]
    for name, survey in space.surveys.items():
        priced = "all" if survey.is_exhaustive else "a random"
        omitted = "; omitted from the search" if name in space.infeasible else ""
        lines.append(
            f"space: {name}: of {priced} {survey.num_priced:,} networks {survey.feasible_fraction:.1%} fit{omitted}"
        )
    return lines


def training_lines(space: SearchSpace) -> list[str]:
    """Describe the trained network, its budget and its recipe; of a confirmation, its candidates."""
    settings = space.settings
    if isinstance(settings, ConfirmSettings):
        return _candidate_lines(settings)
    config = space.config({})
    cost, limits = price(config, settings.precision), settings.limits()
    over = "; ".join(limits.violations(cost))
    fits = f"within budget {limits} ({limits.describe()})"
    if over:
        fits = f"over budget {limits}, and trained all the same: {over}"
    default = asdict(type(config.network)()) | asdict(Recipe())
    values = {name: value for name, value in config.to_dict().items() if value != default.get(name, value)}
    omitted = (*DERIVED_FIELDS, "epochs", "seed")
    changed = " ".join(f"{name}={value}" for name, value in values.items() if name not in omitted)
    schedule = f"{counted(config.recipe.epochs, 'epoch')} in batches of {config.recipe.batch_size}"
    return [
        f"network: {config.architecture} on {config.front_end}: {cost.macs:,} MACs, {cost.params:,} parameters; {fits}",
        f"recipe: {schedule}; all at their default but: {changed or 'none'}",
        *_teacher_lines(settings),
    ]


def _candidate_lines(settings: ConfirmSettings) -> list[str]:
    named = ", ".join(f"{candidate[TRIAL]} ({candidate[ROLE]})" for candidate in settings.candidates)
    first, last = settings.seeds[0], settings.seeds[-1]
    seeds = f"seed {first}" if first == last else f"seeds {first} to {last}"
    trained = f"each trained with {seeds} on all training clips, measured on the evaluation clips"
    return [f"networks: trials {named} of {settings.confirms}; {trained}", *_teacher_lines(settings)]


def _teacher_lines(settings: Job) -> list[str]:
    return [f"teacher: {', '.join(settings.teacher)}"] if settings.teacher else []


def start_line(scheduler: TrialScheduler, allocation: ResourceAllocation) -> str:
    """Describe the remaining trials and the resources of each."""
    settings, left = scheduler.space.settings, scheduler.num_left
    if isinstance(settings, SearchSettings):
        runs = f"{counted(left, 'network')} for up to"
    elif isinstance(settings, ConfirmSettings):
        runs = f"{counted(left, 'run')} of"
    else:
        runs = f"{counted(left, 'seed')} for"
    trials = counted(allocation.workers, "parallel trial")
    return f"training {runs} {counted(settings.epochs, 'epoch')}: {trials} ({allocation} each)"


def allocation_lines(allocation: ResourceAllocation) -> list[str]:
    """Describe what the micro-benchmarks found: the compute mode of each architecture, the throughput by trials."""
    lines = [f"fastest compute mode: {name}: {mode}" for name, mode in allocation.compute_modes.items()]
    if allocation.clips_per_s:
        speeds = [
            f"{speed:,.0f} with {counted(count, 'parallel trial')}" for count, speed in allocation.clips_per_s.items()
        ]
        lines.append(f"clips per second, all trials together: {', '.join(speeds)}")
    return lines
