"""Run the payment service inside the test's process.

The registration service, the database and the simulator are real.
"""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import grpc.aio
import httpx
from service_under_test import OWNER, SECRET, SERVICE, SUPER_ADMIN, Replica, replica
from sqlalchemy import create_engine, text
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap.payment.v1 import payment_pb2_grpc as pb_grpc
from ticketcap.registration.v1 import registration_pb2 as registration_pb
from ticketcap_chassis.database.engine import driver_url
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_observability import InMemoryTelemetry, Telemetry
from ticketcap_payment.main import running
from ticketcap_payment.settings import Settings
from ticketcap_payment.steps import Step
from ticketcap_testing.stack import ServiceProcess, free_port, fresh_database

# The vendor's public test terminal.
MASOF: Final = "0010131918"
KEY: Final = "7110eda4d09e062aa5e4a390b0a572ac0d2c0220"
PASSP: Final = "yaad"

GOOD_CARD: Final = "5253360311315452"
REFUSED_CARD: Final = "4580458045804580"
REFUSED_AT_COMMIT: Final = "5253360000008004"
PRICE: Final = 4990
NOON: Final = "2026-06-01T12:00:00+03:00"
_PATIENCE_SECONDS: Final = 20.0
PATIENT: Final = {"database_answer_seconds": 30.0, "database_connect_seconds": 30.0}
"""Limits that no busy machine reaches: no test here is about a silent database."""

Redirects = list[str]


class StepsUnderTest:
    """Runs what a test asked for when a step is reached: lets another request pass, or stops the work there."""

    def __init__(self) -> None:
        self.seen: list[Step] = []
        self._once: dict[Step, Callable[[], Awaitable[None]]] = {}

    def once(self, step: Step, act: Callable[[], Awaitable[None]]) -> None:
        """Do ``act`` the next time that ``step`` is reached."""
        self._once[step] = act

    def die_at(self, step: Step) -> None:
        """Leave what is under way at ``step``, as if the process had been killed there."""

        async def die() -> None:
            raise Killed

        self.once(step, die)

    async def reached(self, step: Step) -> None:
        self.seen.append(step)
        if act := self._once.pop(step, None):
            await act()


class Killed(BaseException):
    """Ends the current work; nothing after it runs."""


@dataclass(frozen=True)
class Simulator:
    """The simulator's control plane."""

    http: httpx.AsyncClient
    url: str

    async def customer(self, page_url: str, card: str = GOOD_CARD, **typed: Any) -> dict[str, Any]:
        """Do what a person does on the hosted page; the redirects are not followed."""
        answer = await self.http.post("/simulator/customer", json={"page_url": page_url, "card": card, **typed})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def fault(self, action: str, kind: str, **more: Any) -> None:
        answer = await self.http.post("/simulator/faults", json={"action": action, "kind": kind, **more})
        assert answer.status_code == 201, answer.text

    async def set(self, **values: Any) -> None:
        answer = await self.http.patch("/simulator/terminal", json=values)
        assert answer.status_code == 200, answer.text

    async def book(self, order: str) -> dict[str, int]:
        """Return what the card's owner was really charged and given back, in agorot."""
        orders = (await self.http.get("/simulator/book", params={"order": order})).json()["orders"]
        none = {"charged_agorot": 0, "refunded_agorot": 0, "cancelled_agorot": 0, "net_agorot": 0, "charges": 0}
        return dict(orders[0]) if orders else none

    async def requests(self, action: str) -> list[dict[str, Any]]:
        return list((await self.http.get("/simulator/requests", params={"action": action})).json()["items"])


