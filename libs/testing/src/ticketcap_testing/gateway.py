"""Run a gateway on a real socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from pydantic import SecretStr
from ticketcap_chassis.lifecycle import background
from ticketcap_gateway.edge.server import HttpServer, listen
from ticketcap_gateway.main import Gateway, http_server, wired
from ticketcap_gateway.settings import GatewaySettings
from ticketcap_observability import Telemetry

from ticketcap_testing.service_fakes import SECRET

NOWHERE: Final = "127.0.0.1:9"
"""An address where no service answers."""


@dataclass
class RunningGateway:
    """A gateway that listens. ``address`` is host and port."""

    parts: Gateway
    server: HttpServer
    address: tuple[str, int]

    @property
    def url(self) -> str:
        """Its address as a URL."""
        return f"http://{self.address[0]}:{self.address[1]}"


@asynccontextmanager
async def running_gateway(
    target: str,
    *,
    payment_target: str = NOWHERE,
    telemetry: Telemetry | None = None,
    **settings: Any,
) -> AsyncIterator[RunningGateway]:
    """Run a gateway in front of ``target``, and of a payment service or none, on any free port."""
    if "jwt_jwks_url" not in settings:
        settings["jwt_secret"] = SecretStr(SECRET)
    configured = GatewaySettings(registration_target=target, payment_target=payment_target, drain_seconds=1, **settings)
    async with wired(configured, telemetry or Telemetry.in_memory()) as parts:
        with listen("127.0.0.1:0") as listener:
            server = http_server(parts.app, configured)
            async with background(server.serve(listener), None, name="server", endless=False) as serving:
                yield RunningGateway(parts, server, listener.getsockname()[:2])
                await parts.watches.close()
                server.stop()
                await serving
