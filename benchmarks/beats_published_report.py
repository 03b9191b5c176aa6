"""Tables, page and picture of found networks against published ones; everything on the page follows from the tables."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.beats_published_figures import EITHER, MIN_MACS, OPPONENT_NAMES, OPPONENTS, Comparison, Row
from benchmarks.published_networks import DEFAULT, REPORT, WAYS
from benchmarks.two_way_bootstrap import Floats, interval
from data.atomic_file import write_atomic
from search.config.settings import MODES

TABLE = Path("results/beats_published.csv")
NETWORKS = Path("results/beats_published_networks.csv")
PAGE = Path("results/beats_published.md")
PLOT = Path("docs/beats_published.png")
TABLE_COLUMNS = ["data", *(field.name for field in fields(Row))]
NETWORK_COLUMNS = [
    "data", "mode", "way", "network", "macs", "params", "accuracy", "low", "high", "validation", "changes",
]  # fmt: skip
TEXT_COLUMNS = ("data", "mode", "figure", "way", "network", "changes")
MODE_NAMES = {"front": "search for a front", "best": "search for the best"}
COMPARED = {
    "hypervolume": "hypervolume: mean height above chance, over log MACs from 10,000 to the budget",
    "hypervolume from": "hypervolume from the MACs of the cheapest published network on",
    "mean at their MACs": "accuracy at the published networks' MACs, mean",
    "best": "accuracy of the best within the budget",
    "hindsight hypervolume": "hypervolume from 10,000 MACs, the found networks with hindsight too",
}
HINDSIGHT = "hindsight hypervolume"  # shown, but no verdict follows from it
STRICTEST = (EITHER, DEFAULT, REPORT)  # opponents of the verdicts: the first that was trained
INTRODUCTION = """\
# Found networks against published ones

Every network was trained from several seeds on all training clips, by the same code, and evaluated on clips that
neither it nor the search has seen. Found networks were chosen by validation clips alone, published ones are compared
with hindsight: the best published network is the one that is best on the very clips of the comparison. For a number of
MACs, *found* is the network of the front that was best by validation among those with at most as many MACs; the
published one is the best on the evaluation clips. Only *with hindsight too* takes the best found ones by these clips: a
maximum over noisy figures flatters whoever has more networks along the axis.

Published networks are trained in three ways, so that what the architecture adds and what the recipe adds are told
apart: with the recipe of their report, its epochs scaled; with the default recipe, as a search trains them first; and
with the recipe of the network that was best by validation in both searches. Against the last it is the architecture
that differs. The reports' recipes were made for 139,620 training clips: on few clips their batches make few steps, so
that the default recipe is the harder one to beat.

Differences are in percentage points, with 95 % intervals by recording and seed (a two-way bootstrap,
benchmarks/two_way_bootstrap.py, which says why they are percentiles and rather too wide than too narrow). They hold for
the networks that these searches found; of another search there would be others, and only outer folds have several
searches. Each interval stands for itself: they are not corrected for their number. Made by
`python -m benchmarks beats-published`.

![Found and published networks in the plane of MACs and accuracy](../docs/beats_published.png)
"""


def network_rows(comparison: Comparison, changes: Mapping[tuple[str, str], str]) -> list[dict[str, Any]]:
    """Return a row for each published network in each way, and for each cost at which a search's choice changes.

    Args:
        comparison: The networks.
        changes: What was changed in a recipe, by name and way.
    """
    rows = [
        {"mode": "", "way": way, "network": name, "params": network.params, "changes": changes.get((name, way), ""),
         **_point(network.macs, network.accuracy)}
        for way, networks in comparison.published.items()
        for name, network in networks.items()
    ]  # fmt: skip
    for mode in MODES:
        known = {each.macs: each for each in comparison.folds[0].found[mode]} if len(comparison.folds) == 1 else {}
        for macs, accuracy in comparison.curve(mode):
            row = {"mode": mode, "way": "", "network": "choice", **_point(macs, accuracy)}
            if macs in known:
                one = known[macs]
                row |= {"network": one.name, "params": one.params, "validation": one.validation}
            rows.append(row)
    return rows


def _point(macs: int, accuracy: Floats) -> dict[str, float]:
    found = interval(accuracy)
    return {"macs": macs, "accuracy": found.estimate, "low": found.low, "high": found.high}


def write_results(out: Path, data: str, rows: Sequence[Row], networks: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of a data set in place of its former ones, then page and picture of all data sets.

    Args:
        out: Folder that has results/ and docs/.
    """
    table = _replace(out / TABLE, data, [asdict(row) for row in rows], TABLE_COLUMNS)
    of_networks = _replace(out / NETWORKS, data, networks, NETWORK_COLUMNS)
    write_atomic(out / PAGE, page(table, of_networks).encode())
    (out / PLOT).parent.mkdir(parents=True, exist_ok=True)
    plot(of_networks, out / PLOT)


