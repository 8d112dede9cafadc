"""What a lane's transaction runs: lock the event, load what its commands need, write what they decided.

These statements go past SQLAlchemy's execution, straight to the driver: in a
pipeline they share their trips to the database, which is most of what an idle
event's registration waits for. Rows travel as JSON, one statement for all of a
batch, and look-ups are made row by row through an index (LATERAL … LIMIT 1): a
plan that was made while a table was empty stays right when it has grown.
"""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import dict_row
from pydantic import TypeAdapter
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.connector import LimitedConnection
from ticketcap_chassis.database.transactions import open_driver_connection, unknown_when_lost
from ticketcap_observability import SqlTelemetry

from ticketcap_registration.domain.commands import ChangeEvent, Claim, Command, ExpireHolds
from ticketcap_registration.domain.event import Event
from ticketcap_registration.domain.ledger import SeatLedger, StoredAnswer
from ticketcap_registration.domain.registration import Registration
from ticketcap_registration.domain.seat_announcement import SeatAnnouncement
from ticketcap_registration.domain.states import WaitlistPolicy
from ticketcap_registration.domain.waitlist import Candidates
from ticketcap_registration.store.directory import EventKey
from ticketcap_registration.store.models import LIVE_STATUSES, EventRow, RegistrationRow
from ticketcap_registration.store.rows import event_of

CHANNEL: Final = "ticketcap_seats"
"""Where every committed change of an event's seats is announced (NOTIFY)."""

DUE_HOLDS_AT_ONCE: Final = 500
"""Holds that one transaction expires at most; the next one takes the rest."""

_POSTGRESQL: Final = postgresql.dialect()  # type: ignore[no-untyped-call]  # untyped upstream
_EVENT: Final = ", ".join(column.name for column in EventRow.__table__.columns)
_EVENT_CHANGING: Final = [
    column.name for column in EventRow.__table__.columns if column.name not in {"id", "school_id", "created_at"}
]
_REGISTRATION: Final = ", ".join(column.name for column in RegistrationRow.__table__.columns)
_RECORD: Final = ", ".join(
    f"{column.name} {column.type.compile(_POSTGRESQL)}" for column in RegistrationRow.__table__.columns
)
_TERMS: Final = ("price_agorot", "currency", "cancellation_deadline_hours")
_CHANGING: Final = ("status", "hold_expires_at", "cancelled_at", "cancel_reason", *_TERMS)

ENTER: Final = """SELECT set_config('ticketcap.school_id', %(school_id)s, true),
  set_config('lock_timeout', %(lock_timeout)s, true)"""

LOCK: Final = f"""-- seats.lock
SELECT {_EVENT} FROM events WHERE id = %(event_id)s FOR NO KEY UPDATE"""

LOAD: Final = f"""-- seats.load
WITH named AS (
  SELECT {_REGISTRATION} FROM registrations
  WHERE id = ANY(CAST(%(registration_ids)s AS uuid[])) AND event_id = %(event_id)s FOR NO KEY UPDATE
), due AS (
  SELECT {_REGISTRATION} FROM registrations
  WHERE event_id = %(event_id)s AND status = 'PENDING_PAYMENT' AND hold_expires_at <= statement_timestamp()
  ORDER BY hold_expires_at LIMIT {DUE_HOLDS_AT_ONCE}
), freed AS (
  -- Every live hold, when the event is to be free: each of them is confirmed. As many as there are places at most.
  SELECT {_REGISTRATION} FROM registrations
  WHERE %(frees)s AND event_id = %(event_id)s AND status = 'PENDING_PAYMENT'
    AND hold_expires_at > statement_timestamp() AND id <> ALL(CAST(%(registration_ids)s AS uuid[]))
)
SELECT json_build_object(
  'now', statement_timestamp(),
  'answers', (SELECT json_object_agg(wanted.key, found.kept)
    FROM unnest(CAST(%(keys)s AS text[])) AS wanted (key), LATERAL (
      SELECT json_build_object('fingerprint', fingerprint, 'answer', answer) AS kept
      FROM idempotency_keys WHERE scope = %(scope)s AND key = wanted.key LIMIT 1) AS found),
  'live_phones', (SELECT json_agg(wanted.phone)
    FROM unnest(CAST(%(phones)s AS text[])
                || ARRAY(SELECT phone FROM named WHERE status = 'EXPIRED')) AS wanted (phone), LATERAL (
      SELECT 1 FROM registrations
      WHERE event_id = %(event_id)s AND phone = wanted.phone AND status IN ({LIVE_STATUSES}) LIMIT 1) AS found),
  'registrations', (SELECT json_agg(known) FROM (
    SELECT * FROM named UNION ALL SELECT * FROM due UNION ALL SELECT * FROM freed) AS known)
)::text"""

