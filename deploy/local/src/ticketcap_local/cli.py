"""Run and inspect TicketCap's embedded stack."""

import asyncio
import contextlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn
from uuid import UUID

import typer

from ticketcap_local.errors import CommandError
from ticketcap_local.settings import HOST, StackSettings

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help=__doc__)

_SCHOOL: Final = "herzl"
_EVENT: Final = "spring-match"

Service = Annotated[str, typer.Argument(help="registration or payment: whose database")]
Apply = Annotated[bool, typer.Option("--apply", help="commit; without it nothing changes")]


@app.command()
def up(
    monitoring: Annotated[bool, typer.Option("--monitoring", help="start Prometheus and Alertmanager too")] = False,
) -> None:
    """Start all parts and restart those that end; Ctrl-C stops all."""
    from ticketcap_local.up import up as run

    settings = replace(StackSettings.read(), with_monitoring=monitoring)
    _say("TicketCap is starting\n")
    asyncio.run(run(settings, _say))


@app.command()
def status() -> None:
    """Print each part with its state, process id, address and log file."""
    from ticketcap_local.state import StateFolder
    from ticketcap_local.status_view import lines_of

    settings = StackSettings.read()
    parts = StateFolder(settings.state_dir).parts()
    if not parts:
        raise CommandError(f"no stack runs over {settings.state_dir}; start one with 'make run'")
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

    state = StateFolder(StackSettings.read().state_dir)
    state.prepare()
    try:
        print(make_token(state.secrets()["JWT_SECRET"], role=role.upper(), school=school, hours=hours))
    except ValueError as error:
        raise CommandError(str(error)) from error


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
    from ticketcap_local.traffic_view import play

    target = url or StackSettings.read().gateway_url
    options: dict[str, Any] = {"parents": parents, "concurrency": concurrency, "spots": spots, "seed": seed}
    if not asyncio.run(play(url=target.rstrip("/"), school=school, event=event, **options)):
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
    from ticketcap_local.traces_client import fetch

    url = f"http://{HOST}:{StackSettings.read().otlp_http_port}"
    newest = fetch(url, limit=limit, service=service, name=name, trace_id=trace_id)
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
    """Open psql on a service's database.

    The role for jobs sees every school but no personal data.
    """
    from ticketcap_local.sql import psql

    _replace_process(*psql(StackSettings.read(), service, command=command, as_owner=owner))


@app.command()
def dump(
    service: Service, file: Annotated[Path, typer.Argument(help="a new file, readable for its owner only")]
) -> None:
    """Dump a service's database to a private file.

    pg_restore reads the file. It contains personal data.
    """
    from ticketcap_local.sql import pg_dump

    if file.exists():
        raise CommandError(f"{file} exists: name a new file")
    os.umask(0o077)
    _replace_process(*pg_dump(StackSettings.read(), service, file.absolute()))


correct = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Correct data; a dry run without --apply.")
app.add_typer(correct, name="correct")


@correct.command("recount")
def correct_recount(event_id: Annotated[UUID, typer.Argument(help="the event's id")], apply: Apply = False) -> None:
    """Set an event's counters to the sums of its registrations."""
    from ticketcap_local.corrections import recount

    recount(_database_url("registration"), event_id, apply=apply, say=_say)


@correct.command("end-session")
def correct_end_session(
    service: Service, pid: Annotated[int, typer.Argument(help="of pg_stat_activity")], apply: Apply = False
) -> None:
    """End one session of a service's database.

    Its transaction rolls back.
    """
    from ticketcap_local.corrections import end_session

    end_session(_database_url(service), pid, apply=apply, say=_say)


@correct.command("protect-tables")
def correct_protect_tables(service: Service, apply: Apply = False) -> None:
    """Force row-level security on every table with policies."""
    from ticketcap_local.corrections import protect_tables

    protect_tables(_database_url(service), apply=apply, say=_say)


@app.command()
def drill(
    name: Annotated[str, typer.Argument(help="its name; --list prints all", show_default=False)] = "",
    seconds: Annotated[float, typer.Option(help="duration; unset: as long as its alert needs", min=0, max=86_400)] = 0,
    listed: Annotated[bool, typer.Option("--list", help="print all drills and their faults")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="print each change of the alert; needs 'up --monitoring'")
    ] = False,
) -> None:
    """Make the fault of an alert happen, then undo it.

    Ctrl-C ends it early.
    """
    from ticketcap_local.drills.catalogue import drills
    from ticketcap_local.drills.run import run
    from ticketcap_local.drills.target import CannotDrill, Target

    by_name = drills()
    if listed:
        for one in by_name.values():
            typer.echo(f"{one.name:<34}{one.breaks}")
        return
    if name not in by_name:
        raise CannotDrill(f"unknown drill {name!r}: 'ticketcap drill --list' names all")
    chosen, target = by_name[name], Target(StackSettings.read())
    asyncio.run(run(chosen, target, seconds=seconds or chosen.seconds, say=_say, watch=watch))


def main() -> None:
    """Run the command; print a CommandError as one line and exit with its code."""
    try:
        app()
    except CommandError as error:
        print(f"ticketcap: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _replace_process(path: str, arguments: list[str], environment: dict[str, str]) -> NoReturn:
    os.execve(path, arguments, {**os.environ, **environment})  # noqa: S606 - psql or pg_dump, of a fixed folder


def _database_url(service: str) -> str:
    from ticketcap_local.sql import database_url

    return database_url(StackSettings.read(), service)


def _say(line: str) -> None:
    # A closed terminal must not prevent the stack from stopping in order.
    with contextlib.suppress(OSError):
        print(line, flush=True)
