"""Check that the coalescer batches claims and isolates their callers."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_chassis import deadlines
from ticketcap_chassis.errors import Busy, DeadlineExceeded, InternalError, NotFound, ServiceError, Unavailable
from ticketcap_chassis.rpc.status import to_status
from ticketcap_gateway.registrations import claims
from ticketcap_gateway.registrations.claims import MAX_BATCH, ClaimCoalescer

Answerer = Callable[[pb.RegisterBatchRequest], Awaitable[pb.RegisterBatchResponse]]


def _claim(name: str, event: str = "football") -> pb.RegisterRequest:
    return pb.RegisterRequest(school="herzl", event=event, name=name, phone="0501234567", spots=1)


def _echo(request: pb.RegisterBatchRequest) -> pb.RegisterBatchResponse:
    result = pb.RegisterBatchResponse.Result
    return pb.RegisterBatchResponse(
        results=[result(response=pb.RegisterResponse(id=item.request.name)) for item in request.items]
    )


class Registrar:
    """Takes batches, holds them until told, and answers each claim with its name."""

    def __init__(self, answer: Callable[[pb.RegisterBatchRequest], pb.RegisterBatchResponse] = _echo) -> None:
        self.batches: list[pb.RegisterBatchRequest] = []
        self.remaining: list[float | None] = []
        self.open = asyncio.Event()
        self.stuck: set[str] = set()
        self.released = asyncio.Event()
        self.in_flight = 0
        self.most_in_flight = 0
        self._answer = answer

    async def register_batch(self, request: pb.RegisterBatchRequest) -> pb.RegisterBatchResponse:
        """Answer when the gate is open."""
        self.batches.append(request)
        self.remaining.append(deadlines.remaining())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if any(item.request.event.lower() in self.stuck for item in request.items):
                await self.released.wait()
            await self.open.wait()
            await asyncio.sleep(0)
            return self._answer(request)
        finally:
            self.in_flight -= 1


def _sizes(registrar: Registrar) -> list[int]:
    return [len(batch.items) for batch in registrar.batches]


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_lone_claim_goes_at_once() -> None:
    """Nothing is waited for when nothing is under way."""
    registrar = Registrar()
    registrar.open.set()
    coalescer = ClaimCoalescer(registrar, max_waiting=10, max_of_event=1000)
    for name in ("a", "b"):
        assert (await coalescer.register(_claim(name))).id == name
    assert _sizes(registrar) == [1, 1]


async def test_a_rush_batches_by_itself() -> None:
    """At most two batches are under way, of a bounded size, and everybody gets their own answer."""
    registrar = Registrar()
    coalescer = ClaimCoalescer(registrar, max_waiting=1000, max_of_event=1000)
    first = [asyncio.create_task(coalescer.register(_claim(f"first-{n}"))) for n in range(3)]
    await _settle()
    second = asyncio.create_task(coalescer.register(_claim("second")))
    await _settle()
    others = [asyncio.create_task(coalescer.register(_claim(f"claim-{n}"))) for n in range(600)]
    await _settle()
    assert _sizes(registrar) == [3, 1]
    registrar.open.set()
    answers = await asyncio.gather(*first, second, *others)
    assert [answer.id for answer in answers[4:]] == [f"claim-{n}" for n in range(600)]
    full, rest = divmod(600, MAX_BATCH)
    assert _sizes(registrar) == [3, 1, *[MAX_BATCH] * full, rest]
    assert registrar.most_in_flight == 2


async def test_a_caller_that_leaves_never_hurts_the_batch() -> None:
    """Cancelled while under way: the others are answered. Cancelled while waiting: not sent at all."""
    registrar = Registrar()
    coalescer = ClaimCoalescer(registrar, max_waiting=1000, max_of_event=1000)
    under_way = [asyncio.create_task(coalescer.register(_claim(f"sent-{n}"))) for n in range(3)]
    await _settle()
    blocker = asyncio.create_task(coalescer.register(_claim("blocker")))
    await _settle()
    waiting = [asyncio.create_task(coalescer.register(_claim(f"waiting-{n}"))) for n in range(3)]
    await _settle()
    under_way[1].cancel()
    waiting[1].cancel()
    await _settle()
    registrar.open.set()
    answers = await asyncio.gather(*under_way, blocker, *waiting, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [
        False, True, False, False, False, True, False,
    ]  # fmt: skip
    assert [item.request.name for item in registrar.batches[2].items] == ["waiting-0", "waiting-2"]


async def test_a_failed_batch_answers_each_claim_with_an_error_of_its_own() -> None:
    """Every caller gets the error, none the same object, and the next batch is sent."""
    failures: list[Exception] = [Unavailable("down", retry_after=2), ValueError("a bug")]

    def fail_twice(request: pb.RegisterBatchRequest) -> pb.RegisterBatchResponse:
        if failures:
            raise failures.pop(0)
        return _echo(request)

    registrar = Registrar(fail_twice)
    registrar.open.set()
    coalescer = ClaimCoalescer(registrar, max_waiting=10, max_of_event=1000)
    errors = await asyncio.gather(*(coalescer.register(_claim(name)) for name in "abc"), return_exceptions=True)
    assert [(type(error), error.retry_after) for error in errors if isinstance(error, ServiceError)] == [
        (Unavailable, 2)
    ] * 3
    assert len({id(error) for error in errors}) == 3
    with pytest.raises(InternalError):
        await coalescer.register(_claim("d"))
    assert (await coalescer.register(_claim("e"))).id == "e"


async def test_one_poisoned_claim_fails_alone() -> None:
    """An item's error goes to its caller; too few results, or an empty one, are a fault of the service."""
    result = pb.RegisterBatchResponse.Result

    def answer(request: pb.RegisterBatchRequest) -> pb.RegisterBatchResponse:
        names = [item.request.name for item in request.items]
        if "short" in names:
            return pb.RegisterBatchResponse()
        return pb.RegisterBatchResponse(
            results=[
                result(error=to_status(NotFound("no"))) if name == "poison"
                else result() if name == "empty"
                else result(response=pb.RegisterResponse(id=name))
                for name in names
            ]
        )  # fmt: skip

    registrar = Registrar(answer)
    registrar.open.set()
    coalescer = ClaimCoalescer(registrar, max_waiting=10, max_of_event=1000)
    claims = [coalescer.register(_claim(name)) for name in ("good", "poison", "empty")]
    good, poison, empty = await asyncio.gather(*claims, return_exceptions=True)
    assert isinstance(good, pb.RegisterResponse)
    assert isinstance(poison, NotFound)
    assert isinstance(empty, InternalError)
    with pytest.raises(InternalError):
        await coalescer.register(_claim("short"))