def _replace(path: Path, data: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Write a table with the rows of one data set replaced; return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = pd.DataFrame([{"data": data, **row} for row in rows]).reindex(columns=list(columns))
    tables = [new]
    if path.exists():
        old = read_table(path)
        tables = [old[old["data"] != data], new]
    whole = pd.concat([each for each in tables if len(each)], ignore_index=True)
    write_atomic(path, whole.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode())
    return read_table(path)


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of results; texts that are missing are empty."""
    table = pd.read_csv(path, dtype=dict.fromkeys(TEXT_COLUMNS, str))
    return table.assign(**{name: table[name].fillna("") for name in TEXT_COLUMNS if name in table})


def page(table: pd.DataFrame, networks: pd.DataFrame) -> str:
    """Return the page of all data sets."""
    parts = [INTRODUCTION]
    for data in dict.fromkeys(table["data"]):
        mine, points = table[table["data"] == data], networks[networks["data"] == data]
        parts.append("\n".join(_section(str(data), mine, points)) + "\n")
    return "\n".join(parts)


def _section(data: str, table: pd.DataFrame, points: pd.DataFrame) -> Iterator[str]:
    settings = table[table["mode"] == ""].set_index("figure")["ours"]
    yield f"## {data}"
    yield ""
    yield _settings_text(settings)
    yield ""
    yield from _verdicts(table)
    for mode in MODES:
        mine = table[table["mode"] == mode]
        if mine.empty:
            continue
        yield f"### {data}: {MODE_NAMES[mode]}"
        yield ""
        yield from _figures(mine)
        yield from _costs(mine.set_index("figure"))
    yield f"### {data}: recipes"
    yield ""
    yield from _recipes(table)
    yield from _published(points)


def _settings_text(settings: "pd.Series[float]") -> str:
    def count(name: str) -> str:
        return f"{settings.get(name, float('nan')):,.0f}"

    folds = settings.get("outer folds", 1)
    how = (
        f"each held out once by {folds:.0f} outer folds, with searches of their own" if folds > 1
        else "those of the evaluation list"
    )  # fmt: skip
    text = (
        f"{count('clips')} evaluation clips of {count('recordings')} recordings and {count('classes')} classes, {how}. "
        f"Searches of {count('trials of a search')} trials, {count('epochs')} epochs, {count('seeds')} seeds; "
        f"{count('trainings')} trainings took {settings.get('processor seconds of the trainings', 0) / 3600:.1f} "
        f"processor hours, {count('diverged')} diverged."
    )
    other = {way: settings.get(f"seeds of {way}") for way in WAYS}
    told = [f"{number:.0f} of published networks with the {WAYS[way]}" for way, number in other.items() if number]
    if told:
        text += f" Of the seeds there are {', '.join(told)}."
    if settings.get("published networks", 0) < settings.get("published networks that fit", 0):
        text += (
            f" **Of the {count('published networks that fit')} published networks that fit the budget only "
            f"{count('published networks')} were trained.**"
        )
    single = settings.get("classes with one recording", 0)
    if single:
        text += (
            f" Of {single:.0f} classes there is one recording: the intervals know nothing of other recordings of "
            "these, and are too narrow by that."
        )
    return text


def _verdicts(table: pd.DataFrame) -> Iterator[str]:
    """Yield what holds, what the opposite holds of, and what is open, of the comparisons with an interval."""
    lines: dict[str, list[str]] = {"holds": [], "open": [], "fails": []}
    for mode in MODES:
        mine = table[table["mode"] == mode]
        for key in COMPARED:
            found = ((name, _find(mine, key, name)) for name in STRICTEST)
            opponent, row = next(((name, row) for name, row in found if row is not None), ("", None))
            if row is not None and key != HINDSIGHT:
                text = f"{MODE_NAMES[mode]}, {_short(key)}, against the {OPPONENT_NAMES[opponent]}: {_points(row)}"
                lines[_verdict(row)].append(text)
    heads = {
        "holds": "The found networks are better:",
        "fails": "The published networks are better, with the hindsight that they are given:",
        "open": "The interval includes no difference:",
    }
    for verdict in ("holds", "fails", "open"):
        yield heads[verdict] + ("" if lines[verdict] else " in nothing.")
        yield ""
        yield from (f"- {line}" for line in lines[verdict])
        if lines[verdict]:
            yield ""


def _find(table: pd.DataFrame, key: str, opponent: str) -> "pd.Series[Any] | None":
    """Return the row of an entry of `COMPARED` against an opponent; None: there is none."""
    names = table["figure"]
    wanted = names.str.endswith(f" against {opponent}") & names.str.startswith(f"{key} ")
    if key == "hypervolume":
        wanted &= ~names.str.startswith("hypervolume from")
    found = table[wanted]
    return None if found.empty else found.iloc[0]


def _short(key: str) -> str:
    return COMPARED[key].partition(":")[0]


def _verdict(row: "pd.Series[Any]") -> str:
    return "holds" if row["low"] > 0 else "fails" if row["high"] < 0 else "open"


def _points(row: "pd.Series[Any]") -> str:
    """Return a difference with its interval as text, in percentage points."""
    return f"{100 * row['difference']:+.1f} ({100 * row['low']:+.1f} to {100 * row['high']:+.1f})"


def _figures(table: pd.DataFrame) -> Iterator[str]:
    """Yield the comparisons of one mode as a table: for each opponent its figure, and the difference to it."""
    rows = {(key, name): _find(table, key, name) for key in COMPARED for name in OPPONENTS}
    there = [name for name in OPPONENTS if any(rows[key, name] is not None for key in COMPARED)]
    titles = " | ".join(f"published, {OPPONENT_NAMES[name]}" for name in there)
    yield f"| figure, % | found | {titles} |"
    yield "|---|---|" + "---|" * len(there)
    for key, title in COMPARED.items():
        mine = [row for name in there if (row := rows[key, name]) is not None]
        cells = " | ".join(f"{100 * row['theirs']:.1f}: {_points(row)}" for row in mine)
        yield f"| {title} | {100 * mine[0]['ours']:.1f} | {cells} |"
    yield ""
    names = table["figure"]
    for opponent in there:
        mine_at = table[names.str.startswith("at the MACs of ") & names.str.endswith(f" against {opponent}")]
        if len(mine_at):
            verdicts = [_verdict(row) for _, row in mine_at.iterrows()]
            counts = {name: verdicts.count(name) for name in ("holds", "fails", "open")}
            yield (
                f"- At the MACs of {len(mine_at)} published networks with the {OPPONENT_NAMES[opponent]}, the found "
                f"one is better at {counts['holds']}, worse at {counts['fails']}, and undecided at {counts['open']}."
            )
    regret = table[names == "regret of the choice"].iloc[0]
    yield (
        f"- What validation chose has {100 * regret['ours']:.1f} %, the best of the front "
        f"{100 * regret['theirs']:.1f} %: regret {_points(regret)}."
    )
    yield ""


def _costs(table: pd.DataFrame) -> Iterator[str]:
    """Yield where on the axis of cost the trials of one mode lie."""
    trials = table[table.index.str.startswith("trials from ")]["ours"]
    shares = table[table.index.str.startswith("share of seconds from ")]["ours"]
    yield "| MACs of the trials | trials | share of the processor seconds |"
    yield "|---|---|---|"
    for (name, count), share in zip(trials.items(), shares, strict=True):
        low, _, high = str(name).removeprefix("trials from ").removesuffix(" MACs").partition(" to ")
        yield f"| {int(low):,} to {int(high):,} | {count:.0f} | {share:.0%} |"
    yield ""
    ours = {str(name): float(value) for name, value in table["ours"].items()}
    yield (
        f"{ours['trials']:.0f} trials in {ours['processor seconds'] / 3600:.1f} processor hours, "
        f"{ours['share of seconds at chance']:.0%} of them in networks that ended at chance."
    )
    yield ""


def _recipes(table: pd.DataFrame) -> Iterator[str]:
    """Yield the comparison of recipes on the same networks."""
    means = table[table["figure"].str.startswith("recipe: ") & table["figure"].str.endswith(", mean")]
    yield "| the published networks, mean | first, % | second, % | difference |"
    yield "|---|---|---|---|"
    for _, row in means.iterrows():
        first, _, second = row["figure"].removeprefix("recipe: ").removesuffix(", mean").partition(" against ")
        yield (
            f"| {WAYS[first]} against {WAYS[second]} | {100 * row['ours']:.1f} | {100 * row['theirs']:.1f} | "
            f"{_points(row)} |"
        )
    yield ""


def _published(points: pd.DataFrame) -> Iterator[str]:
    """Yield the accuracy of every published network in every way."""
    mine = points[points["way"] != ""]
    titles = " | ".join(f"{title}, %" for title in WAYS.values())
    yield f"| network | MACs | {titles} | changed in the report's recipe |"
    yield "|---|---|" + "---|" * (len(WAYS) + 1)
    for name, rows in mine.groupby("network", sort=False):
        by_way = {str(row["way"]): row for _, row in rows.iterrows()}
        cells = [
            f"{100 * row['accuracy']:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
            if (row := by_way.get(way)) is not None else ""
            for way in WAYS
        ]  # fmt: skip
        changes = "; ".join(row["changes"] for row in by_way.values() if row["changes"])
        yield f"| {name} | {rows['macs'].iloc[0]:,.0f} | {' | '.join(cells)} | {changes} |"
    yield ""


def plot(networks: pd.DataFrame, path: Path) -> None:
    """Plot found and published networks by MACs and accuracy, with 95 % intervals; a panel for each data set."""
    names = list(dict.fromkeys(networks["data"]))
    figure = Figure(figsize=(6.5 * len(names), 5), layout="constrained")
    for axes, data in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        mine = networks[networks["data"] == data]
        for place, (way, title) in enumerate(WAYS.items()):
            rows = mine[mine["way"] == way]
            shifted = rows["macs"] * 1.03 ** (place - 1)  # beside each other, not over each other
            axes.errorbar(shifted, rows["accuracy"], _bars(rows), fmt="osD"[place], ms=4, lw=0.8, alpha=0.7,
                          label=f"published, {title}")  # fmt: skip
        for mode, colour in zip(MODES, ("black", "tab:red"), strict=True):
            rows = mine[mine["mode"] == mode].sort_values("macs")
            axes.errorbar(rows["macs"], rows["accuracy"], _bars(rows), fmt="^", ms=6, lw=1.4, color=colour)
            axes.step(rows["macs"], rows["accuracy"], where="post", color=colour, lw=1.8, label=MODE_NAMES[mode])
        axes.set(xscale="log", xlabel="MACs", ylabel="macro accuracy, evaluation clips", title=data)
        axes.set_xlim(min(MIN_MACS, float(mine["macs"].min())), 1.5 * float(networks["macs"].max()))
        axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
    figure.savefig(path, dpi=110)


def _bars(rows: pd.DataFrame) -> list[Iterable[float]]:
    return [(rows["accuracy"] - rows["low"]).clip(lower=0), (rows["high"] - rows["accuracy"]).clip(lower=0)]
