"""What the gauges say of open events: read every few seconds, told whenever metrics are."""

from ticketcap_observability import Telemetry, schema
from ticketcap_observability.instruments import Reading

from ticketcap_registration.store.directory import SchoolKey
from ticketcap_registration.store.watchkeeping import Watchkeeping


class OpenEvents:
    """Remembers the fullest open events and the schools with most of them."""

    def __init__(self, watchkeeping: Watchkeeping, telemetry: Telemetry) -> None:
        self._watchkeeping = watchkeeping
        self._utilization: list[Reading] = []
        self._active: list[Reading] = []
        telemetry.gauge(schema.CAPACITY_UTILIZATION, lambda: self._utilization)
        telemetry.gauge(schema.ACTIVE_EVENTS, lambda: self._active)

    async def look(self) -> None:
        """Read both anew."""
        fullest = await self._watchkeeping.fullest_events(schema.CAPACITY_UTILIZATION.series)
        active = await self._watchkeeping.active_events(schema.ACTIVE_EVENTS.series)
        self._utilization = [
            (event.utilization, {"event_id": str(event.key.id), **_labels(event.key.school)}) for event in fullest
        ]
        self._active = [(count, _labels(school)) for school, count in active]


def _labels(school: SchoolKey) -> dict[str, str]:
    return {"school_id": str(school.id), "school_slug": school.slug}
