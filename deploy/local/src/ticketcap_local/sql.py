"""Prepare psql and pg_dump for a database of the stack."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

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
    return _program("psql", settings, service, arguments, options=role, environment={"PAGER": "cat"})


def pg_dump(settings: StackSettings, service: str, file: Path) -> Program:
    """Return pg_dump, which writes the whole database to ``file``; raise NoDatabase."""
    return _program("pg_dump", settings, service, ["--format=custom", f"--file={file}"])


def _program(
    name: str,
    settings: StackSettings,
    service: str,
    arguments: list[str],
    *,
    options: str = "",
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Program:
    # libpq takes time to load; only these commands need it.
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    parameters: dict[str, Any] = conninfo_to_dict(database_url(settings, service))
    password = parameters.pop("password", None)
    if options:
        # The last of a repeated option counts: the string's own options can't replace the role.
        parameters["options"] = f"{parameters.get('options', '')} {options}".strip()
    path = str(binaries() / name)
    secret = {} if password is None else {"PGPASSWORD": str(password)}
    return Program(path, [path, f"--dbname={make_conninfo(**parameters)}", *arguments], {**secret, **environment})


def database_url(settings: StackSettings, service: str) -> str:
    """Return libpq's connection string of a service's database, as the owner of its tables; raise NoDatabase."""
    if service not in SERVICES:
        raise NoDatabase(f"the service {service!r} has no database: use {' or '.join(SERVICES)}")
    external = settings.database_url if service == "registration" else settings.payment_database_url
    if external:
        from psycopg.conninfo import make_conninfo
        from ticketcap_chassis.database.connection_string import connection_parameters

        return make_conninfo(**connection_parameters(external))
    folder = Path(settings.state_dir) / "postgres/data"
    if not folder.exists():
        raise NoDatabase(f"no database in {folder}; start the stack with 'make run'")
    return EmbeddedPostgres(folder, settings.postgres_port).url(service)
