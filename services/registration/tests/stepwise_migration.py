"""Migrate a database step by step, as a plain login."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import ticketcap_registration.store
from alembic import command
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine
from ticketcap_chassis.database.engine import driver_url
from ticketcap_chassis.database.upgrade import configuration


def plain_login(url: str) -> str:
    """Return the address of ``url`` for its new owner, a login that may make roles and nothing more."""
    with psycopg.connect(url, autocommit=True) as superuser:
        database = conninfo_to_dict(url)["dbname"]
        for role in ("registration_app", "registration_jobs"):
            if not superuser.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
                superuser.execute(f"CREATE ROLE {role} NOLOGIN NOBYPASSRLS".encode())
        for statement in (
            f"CREATE ROLE {database} LOGIN CREATEROLE PASSWORD 'plain'",
            f"GRANT registration_app, registration_jobs TO {database}",
            f"ALTER DATABASE {database} OWNER TO {database}",
            f"ALTER SCHEMA public OWNER TO {database}",
        ):
            superuser.execute(statement.encode())
    parts = urlsplit(url)
    return parts._replace(netloc=f"{database}:plain@{parts.hostname}:{parts.port}").geturl()


def migrate_to(url: str, revision: str) -> None:
    folder: Any = Path(ticketcap_registration.store.__path__[0]) / "migrations"
    engine = create_engine(driver_url(url))
    with engine.connect() as connection:
        command.upgrade(configuration(connection, folder), revision)
        connection.commit()
    engine.dispose()
