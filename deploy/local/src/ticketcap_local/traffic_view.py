"""Show the progress and the outcome of a rush."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Final

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from ticketcap_local.errors import CommandError
from ticketcap_local.traffic import Rush, rush

_READ_SECONDS: Final = 10.0
_READS: Final = 10
"""Reads of the event after a rush, a second apart, until one succeeds."""
_LABEL_WIDTH: Final = 12


class NoEvent(CommandError):
    """The event can't be read; the message says why."""


async def play(*, url: str, school: str, event: str, parents: int, **options: Any) -> bool:
    """Run a rush at an event and print its outcome.

    Return whether every request got a response without a server error and no spot is oversold. Raises NoEvent.
    """
    console = Console(highlight=False)
    await _event(url, school, event)
    console.print(f"{parents:,} parents register at {school}/{event}, {url}")
    columns = (TextColumn(" "), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("parents", total=parents)
        result = await rush(
            url=url,
            school=school,
            event=event,
            parents=parents,
            progress=lambda done: bar.update(task, completed=done),
            **options,
        )
    after = await _event_afterwards(url, school, event)
    for line in (*outcome(result), *verdict(result, after)):
        console.print(line, soft_wrap=True)
    return after is not None and oversold(result, after) == 0 and not _has_failures(result)


async def _event(url: str, school: str, event: str) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=url, timeout=_READ_SECONDS, trust_env=False) as client:
        try:
            response = await client.get(f"/api/v1/schools/{school}/events/{event}")
            body: dict[str, Any] = response.json()
        except (httpx.TransportError, ValueError) as error:
            raise NoEvent(
                f"no response from {url} ({str(error) or type(error).__name__}); start it with 'make run'"
            ) from error
    if not response.is_success:
        raise NoEvent(f"event {event!r} of school {school!r} at {url}: {response.status_code} {body.get('detail', '')}")
    return body


async def _event_afterwards(url: str, school: str, event: str) -> dict[str, Any] | None:
    """Read the event, with retries: a service may be restarting."""
    for _ in range(_READS):
        with contextlib.suppress(NoEvent):
            return await _event(url, school, event)
        await asyncio.sleep(1)
    return None


def oversold(result: Rush, event: dict[str, Any]) -> int:
    """Return the number of spots reserved, or confirmed to this rush, above the capacity."""
    capacity: int = event["capacity"]
    reserved: int = event["confirmed"] + event["held"]
    promised = sum(item["spots"] for item in result.answers if item["status"] != "WAITLISTED")
    return max(0, reserved - capacity, int(promised) - capacity)


def outcome(result: Rush) -> Iterator[Text]:
    """Yield the registrations, refusals and latencies as lines."""
    yield Text("")
    for status, count in result.statuses.most_common():
        yield _row("registered", f"{count:>7,}  {status.lower().replace('_', ' ')}")
    for refusal, count in result.refusals.most_common():
        yield _row("refused", f"{count:>7,}  {refusal}", "yellow")
    times = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
    yield _row("latency", " · ".join(f"{name} {result.percentile(share) * 1000:,.0f} ms" for name, share in times))
    rate = len(result.latencies) / result.seconds if result.seconds else 0.0
    yield _row("total", f"{result.seconds:.2f} s, {rate:,.0f} responses a second (--seed {result.seed})")


def verdict(result: Rush, event: dict[str, Any] | None) -> Iterator[Text]:
    """Yield the event's seats after the rush, and the verdict, as lines; ``event`` is None when it can't be read."""
    if event is None:
        yield Text("\nthe event can't be read: its seats are unknown", "bold red")
        return
    yield _row(
        "seats",
        f"{event['capacity']:,} · {event['confirmed']:,} confirmed · {event['held']:,} held · "
        f"{event['available']:,} available · {event['waitlisted']:,} on the waitlist",
    )
    if _has_failures(result):
        yield Text("\nsome requests failed or got no response: 'ticketcap status' names the logs", "yellow")
    too_many = oversold(result, event)
    yield (
        Text(f"\nOVERSOLD: {too_many:,} too many", "bold red") if too_many else Text("\nnothing oversold", "bold green")
    )


def _row(label: str, text: str, style: str = "") -> Text:
    return Text.assemble((f"{label:<{_LABEL_WIDTH}}", "dim"), (text, style))


def _has_failures(result: Rush) -> bool:
    return any(refusal.startswith(("5", "no response")) for refusal in result.refusals)
