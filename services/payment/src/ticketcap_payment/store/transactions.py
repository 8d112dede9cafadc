"""Open a transaction for one school, or read across schools."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

from sqlalchemy import Row, TextClause
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from ticketcap_chassis.database.transactions import open_connection, open_tenant_transaction


def school_transaction(engine: AsyncEngine, school_id: UUID) -> AbstractAsyncContextManager[AsyncConnection]:
    """Open a transaction that sees and writes the rows of one school only; commit when the block ends."""
    return open_tenant_transaction(engine, "ticketcap.school_id", str(school_id))


async def read(engine: AsyncEngine, statement: TextClause, **values: object) -> Sequence[Row[Any]]:
    """Return all rows of one statement, read outside any school's transaction."""
    async with open_connection(engine) as connection:
        return (await connection.execute(statement, values)).all()
