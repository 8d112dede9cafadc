"""Under which roles the service works, and the proof that they are bound by row-level security."""

import sys
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

APP: Final = "registration_app"
"""Sees and writes one school at a time."""

JOBS: Final = "registration_jobs"
"""Sees ids and counts of all schools, never a person; deletes what has aged."""

_UNBOUND: Final = text("""-- roles.unbound
SELECT current_user AS role,
       EXISTS (SELECT FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)) AS bypasses,
       ARRAY(SELECT relname::text FROM pg_class
             WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
               AND relname IN ('schools', 'events', 'registrations', 'idempotency_keys', 'outbox')
               AND (relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)
                    OR NOT (relrowsecurity AND relforcerowsecurity))) AS unprotected
""")


async def must_be_bound(engine: AsyncEngine) -> None:
    """Stop the process unless row-level security binds the role of ``engine``."""
    async with engine.connect() as connection:
        found = (await connection.execute(_UNBOUND)).one()
    if found.bypasses or found.unprotected:
        sys.exit(
            f"the role {found.role} is not bound by row-level security "
            f"(superuser or BYPASSRLS: {found.bypasses}; unprotected tables: {found.unprotected}); "
            "run 'python -m ticketcap_registration migrate' and start again"
        )
