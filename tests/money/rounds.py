"""Play a schedule on a running world, then compare all books."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp
from ticketcap.payment.v1 import payment_pb2 as pay
from ticketcap.registration.v1 import registration_pb2 as reg

from tests.money.schedule import Parent, Schedule
from tests.money.world import MoneyWorld, token

PRICE: Final = 4990
_PATIENCE_SECONDS: Final = 60.0
_SETTLES_SECONDS: Final = 150.0
"""Patience for what follows a round; on a busy machine each retry of it takes its time."""
_CALL_SECONDS: Final = 8.0
_Answer = TypeVar("_Answer")


@dataclass
class Story:
    """One parent's history."""

    parent: Parent
    registration: str = ""
    manage_token: str = ""
    payments: list[str] = field(default_factory=list)


class Round:
    """One schedule on one event of its own."""

    def __init__(self, world: MoneyWorld, schedule: Schedule) -> None:
        self._world = world
        self._schedule = schedule
        self._event = f"round-{schedule.seed}-{secrets.token_hex(3)}"
        self._stories = [Story(parent) for parent in schedule.parents]
        self._playing = True

    async def play(self) -> None:
        """Play it to its end; raise AssertionError when anything does not add up."""
        await self._prepare()
        reviver = asyncio.create_task(self._revive())
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await asyncio.gather(self._change_prices(), *(self._live(story) for story in self._stories))
        finally:
            self._playing = False
            await reviver
        await self._calm_down()
        await self._hold_together()

    async def _prepare(self) -> None:
        world = self._world
        await world.simulator.delete("/simulator/faults")
        await world.simulator.post("/simulator/clock", json={"now": "2026-06-01T12:00:00+03:00"})
        school = reg.CreateSchoolRequest(slug="herzl", name="Herzl")
        await _tolerant(lambda: world.registration.CreateSchool(school, metadata=token("SUPER_ADMIN", None)))
        starts_at = Timestamp()
        starts_at.FromDatetime(datetime.now(UTC) + timedelta(days=30))
        fields = reg.EventFields(
            slug=self._event,
            title="טיול",
            starts_at=starts_at,
            capacity=self._schedule.capacity,
            price_agorot=PRICE,
            hold_seconds=self._schedule.hold_seconds,
        )
        request = reg.CreateEventRequest(school="herzl", fields=fields)
        await world.registration.CreateEvent(request, metadata=token("OWNER"), timeout=_CALL_SECONDS)
        for fault in self._schedule.faults:
            answer = await world.simulator.post("/simulator/faults", json=fault)
            assert answer.status_code == 201, answer.text
        world.steps.begin(self._schedule.kills)

    async def _revive(self) -> None:
        while self._playing:
            await self._world.revive()
            await asyncio.sleep(0.05)

    async def _change_prices(self) -> None:
        for seconds, agorot in self._schedule.prices:
            await asyncio.sleep(seconds)
            request = reg.UpdateEventRequest(
                school="herzl", event=self._event, fields=reg.EventFields(price_agorot=agorot)
            )
            await _insistent(
                lambda request=request: self._world.registration.UpdateEvent(  # type: ignore[misc]  # bound now
                    request, metadata=token("OWNER"), timeout=_CALL_SECONDS
                )
            )

    # A parent's steps

    async def _live(self, story: Story) -> None:
        await asyncio.sleep(story.parent.begins_after)
        await self._register(story)
        if not story.registration:
            return
        await asyncio.gather(self._pay(story), self._cancel(story))
        await self._refund(story)

    async def _register(self, story: Story) -> None:
        request = reg.RegisterRequest(
            school="herzl",
            event=self._event,
            name="דנה כהן",
            phone=f"050-{2_000_000 + story.parent.number}",
            spots=story.parent.spots,
            idempotency_key=f"{self._event}-{story.parent.number}",
        )
        answer = await _insistent(lambda: self._world.registration.Register(request, timeout=_CALL_SECONDS))
        if answer is not None and answer.status == reg.REGISTRATION_STATUS_PENDING_PAYMENT:
            story.registration, story.manage_token = answer.id, answer.manage_token

    async def _pay(self, story: Story) -> None:
        for card in story.parent.cards:
            url = await self._page(story)
            if not url:
                return
            came = (
                await self._world.simulator.post("/simulator/customer", json={"page_url": url, "card": card})
            ).json()
            for redirect in came.get("redirects", [])[:1]:
                await self._come_back(story, redirect)

    async def _page(self, story: Story) -> str:
        request = pay.CreatePaymentRequest(
            registration_id=story.registration,
            manage_token=story.manage_token,
            idempotency_key=secrets.token_hex(8),
        )
        for _ in range(20):
            try:
                opened = await self._world.payment.CreatePayment(request, timeout=_CALL_SECONDS)
            except grpc.aio.AioRpcError as error:
                if error.code() in {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ALREADY_EXISTS}:
                    return ""
                await asyncio.sleep(0.2)
            else:
                story.payments.append(opened.payment_id)
                return opened.redirect_url
        return ""

    async def _come_back(self, story: Story, redirect: str) -> None:
        request = pay.SettleReturnRequest(query=urlsplit(redirect).query.encode())

        async def deliver() -> None:
            await _insistent(lambda: self._world.payment.SettleReturn(request, timeout=_CALL_SECONDS))

        match story.parent.redirect:
            case "lost":
                return
            case "late":
                await asyncio.sleep(2.5)
                await deliver()
            case "twice":
                await deliver()
                await deliver()
            case "at_once":
                await asyncio.gather(*(deliver() for _ in range(8)))
            case _:
                await deliver()

    async def _cancel(self, story: Story) -> None:
        if story.parent.cancels_after is None:
            return
        await asyncio.sleep(story.parent.cancels_after)
        request = reg.CancelRegistrationRequest(id=story.registration, manage_token=story.manage_token)
        await _insistent(lambda: self._world.registration.CancelRegistration(request, timeout=_CALL_SECONDS))

    async def _refund(self, story: Story) -> None:
        for number, amount in enumerate(story.parent.refunds):
            for payment_id in story.payments:
                request = pay.RefundPaymentRequest(
                    payment_id=payment_id, amount_agorot=amount, idempotency_key=f"refund-{number}"
                )
                await _insistent(
                    lambda request=request: self._world.payment.RefundPayment(  # type: ignore[misc]  # bound now
                        request, metadata=token("OWNER"), timeout=_CALL_SECONDS
                    )
                )

    # Consequences

    async def _calm_down(self) -> None:
        """Let faults end and everybody live; a person looks into YaadPay's portal and says what is there."""
        world = self._world
        await world.simulator.delete("/simulator/faults")
        world.steps.begin([])
        for _ in range(int(_SETTLES_SECONDS / 0.2)):
            # A kill that was under way when the schedule ended may come after the first look.
            await world.revive()
            await asyncio.sleep(0.2)
            if world.rows("SELECT 1 FROM outbox WHERE done_at IS NULL") or await self._hold_under_way():
                continue
            waiting = world.rows("SELECT * FROM escalations WHERE resolved_at IS NULL")
            if not waiting:
                return
            for one in waiting:
                await self._resolve(one)
        left = {
            "outbox": world.rows("SELECT * FROM outbox WHERE done_at IS NULL"),
            "escalations": world.rows("SELECT * FROM escalations WHERE resolved_at IS NULL"),
            "payments": world.rows("SELECT id, state, seat FROM payments WHERE state NOT IN ('FAILED', 'EXPIRED')"),
            "changes not read": await self._hold_under_way(),
        }
        raise AssertionError(f"it never settled: {left}")

    async def _hold_under_way(self) -> bool:
        """The feed of changes may still bring work: wait until it has been read to its end."""
        request = reg.ListChangesRequest(consumer="payment", limit=1)
        try:
            answer = await self._world.registration.ListChanges(
                request, metadata=token("SERVICE", None), timeout=_CALL_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
                raise
            # Registration starts again: it can't say yet.
            return True
        return bool(answer.changes)

    async def _resolve(self, escalation: dict[str, Any]) -> None:
        kind, subject = escalation["kind"], str(escalation["subject_id"])
        found: dict[str, Any] = {"moved": False, "again": True}
        if kind == "payment":
            order = self._world.rows('SELECT "order" FROM payments WHERE id = %(id)s', id=subject)[0]["order"]
            charges = [one for one in await self._portal(order) if one["kind"] == "commit"]
            found = {"moved": bool(charges), "yaadpay_id": str(charges[0]["id"]) if charges else ""}
        if kind == "refund":
            found = await self._refund_found(subject)
        request = pay.ResolveEscalationRequest(kind=kind, id=subject, **found)
        await _tolerant(
            lambda: self._world.payment.ResolveEscalation(
                request, metadata=token("SUPER_ADMIN", None), timeout=_CALL_SECONDS
            )
        )

    async def _refund_found(self, refund_id: str) -> dict[str, Any]:
        """Compare the portal's refunds with the refunds in payment's books: is this one among them?"""
        (row,) = self._world.rows(
            'SELECT refunds.*, payments."order", payments.refunded_agorot, payments.yaadpay_id AS charge'
            " FROM refunds JOIN payments ON payments.id = payment_id WHERE refunds.id = %(id)s",
            id=refund_id,
        )
        book = (await self._world.simulator.get("/simulator/book", params={"order": row["order"]})).json()["orders"][0]
        moved = book["refunded_agorot"] + book["cancelled_agorot"] > row["refunded_agorot"]
        if moved:
            return {"moved": True}
        charges = [one for one in await self._portal(row["order"]) if one["kind"] == "commit"]
        return {"moved": False, "again": True, "yaadpay_id": str(charges[0]["id"]) if charges else ""}

    async def _portal(self, order: str) -> list[dict[str, Any]]:
        answer = await self._world.simulator.get("/simulator/transactions", params={"order": order})
        return list(answer.json()["items"])

    # Invariants

    async def _hold_together(self) -> None:
        await self._seats_add_up()
        for story in self._stories:
            if story.registration:
                await self._money_and_seat(story)

    async def _seats_add_up(self) -> None:
        event = (await self._world.registration.GetEvent(reg.GetEventRequest(school="herzl", event=self._event))).event
        assert event.confirmed + event.held <= event.capacity, event

    async def _money_and_seat(self, story: Story) -> None:
        """Captured ⇒ seat or refund; seat ⇒ captured, or free by the school's will; both books to the agora.

        A registration is charged at its own price, and keeps nothing of anybody's money when that is 0.
        """
        request = reg.GetRegistrationRequest(id=story.registration, manage_token=story.manage_token)
        registration = (await self._world.registration.GetRegistration(request)).registration
        confirmed = registration.status == reg.REGISTRATION_STATUS_CONFIRMED
        rows = self._world.rows("SELECT * FROM payments WHERE registration_id = %(id)s", id=story.registration)
        captured = [row for row in rows if row["captured_at"]]
        for row in rows:
            assert row["state"] not in {"AUTHORISED", "UNKNOWN", "REFUND_PENDING"}, row
            assert row["refund_pending_agorot"] == 0, row
            book = (await self._world.simulator.get("/simulator/book", params={"order": row["order"]})).json()["orders"]
            net = book[0]["net_agorot"] if book else 0
            charged = book[0]["charged_agorot"] if book else 0
            assert net == (row["amount_agorot"] - row["refunded_agorot"] if row["captured_at"] else 0), (book, row)
            assert charged == (row["amount_agorot"] if row["captured_at"] else 0), (book, row)
        balance_agorot = sum(row["amount_agorot"] - row["refunded_agorot"] for row in captured)
        assert not balance_agorot or confirmed, (balance_agorot, registration)
        owed = registration.price_agorot * registration.spots
        assert all(row["amount_agorot"] == owed for row in captured if owed), (owed, captured)
        if not owed:
            assert not balance_agorot, (balance_agorot, registration)
            return
        assert not confirmed or captured, registration
        assert not confirmed or len([row for row in captured if row["seat"] == "CONFIRMED"]) == 1, captured


async def _insistent(call: Callable[[], Awaitable[_Answer]]) -> _Answer | None:
    """Call until the answer is final, as a person does who sees an error page; return None for a refusal."""
    for _ in range(40):
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() not in {
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.DEADLINE_EXCEEDED,
                grpc.StatusCode.ABORTED,
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                grpc.StatusCode.CANCELLED,
            }:
                return None
            await asyncio.sleep(0.2)
    return None


async def _tolerant(call: Callable[[], Awaitable[object]]) -> None:
    """Call once and ignore an RPC's error: the change may exist already, or be impossible now."""
    try:
        await call()
    except grpc.aio.AioRpcError:
        return
