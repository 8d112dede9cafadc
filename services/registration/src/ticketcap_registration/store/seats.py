"""Lock an event, load the rows of a batch, write its decision.

These statements bypass SQLAlchemy and go straight to the driver: in a pipeline
they share trips to the database, and these trips are most of the time that an
idle event's registration takes. Rows travel as JSON, one statement for all of a
batch. Look-ups go row by row through an index (LATERAL … LIMIT 1), so a plan that
was made while a table was empty is still right when it has grown.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

from psycopg.rows import dict_row
from pydantic import TypeAdapter
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.connector import LimitedConnection
from ticketcap_chassis.database.set_local import execute_set_local
from ticketcap_chassis.database.transactions import open_driver_connection, unknown_when_lost
from ticketcap_observability import SqlTelemetry

from ticketcap_registration.domain.change_feed import CONSUMERS
from ticketcap_registration.domain.commands import ChangeEvent, Claim, Command, ExpireHolds
from ticketcap_registration.domain.event import Event
from ticketcap_registration.domain.keys import EventKey
from ticketcap_registration.domain.ledger import SeatLedger, Snapshot
from ticketcap_registration.domain.registration import Registration
from ticketcap_registration.domain.states import WaitlistPolicy
from ticketcap_registration.domain.waitlist import Candidates
from ticketcap_registration.store.changes import topic
from ticketcap_registration.store.models import LIVE_STATUSES, EventRow, RegistrationRow
from ticketcap_registration.store.rows import event_of
from ticketcap_registration.store.transactions import SCHOOL_SETTING

DUE_HOLDS_AT_ONCE: Final = 500
"""Holds that one transaction expires at most; the next one takes the rest."""

_POSTGRESQL: Final = postgresql.dialect()  # type: ignore[no-untyped-call]  # untyped upstream
_EVENT: Final = ", ".join(column.name for column in EventRow.__table__.columns)
_EVENT_UPDATED: Final = [
    column.name for column in EventRow.__table__.columns if column.name not in {"id", "school_id", "created_at"}
]
_REGISTRATION: Final = ", ".join(column.name for column in RegistrationRow.__table__.columns)
_RECORD: Final = ", ".join(
    f"{column.name} {column.type.compile(_POSTGRESQL)}" for column in RegistrationRow.__table__.columns
)
_TERMS: Final = ("price_agorot", "currency", "cancellation_deadline_hours")
_UPDATED: Final = ("status", "hold_expires_at", "cancelled_at", "cancel_reason", *_TERMS)

LOCK: Final = f"""-- seats.lock: Lock the event's row until the transaction ends.
SELECT {_EVENT} FROM events WHERE school_id = %(school_id)s AND id = %(event_id)s FOR NO KEY UPDATE"""

LOAD: Final = f"""-- seats.load: Read every row that the commands of a batch name, and the holds that are due.
WITH named AS (
  SELECT {_REGISTRATION} FROM registrations
  WHERE school_id = %(school_id)s AND id = ANY(CAST(%(registration_ids)s AS uuid[])) AND event_id = %(event_id)s
  FOR NO KEY UPDATE
), due AS (
  SELECT {_REGISTRATION} FROM registrations
  WHERE school_id = %(school_id)s AND event_id = %(event_id)s
    AND status = 'PENDING_PAYMENT' AND hold_expires_at <= statement_timestamp()
  ORDER BY hold_expires_at LIMIT {DUE_HOLDS_AT_ONCE}
), freed AS (
  -- All live holds of an event that becomes free: each is confirmed. Their number is bounded by the capacity.
  SELECT {_REGISTRATION} FROM registrations
  WHERE %(frees)s AND school_id = %(school_id)s AND event_id = %(event_id)s AND status = 'PENDING_PAYMENT'
    AND hold_expires_at > statement_timestamp() AND id <> ALL(CAST(%(registration_ids)s AS uuid[]))
)
SELECT json_build_object(
  'now', statement_timestamp(),
  'answers', coalesce((SELECT json_object_agg(claim.key, found.stored)
    FROM unnest(CAST(%(keys)s AS text[])) AS claim (key), LATERAL (
      SELECT json_build_object('fingerprint', fingerprint, 'answer', answer) AS stored
      FROM idempotency_keys
      WHERE school_id = %(school_id)s AND scope = %(scope)s AND key = claim.key LIMIT 1) AS found), '{{}}'),
  'live_phones', coalesce((SELECT json_agg(claim.phone)
    FROM unnest(CAST(%(phones)s AS text[])
                || ARRAY(SELECT phone FROM named WHERE status = 'EXPIRED')) AS claim (phone), LATERAL (
      SELECT 1 FROM registrations
      WHERE school_id = %(school_id)s AND event_id = %(event_id)s AND phone = claim.phone
        AND status IN ({LIVE_STATUSES}) LIMIT 1) AS found), '[]'),
  'registrations', coalesce((SELECT json_agg(loaded) FROM (
    SELECT * FROM named UNION ALL SELECT * FROM due UNION ALL SELECT * FROM freed) AS loaded), '[]')
)::text"""

WAITING_BY_SIZE: Final = f"""-- seats.waiting_by_size: Read the oldest of each size that FIRST_FIT can promote.
SELECT json_agg(waiting ORDER BY waiting.waitlist_seq)::text
FROM generate_series(1, least(%(spots)s, 100)) AS size, LATERAL (
  SELECT {_REGISTRATION} FROM registrations
  WHERE school_id = %(school_id)s AND event_id = %(event_id)s AND status = 'WAITLISTED' AND spots = size
  ORDER BY waitlist_seq LIMIT %(spots)s / size + %(leaving)s) AS waiting"""

WAITING: Final = f"""-- seats.waiting: Read the head of the waitlist that STRICT_FIFO can promote.
SELECT json_agg(waiting ORDER BY waiting.waitlist_seq)::text
FROM (
  SELECT {_REGISTRATION} FROM registrations
  WHERE school_id = %(school_id)s AND event_id = %(event_id)s AND status = 'WAITLISTED'
  ORDER BY waitlist_seq LIMIT %(spots)s + %(leaving)s + 1) AS waiting"""

_WAITING: Final = {WaitlistPolicy.FIRST_FIT: WAITING_BY_SIZE, WaitlistPolicy.STRICT_FIFO: WAITING}

# Event and ids are named beside the join: a plan that joins by the school alone reads all of its registrations.
CHANGE: Final = f"""-- seats.change: Update the registrations that a batch changed.
UPDATE registrations SET {", ".join(f"{name} = changed.{name}" for name in (*_UPDATED, "waitlist_seq"))}
FROM jsonb_to_recordset(CAST(%(changed)s AS jsonb)) AS changed ({_RECORD})
WHERE registrations.school_id = %(school_id)s AND registrations.id = changed.id
  AND registrations.event_id = %(event_id)s AND registrations.id = ANY(CAST(%(ids)s AS uuid[]))"""

# Each INSERT reads the event's row too, so that it has one school. Otherwise a database that is spread over machines
# sends its rows by COPY, which row-level security refuses.
WRITE: Final = f"""-- seats.write: Insert a batch's registrations, answers and changes; update the event.
WITH new_registrations AS (
  INSERT INTO registrations ({_REGISTRATION})
  SELECT {", ".join(f"added.{column.name}" for column in RegistrationRow.__table__.columns)}
  FROM events CROSS JOIN jsonb_to_recordset(CAST(%(added)s AS jsonb)) AS added ({_RECORD})
  WHERE events.school_id = %(school_id)s AND events.id = %(event_id)s
), new_answers AS (
  INSERT INTO idempotency_keys (school_id, scope, key, fingerprint, answer, created_at)
  SELECT events.school_id, %(scope)s, a.key, a.fingerprint, a.answer, %(now)s
  FROM events CROSS JOIN jsonb_to_recordset(CAST(%(answers)s AS jsonb)) AS a (key text, fingerprint text, answer jsonb)
  WHERE events.school_id = %(school_id)s AND events.id = %(event_id)s
), new_changes AS (
  INSERT INTO registration_changes
    (school_id, event_id, version, id, registration_id, topic, traceparent, created_at, refund_agorot)
  SELECT events.school_id, events.id, %(version)s, c.id, c.registration_id, c.topic, nullif(c.traceparent, ''),
         %(now)s, c.refund_agorot
  FROM events CROSS JOIN jsonb_to_recordset(CAST(%(changes)s AS jsonb))
    AS c (id bigint, registration_id uuid, topic text, traceparent text, refund_agorot bigint)
  WHERE events.school_id = %(school_id)s AND events.id = %(event_id)s
), new_unread AS (
  INSERT INTO unread_changes (school_id, consumer, event_id, version, id)
  SELECT events.school_id, u.consumer, events.id, %(version)s, u.id
  FROM events CROSS JOIN jsonb_to_recordset(CAST(%(unread)s AS jsonb)) AS u (consumer text, id bigint)
  WHERE events.school_id = %(school_id)s AND events.id = %(event_id)s
)
UPDATE events SET {", ".join(f"{name} = %({name})s" for name in _EVENT_UPDATED)}
WHERE school_id = %(school_id)s AND id = %(event_id)s"""


_snapshot: Final = TypeAdapter(Snapshot)
_registrations: Final = TypeAdapter(list[Registration])
_list: Final = TypeAdapter(list[dict[str, Any]])


def claims_scope(event_id: UUID) -> str:
    """Return the scope of the idempotency keys of an event's claims."""
    return f"registrations:{event_id}"


