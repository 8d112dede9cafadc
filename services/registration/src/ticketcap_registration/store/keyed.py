"""Makes a thing once per idempotency key: the thing and its first answer are written in one transaction."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, TypeVar
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from ticketcap_chassis.database.errors import ConstraintViolated
from ticketcap_chassis.database.transactions import open_connection

from ticketcap_registration.domain.errors import IdempotencyKeyReused
from ticketcap_registration.store.transactions import school_transaction

Thing = TypeVar("Thing")

_FIND: Final = text("""-- idempotency.find
SELECT fingerprint, answer::text AS answer FROM idempotency_keys WHERE scope = :scope AND key = :key""")

_KEEP: Final = text("""-- idempotency.keep
INSERT INTO idempotency_keys (scope, key, school_id, fingerprint, answer, created_at)
VALUES (:scope, :key, :school_id, :fingerprint, CAST(:answer AS jsonb), :now)""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An idempotency key: where it counts, and the digest of the body that it came with."""

    scope: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Made(Generic[Thing]):
    """What a request made, and whether an earlier one with its key did."""

    thing: Thing
    replayed: bool


class Keyed(Generic[Thing]):
    """Makes things of one kind. Keys are looked up under the jobs role, for a key may count over all schools."""

    def __init__(self, kind: type[Thing], *, engine: AsyncEngine, jobs_engine: AsyncEngine) -> None:
        self._answers = TypeAdapter(kind)
        self._engine = engine
        self._jobs_engine = jobs_engine

    async def make(
        self, key: Key, school_id: UUID, now: datetime, make: Callable[[AsyncConnection], Awaitable[Thing]]
    ) -> Made[Thing]:
        """Return what ``make`` made now, or the first answer to this key; raise IdempotencyKeyReused."""
        if earlier := await self._earlier(key):
            return earlier
        try:
            async with school_transaction(self._engine, school_id) as connection:
                thing = await make(connection)
                await connection.execute(_KEEP, self._kept(key, school_id, now, thing))
        except ConstraintViolated:
            # Either the rule of the thing itself, or this key: then its first request has just committed.
            if earlier := await self._earlier(key):
                return earlier
            raise
        return Made(thing, replayed=False)

    def _kept(self, key: Key, school_id: UUID, now: datetime, thing: Thing) -> dict[str, object]:
        return {
            "scope": key.scope,
            "key": key.key,
            "school_id": school_id,
            "fingerprint": key.fingerprint,
            "answer": self._answers.dump_json(thing).decode(),
            "now": now,
        }

    async def _earlier(self, key: Key) -> Made[Thing] | None:
        async with open_connection(self._jobs_engine) as connection:
            row = (await connection.execute(_FIND, {"scope": key.scope, "key": key.key})).one_or_none()
        if row is None:
            return None
        if row.fingerprint != key.fingerprint:
            raise IdempotencyKeyReused
        return Made(self._answers.validate_json(row.answer), replayed=True)
