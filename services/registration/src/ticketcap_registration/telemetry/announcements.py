"""Measure the listener of seat announcements."""

from collections.abc import Callable

from ticketcap_observability import Telemetry, schema


class AnnouncementTelemetry:
    """Measures what is announced, the listener's age, its lost connections, and the delay of promotions."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._delay = telemetry.histogram(schema.PROMOTION_DELAY)
        self._lost = telemetry.counter(schema.DB_CONNECTION_ERRORS)
        self._published = telemetry.counter(schema.ANNOUNCEMENTS_PUBLISHED)
        self._dropped = telemetry.counter(schema.ANNOUNCEMENTS_DROPPED)
        pool = {"db.client.connection.pool.name": "announcements"}
        telemetry.gauge(schema.DB_CLIENT_MOST_CONNECTIONS, lambda: [(1, pool)])

    def observe_age(self, age: Callable[[], float]) -> None:
        """Read the seconds since the last check whenever metrics are read."""
        self._telemetry.gauge(schema.SEAT_ANNOUNCEMENT_AGE, lambda: [(age(), {})])

    def published(self, count: int) -> None:
        """Count announcements that were sent; several of one event that waited are one."""
        self._published.add(count)

    def dropped(self, count: int) -> None:
        """Count announcements that were not sent."""
        self._dropped.add(count)

    def promotion_delivered(self, seconds: float) -> None:
        """Measure the time from the decision that promoted to its watchers."""
        self._delay.record(seconds)

    def connection_lost(self) -> None:
        """Count a connection that failed or delivered no check."""
        self._lost.add(1)
