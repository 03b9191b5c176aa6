"""The page that goes with an export."""

from collections.abc import Mapping
from typing import Any

from objectives.quality import Quality
from search.report import cost_table, markdown_table, quality_tables
from search.trial_config import TrialConfig


def report_page(report: Mapping[str, Any], config: TrialConfig) -> str:
    """Write the page of an export from its report, as Markdown."""
    cost, quality = report["cost"], Quality.from_dict(report["quality"])
    data = report["data"]
    measured = (
        f"Macro accuracy {quality.macro_accuracy:.1%}, log loss {quality.log_loss:.3f} on {data['evaluation_clips']:,} "
        f"evaluation clips of {data['folder']} (split {data['split']}, {data['training_clips']:,} training clips)."
    )
    audit = (
        "fvcore counts no biases, and a batch norm once or twice per element: it is an audit, the limits are by the "
        "challenge's rule."
    )
    copies = config.recipe.test_copies
    if copies:
        audit += f" An answer is the mean over {copies} copies of a clip, so it takes {copies} times these MACs."
    origin = (
        f"Weights: SHA-256 `{report['weights_sha256']}`. Seed {report['seed']}. "
        f"Data lists: SHA-256 `{data['lists_sha256']}`."
    )
    parts = [
        f"# {config.architecture}, trial {report['trial']} of {report['study']}",
        measured,
        *_choice(report),
        "## Cost of one clip",
        markdown_table(cost_table(cost)),
        audit,
        "## Quality",
        *(f"### {title}\n\n{markdown_table(table)}" for title, table in quality_tables(quality).items()),
        "## Configuration",
        markdown_table({name: [value] for name, value in config.to_dict().items()}, ("field", "value")),
        "## Made with",
        markdown_table({name: [value] for name, value in report["versions"].items()}, ("package", "version")),
        origin,
    ]
    return "\n\n".join(parts) + "\n"


def _choice(report: Mapping[str, Any]) -> list[str]:
    """Say by which clips the network was chosen, where it was chosen from several."""
    if report["validation"] is not None:
        chosen = Quality.from_dict(report["validation"])
        clips = f"{report['data']['validation_clips']:,} other clips, split off the training clips by location"
        figures = f"macro accuracy {chosen.macro_accuracy:.1%}, log loss {chosen.log_loss:.3f}"
        return [f"It was chosen by {clips}: {figures} on these."]
    if report["chosen_by"] == "evaluation clips":
        return ["It was chosen by these same clips, so these figures are optimistic."]
    return []
