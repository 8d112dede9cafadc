"""Open a transaction for one school."""

from contextlib import AbstractAsyncContextManager
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from ticketcap_chassis.database.transactions import open_tenant_transaction

SCHOOL_SETTING: Final = "ticketcap.school_id"
"""The setting that row-level security reads."""


def school_transaction(engine: AsyncEngine, school_id: UUID) -> AbstractAsyncContextManager[AsyncConnection]:
    """Open a transaction that sees and writes the rows of one school; commit when the code inside ends."""
    return open_tenant_transaction(engine, SCHOOL_SETTING, str(school_id))