@dataclass(frozen=True, kw_only=True)
class World:
    """Everything that a payment needs, running."""

    stub: pb_grpc.PaymentServiceStub
    channel: grpc.aio.Channel
    registration: Replica
    simulator: Simulator
    steps: StepsUnderTest
    telemetry: InMemoryTelemetry
    database: str

    async def hold(self, number: int = 1, **fields: Any) -> registration_pb.RegisterResponse:
        """Open the paid event if it is not there, and register for it."""
        return await self.registration.register(number, **fields)

    async def create(self, hold: registration_pb.RegisterResponse, **fields: Any) -> pb.CreatePaymentResponse:
        key = fields.pop("idempotency_key", secrets.token_hex(8))
        request = pb.CreatePaymentRequest(
            **{"registration_id": hold.id, "manage_token": hold.manage_token, "idempotency_key": key, **fields}
        )
        return await self.stub.CreatePayment(request)

    async def settle(self, redirect: str, seconds: float = 20) -> pb.SettleReturnResponse:
        """Deliver a redirect as the browser would."""
        query = urlsplit(redirect).query.encode()
        return await self.stub.SettleReturn(pb.SettleReturnRequest(query=query), timeout=seconds)

    async def paid(
        self, hold: registration_pb.RegisterResponse, card: str = GOOD_CARD, **typed: Any
    ) -> pb.SettleReturnResponse:
        """Open a payment, pay it on the page, come back."""
        opened = await self.create(hold)
        came = await self.simulator.customer(opened.redirect_url, card, **typed)
        return await self.settle(came["redirects"][0])

    async def payment(self, payment_id: str) -> pb.Payment:
        answer = await self.stub.GetPayment(pb.GetPaymentRequest(id=payment_id), metadata=OWNER)
        return answer.payment

    async def refund_as(self, payment_id: str, metadata: Any) -> pb.RefundPaymentResponse:
        request = pb.RefundPaymentRequest(payment_id=payment_id, idempotency_key=secrets.token_hex(8))
        return await self.stub.RefundPayment(request, metadata=metadata)

    async def refund(self, payment_id: str, amount: int | None = None, **fields: Any) -> pb.RefundPaymentResponse:
        key = fields.pop("idempotency_key", secrets.token_hex(8))
        seconds = fields.pop("seconds", 20)
        request = pb.RefundPaymentRequest(payment_id=payment_id, amount_agorot=amount, idempotency_key=key)
        return await self.stub.RefundPayment(request, metadata=OWNER, timeout=seconds)

    async def resolve(self, kind: str, subject: str, **found: Any) -> pb.Payment:
        """Say what a person found."""
        request = pb.ResolveEscalationRequest(kind=kind, id=subject, **found)
        return (await self.stub.ResolveEscalation(request, metadata=SUPER_ADMIN, timeout=20)).payment

    async def status(self, hold: registration_pb.RegisterResponse) -> str:
        """Return where the registration stands."""
        return registration_pb.RegistrationStatus.Name((await self.registration.get(hold)).status)[20:]

    async def until(self, look: Callable[[], Awaitable[Any]], *, what: str) -> Any:
        """Wait until ``look`` finds something true; the value of time is only how long we are patient."""
        for _ in range(int(_PATIENCE_SECONDS / 0.1)):
            if found := await look():
                return found
            await asyncio.sleep(0.1)
        raise AssertionError(f"it never came to this: {what}")

    async def state_becomes(self, payment_id: str, state: str) -> pb.Payment:
        async def look() -> pb.Payment | None:
            payment = await self.payment(payment_id)
            return payment if state_of(payment) == state else None

        found = await self.until(look, what=f"{payment_id} is {state}")
        assert isinstance(found, pb.Payment)
        return found

    async def feed_is_read(self) -> bool:
        """Say whether payment has acknowledged every change."""
        request = registration_pb.ListChangesRequest(consumer="payment", limit=1)
        return not (await self.registration.stub.ListChanges(request, metadata=SERVICE)).changes

    def read_changes_again(self) -> None:
        """Let payment read every change once more, as if no acknowledgement had arrived."""
        engine = create_engine(driver_url(self.registration.database))
        with engine.begin() as connection:
            connection.execute(
                text("""INSERT INTO unread_changes SELECT school_id, 'payment', event_id, version, id
                        FROM registration_changes WHERE topic IN ('registration.cancelled', 'registration.confirmed')
                        ON CONFLICT DO NOTHING""")
            )
        engine.dispose()

    def rows(self, statement: str, **values: Any) -> list[dict[Any, Any]]:
        """Ask the payment database, past all its protections."""
        engine = create_engine(driver_url(self.database))
        with engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(text(statement), values).mappings()]
        engine.dispose()
        return rows

    def change(self, statement: str) -> None:
        """Change the payment database, past all its protections but its rules."""
        engine = create_engine(driver_url(self.database))
        with engine.begin() as connection:
            connection.execute(text(statement))
        engine.dispose()

    def end_pages(self) -> None:
        """Let the time of every page be over."""
        self.change("UPDATE payments SET created_at = created_at - interval '1 hour'")

    async def _is_quiet(self) -> bool:
        return not self.rows("SELECT 1 FROM outbox WHERE done_at IS NULL")

    async def books_agree(self) -> None:
        """When all is quiet, hold both books and the seats against each other: captured ⇒ seat or refund."""
        await self.until(self._is_quiet, what="nothing is left to deliver")
        for payment in self.rows("SELECT * FROM payments"):
            book = await self.simulator.book(payment["order"])
            captured = payment["amount_agorot"] if payment["captured_at"] else 0
            surplus = self.rows(
                "SELECT coalesce(sum(amount_agorot), 0)::bigint AS sum FROM refunds"
                " WHERE payment_id = :id AND reason = 'SURPLUS' AND state = 'DONE'",
                id=payment["id"],
            )[0]["sum"]
            net_agorot = captured - payment["refunded_agorot"]
            assert book["net_agorot"] == net_agorot, (book, payment)
            assert book["charged_agorot"] == captured + surplus, (book, payment)
            if net_agorot:
                assert payment["seat"] == "CONFIRMED", payment


