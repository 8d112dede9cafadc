"""Let roles log in with the settings of their sessions.

A session that begins as the role itself needs no options, which poolers refuse. Passwords are hashed here: the server
receives SCRAM verifiers.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Composed, Identifier, Literal

from ticketcap_chassis.database.connection_string import connection_parameters
from ticketcap_chassis.database.settings import MigrateSettings

_LOCK: Final = "-- logins.lock: Let one process write the logins of a service.\nSELECT pg_advisory_xact_lock(%s)"


def create_logins(settings: MigrateSettings, *, app: str, jobs: str, session: Mapping[str, str], lock: int) -> None:
    """Let the roles ``app`` and ``jobs`` log in, with the passwords of their connection strings.

    The sessions of each get the limits and ``session`` as settings for this database, in place of those of an earlier
    run. A string without a password leaves the role's password as it is. A failure ends the process in one line.
    """
    if not (settings.database_owner_url and settings.database_jobs_url):
        sys.exit("migrate --logins: set DATABASE_OWNER_URL, DATABASE_URL and DATABASE_JOBS_URL, each with its login")
    urls = {"DATABASE_URL": (app, settings.database_url), "DATABASE_JOBS_URL": (jobs, settings.database_jobs_url)}
    logins = {variable: (role, connection_parameters(url)) for variable, (role, url) in urls.items()}
    for variable, (role, parameters) in logins.items():
        if parameters.get("user") != role:
            sys.exit(f"{variable}: its login must be {role}")
    sessions = {**settings.limits().of_session(), **settings.planner(), **session}
    values = {name: str(value) for name, value in sessions.items()}
    try:
        with psycopg.connect(make_conninfo(**connection_parameters(settings.database_owner_url))) as connection:
            connection.execute(_LOCK, (lock,))
            for role, parameters in logins.values():
                for statement in _login(connection, role, parameters.get("password"), values):
                    connection.execute(statement)
    except psycopg.Error as error:
        sys.exit(f"DATABASE_OWNER_URL: its login can't alter the roles {app} and {jobs} ({type(error).__name__})")


def _login(
    connection: psycopg.Connection, role: str, password: str | None, values: Mapping[str, str]
) -> Iterator[Composed]:
    """Yield the statements that make ``role`` a login."""
    name = Identifier(role)
    yield SQL("ALTER ROLE {} LOGIN").format(name)
    if password is not None:
        verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
        yield SQL("ALTER ROLE {} PASSWORD {}").format(name, Literal(verifier.decode()))
    # For this database: an operator's own settings of the role stay.
    here = SQL("ALTER ROLE {} IN DATABASE {}").format(name, Identifier(connection.info.dbname))
    yield here + SQL(" RESET ALL")
    for setting, value in values.items():
        yield here + SQL(" SET {} TO {}").format(Identifier(setting), Literal(value))