WAITING_BY_SIZE: Final = f"""-- seats.waiting_by_size
SELECT json_agg(waiting ORDER BY waiting.waitlist_seq)::text
FROM generate_series(1, least(%(spots)s, 100)) AS size, LATERAL (
  SELECT {_REGISTRATION} FROM registrations
  WHERE event_id = %(event_id)s AND status = 'WAITLISTED' AND spots = size
  ORDER BY waitlist_seq LIMIT %(spots)s / size + %(leaving)s) AS waiting"""

WAITING: Final = f"""-- seats.waiting
SELECT json_agg(waiting ORDER BY waiting.waitlist_seq)::text
FROM (
  SELECT {_REGISTRATION} FROM registrations
  WHERE event_id = %(event_id)s AND status = 'WAITLISTED'
  ORDER BY waitlist_seq LIMIT %(spots)s + %(leaving)s + 1) AS waiting"""

_WAITING: Final = {WaitlistPolicy.FIRST_FIT: WAITING_BY_SIZE, WaitlistPolicy.STRICT_FIFO: WAITING}

CHANGE: Final = f"""-- seats.change
UPDATE registrations AS mine SET {", ".join(f"{name} = theirs.{name}" for name in (*_CHANGING, "waitlist_seq"))}
FROM jsonb_to_recordset(CAST(%(changed)s AS jsonb)) AS theirs ({_RECORD})
WHERE mine.id = theirs.id"""

WRITE: Final = f"""-- seats.write
WITH added AS (
  INSERT INTO registrations ({_REGISTRATION})
  SELECT {_REGISTRATION} FROM jsonb_to_recordset(CAST(%(added)s AS jsonb)) AS r ({_RECORD})
), answered AS (
  INSERT INTO idempotency_keys (scope, key, school_id, fingerprint, answer, created_at)
  SELECT %(scope)s, key, %(school_id)s, fingerprint, answer, %(now)s
  FROM jsonb_to_recordset(CAST(%(answers)s AS jsonb)) AS a (key text, fingerprint text, answer jsonb)
), told AS (
  INSERT INTO registration_changes (school_id, event_id, registration_id, topic, traceparent, created_at, refund_agorot)
  SELECT %(school_id)s, %(event_id)s, registration_id, topic, nullif(traceparent, ''), %(now)s, refund_agorot
  FROM jsonb_to_recordset(CAST(%(news)s AS jsonb))
    AS n (registration_id uuid, topic text, traceparent text, refund_agorot bigint)
)
UPDATE events SET {", ".join(f"{name} = %({name})s" for name in _EVENT_CHANGING)}
WHERE id = %(event_id)s
RETURNING pg_notify('{CHANNEL}', %(seats)s)"""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the store knows of the things that a batch's commands name."""

    now: datetime
    answers: dict[str, StoredAnswer] | None = None
    live_phones: frozenset[str] | None = None
    registrations: list[Registration] | None = None


_loaded: Final = TypeAdapter(Loaded)
_registrations: Final = TypeAdapter(list[Registration])
_list: Final = TypeAdapter(list[dict[str, Any]])


def claims_scope(event_id: UUID) -> str:
    """Return the scope of the idempotency keys of an event's claims."""
    return f"registrations:{event_id}"