def state_of(payment: Any) -> str:
    """Return the name of a payment's or result's state."""
    return pb.PaymentState.Name(payment.state).removeprefix("PAYMENT_STATE_")


def seat_of(payment: Any) -> str:
    return pb.SeatState.Name(payment.seat).removeprefix("SEAT_STATE_")


@contextmanager
def simulator_process(folder: Path) -> Iterator[str]:
    """Run the simulator as a process of its own and yield its address."""
    url = f"http://127.0.0.1:{free_port()}"

    def ready() -> bool:
        try:
            return httpx.get(f"{url}/simulator/health", timeout=2, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    env = {"LISTEN_ADDRESS": url.removeprefix("http://"), "SIMULATOR_STATE": str(folder / "simulator.sqlite")}
    argv = [sys.executable, "-m", "ticketcap_yaadpay_simulator"]
    with ServiceProcess("simulator", argv, env, ready=ready, folder=folder):
        yield url


def settings(database: str, registration_target: str, yaadpay_url: str, **changes: Any) -> Settings:
    plain: dict[str, Any] = {
        "database_url": database,
        "listen_address": "127.0.0.1:0",
        "registration_target": registration_target,
        "jwt_secret": SECRET,
        "yaadpay_base_url": f"{yaadpay_url}/p/",
        "yaadpay_masof": MASOF,
        "yaadpay_key": KEY,
        "yaadpay_passp": PASSP,
        "yaadpay_seconds": 0.8,
        "yaadpay_money_seconds": 0.8,
        "outbox_lease_seconds": 1,
        "outbox_poll_seconds": 0.1,
        "feed_poll_seconds": 0.1,
        "reconcile_seconds": 0.5,
        "drain_seconds": 2,
        # The simulator's clock stands at noon, so a charge can be cancelled there at any hour of this machine.
        "yaadpay_cancel_cutoff": "23:59:59",
        **PATIENT,
    }
    return Settings(**{**plain, **changes})


@dataclass
class Ground:
    """The parts below the services, and the settings that a test changes."""

    postgres: EmbeddedPostgres
    seats_template: str
    money_template: str
    yaadpay_url: str
    registration: dict[str, Any] = field(default_factory=dict)
    payment: dict[str, Any] = field(default_factory=dict)


@asynccontextmanager
async def world(ground: Ground) -> AsyncIterator[World]:
    """Run both services on databases of their own, with a paid event of 10 spots."""
    telemetry = Telemetry.in_memory()
    steps = StepsUnderTest()
    with (
        fresh_database(ground.postgres, template=ground.seats_template) as seats,
        fresh_database(ground.postgres, template=ground.money_template) as money,
    ):
        async with (
            replica(seats, **{**PATIENT, **ground.registration}) as registration,
            simulator_client(ground.yaadpay_url) as simulator,
            running(
                settings(money, registration.target, ground.yaadpay_url, **ground.payment), telemetry, steps=steps
            ) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            await registration.open(price_agorot=PRICE)
            yield World(
                stub=pb_grpc.PaymentServiceStub(channel),
                channel=channel,
                registration=registration,
                simulator=simulator,
                steps=steps,
                telemetry=telemetry,
                database=money,
            )


@asynccontextmanager
async def another_payment_service(here: World, ground: Ground) -> AsyncIterator[None]:
    """Run a second replica of the payment service, which takes over what the first one has leased for too long."""
    changed = settings(here.database, here.registration.target, ground.yaadpay_url, **ground.payment)
    async with running(changed, Telemetry.in_memory()):
        yield


@asynccontextmanager
async def simulator_client(url: str) -> AsyncIterator[Simulator]:
    """Speak to the simulator's control plane, with nothing left in it of earlier tests."""
    async with httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as http:
        assert (await http.delete("/simulator/state")).status_code == 204
        assert (await http.post("/simulator/clock", json={"now": NOON})).status_code == 200
        yield Simulator(http, url)
