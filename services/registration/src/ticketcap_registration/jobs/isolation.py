"""Tries, while everything runs, to see another school's rows: nothing may ever be seen."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.row_security import unprotected_tables
from ticketcap_chassis.database.transactions import translate_errors
from ticketcap_observability import Telemetry, get_logger, schema

from ticketcap_registration.store import roles
from ticketcap_registration.store.events import Events

_log = get_logger(__name__)


class IsolationProbe:
    """Looks at the database as the service itself does: under the role that sees one school at a time."""

    def __init__(self, engine: AsyncEngine, events: Events, telemetry: Telemetry) -> None:
        self._engine = engine
        self._events = events
        self._violations = telemetry.counter(schema.ISOLATION_VIOLATION)

    async def run(self) -> None:
        """Count, and say loudly, what would let one school see another."""
        with translate_errors(self._engine):
            open_tables = await unprotected_tables(self._engine, roles.TABLES)
        if await self._events.seen_by_nobody():
            open_tables = sorted({*open_tables, "events"})
        if open_tables:
            self._tell(open_tables)

    def _tell(self, tables: Sequence[str]) -> None:
        self._violations.add(len(tables), where="probe")
        _log.error("tenant.isolation.violation", where="probe", tables=list(tables))
