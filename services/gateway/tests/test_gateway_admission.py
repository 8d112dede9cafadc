"""Check early refusals on a simulated clock.

They must keep the service busy and leave other events alone.
"""

from collections import Counter, deque
from contextlib import ExitStack
from dataclasses import dataclass, field

from starlette.requests import Request
from ticketcap_chassis.errors import DeadlineExceeded, NotFound, Unavailable
from ticketcap_chassis.identity.tokens import TokenVerifier
from ticketcap_gateway.access.callers import Access
from ticketcap_gateway.edge.admission import Admission
from ticketcap_testing.service_fakes import SECRET

SECONDS = 10.0
STEP = 0.01


def request(path: str = "/busy") -> Request:
    return Request({"type": "http", "method": "GET", "path": path, "headers": [], "client": ("192.0.2.1", 1)})


@dataclass
class Queue:
    """A service that answers ``rate`` requests in a second, in the order in which they came."""

    now: float = 0.0
    rate: float = 0.0
    waiting: deque[tuple[float, ExitStack]] = field(default_factory=deque)
    ends: Counter[str] = field(default_factory=Counter)
    retry_after: list[float] = field(default_factory=list)
    _due: float = 0.0

    def __post_init__(self) -> None:
        access = Access(TokenVerifier(secret=SECRET), ())
        self.admission = Admission(access.address, most=100_000, share=100_000, clock=lambda: self.now)

    def arrive(self) -> None:
        turn = ExitStack()
        try:
            turn.enter_context(self.admission.turn(request(), SECONDS))
        except Unavailable as error:
            self.retry_after.append(error.retry_after or 0.0)
            self.ends["refused" if error.reason == "OVERLOADED" else error.reason] += 1
        else:
            self.waiting.append((self.now, turn))

    def run(self, seconds: float, *, arriving: float) -> Counter[str]:
        """Let requests come for a while, ``arriving`` in a second; return how those that ended did."""
        self.ends.clear()
        arrivals = 0.0
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            arrivals += arriving * STEP
            while arrivals >= 1:
                arrivals -= 1
                self.arrive()
            while self.waiting and self.now - self.waiting[0][0] >= SECONDS:
                self._end(DeadlineExceeded("late"))
            self._due = self._due + self.rate * STEP if self.waiting else 0.0
            while self.waiting and self._due >= 1:
                self._due -= 1
                self._end(None)
        return self.ends.copy()

    def _end(self, error: Exception | None) -> None:
        _, turn = self.waiting.popleft()
        self.ends["late" if error else "answered"] += 1
        turn.__exit__(type(error) if error else None, error, None)


def test_who_would_wait_too_long_is_refused_and_the_service_stays_at_work() -> None:
    """At four times what it can do, it does all that it can, and next to nothing of it is late."""
    queue = Queue(rate=50)
    queue.run(SECONDS, arriving=200)
    ends = queue.run(60, arriving=200)
    assert ends["answered"] >= 0.95 * 60 * 50
    assert ends["late"] <= 0.02 * ends["answered"]
    assert ends["refused"] >= 0.95 * 60 * 150
    assert all(0 < seconds <= 60 for seconds in queue.retry_after)


def test_what_can_be_done_in_time_is_never_refused() -> None:
    """A rush that fits, a steady load, a few that take almost all of their time."""
    queue = Queue(rate=400)
    for _ in range(2_000):
        queue.arrive()
    assert queue.run(6, arriving=0) == {"answered": 2_000}
    assert queue.run(30, arriving=390)["refused"] == 0
    slow = Queue(rate=3)
    assert slow.run(30, arriving=2.9)["refused"] == 0


def test_a_standstill_refuses_at_once_and_ends() -> None:
    """Nothing is answered: newcomers learn it without waiting, until something is; then all are let in again."""
    queue = Queue(rate=0)
    queue.run(SECONDS * 1.5, arriving=20)
    ends = queue.run(SECONDS, arriving=20)
    assert ends["refused"] > ends["late"]
    queue.rate = 200
    queue.run(3, arriving=20)
    assert queue.run(30, arriving=20)["refused"] == 0


def test_a_standstill_refuses_nobody_elsewhere() -> None:
    """Another object's requests, and this one's other methods, are counted apart."""
    queue = Queue(rate=0)
    queue.run(SECONDS * 2, arriving=20)
    with queue.admission.turn(request("/idle"), SECONDS):
        pass


def test_what_is_answered_with_an_error_is_answered() -> None:
    """A 404 is an answer and counts for the pace. Ended requests are forgotten."""
    queue = Queue(rate=0)
    for _ in range(100):
        try:
            with queue.admission.turn(request(), SECONDS):
                queue.now += 1
                raise NotFound("no such event")
        except NotFound:
            continue
    assert not queue.admission._paces
