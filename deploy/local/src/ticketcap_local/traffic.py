"""Register a rush of parents at one event and count the outcomes."""

import asyncio
import math
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ticketcap_local.http_client import HttpConnection, HttpResponse

_FIRST: Final = ("דנה", "יוסי", "נועה", "אורי", "תמר", "איתי", "מיכל", "עומר", "שירה", "ג'ורג'")
_LAST: Final = ("כהן", "לוי", "מזרחי", "בן-דוד", "פרץ", "ביטון", "אברהם", "או'קונור", "חדד", "סלע")
_CREATED: Final = 201
_PREFIXES: Final = ("050", "052", "053", "054")
_LOWEST: Final = 2_000_000
_NUMBERS: Final = len(_PREFIXES) * (10_000_000 - _LOWEST)
_PROGRESS_SECONDS: Final = 0.2

Progress = Callable[[int], None]


@dataclass(kw_only=True)
class Rush:
    """The outcome of a rush. Latencies are seconds, one per response, in no order."""

    parents: int
    seed: int
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    """Registrations by their status."""
    refusals: Counter[str] = field(default_factory=Counter)
    """Refusals by ``<HTTP status> <code>``, and requests without a response."""
    latencies: list[float] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Return the latency (seconds) that ``share`` (0 to 1) of the responses did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


async def rush(
    *,
    url: str,
    school: str,
    event: str,
    parents: int,
    concurrency: int,
    spots: int = 1,
    seed: int | None = None,
    seconds: float = 30.0,
    progress: Progress = lambda _done: None,
) -> Rush:
    """Register ``parents``, ``concurrency`` at a time, each waiting at most ``seconds``; ``seed`` repeats a run."""
    seed = secrets.randbelow(2**31) if seed is None else seed
    result = Rush(parents=parents, seed=seed)
    people = _people(random.Random(seed), parents, spots)  # noqa: S311 - made-up parents
    path = f"/api/v1/schools/{school}/events/{event}/registrations"
    began = time.perf_counter()
    callers = [_Caller(url, path, seconds, result) for _ in range(min(concurrency, parents))]
    reporter = asyncio.create_task(_report(result, progress))
    try:
        await asyncio.gather(*(caller.serve(people) for caller in callers))
    finally:
        reporter.cancel()
        for caller in callers:
            caller.connection.close()
    result.seconds = time.perf_counter() - began
    progress(parents)
    return result


class _Caller:
    """One connection; sends the next parent's request after the response to the one before."""

    def __init__(self, url: str, path: str, seconds: float, result: Rush) -> None:
        self.connection = HttpConnection(url)
        self._path = path
        self._seconds = seconds
        self._result = result

    async def serve(self, people: Iterator[dict[str, Any]]) -> None:
        for person in people:
            began = time.perf_counter()
            try:
                answer = await self._register(person)
            except (OSError, EOFError, TimeoutError) as error:
                self._result.refusals[f"no response ({type(error).__name__})"] += 1
                continue
            self._result.latencies.append(time.perf_counter() - began)
            self._count(answer)

    def _count(self, answer: HttpResponse) -> None:
        body = answer.body if isinstance(answer.body, dict) else {}
        if answer.status == _CREATED and "status" in body:
            self._result.statuses[body["status"]] += 1
            self._result.answers.append(body)
        else:
            self._result.refusals[f"{answer.status} {body.get('code', '')}".strip()] += 1

    async def _register(self, person: dict[str, Any]) -> HttpResponse:
        key = {"Idempotency-Key": secrets.token_hex(16)}
        return await self.connection.request("POST", self._path, person, headers=key, seconds=self._seconds)


def _people(dice: random.Random, parents: int, spots: int) -> Iterator[dict[str, Any]]:
    """Yield parents with mobile numbers that are unique within a run, and nearly always between runs."""
    start = dice.randrange(_NUMBERS)
    for number in range(start, start + parents):
        name = f"{dice.choice(_FIRST)} {dice.choice(_LAST)}"
        yield {"name": name, "phone": _phone(number % _NUMBERS), "spots": spots}


def _phone(number: int) -> str:
    """Return the mobile number at this position (0 to 31,999,999) among the numbers that every validator accepts."""
    rest, prefix = divmod(number, len(_PREFIXES))
    return f"{_PREFIXES[prefix]}-{rest + _LOWEST}"


async def _report(result: Rush, progress: Progress) -> None:
    while True:
        await asyncio.sleep(_PROGRESS_SECONDS)
        progress(len(result.latencies) + sum(result.refusals.values()))
