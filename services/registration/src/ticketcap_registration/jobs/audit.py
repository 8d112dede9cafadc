"""Compare the counters of changed events with their rows."""

from dataclasses import asdict

from ticketcap_observability import get_logger

from ticketcap_registration.store.watchkeeping import BEFORE_ALL, EventCounts, Watchkeeping
from ticketcap_registration.telemetry.jobs import JobTelemetry

_log = get_logger(__name__)


class Audit:
    """Holds the result of the last round: ``drifting`` is the number of events that disagree. It should be 0."""

    def __init__(self, watchkeeping: Watchkeeping, telemetry: JobTelemetry) -> None:
        self._watchkeeping = watchkeeping
        self.drifting = 0
        telemetry.observe_drift(lambda: self.drifting)

    async def run(self) -> None:
        """Audit the events that changed since their last audit; log each one whose counters disagree."""
        drifting = await find_drift(self._watchkeeping)
        self.drifting = len(drifting)
        for counts in drifting:
            _log.error("capacity.audit.drift", **{name: str(value) for name, value in asdict(counts).items()})


async def find_drift(watchkeeping: Watchkeeping) -> list[EventCounts]:
    """Audit every changed event once, in portions; return those that disagree.

    An event that drifts does not pass, so each round finds it again until it is corrected.
    """
    drifting: list[EventCounts] = []
    place = BEFORE_ALL
    while portion := await watchkeeping.changed_events(place):
        counted = await watchkeeping.counts(portion)
        drifting += [counts for counts in counted if counts.drifts]
        await watchkeeping.audited([counts for counts in counted if not counts.drifts])
        place = portion[-1]
    return drifting
