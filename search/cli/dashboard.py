"""Command `dashboard`: serve studies to a browser, or write a snapshot of one."""

import os
import webbrowser
from pathlib import Path

import click

from search.cli.console import out
from search.cli.options import path_type, results_option
from search.study.study import StudyError, StudyFolder, find_study


@click.command()
@click.argument("names", nargs=-1, metavar="[STUDY]...")
@results_option
@click.option("--port", type=click.IntRange(1, 2**16 - 1), help="Port. [default: 8050, or the next free one]")
@click.option("--open/--no-open", "opens", default=None, help="Open a browser. [default: if there is a display]")
@click.option("--snapshot", type=path_type, help="Write one STUDY to this HTML file, instead of serving.")
def dashboard(
    names: tuple[str, ...], results: Path, port: int | None, opens: bool | None, snapshot: Path | None
) -> None:
    """Show STUDIES, by default all, in a browser, on this machine only, until Ctrl-C."""
    chosen = [find_study(results, name) for name in names]
    if snapshot is not None:
        _write(snapshot, chosen, results, len(names))
        return
    if not chosen and not results.is_dir():
        raise StudyError(f"there is no folder {results}: --results names the folder of all studies")
    if len({folder.name for folder in chosen}) < len({folder.path.resolve() for folder in chosen}):
        raise StudyError("two of these studies have the same name; show them one after the other")
    _serve(chosen, results, port, opens)


def _write(path: Path, chosen: list[StudyFolder], results: Path, num_named: int) -> None:
    from search.dashboard.snapshot import write_snapshot  # noqa: PLC0415  takes a second

    if num_named > 1:
        raise click.UsageError("--snapshot writes one study to a file; name one")
    write_snapshot(path, chosen[0] if chosen else find_study(results, None))
    out.print(str(path), soft_wrap=True)


def _serve(chosen: list[StudyFolder], results: Path, port: int | None, opens: bool | None) -> None:
    from search.dashboard.app import create_app, warm_up  # noqa: PLC0415  takes a second
    from search.dashboard.data.studies import Studies  # noqa: PLC0415
    from search.dashboard.serving import PORT, free_port, guard, open_server, serve  # noqa: PLC0415
    from search.dashboard.state import ApplicationState  # noqa: PLC0415

    wanted = port or PORT
    found = free_port(wanted)
    if found != wanted and port is not None:
        raise StudyError(f"port {wanted} is taken; {found} is free: --port {found}")
    state = ApplicationState(Studies(results, chosen))
    app = create_app(state)
    guard(app.server, found, app.csp_hashes(), app.callback_map)
    server = open_server(app.server, found)
    if found != wanted:
        out.print(f"port {wanted} is taken: using the next free one")
    address = f"http://127.0.0.1:{found}{state.studies.first_page()}"
    out.print(f"{address}\nfor this machine alone, until Ctrl-C", soft_wrap=True)
    wants = opens if opens is not None else bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))

    def begin() -> None:
        if wants:
            webbrowser.open(address)
        warm_up(state)

    try:
        serve(server, begin)
    finally:
        state.exports.close()
