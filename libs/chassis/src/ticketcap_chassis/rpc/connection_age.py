"""Limit the age of a gRPC server's connections."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionAge:
    """The age in seconds at which a connection takes no new call, and the time that its calls then have to end.

    The client looks its target up again and opens a new connection, so it finds replicas that were added. gRPC varies
    the age by a tenth, so that the connections of one moment do not all end in another.
    """

    seconds: float = 60.0
    grace: float = 90.0

    @property
    def options(self) -> list[tuple[str, int]]:
        """GRPC's options, in milliseconds."""
        return [
            ("grpc.max_connection_age_ms", int(self.seconds * 1000)),
            ("grpc.max_connection_age_grace_ms", int(self.grace * 1000)),
        ]
