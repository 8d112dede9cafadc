"""Wires the gateway and runs it until SIGTERM."""

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

from ticketcap_gateway import api as app
from ticketcap_gateway.access.callers import Access
from ticketcap_gateway.edge.admission import Admission
from ticketcap_gateway.edge.connection import ConnectionLimits
from ticketcap_gateway.edge.json_body import BodyReader
from ticketcap_gateway.edge.operation import Operation
from ticketcap_gateway.edge.rate_limits import RateLimiter
from ticketcap_gateway.edge.server import HttpServer, affordable, listen
from ticketcap_gateway.events.endpoints import Events
from ticketcap_gateway.events.seat_watch import CapacityHub
from ticketcap_gateway.events.stream import Stream
from ticketcap_gateway.health.draining import Draining
from ticketcap_gateway.health.endpoints import Health
from ticketcap_gateway.payments.day_csv import PaymentsCsv
from ticketcap_gateway.payments.endpoints import Payments
from ticketcap_gateway.payments.escalations import Escalations
from ticketcap_gateway.payments.pages import PaymentPages
from ticketcap_gateway.payments.yaadpay_return import YaadPayReturn
from ticketcap_gateway.registrations.check_ins import CheckIns
from ticketcap_gateway.registrations.claims import ClaimCoalescer
from ticketcap_gateway.registrations.csv_export import CsvExport
from ticketcap_gateway.registrations.endpoints import Registrations
from ticketcap_gateway.registrations.links import Links
from ticketcap_gateway.schools.endpoints import Schools
from ticketcap_gateway.services.payment import PaymentClient, open_payment_channel
from ticketcap_gateway.services.registration import RegistrationClient, open_registration_channel
from ticketcap_gateway.settings import GatewaySettings

_SERVICE: Final = "gateway"
_IDENTITY_SECONDS: Final = 1.0

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The wired parts that running it takes."""

    app: ASGIApp
    hub: CapacityHub
    draining: Draining


@asynccontextmanager
async def wired(
    settings: GatewaySettings, telemetry: Telemetry, *, stop: Callable[[], object] | None = None
) -> AsyncIterator[Gateway]:
    """Wire every part; when the code inside ends, so do the calls that are still under way."""
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
        hub = CapacityHub(
            registration,
            max_watchers=settings.max_streams,
            max_of_event=settings.max_event_streams,
            max_watchers_per_address=settings.max_streams_per_address,
            renew_seconds=settings.watch_renew_seconds,
        )
        draining = Draining()
        access = Access(verifier, settings.trusted_proxies)
        operations = _operations(settings, registration, payment, access, claims, hub, draining)
        served = app.build(
            operations,
            Admission(access, most=settings.max_connections, share=settings.max_requests_per_address),
            telemetry=telemetry,
            request_seconds=settings.request_seconds,
            version=release(),
        )
        try:
            yield Gateway(app=served, hub=hub, draining=draining)
        finally:
            await hub.close()
            await claims.close()


def _operations(
    settings: GatewaySettings,
    registration: RegistrationClient,
    payment: PaymentClient,
    access: Access,
    claims: ClaimCoalescer,
    hub: CapacityHub,
    draining: Draining,
) -> Sequence[Operation]:
    bodies = BodyReader(settings.max_body_bytes)
    links = Links(settings.public_url)
    writes = settings.public_writes_per_hour
    registrations = Registrations(registration, claims, access, bodies, links, writes_per_hour=writes)
    health = Health(registration, payment, draining, access, version=release(), has_test_error=settings.has_test_error)
    return (
        *registrations.operations(),
        *Events(registration, access, bodies).operations(),
        *Stream(hub, access, heartbeat=settings.heartbeat_seconds).operations(),
        *CsvExport(registration, access, seconds=settings.export_seconds).operations(),
        *CheckIns(registration, access, bodies, links).operations(),
        *Schools(registration, access, bodies).operations(),
        *_payment_operations(settings, payment, access, bodies),
        *health.operations(),
    )


def _payment_operations(
    settings: GatewaySettings, payment: PaymentClient, access: Access, bodies: BodyReader
) -> Sequence[Operation]:
    seconds = settings.payment_seconds
    # One share for both ways to open a payment, and one for what YaadPay did not send.
    openings = RateLimiter(settings.public_writes_per_hour)
    refusals = RateLimiter(settings.refused_returns_per_hour)
    return (
        *Payments(payment, access, bodies, openings, seconds=seconds).operations(),
        *YaadPayReturn(payment, access, refusals, seconds=settings.return_seconds).operations(),
        *PaymentsCsv(payment, access, seconds=settings.export_seconds).operations(),
        *Escalations(payment, access, bodies, seconds=seconds).operations(),
        *PaymentPages(payment, access, openings, seconds=seconds).operations(),
    )


async def run(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises OSError when the address is taken."""
    telemetry = Telemetry.start(_SERVICE, release(), metrics_address=settings.metrics_address)
    try:
        stop = stop_requested()
        with listen(settings.listen_address) as listener:
            async with wired(settings, telemetry, stop=stop.set) as gateway:
                server = HttpServer(
                    gateway.app,
                    limits=connection_limits(settings),
                    keep_alive_seconds=settings.keep_alive_seconds,
                    drain_seconds=settings.drain_seconds,
                )
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
    gateway.draining.begin()
    await asyncio.sleep(settings.drain_delay_seconds)
    # Streams never end by themselves: the browsers connect again, elsewhere.
    await gateway.hub.close()
    server.stop()


def connection_limits(settings: GatewaySettings) -> ConnectionLimits:
    """Return the settings that concern connections."""
    return ConnectionLimits(
        max_connections=affordable(settings.max_connections),
        max_connections_per_address=settings.max_connections_per_address,
        trusted_proxies=settings.trusted_proxies,
        max_header_bytes=settings.max_header_bytes,
        max_body_bytes=settings.max_body_bytes,
        read_seconds=settings.read_seconds,
        write_seconds=settings.write_seconds,
    )


def main() -> int:
    """Read the settings and run. Returns the process's exit status."""
    # gRPC's own notes about connections that come and go are no news; it reads this before its first channel.
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
