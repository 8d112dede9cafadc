"""Read the fullest open events and the busiest schools for the gauges."""

from ticketcap_registration.store.watchkeeping import Watchkeeping
from ticketcap_registration.telemetry.jobs import BUSIEST_SCHOOLS, FULLEST_EVENTS, JobTelemetry


async def count_open_events(watchkeeping: Watchkeeping, telemetry: JobTelemetry) -> None:
    """Read both once; the gauges show the newest reading."""
    telemetry.open_events_counted(
        await watchkeeping.fullest_events(FULLEST_EVENTS), await watchkeeping.active_events(BUSIEST_SCHOOLS)
    )