class SeatConnection:
    """One transaction on one event's seats: two trips to the database, a third when somebody may be promoted."""

    def __init__(self, connection: LimitedConnection, statements: SqlTelemetry) -> None:
        self._connection = connection
        self._statements = statements

    async def lock(
        self, key: EventKey, commands: Sequence[Command], *, lock_seconds: float
    ) -> tuple[Event, Loaded] | None:
        """Begin, lock the event's row until the end, and load what ``commands`` name; None when there is no event.

        No statement of the transaction waits longer than ``lock_seconds`` for a lock; Contended then.

        The statements travel together, but each sees what was committed before it began: the look-ups see
        everything that the transaction before this one wrote.
        """
        with self._statements.measured(LOCK):
            async with self._connection.pipeline():
                await self._connection.limit_transaction()
                await self._connection.execute(
                    ENTER, {"school_id": str(key.school.id), "lock_timeout": f"{round(lock_seconds * 1000)}ms"}
                )
                locked = self._connection.cursor(row_factory=dict_row)
                await locked.execute(LOCK, {"event_id": key.id})
                loaded = await self._connection.execute(LOAD, _named(key, commands))
            row = await locked.fetchone()
            known = await loaded.fetchone()
        if row is None or known is None:
            return None
        return event_of(row), _loaded.validate_json(known[0])

    async def waiting(self, event: Event, wanted: Candidates) -> list[Registration]:
        """Return the part of the waitlist that a decision can need, oldest first."""
        bounds = {
            "event_id": event.id,
            "spots": min(wanted.spots, event.waitlisted),
            "leaving": wanted.leaving,
        }
        found: dict[UUID, Registration] = {}
        for policy in wanted.policies:
            with self._statements.measured(_WAITING[policy]):
                row = await (await self._connection.execute(_WAITING[policy], bounds)).fetchone()
            rows = _registrations.validate_json(row[0] if row and row[0] else "[]")
            found |= {registration.id: registration for registration in rows}
        return sorted(found.values(), key=lambda registration: registration.waitlist_seq or 0)

    async def commit(self, ledger: SeatLedger) -> None:
        """Write everything that a ledger changed, announce the event's seats, and commit."""
        with self._statements.measured(WRITE), unknown_when_lost():
            async with self._connection.pipeline():
                if ledger.changed:
                    # First: a phone that is freed here may register again in the statement below.
                    await self._connection.execute(CHANGE, {"changed": _json(list(ledger.changed.values()))})
                await self._connection.execute(WRITE, _written(ledger))
                await self._connection.commit()


@asynccontextmanager
async def seat_connection(engine: AsyncEngine, statements: SqlTelemetry) -> AsyncIterator[SeatConnection]:
    """Lend a connection for one transaction; what it does not commit is undone."""
    async with open_driver_connection(engine) as connection:
        yield SeatConnection(connection, statements)


def _named(key: EventKey, commands: Sequence[Command]) -> dict[str, Any]:
    claims = [command for command in commands if isinstance(command, Claim)]
    others = [command for command in commands if not isinstance(command, Claim | ExpireHolds | ChangeEvent)]
    return {
        "event_id": key.id,
        "scope": claims_scope(key.id),
        "registration_ids": [command.registration_id for command in others],
        "keys": [claim.idempotency_key for claim in claims],
        "phones": [claim.person.phone for claim in claims],
        "frees": any(isinstance(command, ChangeEvent) and command.frees for command in commands),
    }


def _written(ledger: SeatLedger) -> dict[str, Any]:
    event = ledger.event
    return {
        **_event_values(event),
        "event_id": event.id,
        "school_id": event.school_id,
        "scope": claims_scope(event.id),
        "now": ledger.now,
        "added": _json(list(ledger.added.values())),
        "answers": _list.dump_json(_answers(ledger)).decode(),
        "news": _list.dump_json(_news(ledger)).decode(),
        "seats": SeatAnnouncement.of(event, promoted=len(ledger.promoted), decided_at=time.time()).to_json(),
    }


def _json(rows: list[Registration]) -> str:
    return _registrations.dump_json(rows).decode()


def _event_values(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in _EVENT_CHANGING}


def _answers(ledger: SeatLedger) -> list[dict[str, Any]]:
    return [
        {"key": claim.idempotency_key, "fingerprint": claim.fingerprint, "answer": asdict(answer)}
        for claim, answer in ledger.answers.values()
    ]


def _news(ledger: SeatLedger) -> list[dict[str, Any]]:
    return [
        {
            "registration_id": transition.registration.id,
            "topic": f"registration.{transition.registration.status.lower()}",
            "traceparent": transition.traceparent,
            "refund_agorot": transition.refund_agorot,
        }
        for transition in ledger.transitions.values()
    ]