class SeatConnection:
    """One transaction on one event's seats: two trips to the database, a third when it may promote."""

    def __init__(self, connection: LimitedConnection, statements: SqlTelemetry) -> None:
        self._connection = connection
        self._statements = statements

    async def lock(
        self, key: EventKey, commands: Sequence[Command], *, lock_seconds: float
    ) -> tuple[Event, Snapshot] | None:
        """Begin, lock the event's row until the end, and load the rows of ``commands``; None when there is no event.

        The snapshot holds no waitlist. Raises Contended when a statement waits longer than ``lock_seconds`` for a lock.
        """
        with self._statements.measured(LOCK):
            # The statements travel together, and the server runs them one after another. Each sees everything that was
            # committed before it began: LOAD begins under the lock, so it sees all that the lock's last holder wrote.
            async with self._connection.pipeline():
                await self._connection.limit_transaction()
                # The transaction sees one school, and no statement of it waits longer than this for a lock.
                await execute_set_local(self._connection, SCHOOL_SETTING, str(key.school.id))
                await execute_set_local(self._connection, "lock_timeout", f"{round(lock_seconds * 1000)}ms")
                locked = self._connection.cursor(row_factory=dict_row)
                await locked.execute(LOCK, {"school_id": key.school.id, "event_id": key.id})
                loaded = await self._connection.execute(LOAD, _named(key, commands))
            row = await locked.fetchone()
            rows = await loaded.fetchone()
        if row is None or rows is None:
            return None
        return event_of(row), _snapshot.validate_json(rows[0])

    async def waiting(self, event: Event, needed: Candidates) -> list[Registration]:
        """Return the part of the waitlist that the decision can need, oldest first."""
        bounds = {
            "school_id": event.school_id,
            "event_id": event.id,
            "spots": min(needed.spots, event.waitlisted),
            "leaving": needed.leaving,
        }
        found: dict[UUID, Registration] = {}
        for policy in needed.policies:
            with self._statements.measured(_WAITING[policy]):
                row = await (await self._connection.execute(_WAITING[policy], bounds)).fetchone()
            rows = _registrations.validate_json(row[0] if row and row[0] else "[]")
            found |= {registration.id: registration for registration in rows}
        return sorted(found.values(), key=lambda registration: registration.waitlist_seq or 0)

    async def commit(self, ledger: SeatLedger) -> None:
        """Write the changes of a ledger and commit; raise OutcomeUnknown."""
        with self._statements.measured(WRITE), unknown_when_lost():
            async with self._connection.pipeline():
                if ledger.changed:
                    # First: a phone that a cancellation frees here may register again in the statement below.
                    await self._connection.execute(CHANGE, _changed(ledger))
                await self._connection.execute(WRITE, _written(ledger))
                await self._connection.commit()