async def test_the_queue_is_bounded() -> None:
    """One claim too many is refused with RetryInfo; those that wait are answered."""
    registrar = Registrar()
    coalescer = ClaimCoalescer(registrar, max_waiting=3, max_of_event=1000)
    sent = []
    for name in ("a", "b"):
        sent.append(asyncio.create_task(coalescer.register(_claim(name))))
        await _settle()
    sent += [asyncio.create_task(coalescer.register(_claim(f"waiting-{n}"))) for n in range(3)]
    await _settle()
    with pytest.raises(Busy) as refused:
        await coalescer.register(_claim("too many"))
    assert refused.value.retry_after == 1
    registrar.open.set()
    assert len(await asyncio.gather(*sent)) == 5


async def test_each_claim_keeps_its_own_deadline() -> None:
    """A claim's time is sent with it, a late caller gets DeadlineExceeded, and an expired claim is not sent."""
    registrar = Registrar()
    coalescer = ClaimCoalescer(registrar, max_waiting=10, max_of_event=1000)

    async def register(name: str, seconds: float) -> pb.RegisterResponse:
        with deadlines.within(seconds):
            return await coalescer.register(_claim(name))

    both = [asyncio.create_task(register("short", 0.05)), asyncio.create_task(register("long", 5))]
    await _settle()
    blocker = asyncio.create_task(register("blocker", 5))
    await _settle()
    expired = asyncio.create_task(register("expired", 0.05))
    with pytest.raises(DeadlineExceeded):
        await both[0]
    with pytest.raises(DeadlineExceeded):
        await expired
    registrar.open.set()
    assert (await both[1]).id == "long"
    await blocker
    short, long = (item.timeout_ms for item in registrar.batches[0].items)
    assert 0 < short <= 50 < long <= 5000
    assert registrar.remaining[0] is not None
    assert 4 < registrar.remaining[0] <= 5
    assert _sizes(registrar) == [2, 1]


async def test_closing_answers_everybody() -> None:
    """Waiting or under way, each caller learns that the gateway stops; later ones too."""
    registrar = Registrar()
    coalescer = ClaimCoalescer(registrar, max_waiting=10, max_of_event=1000)
    callers = []
    for name in "abc":
        callers.append(asyncio.create_task(coalescer.register(_claim(name))))
        await _settle()
    await coalescer.close()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    with pytest.raises(Unavailable):
        await coalescer.register(_claim("late"))


