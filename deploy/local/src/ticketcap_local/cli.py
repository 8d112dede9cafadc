"""The command ``ticketcap``: the embedded stack and what to do with it."""

import asyncio
import contextlib
import os
import sys
from dataclasses import replace
from typing import Annotated, Any, Final, NoReturn

import typer

from ticketcap_local.settings import HOST, SettingError, StackSettings

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help=__doc__)

_SCHOOL: Final = "herzl"
_EVENT: Final = "spring-match"
_CANNOT: Final = 2


@app.command()
def up(
    monitoring: Annotated[bool, typer.Option("--monitoring", help="start Prometheus and Alertmanager too")] = False,
) -> None:
    """Start everything and keep it running; Ctrl-C stops all."""
    from ticketcap_local.up import StackError
    from ticketcap_local.up import up as run

    settings = replace(_settings(), with_monitoring=monitoring)
    _say("TicketCap is starting\n")
    try:
        asyncio.run(run(settings, _say))
    except StackError as error:
        _fail(str(error))


@app.command()
def status() -> None:
    """Print each part with its state, process id, address and log file."""
    from ticketcap_local.state import StateFolder
    from ticketcap_local.status_view import lines_of

    settings = _settings()
    parts = StateFolder(settings.state_dir).running()
    if not parts:
        _fail(f"nothing runs over {settings.state_dir}; start it with 'make run'")
    for line in lines_of(parts):
        typer.echo(line)
    if any(part.state != "running" for part in parts):
        raise typer.Exit(1)


@app.command()
def token(
    role: Annotated[str, typer.Option(help="SUPER_ADMIN, OWNER, ADMIN, MANAGER, VIEWER or SERVICE")],
    school: Annotated[str | None, typer.Option(help="the school's slug; not for SUPER_ADMIN")] = None,
    hours: Annotated[float, typer.Option(help="how long it holds", min=0.01, max=8760)] = 12.0,
) -> None:
    """Print a token for local use."""
    from ticketcap_local.state import StateFolder
    from ticketcap_local.tokens import make_token

    state = StateFolder(_settings().state_dir)
    state.prepare()
    try:
        print(make_token(state.secrets()["JWT_SECRET"], role=role.upper(), school=school, hours=hours))
    except ValueError as error:
        _fail(str(error))


@app.command()
def traffic(
    school: Annotated[str, typer.Option()] = _SCHOOL,
    event: Annotated[str, typer.Option(help="slug or id")] = _EVENT,
    parents: Annotated[int, typer.Option(min=1, max=100_000)] = 2000,
    concurrency: Annotated[int, typer.Option(help="requests in flight", min=1, max=500)] = 256,
    spots: Annotated[int, typer.Option(help="spots that each parent wants", min=1, max=100)] = 1,
    url: Annotated[str | None, typer.Option(help="the gateway, when it is not the embedded one")] = None,
    seed: Annotated[int | None, typer.Option(help="replay a run")] = None,
) -> None:
    """Play a rush of parents against an event and show what they were told."""
    from ticketcap_local.traffic_view import NoEvent, play

    target = url or _settings().gateway_url
    wanted: dict[str, Any] = {"parents": parents, "concurrency": concurrency, "spots": spots, "seed": seed}
    try:
        is_well = asyncio.run(play(url=target.rstrip("/"), school=school, event=event, **wanted))
    except NoEvent as error:
        _fail(str(error))
    if not is_well:
        raise typer.Exit(1)


@app.command()
def traces(
    limit: Annotated[int, typer.Option(help="how many", min=1, max=200)] = 5,
    service: Annotated[str, typer.Option(help="only traces that this service is in")] = "",
    name: Annotated[str, typer.Option(help="only traces with a span whose name holds this")] = "",
    trace_id: Annotated[str, typer.Option(help="one trace, by its id or the beginning of it")] = "",
    depth: Annotated[int, typer.Option(help="levels of the tree to draw", min=1, max=1000)] = 1000,
) -> None:
    """Show the newest traces as trees. Payment's successful polls for changes are shown only by --name ListChanges."""
    from rich.console import Console

    from ticketcap_local.trace_view import LEGEND, lines_of
    from ticketcap_local.traces_client import NoTraces, fetch

    url = f"http://{HOST}:{_settings().otlp_http_port}"
    try:
        found = asyncio.run(fetch(url, limit=limit, service=service, name=name, trace_id=trace_id))
    except NoTraces as error:
        _fail(str(error))
    console = Console(highlight=False)
    for trace in reversed(found):
        for line in lines_of(trace, depth):
            # A terminal cuts what does not fit; a file or a pipe gets it all.
            console.print(line, no_wrap=True, overflow="ellipsis" if console.is_terminal else "ignore", crop=False)
        console.print()
    if any(span["links"] for trace in found for span in trace["spans"]):
        console.print(LEGEND, style="dim")


@app.command()
def sql(
    service: Annotated[str, typer.Argument(help="registration or payment: whose database")] = "registration",
    command: Annotated[str, typer.Option("--command", "-c", help="run this and leave; unset: a prompt")] = "",
    owner: Annotated[bool, typer.Option("--owner", help="act as the tables' owner, who may also correct rows")] = False,
) -> None:
    """Open psql on the stack's database as the service's role for jobs, which sees every school but no person."""
    from ticketcap_local.sql import CannotOpen, psql

    try:
        program, arguments, environment = psql(_settings(), service, command=command, as_owner=owner)
    except CannotOpen as error:
        _fail(str(error))
    os.execve(program, arguments, {**os.environ, **environment})  # noqa: S606 - psql takes this process over


@app.command()
def drill(
    name: Annotated[str, typer.Argument(help="which; see --list", show_default=False)] = "",
    seconds: Annotated[float, typer.Option(help="how long; unset: as long as its alert needs", min=0, max=86_400)] = 0,
    listed: Annotated[bool, typer.Option("--list", help="print all drills and what they break")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="print each change of the alert; needs 'up --monitoring'")
    ] = False,
) -> None:
    """Make the fault of an alert really happen, and undo it; Ctrl-C ends it early."""
    from ticketcap_local.drills.catalogue import drills
    from ticketcap_local.drills.drill import NotUndone
    from ticketcap_local.drills.ground import CannotDrill, Ground
    from ticketcap_local.drills.run import DrillFailed, run

    known = drills()
    if listed:
        for one in known.values():
            typer.echo(f"{one.name:<34}{one.breaks}")
        return
    if name not in known:
        _fail(f"no drill is called {name!r}; 'ticketcap drill --list' names all", code=_CANNOT)
    chosen = known[name]
    try:
        asyncio.run(run(chosen, Ground(_settings()), seconds=seconds or chosen.seconds, say=_say, watch=watch))
    except CannotDrill as error:
        _fail(str(error), code=_CANNOT)
    except (DrillFailed, NotUndone) as error:
        _fail(str(error))


def _say(line: str) -> None:
    # A terminal that is gone must not keep the stack from stopping in order.
    with contextlib.suppress(OSError):
        print(line, flush=True)


def _settings() -> StackSettings:
    try:
        return StackSettings.read()
    except SettingError as error:
        _fail(str(error))


def _fail(message: str, *, code: int = 1) -> NoReturn:
    print(f"ticketcap: {message}", file=sys.stderr)
    raise typer.Exit(code)
