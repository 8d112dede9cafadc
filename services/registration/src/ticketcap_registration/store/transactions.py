"""Open a transaction for one school."""

from contextlib import AbstractAsyncContextManager
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from ticketcap_chassis.database.transactions import open_tenant_transaction


def school_transaction(engine: AsyncEngine, school_id: UUID) -> AbstractAsyncContextManager[AsyncConnection]:
    """Open a transaction that sees and writes the rows of one school; commit when the code inside ends."""
    return open_tenant_transaction(engine, "ticketcap.school_id", str(school_id))
