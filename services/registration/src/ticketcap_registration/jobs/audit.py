"""Holds the counters of every event against its rows, while everything runs."""

from dataclasses import asdict

from ticketcap_observability import Telemetry, get_logger, schema

from ticketcap_registration.store.watchkeeping import Watchkeeping

_log = get_logger(__name__)


class Audit:
    """Remembers what the last round found: ``drifting`` is the number of events that disagree, always 0."""

    def __init__(self, watchkeeping: Watchkeeping, telemetry: Telemetry) -> None:
        self._watchkeeping = watchkeeping
        self.drifting = 0
        telemetry.gauge(schema.AUDIT_DRIFT, lambda: [(self.drifting, {})])

    async def run(self) -> None:
        """Look at every event once and say loudly what disagrees."""
        drifts = await self._watchkeeping.drift()
        self.drifting = len(drifts)
        for drift in drifts:
            _log.error("capacity.audit.drift", **{name: str(value) for name, value in asdict(drift).items()})
