"""Store the schools that have payments, and find their ids."""

from typing import Final
from uuid import UUID

from async_lru import alru_cache
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.transactions import open_transaction

from ticketcap_payment.store.transactions import read

_CACHED: Final = 10_000

_STORE: Final = text("""-- schools.store: Store a school, unless it is stored.
INSERT INTO schools (id, slug, synthetic) VALUES (:id, :slug, :synthetic) ON CONFLICT DO NOTHING""")

_BY_SLUG: Final = text("""-- schools.by_slug: Find a school by its slug.
SELECT id FROM schools WHERE slug = :slug""")


class Schools:
    """The schools that this service has met. A school's id, slug and ``synthetic`` never change."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # Every node has a copy of this table, so a write of it is dear: each process writes a school once.
        self._cached_store = alru_cache(maxsize=_CACHED)(self._store)

    async def store(self, school_id: UUID, slug: str, *, synthetic: bool) -> None:
        """Store a school before its first row, in a transaction of its own."""
        await self._cached_store(school_id, slug, synthetic)

    async def find(self, slug: str) -> UUID | None:
        """Return the id of a school, or None when it never had a payment."""
        rows = await read(self._engine, _BY_SLUG, slug=slug)
        return rows[0].id if rows else None

    async def close(self) -> None:
        """Cancel statements that still run."""
        await self._cached_store.cache_close()

    async def _store(self, school_id: UUID, slug: str, synthetic: bool) -> None:
        async with open_transaction(self._engine) as connection:
            await connection.execute(_STORE, {"id": school_id, "slug": slug, "synthetic": synthetic})
