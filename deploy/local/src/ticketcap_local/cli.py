"""Run and inspect TicketCap's embedded stack."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn
from uuid import UUID

import typer

from ticketcap_local.settings import HOST, SettingError, StackSettings

if TYPE_CHECKING:
    from ticketcap_local.sql import Program

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help=__doc__)

_SCHOOL: Final = "herzl"
_EVENT: Final = "spring-match"
_EXIT_CANNOT_DRILL: Final = 2

Service = Annotated[str, typer.Argument(help="registration or payment: whose database")]
Apply = Annotated[bool, typer.Option("--apply", help="commit; without it nothing changes")]


@app.command()
def up(
    monitoring: Annotated[bool, typer.Option("--monitoring", help="start Prometheus and Alertmanager too")] = False,
) -> None:
    """Start all parts and restart those that end; Ctrl-C stops all."""
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
        _fail(f"no stack runs over {settings.state_dir}; start one with 'make run'")
    for line in lines_of(parts):
        typer.echo(line)
    if any(part.state != "running" for part in parts):
        raise typer.Exit(1)


@app.command()
def token(
    role: Annotated[str, typer.Option(help="SUPER_ADMIN, OWNER, ADMIN, MANAGER, VIEWER or SERVICE")],
    school: Annotated[str | None, typer.Option(help="the school's slug; not for SUPER_ADMIN")] = None,
    hours: Annotated[float, typer.Option(help="how long it is valid", min=0.01, max=8760)] = 12.0,
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
    spots: Annotated[int, typer.Option(help="spots of each registration", min=1, max=100)] = 1,
    url: Annotated[str | None, typer.Option(help="another gateway than the embedded one")] = None,
    seed: Annotated[int | None, typer.Option(help="repeat the run with this seed")] = None,
) -> None:
    """Register a rush of parents at an event and show the outcomes."""
    from ticketcap_local.traffic_view import NoEvent, play

    target = url or _settings().gateway_url
    options: dict[str, Any] = {"parents": parents, "concurrency": concurrency, "spots": spots, "seed": seed}
    try:
        succeeded = asyncio.run(play(url=target.rstrip("/"), school=school, event=event, **options))
    except NoEvent as error:
        _fail(str(error))
    if not succeeded:
        raise typer.Exit(1)


@app.command()
def traces(
    limit: Annotated[int, typer.Option(help="how many", min=1, max=200)] = 5,
    service: Annotated[str, typer.Option(help="only traces with spans of this service")] = "",
    name: Annotated[str, typer.Option(help="only traces with a span whose name contains this")] = "",
    trace_id: Annotated[str, typer.Option(help="one trace, by its id or the beginning of its id")] = "",
    depth: Annotated[int, typer.Option(help="levels of the tree to draw", min=1, max=1000)] = 1000,
) -> None:
    """Show the newest traces as trees. --name ListChanges shows payment's successful polls of the change feed."""
    from rich.console import Console

    from ticketcap_local.trace_view import LEGEND, lines_of
    from ticketcap_local.traces_client import NoTraces, fetch

    url = f"http://{HOST}:{_settings().otlp_http_port}"
    try:
        newest = fetch(url, limit=limit, service=service, name=name, trace_id=trace_id)
    except NoTraces as error:
        _fail(str(error))
    console = Console(highlight=False)
    for trace in reversed(newest):
        for line in lines_of(trace, depth):
            # A terminal cuts long lines; a file or a pipe gets them complete.
            console.print(line, no_wrap=True, overflow="ellipsis" if console.is_terminal else "ignore", crop=False)
        console.print()
    if any(span["links"] for trace in newest for span in trace["spans"]):
        console.print(LEGEND, style="dim")


@app.command()
def sql(
    service: Service = "registration",
    command: Annotated[str, typer.Option("--command", "-c", help="run this and leave; unset: a prompt")] = "",
    owner: Annotated[bool, typer.Option("--owner", help="connect as the tables' owner")] = False,
) -> None:
    """Open psql as the service's role for jobs, which sees every school but no personal data."""
    from ticketcap_local.sql import psql

    _replace_process(lambda settings: psql(settings, service, command=command, as_owner=owner))


