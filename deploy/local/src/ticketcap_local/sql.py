"""Open psql on a database of the embedded stack under the right role."""

from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from ticketcap_local.postgres import EmbeddedPostgres, binaries
from ticketcap_local.settings import StackSettings

_SERVICES: Final = ("registration", "payment")


class CannotOpen(Exception):
    """psql can't be opened; the message says why and what to do."""


def psql(
    settings: StackSettings, service: str, *, command: str, as_owner: bool
) -> tuple[str, list[str], dict[str, str]]:
    """Return program, arguments and additional environment of psql; raise CannotOpen.

    The role for jobs reads every school's rows but no personal data. The password travels in the
    environment, since other users of the machine see a process's arguments.
    """
    if service not in _SERVICES:
        raise CannotOpen(f"{service!r} is no service with a database: name {' or '.join(_SERVICES)}")
    url = urlsplit(_database_url(settings, service))
    program = str(binaries() / "psql")
    address = urlunsplit(url._replace(netloc=url.netloc.replace(f":{url.password}@", "@", 1)))
    role = "" if as_owner else f"-c role={service}_jobs"
    environment = {"PGPASSWORD": unquote(url.password or ""), "PGOPTIONS": role, "PAGER": "cat"}
    arguments = [program, "--no-psqlrc", "--set=ON_ERROR_STOP=1", address]
    return program, [*arguments, *(["--command", command] if command else [])], environment


def _database_url(settings: StackSettings, service: str) -> str:
    given = settings.database_url if service == "registration" else settings.payment_database_url
    if given:
        return given
    folder = Path(settings.state_dir) / "postgres/data"
    if not folder.exists():
        raise CannotOpen(f"no database in {folder}; start the stack with 'make run'")
    return EmbeddedPostgres(folder, settings.postgres_port).url(service)
