"""Wire the payment service together.

No other module builds parts out of settings.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from ticketcap.payment.v1 import payment_pb2_grpc as pb_grpc
from ticketcap_chassis.database.engine import engine_opener
from ticketcap_chassis.database.first_connection import require_sessions
from ticketcap_chassis.database.job_leases import held_leases
from ticketcap_chassis.database.row_security import require_row_security
from ticketcap_chassis.health import DatabaseHealth, IdentityHealth
from ticketcap_chassis.identity.tokens import TokenVerifier
from ticketcap_chassis.lifecycle import TURN_SECONDS, background, every, give_memory_back, stop_requested
from ticketcap_chassis.rpc.server import GrpcServer
from ticketcap_observability import Telemetry, get_logger

from ticketcap_payment.jobs.reconciler import Reconciler
from ticketcap_payment.jobs.registration_changes import RegistrationChanges
from ticketcap_payment.registration_client import open_registration
from ticketcap_payment.rpc.access import Access
from ticketcap_payment.rpc.service import SERVICE, PaymentService
from ticketcap_payment.saga.capture import Capture
from ticketcap_payment.saga.context import Saga
from ticketcap_payment.saga.creation import Creation
from ticketcap_payment.saga.deliveries import Deliveries
from ticketcap_payment.saga.refunds import Refunds
from ticketcap_payment.saga.resolution import Resolution
from ticketcap_payment.saga.returns import Returns
from ticketcap_payment.saga.seats import Seats
from ticketcap_payment.saga.settlement import Settlement
from ticketcap_payment.settings import Settings
from ticketcap_payment.steps import NoSteps, Steps
from ticketcap_payment.store import roles
from ticketcap_payment.store.backlog import Backlog
from ticketcap_payment.store.directory import Directory
from ticketcap_payment.store.escalations import Escalations
from ticketcap_payment.store.outbox import Outbox, Topic
from ticketcap_payment.store.schools import Schools
from ticketcap_payment.telemetry import PaymentTelemetry
from ticketcap_payment.yaadpay.client import Terminal, YaadPayClient

_NAME: Final = "payment"
_HEALTH_SECONDS: Final = 0.5
_IDENTITY_SECONDS: Final = 1.0
_MEASURE_SECONDS: Final = 5.0
_CLEAN_SECONDS: Final = 300.0
_LONG_TURN_SECONDS: Final = 600.0
"""The limit of a turn over many payments; each of its waits is short."""
_BACKLOG: Final = "backlog"
_LEASED_JOBS: Final = (_BACKLOG, "housekeeping", "reconciler", "registration_changes")
"""The jobs that one replica runs for all. Due rows of the outbox are leased one by one, to every replica."""

_log = get_logger(__name__)


async def serve(settings: Settings, telemetry: Telemetry, *, steps: Steps | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then drain. ``steps`` observes the saga."""
    stop = stop_requested()
    async with running(settings, telemetry, steps=steps, stop=stop.set) as port:
        give_memory_back()
        _log.info("service.ready", port=port, database_connections=settings.most_connections)
        await stop.wait()
        _log.info("service.draining", seconds=settings.drain_seconds)


