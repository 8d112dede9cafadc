"""Create a row once per idempotency key."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.errors import ConstraintViolated

from ticketcap_registration.domain.errors import SlugTaken
from ticketcap_registration.domain.idempotency import IdempotencyKey, must_be_same_body
from ticketcap_registration.store.models import Base
from ticketcap_registration.store.transactions import school_transaction

_FIND: Final = text("""-- idempotency.find: Read the answer to the first request with a key.
SELECT fingerprint, answer::text AS answer FROM idempotency_keys
WHERE school_id = :school_id AND scope = :scope AND key = :key""")

_KEEP: Final = text("""-- idempotency.keep: Store the answer to the first request with a key.
INSERT INTO idempotency_keys (school_id, scope, key, fingerprint, answer, created_at)
VALUES (:school_id, :scope, :key, :fingerprint, CAST(:answer AS jsonb), :now)""")


class _WithSlug(Protocol):
    """A dataclass with a slug."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def slug(self) -> str: ...

    @property
    def created_at(self) -> datetime: ...


Thing = TypeVar("Thing", bound=_WithSlug)


class CreatedOnce(Generic[Thing]):
    """Creates things of one kind, each with a slug that ``slug_constraint`` holds unique.

    The row and its answer are written in one transaction. A key is unique within its school and scope.
    """

    def __init__(self, kind: type[Thing], row: type[Base], slug_constraint: str, engine: AsyncEngine) -> None:
        self._kind = kind
        self._row = row
        self._slug_constraint = slug_constraint
        self._answers = TypeAdapter(kind)
        self._engine = engine

    async def create(self, thing: Thing, key: IdempotencyKey, school_id: UUID) -> tuple[Thing, bool]:
        """Insert ``thing``. Return it and False, or the answer to the first request with this key and True.

        Raises SlugTaken or IdempotencyKeyReused.
        """
        if (first := await self.first(key, school_id)) is not None:
            return first, True
        try:
            async with school_transaction(self._engine, school_id) as connection:
                await connection.execute(insert(self._row), asdict(thing))
                await connection.execute(
                    _KEEP,
                    {
                        "scope": key.scope,
                        "key": key.key,
                        "school_id": school_id,
                        "fingerprint": key.fingerprint,
                        "answer": self._answers.dump_json(thing).decode(),
                        "now": thing.created_at,
                    },
                )
        except ConstraintViolated as violated:
            # Another request with this key may have committed since the look above: its answer counts, whichever
            # constraint was first to notice.
            if (first := await self.first(key, school_id)) is not None:
                return first, True
            if violated.constraint == self._slug_constraint:
                raise SlugTaken(self._kind.__name__.lower(), thing.slug) from None
            raise
        return thing, False

    async def first(self, key: IdempotencyKey, school_id: UUID) -> Thing | None:
        """Return the answer to the first request of the school with this key; raise IdempotencyKeyReused."""
        values = {"school_id": school_id, "scope": key.scope, "key": key.key}
        async with school_transaction(self._engine, school_id) as connection:
            row = (await connection.execute(_FIND, values)).one_or_none()
        if row is None:
            return None
        must_be_same_body(row.fingerprint, key.fingerprint)
        return self._answers.validate_json(row.answer)
