"""Check a rush of parents at a small gateway."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import phonenumbers
import pytest
from ticketcap_local import traffic_view
from ticketcap_local.http_client import HttpConnection
from ticketcap_local.traffic import Rush, rush
from ticketcap_local.traffic_view import NoEvent, outcome, oversold, play, verdict

EVENT = {"capacity": 10, "confirmed": 10, "held": 0, "available": 0, "waitlisted": 30}


@dataclass
class FakeGateway:
    """Confirms while there are spots, then waitlists; ``faults`` names how some requests fail."""

    url: str = ""
    spots_left: int = 10
    faults: dict[int, str] = field(default_factory=dict)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    reads: int = 99
    """How often the event can be read."""
    in_flight: int = 0
    most_in_flight: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = {
                    name.lower(): value.strip() for name, _, value in (x.partition(":") for x in head.split("\r\n"))
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if head.startswith("GET"):
                    self.reads -= 1
                    await self._send(writer, 404 if "/winter" in head else 200 if self.reads >= 0 else 503, EVENT)
                else:
                    await self._register(writer, headers, json.loads(body))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _register(self, writer: asyncio.StreamWriter, headers: dict[str, str], body: dict[str, Any]) -> None:
        self.bodies.append(body)
        fault = self.faults.get(len(self.bodies))
        self.keys.append(headers["idempotency-key"])
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0.002)
        self.in_flight -= 1
        match fault:
            case "hang up":
                raise ConnectionError
            case "nonsense":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n{")
            case "twice":
                await self._send(writer, 409, {"code": "ALREADY_REGISTERED"})
            case _:
                self.spots_left -= 1
                status = "CONFIRMED" if self.spots_left >= 0 else "WAITLISTED"
                await self._send(writer, 201, {"status": status, "spots": body["spots"]})

    async def _send(self, writer: asyncio.StreamWriter, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        head = (
            f"HTTP/1.1 {status} X\r\nContent-Type: application/problem+json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        await writer.drain()


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    fake = FakeGateway()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield fake
    server.close()


async def run(gateway: FakeGateway, *, parents: int = 40, **options: Any) -> Rush:
    return await rush(url=gateway.url, school="herzl", event="spring", parents=parents, concurrency=8, **options)


async def test_every_parent_is_counted_once(gateway: FakeGateway) -> None:
    """Outcomes and latencies add up, no more requests are in flight than asked for, and progress reaches the end."""
    progress: list[int] = []
    result = await run(gateway, progress=progress.append)
    assert result.statuses == Counter(CONFIRMED=10, WAITLISTED=30)
    assert not result.refusals
    assert len(result.latencies) == len(result.answers) == 40
    assert 0 < result.percentile(0.5) <= result.percentile(0.99) <= result.percentile(1.0) <= result.seconds
    assert 1 < gateway.most_in_flight <= 8
    assert progress[-1] == 40


async def test_what_goes_wrong_is_counted_and_the_rush_goes_on(gateway: FakeGateway) -> None:
    """Refusals by status and code; a lost connection and an invalid response are no response."""
    gateway.faults = {3: "hang up", 5: "nonsense", 7: "twice"}
    result = await run(gateway)
    assert sum(result.statuses.values()) == 37
    assert result.refusals["409 ALREADY_REGISTERED"] == 1
    assert sum(count for name, count in result.refusals.items() if name.startswith("no response")) == 2


async def test_parents_are_people_with_a_mobile_number_each(gateway: FakeGateway) -> None:
    """Valid, different, Hebrew names; the same seed makes the same people, another one others; keys never repeat."""
    await run(gateway, seed=1, spots=2)
    await run(gateway, seed=1, spots=2)
    first, second = gateway.bodies[:40], gateway.bodies[40:]
    assert len({body["phone"] for body in first}) == 40
    assert sorted(map(str, first)) == sorted(map(str, second))
    assert len(set(gateway.keys)) == 80
    assert {body["spots"] for body in first} == {2}
    assert all("\u05d0" <= body["name"][0] <= "\u05ea" for body in first)
    await run(gateway, seed=2)
    assert not {body["phone"] for body in first} & {body["phone"] for body in gateway.bodies[80:]}


async def test_all_made_up_numbers_are_valid(gateway: FakeGateway) -> None:
    """For many seeds: a refused number would spoil a whole run."""
    for seed in range(100):
        await run(gateway, parents=4, seed=seed)
    for body in gateway.bodies:
        assert phonenumbers.is_valid_number(phonenumbers.parse(body["phone"], "IL")), body["phone"]


async def test_a_request_has_a_time_limit(gateway: FakeGateway) -> None:
    """A gateway that is silent costs the parent that time and no more."""
    result = await rush(
        url=gateway.url, school="herzl", event="spring", parents=2, concurrency=2, seconds=0.0001, seed=1
    )
    assert result.refusals == Counter({"no response (TimeoutError)": 2})


async def test_a_connection_is_opened_again_after_the_server_closed_it(gateway: FakeGateway) -> None:
    """A failed request says so; the next one works."""
    gateway.faults = {1: "hang up"}
    connection = HttpConnection(gateway.url)
    headers = {"Idempotency-Key": "1"}
    with pytest.raises((EOFError, OSError)):
        await connection.request("POST", "/x", {"spots": 1}, headers=headers)
    assert (await connection.request("POST", "/x", {"spots": 1}, headers=headers)).status == 201
    connection.close()


def result_of(statuses: dict[str, int], refusals: dict[str, int] | None = None) -> Rush:
    answers = [{"status": status, "spots": 1} for status, count in statuses.items() for _ in range(count)]
    return Rush(
        parents=len(answers),
        seed=1,
        seconds=2.0,
        statuses=Counter(statuses),
        refusals=Counter(refusals or {}),
        latencies=[0.1] * len(answers),
        answers=answers,
    )


def test_the_outcome_has_a_verdict() -> None:
    """Outcomes, percentiles, rate, seats."""
    result = result_of({"CONFIRMED": 10, "WAITLISTED": 30})
    text = "\n".join(line.plain for line in (*outcome(result), *verdict(result, EVENT)))
    for expected in (
        "registered       30  waitlisted",
        "latency     p50 100 ms · p95 100 ms · p99 100 ms · max 100 ms",
        "total       2.00 s, 20 responses a second",
        "seats       10 · 10 confirmed · 0 held · 0 available · 30 on the waitlist",
    ):
        assert expected in text
    assert text.endswith("nothing oversold")


@pytest.mark.parametrize(
    ("statuses", "event"),
    [
        ({"CONFIRMED": 11}, EVENT),
        ({"CONFIRMED": 6, "PENDING_PAYMENT": 5}, EVENT),
        ({"WAITLISTED": 1}, {**EVENT, "confirmed": 8, "held": 3}),
    ],
)
def test_overselling_is_an_alarm(statuses: dict[str, int], event: dict[str, Any]) -> None:
    """In this rush's registrations, or in the event's counters."""
    result = result_of(statuses)
    assert oversold(result, event) == 1
    assert list(verdict(result, event))[-1].plain.strip() == "OVERSOLD: 1 too many"


async def test_an_unreadable_event_is_no_success(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command retries and reports the failure."""
    monkeypatch.setattr(traffic_view, "_READS", 2)
    gateway.reads = 1
    assert not await play(url=gateway.url, school="herzl", event="spring", parents=5, concurrency=2)
    out = capsys.readouterr().out
    assert "5  confirmed" in out
    assert "can't be read" in out
    assert "nothing oversold" not in out
    gateway.reads = 99
    assert await play(url=gateway.url, school="herzl", event="spring", parents=5, concurrency=2)


async def test_a_run_succeeds_without_failures_and_overselling(
    gateway: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refusal is no failure; a lost response is one; an unknown event is an error."""
    options: dict[str, Any] = {"url": gateway.url, "school": "herzl", "event": "spring", "parents": 5, "concurrency": 2}
    gateway.faults = {2: "twice"}
    assert await play(**options)
    gateway.faults = {7: "hang up"}
    assert not await play(**options)
    assert "got no response" in capsys.readouterr().out
    with pytest.raises(NoEvent, match="404"):
        await play(**{**options, "event": "winter"})
