"""Probe the isolation of schools: try to see another school's rows."""

from sqlalchemy.ext.asyncio import AsyncEngine
from ticketcap_chassis.database.row_security import unprotected_tables
from ticketcap_chassis.database.transactions import translate_errors

from ticketcap_registration.store import roles
from ticketcap_registration.store.events import Events
from ticketcap_registration.telemetry.jobs import JobTelemetry


class IsolationProbe:
    """Looks at the database as the service does: under the role that sees one school at a time."""

    def __init__(self, engine: AsyncEngine, events: Events, telemetry: JobTelemetry) -> None:
        self._engine = engine
        self._events = events
        self._telemetry = telemetry

    async def run(self) -> None:
        """Report the tables of which one school could see another's rows. There should be none."""
        with translate_errors(self._engine):
            open_tables = set(await unprotected_tables(self._engine, roles.TABLES))
        if await self._events.visible_to_unknown_school():
            open_tables.add("events")
        if open_tables:
            self._telemetry.isolation_violated(sorted(open_tables))
