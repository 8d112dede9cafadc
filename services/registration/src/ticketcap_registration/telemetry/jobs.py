"""Measure the findings of the jobs."""

from collections.abc import Callable, Sequence

from ticketcap_observability import Telemetry, get_logger, schema, synthetic_label

from ticketcap_registration.domain.keys import EventKey, SchoolKey

FULLEST_EVENTS = schema.CAPACITY_UTILIZATION.series
"""Events whose utilization the gauge shows, at most."""
BUSIEST_SCHOOLS = schema.ACTIVE_EVENTS.series
"""Schools whose open events the gauge shows, at most."""

_Reading = tuple[float, dict[str, str]]

_log = get_logger(__name__)


class JobTelemetry:
    """Holds the newest findings for the gauges, which are read in another thread.

    ``shows_events`` says whether this replica's gauges show the open events, which are those of all replicas.
    """

    def __init__(self, telemetry: Telemetry, *, shows_events: Callable[[], bool]) -> None:
        self._telemetry = telemetry
        self._violations = telemetry.counter(schema.ISOLATION_VIOLATION)
        self._utilization: list[_Reading] = []
        self._active: list[_Reading] = []
        telemetry.gauge(schema.CAPACITY_UTILIZATION, lambda: self._utilization if shows_events() else [])
        telemetry.gauge(schema.ACTIVE_EVENTS, lambda: self._active if shows_events() else [])

    def observe_drift(self, drifting: Callable[[], int]) -> None:
        """Read the number of events whose counters and rows disagree whenever metrics are read."""
        self._telemetry.gauge(schema.AUDIT_DRIFT, lambda: [(drifting(), {})])

    def open_events_counted(
        self, utilization: Sequence[tuple[EventKey, float]], active: Sequence[tuple[SchoolKey, int]]
    ) -> None:
        """Store the utilization of the fullest open events and the number of open events of the busiest schools."""
        self._utilization = [
            (used, {"event_id": str(event.id), **_labels(event.school)}) for event, used in utilization
        ]
        self._active = [(count, _labels(school)) for school, count in active]

    def isolation_violated(self, tables: Sequence[str]) -> None:
        """Count and log the tables of which one school could see another's rows."""
        self._violations.add(len(tables), where="probe")
        _log.error("tenant.isolation.violation", where="probe", tables=list(tables))


def _labels(school: SchoolKey) -> dict[str, str]:
    return {"school_id": str(school.id), "school_slug": school.slug, **synthetic_label(school.synthetic)}
