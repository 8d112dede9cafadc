"""Run a gRPC server with health, reflection, interceptors and drain."""

from collections.abc import Sequence
from typing import Final

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from ticketcap_observability import Telemetry

from ticketcap_chassis.identity.tokens import TokenVerifier
from ticketcap_chassis.rpc.call_limits import CallLimits
from ticketcap_chassis.rpc.connection_age import ConnectionAge
from ticketcap_chassis.rpc.server_interceptor import CallInterceptor

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

OPTIONS: Final[list[tuple[str, int]]] = [
    # A second server on the same port is a mistake, not load balancing.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 1024 * 1024),
    ("grpc.max_metadata_size", 16 * 1024),
    # Less than the channel's keepalive: otherwise "too many pings" closes an idle connection, and a call with it.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
]


class GrpcServer:
    """One listening server. Before ``drain`` end the endless streams, for which it waits too.

    ``verifier`` recognises TicketCap's services, which have larger shares than other callers.
    """

    def __init__(
        self,
        *,
        telemetry: Telemetry,
        limits: CallLimits | None = None,
        verifier: TokenVerifier | None = None,
        age: ConnectionAge | None = None,
    ) -> None:
        self.server = grpc.aio.server(
            interceptors=[telemetry.grpc_server_interceptor(), CallInterceptor(limits or CallLimits(), verifier)],
            options=[*OPTIONS, *(age or ConnectionAge()).options],
        )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)

    async def start(self, address: str, services: Sequence[str]) -> int:
        """Listen on ``address`` (host:port; port 0 takes any) and return the port.

        ``services`` are the full names that reflection lists. Raises OSError when the address is taken.
        """
        reflected = [*services, health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(reflected, self.server)
        try:
            port = self.server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"can't listen on {address}; set LISTEN_ADDRESS to a free one") from error
        await self.server.start()
        return port

    async def set_health(self, service: str, *, serving: bool) -> None:
        """Set whether ``service`` ("" is the whole process) can do its work."""
        await self._health.set(service, SERVING if serving else NOT_SERVING)

    async def drain(self, grace: float) -> None:
        """Stop accepting and let the calls under way finish within ``grace`` seconds."""
        await self._health.enter_graceful_shutdown()
        await self.server.stop(grace)
