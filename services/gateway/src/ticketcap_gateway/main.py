"""Wire the gateway and run it until SIGTERM."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import uvloop
from starlette.types import ASGIApp
from ticketcap_chassis.lifecycle import BackgroundTaskEnded, background, every, give_memory_back, stop_requested
from ticketcap_chassis.settings import load, release
from ticketcap_observability import Telemetry, configure_logging, get_logger

from ticketcap_gateway import api
from ticketcap_gateway.access.callers import Access
from ticketcap_gateway.edge.admission import Admission
from ticketcap_gateway.edge.bodies import BodyReader
from ticketcap_gateway.edge.connection import ConnectionLimits
from ticketcap_gateway.edge.operation import Endpoints
from ticketcap_gateway.edge.rate_limits import RateLimiter
from ticketcap_gateway.edge.server import HttpServer, affordable, listen
from ticketcap_gateway.events.endpoints import Events
from ticketcap_gateway.events.seat_watch import SeatWatches
from ticketcap_gateway.events.stream import SeatStream
from ticketcap_gateway.health.draining import Draining
from ticketcap_gateway.health.endpoints import Health
from ticketcap_gateway.payments.endpoints import Payments
from ticketcap_gateway.payments.escalations import Escalations
from ticketcap_gateway.payments.opening import PaymentOpener
from ticketcap_gateway.payments.pages import PaymentPages
from ticketcap_gateway.payments.yaadpay_return import YaadPayReturn
from ticketcap_gateway.registrations.check_ins import CheckIns
from ticketcap_gateway.registrations.claims import ClaimCoalescer
from ticketcap_gateway.registrations.endpoints import Registrations
from ticketcap_gateway.registrations.translation import PayLinks
from ticketcap_gateway.schools.endpoints import Schools
from ticketcap_gateway.services.payment import PaymentClient, open_payment_channel
from ticketcap_gateway.services.registration import RegistrationClient, open_registration_channel
from ticketcap_gateway.settings import GatewaySettings

_SERVICE: Final = "gateway"
_IDENTITY_SECONDS: Final = 1.0

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The wired application, and the parts that a drain stops."""

    app: ASGIApp
    watches: SeatWatches
    draining: Draining


@asynccontextmanager
async def wired(
    settings: GatewaySettings, telemetry: Telemetry, *, stop: Callable[[], object] | None = None
) -> AsyncIterator[Gateway]:
    """Wire every part; when the code inside ends, the calls in progress end too.

    ``stop`` must end the code inside.
    """
    verifier = settings.verifier()
    identity = settings.identity(_SERVICE)
    async with (
        open_registration_channel(settings.registration_target, identity, telemetry) as registration_channel,
        open_payment_channel(settings.payment_target, identity, telemetry) as payment_channel,
        background(every(_IDENTITY_SECONDS, verifier.refresh, name="identity"), stop, name="identity"),
    ):
        registration = RegistrationClient(registration_channel, identity)
        payment = PaymentClient(payment_channel)
        claims = ClaimCoalescer(
            registration, max_waiting=settings.max_waiting_claims, max_of_event=settings.max_event_claims
        )
        watches = SeatWatches(
            registration,
            max_readers=settings.max_streams,
            max_of_event=settings.max_event_streams,
            max_readers_per_address=settings.max_streams_per_address,
            renew_seconds=settings.watch_renew_seconds,
        )
        draining = Draining()
        access = Access(verifier, settings.trusted_proxies)
        bodies = BodyReader(settings.max_body_bytes)
        links = PayLinks(settings.public_url)
        opener = PaymentOpener(payment, access, RateLimiter(settings.public_writes_per_hour))
        refusals = RateLimiter(settings.refused_returns_per_hour)
        endpoints: Sequence[Endpoints] = (
            # The claim comes first: routes are tried in this order.
            Registrations(registration, claims, access, bodies, links, writes_per_hour=settings.public_writes_per_hour),
            Events(registration, access, bodies),
            SeatStream(watches, access, heartbeat=settings.heartbeat_seconds),
            CheckIns(registration, access, bodies, links),
            Schools(registration, access, bodies),
            Payments(payment, access, bodies, opener),
            YaadPayReturn(payment, access, refusals, api.PROBLEMS),
            Escalations(payment, access, bodies),
            PaymentPages(payment, opener, api.PROBLEMS),
            Health(registration, payment, draining, access, version=release(), has_test_error=settings.has_test_error),
        )
        app = api.build(
            endpoints,
            Admission(access.address, most=settings.max_connections, share=settings.max_requests_per_address),
            telemetry=telemetry,
            seconds={
                "request": settings.request_seconds,
                "payment": settings.payment_seconds,
                "return": settings.return_seconds,
                "export": settings.export_seconds,
            },
            version=release(),
        )
        try:
            yield Gateway(app=app, watches=watches, draining=draining)
        finally:
            await watches.close()
            await claims.close()


def http_server(app: ASGIApp, settings: GatewaySettings) -> HttpServer:
    """Return a server of ``app`` with the limits of ``settings``."""
    return HttpServer(
        app,
        limits=ConnectionLimits(
            max_connections=affordable(settings.max_connections),
            max_connections_per_address=settings.max_connections_per_address,
            trusted_proxies=settings.trusted_proxies,
            max_header_bytes=settings.max_header_bytes,
            max_body_bytes=settings.max_body_bytes,
            read_seconds=settings.read_seconds,
            write_seconds=settings.write_seconds,
        ),
        keep_alive_seconds=settings.keep_alive_seconds,
        drain_seconds=settings.drain_seconds,
    )


async def run(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises OSError when the address is taken."""
    telemetry = Telemetry.start(_SERVICE, release(), metrics_address=settings.metrics_address)
    try:
        stop = stop_requested()
        with listen(settings.listen_address) as listener:
            async with wired(settings, telemetry, stop=stop.set) as gateway:
                server = http_server(gateway.app, settings)
                host, port = listener.getsockname()[:2]
                give_memory_back()
                _log.info(
                    "gateway.listening",
                    address=f"{host}:{port}",
                    registration=settings.registration_target,
                    payment=settings.payment_target,
                )
                drain = _drain_when(stop, settings, gateway, server)
                async with (
                    background(drain, server.stop, name="drain", endless=False),
                    background(telemetry.watch_loop(), stop.set, name="loop watch"),
                ):
                    await server.serve(listener)
    finally:
        await telemetry.shutdown()
    _log.info("gateway.stopped")


async def _drain_when(stop: asyncio.Event, settings: GatewaySettings, gateway: Gateway, server: HttpServer) -> None:
    await stop.wait()
    _log.info("gateway.draining")
    # The order matters: load balancers must see /readyz refuse before the listener closes, and the streams, which
    # never end by themselves, must end before the server waits for its requests. Browsers reconnect elsewhere.
    gateway.draining.begin()
    await asyncio.sleep(settings.drain_delay_seconds)
    await gateway.watches.close()
    server.stop()


def main() -> int:
    """Read the settings and run. Returns the process's exit status."""
    # gRPC logs every connection that comes or goes; it reads this before its first channel.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    settings = load(GatewaySettings)
    configure_logging(_SERVICE, release(), settings.log_level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings))
    except OSError as error:
        _log.error("gateway.can_not_start", reason=str(error))
        return 1
    except BackgroundTaskEnded:
        return 1  # logged where it happened
    return 0
