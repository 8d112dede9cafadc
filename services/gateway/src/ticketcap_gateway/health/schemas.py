"""Define the JSON of the health calls."""

from typing import Literal

from ticketcap_gateway.edge.fields import Output, Time

Check = Literal["ok", "stale", "failing", "unreachable"]


class HealthReport(Output):
    """Whether the gateway can do its work, and the state of each part that it needs."""

    status: Literal["healthy", "unhealthy"]
    timestamp: Time
    version: str
    checks: dict[str, Check]


class Readiness(Output):
    """Whether this process is up, or ready to take traffic."""

    status: Literal["live", "ready", "draining", "unavailable"]