@app.command()
def dump(
    service: Service, file: Annotated[Path, typer.Argument(help="a new file, readable for its owner only")]
) -> None:
    """Dump the service's database to a file; 'pg_restore FILE' reads it."""
    from ticketcap_local.sql import pg_dump

    if file.exists():
        _fail(f"{file} exists: name a new file")
    os.umask(0o077)
    _replace_process(lambda settings: pg_dump(settings, service, file.absolute()))


correct = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Correct data; a dry run without --apply.")
app.add_typer(correct, name="correct")


@correct.command("recount")
def correct_recount(event_id: Annotated[UUID, typer.Argument(help="the event's id")], apply: Apply = False) -> None:
    """Set an event's counters to what its registrations add up to."""
    from ticketcap_local.corrections import recount

    _correct("registration", lambda url: recount(url, event_id, apply=apply, say=_say), apply=apply)


@correct.command("end-session")
def correct_end_session(
    service: Service, pid: Annotated[int, typer.Argument(help="of pg_stat_activity")], apply: Apply = False
) -> None:
    """End one session of the service's database; its transaction rolls back."""
    from ticketcap_local.corrections import end_session

    _correct(service, lambda url: end_session(url, pid, apply=apply, say=_say), apply=apply)


@correct.command("protect-tables")
def correct_protect_tables(service: Service, apply: Apply = False) -> None:
    """Enable and force row-level security on every table that has policies."""
    from ticketcap_local.corrections import protect_tables

    _correct(service, lambda url: protect_tables(url, apply=apply, say=_say), apply=apply)


@app.command()
def drill(
    name: Annotated[str, typer.Argument(help="its name; --list prints all", show_default=False)] = "",
    seconds: Annotated[float, typer.Option(help="duration; unset: as long as its alert needs", min=0, max=86_400)] = 0,
    listed: Annotated[bool, typer.Option("--list", help="print all drills and their faults")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="print each change of the alert; needs 'up --monitoring'")
    ] = False,
) -> None:
    """Make the fault of an alert happen, and undo it; Ctrl-C ends it early."""
    from ticketcap_local.drills.catalogue import drills
    from ticketcap_local.drills.run import DrillFailed, run
    from ticketcap_local.drills.target import CannotDrill, Target, UndoFailed

    by_name = drills()
    if listed:
        for one in by_name.values():
            typer.echo(f"{one.name:<34}{one.breaks}")
        return
    if name not in by_name:
        _fail(f"unknown drill {name!r}: 'ticketcap drill --list' names all", code=_EXIT_CANNOT_DRILL)
    chosen = by_name[name]
    settings = _settings()

    async def run_one() -> None:
        await run(chosen, Target(settings), seconds=seconds or chosen.seconds, say=_say, watch=watch)

    try:
        asyncio.run(run_one())
    except CannotDrill as error:
        _fail(str(error), code=_EXIT_CANNOT_DRILL)
    except (DrillFailed, UndoFailed) as error:
        _fail(str(error))


def _replace_process(program: "Callable[[StackSettings], Program]") -> NoReturn:
    from ticketcap_local.sql import NoDatabase

    try:
        path, arguments, environment = program(_settings())
    except NoDatabase as error:
        _fail(str(error))
    os.execve(path, arguments, {**os.environ, **environment})  # noqa: S606 - psql or pg_dump, of a fixed folder


def _correct(service: str, correction: "Callable[[str], None]", *, apply: bool) -> None:
    from ticketcap_local.corrections import CorrectionFailed
    from ticketcap_local.sql import NoDatabase, database_url

    try:
        correction(database_url(_settings(), service))
    except (CorrectionFailed, NoDatabase) as error:
        _fail(str(error))
    _say("corrected" if apply else "dry run: nothing changed; --apply commits")


def _say(line: str) -> None:
    # A closed terminal must not prevent the stack from stopping in order.
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
