"""Prepare psql and pg_dump for a database of the stack."""

from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from ticketcap_local.errors import CommandError
from ticketcap_local.postgres import EmbeddedPostgres, binaries
from ticketcap_local.settings import StackSettings

SERVICES: Final = ("registration", "payment")


class NoDatabase(CommandError):
    """The database can't be opened; the message says why and what to do."""


class Program(NamedTuple):
    """A program with its arguments and additional environment.

    The password travels in the environment: other users of the machine can read a process's arguments.
    """

    path: str
    arguments: list[str]
    environment: dict[str, str]


def psql(settings: StackSettings, service: str, *, command: str, as_owner: bool) -> Program:
    """Return psql, as the role for jobs unless ``as_owner``; raise NoDatabase.

    The role for jobs reads every school's rows but no personal data.
    """
    role = "" if as_owner else f"-c role={service}_jobs"
    arguments = ["--no-psqlrc", "--set=ON_ERROR_STOP=1", *(["--command", command] if command else [])]
    return _program("psql", settings, service, arguments, {"PGOPTIONS": role, "PAGER": "cat"})


def pg_dump(settings: StackSettings, service: str, file: Path) -> Program:
    """Return pg_dump, which writes the whole database to ``file``; raise NoDatabase."""
    return _program("pg_dump", settings, service, ["--format=custom", f"--file={file}"], {})


def _program(
    name: str, settings: StackSettings, service: str, arguments: list[str], environment: dict[str, str]
) -> Program:
    url = urlsplit(database_url(settings, service))
    address = urlunsplit(url._replace(netloc=url.netloc.replace(f":{url.password}@", "@", 1)))
    path = str(binaries() / name)
    return Program(
        path, [path, f"--dbname={address}", *arguments], {"PGPASSWORD": unquote(url.password or ""), **environment}
    )


def database_url(settings: StackSettings, service: str) -> str:
    """Return the URL of a service's database, as the owner of its tables; raise NoDatabase."""
    if service not in SERVICES:
        raise NoDatabase(f"the service {service!r} has no database: use {' or '.join(SERVICES)}")
    external = settings.database_url if service == "registration" else settings.payment_database_url
    if external:
        return external
    folder = Path(settings.state_dir) / "postgres/data"
    if not folder.exists():
        raise NoDatabase(f"no database in {folder}; start the stack with 'make run'")
    return EmbeddedPostgres(folder, settings.postgres_port).url(service)
