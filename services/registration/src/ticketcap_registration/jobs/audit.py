"""Compare the counters of every event with its rows."""

from dataclasses import asdict

from ticketcap_observability import get_logger

from ticketcap_registration.store.watchkeeping import Watchkeeping
from ticketcap_registration.telemetry.jobs import JobTelemetry

_log = get_logger(__name__)


class Audit:
    """Holds the result of the last round: ``drifting`` is the number of events that disagree. It should be 0."""

    def __init__(self, watchkeeping: Watchkeeping, telemetry: JobTelemetry) -> None:
        self._watchkeeping = watchkeeping
        self.drifting = 0
        telemetry.observe_drift(lambda: self.drifting)

    async def run(self) -> None:
        """Check every event once; log each one whose counters disagree."""
        drifts = await self._watchkeeping.drift()
        self.drifting = len(drifts)
        for drift in drifts:
            _log.error("capacity.audit.drift", **{name: str(value) for name, value in asdict(drift).items()})