@asynccontextmanager
async def running(
    settings: Settings,
    telemetry: Telemetry,
    *,
    steps: Steps | None = None,
    stop: Callable[[], object] | None = None,
) -> AsyncIterator[int]:
    """Run the service for the length of the block; yield its port. ``stop`` must end the block."""
    async with AsyncExitStack() as stack:
        opened = engine_opener(settings, telemetry, roles.SESSION)
        engine = await stack.enter_async_context(
            opened(settings.database_url, role=roles.APP, connections=settings.database_connections)
        )
        jobs_engine = await stack.enter_async_context(
            opened(settings.jobs_url, role=roles.JOBS, connections=settings.database_jobs_connections)
        )
        await require_sessions(engine, variable="DATABASE_URL")
        await require_sessions(jobs_engine, variable=settings.jobs_variable)
        await require_row_security(engine, roles.TABLES, migrate="python -m ticketcap_payment migrate")
        registration = await stack.enter_async_context(
            open_registration(settings.registration_target, settings.identity(_NAME), telemetry)
        )
        # Before the jobs start, so after they have ended: no turn runs under a lease that was given back.
        leases = await stack.enter_async_context(
            held_leases(jobs_engine, _LEASED_JOBS, seconds=settings.job_lease_seconds, telemetry=telemetry)
        )
        payment_telemetry = PaymentTelemetry(telemetry, shows_backlog=partial(leases.holds, _BACKLOG))
        yaadpay = _yaadpay(settings, payment_telemetry)
        stack.push_async_callback(yaadpay.close)
        schools = Schools(engine)
        stack.push_async_callback(schools.close)
        saga = Saga(
            engine=engine,
            schools=schools,
            yaadpay=yaadpay,
            registration=registration,
            telemetry=payment_telemetry,
            settings=settings,
            steps=steps or NoSteps(),
        )
        outbox = Outbox(engine, jobs_engine, lease_seconds=settings.outbox_lease_seconds)
        directory = Directory(engine, jobs_engine, schools)
        verifier = settings.verifier()
        service, deliveries = _service(saga, outbox, directory, Escalations(jobs_engine), verifier)
        server = GrpcServer(telemetry=telemetry, verifier=verifier, age=settings.connection_age)
        pb_grpc.add_PaymentServiceServicer_to_server(service, server.server)

        needs = {engine: roles.APP_NEEDS, jobs_engine: roles.JOBS_NEEDS}
        health = DatabaseHealth(needs, server, ["", SERVICE])
        identity = IdentityHealth(verifier, server)
        await health.check()
        await identity.check()
        reconciler = Reconciler(saga, Backlog(jobs_engine), outbox)
        changes = RegistrationChanges(saga, directory)
        for name, seconds, limit, work in (
            ("health", _HEALTH_SECONDS, TURN_SECONDS, health.check),
            ("identity", _IDENTITY_SECONDS, TURN_SECONDS, identity.check),
            ("outbox", settings.outbox_poll_seconds, TURN_SECONDS, deliveries.start_due),
            ("job_leases", leases.renewal_seconds, TURN_SECONDS, leases.renew),
            ("registration_changes", settings.feed_poll_seconds, _LONG_TURN_SECONDS, changes.follow),
            ("reconciler", settings.reconcile_seconds, _LONG_TURN_SECONDS, reconciler.reconcile),
            (_BACKLOG, _MEASURE_SECONDS, TURN_SECONDS, reconciler.measure),
            ("housekeeping", _CLEAN_SECONDS, _LONG_TURN_SECONDS, reconciler.clean),
        ):
            turn = leases.turn(name, work) if name in _LEASED_JOBS else work
            await stack.enter_async_context(background(every(seconds, turn, name=name, limit=limit), stop, name=name))
        await stack.enter_async_context(background(telemetry.watch_loop(), stop, name="loop watch"))
        port = await server.start(settings.listen_address, [SERVICE])
        try:
            yield port
        finally:
            await drain(server, deliveries, settings.drain_seconds)


async def drain(server: GrpcServer, deliveries: Deliveries, seconds: float) -> None:
    """Finish the calls, then the deliveries, all within ``seconds``: the platform kills a slower process."""
    ends_at = time.monotonic() + seconds
    await server.drain(seconds)
    await deliveries.close(max(0.0, ends_at - time.monotonic()))


def _yaadpay(settings: Settings, telemetry: PaymentTelemetry) -> YaadPayClient:
    terminal = Terminal(
        masof=settings.yaadpay_masof,
        key=settings.yaadpay_key.get_secret_value(),
        password=settings.yaadpay_passp.get_secret_value(),
    )
    return YaadPayClient(
        settings.yaadpay_base_url,
        terminal,
        telemetry,
        page_url=settings.yaadpay_page_url or settings.yaadpay_base_url,
        seconds=settings.yaadpay_seconds,
        money_seconds=settings.yaadpay_money_seconds,
    )


def _service(
    saga: Saga, outbox: Outbox, directory: Directory, escalations: Escalations, verifier: TokenVerifier
) -> tuple[PaymentService, Deliveries]:
    returns, refunds = Returns(saga, directory), Refunds(saga)
    handlers = {
        Topic.VERIFY: returns.verify,
        Topic.CAPTURE: Capture(saga).capture,
        Topic.CONFIRM_SEAT: Seats(saga).confirm,
        Topic.REFUND: refunds.send,
    }
    deliveries = Deliveries(outbox, saga.telemetry, handlers)
    resolution = Resolution(saga, escalations, directory)
    service = PaymentService(
        access=Access(verifier, saga.schools, directory, saga.registration),
        engine=saga.engine,
        creation=Creation(saga),
        settlement=Settlement(saga, returns, refunds, resolution, deliveries),
        escalations=escalations,
    )
    return service, deliveries