@asynccontextmanager
async def seat_connection(engine: AsyncEngine, statements: SqlTelemetry) -> AsyncIterator[SeatConnection]:
    """Lend a connection for one transaction; without a commit it is rolled back."""
    async with open_driver_connection(engine) as connection:
        yield SeatConnection(connection, statements)


def _named(key: EventKey, commands: Sequence[Command]) -> dict[str, Any]:
    claims = [command for command in commands if isinstance(command, Claim)]
    others = [command for command in commands if not isinstance(command, Claim | ExpireHolds | ChangeEvent)]
    return {
        "school_id": key.school.id,
        "event_id": key.id,
        "scope": claims_scope(key.id),
        "registration_ids": [command.registration_id for command in others],
        "keys": [claim.idempotency_key for claim in claims],
        "phones": [claim.person.phone for claim in claims],
        "frees": any(isinstance(command, ChangeEvent) and command.frees for command in commands),
    }


def _changed(ledger: SeatLedger) -> dict[str, Any]:
    return {
        "school_id": ledger.event.school_id,
        "event_id": ledger.event.id,
        "ids": list(ledger.changed),
        "changed": _json(list(ledger.changed.values())),
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
        "changes": _list.dump_json(_changes(ledger)).decode(),
        "unread": _list.dump_json(_unread(ledger)).decode(),
    }


def _json(rows: list[Registration]) -> str:
    return _registrations.dump_json(rows).decode()


def _event_values(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in _EVENT_UPDATED}


def _answers(ledger: SeatLedger) -> list[dict[str, Any]]:
    return [
        {"key": key, "fingerprint": stored.fingerprint, "answer": asdict(stored.answer)}
        for key, stored in ledger.answers.items()
    ]


def _changes(ledger: SeatLedger) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "registration_id": transition.registration.id,
            "topic": topic(transition.registration.status),
            "traceparent": transition.traceparent,
            "refund_agorot": transition.refund_agorot,
        }
        for number, transition in enumerate(ledger.transitions.values(), start=1)
    ]


def _unread(ledger: SeatLedger) -> list[dict[str, Any]]:
    """Return the changes that each consumer reads, with the numbers of ``_changes``."""
    return [
        {"consumer": consumer, "id": number}
        for number, transition in enumerate(ledger.transitions.values(), start=1)
        for consumer, statuses in CONSUMERS.items()
        if transition.registration.status in statuses
    ]