async def test_a_stuck_event_holds_up_no_other() -> None:
    """However many of its claims wait, another event's claims are answered meanwhile; later the stuck ones are too."""
    registrar = Registrar()
    registrar.open.set()
    registrar.stuck = {"stuck"}
    coalescer = ClaimCoalescer(registrar, max_waiting=1000, max_of_event=1000)
    stuck = [asyncio.create_task(coalescer.register(_claim(f"s-{n}", "stuck"))) for n in range(200)]
    cold = [asyncio.create_task(coalescer.register(_claim(f"c-{n}", "cold"))) for n in range(3)]
    async with asyncio.timeout(5):
        assert [answer.id for answer in await asyncio.gather(*cold)] == ["c-0", "c-1", "c-2"]
        assert (await coalescer.register(_claim("later", "cold"))).id == "later"
    assert not any(task.done() for task in stuck)
    assert registrar.in_flight == claims.EVENT_IN_FLIGHT, "the stuck event has its own share and nothing more"
    registrar.released.set()
    assert [answer.id for answer in await asyncio.gather(*stuck)] == [f"s-{n}" for n in range(200)]


async def test_a_batch_holds_claims_of_one_event() -> None:
    """Claims that arrive together travel apart: a batch waits for its slowest item."""
    registrar = Registrar()
    registrar.open.set()
    coalescer = ClaimCoalescer(registrar, max_waiting=1000, max_of_event=1000)
    events = ("red", "blue", "green")
    requests = [_claim(f"{n}", events[n % 3]) for n in range(30)]
    requests += [
        pb.RegisterRequest(school="rabin", event="red", name=f"{n}", phone="0501234567") for n in range(30, 33)
    ]
    answers = await asyncio.gather(*(coalescer.register(claim) for claim in requests))
    assert [answer.id for answer in answers] == [f"{n}" for n in range(33)]
    for batch in registrar.batches:
        assert len({(item.request.school, item.request.event) for item in batch.items}) == 1


async def test_events_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all slots taken, an event that comes last waits for one batch of the hot event, not for its queue."""
    monkeypatch.setattr(claims, "MAX_IN_FLIGHT", 1)
    monkeypatch.setattr(claims, "MAX_BATCH", 10)
    registrar = Registrar()
    coalescer = ClaimCoalescer(registrar, max_waiting=1000, max_of_event=1000)
    hot = [asyncio.create_task(coalescer.register(_claim(f"h-{n}", "hot"))) for n in range(100)]
    await _settle()
    cold = asyncio.create_task(coalescer.register(_claim("cold", "cold")))
    await _settle()
    registrar.open.set()
    await asyncio.gather(*hot, cold)
    order = [batch.items[0].request.event for batch in registrar.batches]
    assert order.index("cold") <= 2
    assert registrar.most_in_flight == 1


async def test_one_event_leaves_room_for_others() -> None:
    """Its claims that wait and that are under way are bounded; in capitals its id is the same event."""
    registrar = Registrar()
    coalescer = ClaimCoalescer(registrar, max_waiting=1000, max_of_event=5)
    event = "0199c1de-0000-7000-8000-00000000abcd"
    hot = [asyncio.create_task(coalescer.register(_claim(f"{n}", event))) for n in range(5)]
    await _settle()
    for spelled in (event, event.upper()):
        with pytest.raises(Busy) as refused:
            await coalescer.register(_claim("too many", spelled))
        assert (refused.value.reason, refused.value.retry_after) == ("TOO_MANY_CLAIMS", 1)
    cold = asyncio.create_task(coalescer.register(_claim("cold", "cold")))
    await _settle()
    assert not cold.done()
    registrar.open.set()
    assert len(await asyncio.gather(*hot, cold)) == 6
    assert (await coalescer.register(_claim("again", event))).id == "again", "what is answered counts no more"


async def test_closing_between_two_slices_of_answers_leaves_nobody_waiting() -> None:
    """Those that were not told yet learn that the gateway stops."""
    registrar = Registrar()
    coalescer = ClaimCoalescer(registrar, max_waiting=1000, max_of_event=1000)
    callers = [asyncio.create_task(coalescer.register(_claim(f"{n}"))) for n in range(40)]
    await _settle()
    registrar.open.set()
    async with asyncio.timeout(5):
        await asyncio.wait(callers, return_when=asyncio.FIRST_COMPLETED)
        await coalescer.close()
        answers = await asyncio.gather(*callers, return_exceptions=True)
    assert {type(answer) for answer in answers} == {pb.RegisterResponse, Unavailable}
