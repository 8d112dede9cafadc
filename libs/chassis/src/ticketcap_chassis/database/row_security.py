"""Set row-level security up in migrations, and prove it at start."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

_UNBOUND: Final = text("""-- roles.unbound: Find the reasons why the current role may see the rows of every tenant.
SELECT current_user AS role,
       EXISTS (SELECT FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)) AS bypasses,
       ARRAY(SELECT relname::text FROM pg_class
             WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname = ANY(:tables)
               AND (relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)
                    OR NOT (relrowsecurity AND relforcerowsecurity))) AS unprotected
""")


async def unprotected_tables(engine: AsyncEngine, tables: Sequence[str]) -> list[str]:
    """Return the tables among ``tables`` whose rows of every tenant the engine's role can see; it must be empty."""
    found = await _query(engine, tables)
    return list(tables) if found.bypasses else list(found.unprotected)


async def require_row_security(engine: AsyncEngine, tables: Sequence[str], *, migrate: str) -> None:
    """Stop the process unless row-level security of ``tables`` binds the role of ``engine``.

    The message names ``migrate``, the command that restores it.
    """
    found = await _query(engine, tables)
    if found.bypasses or found.unprotected:
        sys.exit(
            f"the role {found.role} is not bound by row-level security "
            f"(superuser or BYPASSRLS: {found.bypasses}; unprotected tables: {found.unprotected}); "
            f"run '{migrate}' and start again"
        )


async def _query(engine: AsyncEngine, tables: Sequence[str]) -> Row[Any]:
    async with engine.connect() as connection:
        return (await connection.execute(_UNBOUND, {"tables": list(tables)})).one()


def create_role(name: str) -> Iterator[str]:
    """Yield statements that create a role without login and let the current login assume it.

    A server's databases share its roles, so the role may exist already.
    """
    yield f"""
        DO $$ BEGIN
          CREATE ROLE {name} NOLOGIN NOBYPASSRLS;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END $$"""
    yield f"""
        DO $$ BEGIN
          IF NOT pg_has_role(current_user, '{name}',
                             CASE WHEN current_setting('server_version_num')::int >= 160000
                                  THEN 'SET' ELSE 'MEMBER' END) THEN
            EXECUTE format('GRANT {name} TO %I', current_user);
          END IF;
        END $$"""


def protect_table(table: str) -> Iterator[str]:
    """Yield statements that turn row-level security of ``table`` on, for its owner too."""
    yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
    yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"
