"""Migrate payment's database step by step, as a plain login."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import ticketcap_payment.store
from alembic import command
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine
from ticketcap_chassis.database.engine import driver_url
from ticketcap_chassis.database.upgrade import configuration

_ROLES = ("payment_app", "payment_jobs")


def plain_owner(url: str) -> str:
    """Return the address of ``url`` for its new owner, a login that may make roles and nothing more."""
    with psycopg.connect(url, autocommit=True) as superuser:
        database = conninfo_to_dict(url)["dbname"]
        for role in _ROLES:
            if not superuser.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
                superuser.execute(f"CREATE ROLE {role} NOLOGIN NOBYPASSRLS".encode())
        for statement in (
            f"CREATE ROLE {database} LOGIN CREATEROLE PASSWORD 'plain'",
            f"GRANT {', '.join(_ROLES)} TO {database}",
            f"ALTER DATABASE {database} OWNER TO {database}",
            f"ALTER SCHEMA public OWNER TO {database}",
        ):
            superuser.execute(statement.encode())
    parts = urlsplit(url)
    return parts._replace(netloc=f"{database}:plain@{parts.hostname}:{parts.port}").geturl()


def migrate_money_to(url: str, revision: str) -> None:
    """Run payment's migrations up to ``revision``."""
    folder: Any = Path(ticketcap_payment.store.__path__[0]) / "migrations"
    engine = create_engine(driver_url(url))
    with engine.connect() as connection:
        command.upgrade(configuration(connection, folder), revision)
        connection.commit()
    engine.dispose()
