"""Shows a rush while it runs, and what came of it."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from ticketcap_local.http_client import HttpConnection
from ticketcap_local.traffic import Rush, rush

_OK: Final = 200
_PATIENCE: Final = 10
"""How often the event is asked for after a rush, a second apart."""
_LABEL_WIDTH: Final = 10


class NoEvent(Exception):
    """The event can't be read; the message says why."""


async def play(*, url: str, school: str, event: str, parents: int, **options: Any) -> bool:
    """Run a rush against an event and print its result. Return whether all is well: answered, nothing oversold.

    Raises NoEvent when there is nothing to run against.
    """
    console = Console(highlight=False)
    await _event(url, school, event)
    console.print(f"{parents:,} parents want {school}/{event} at {url}")
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
    return after is not None and oversold(result, after) == 0 and not _went_wrong(result)


async def _event(url: str, school: str, event: str) -> dict[str, Any]:
    connection = HttpConnection(url)
    try:
        answer = await connection.request("GET", f"/api/v1/schools/{school}/events/{event}", seconds=10)
    except (OSError, EOFError, TimeoutError) as error:
        raise NoEvent(f"no answer from {url} ({_words(error)}); start it with 'make run'") from error
    finally:
        connection.close()
    if answer.status != _OK or not isinstance(answer.body, dict):
        raise NoEvent(f"event {event!r} of school {school!r} at {url}: {answer.status} {_detail(answer.body)}")
    return answer.body


async def _event_afterwards(url: str, school: str, event: str) -> dict[str, Any] | None:
    """Read the event, with patience: a service may just be starting again."""
    for _ in range(_PATIENCE):
        with contextlib.suppress(NoEvent):
            return await _event(url, school, event)
        await asyncio.sleep(1)
    return None


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _detail(body: Any) -> str:
    return str(body.get("detail", "")) if isinstance(body, dict) else ""


def oversold(result: Rush, event: dict[str, Any]) -> int:
    """Return how many spots more than there are were sold, or promised to this rush."""
    capacity: int = event["capacity"]
    sold: int = event["confirmed"] + event["held"]
    promised = sum(answer["spots"] for answer in result.answers if answer["status"] != "WAITLISTED")
    return max(0, sold - capacity, int(promised) - capacity)


def outcome(result: Rush) -> Iterator[Text]:
    """Yield what the parents were told, and how fast, as lines."""
    yield Text("")
    for status, count in result.statuses.most_common():
        yield _row("told", f"{count:>7,}  {status.lower().replace('_', ' ')}")
    for refusal, count in result.refusals.most_common():
        yield _row("refused", f"{count:>7,}  {refusal}", "yellow")
    times = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
    yield _row("answered", " · ".join(f"{name} {result.percentile(share) * 1000:,.0f} ms" for name, share in times))
    rate = len(result.latencies) / result.seconds if result.seconds else 0.0
    yield _row("in all", f"{result.seconds:.2f} s, {rate:,.0f} answers a second (--seed {result.seed})")


def verdict(result: Rush, event: dict[str, Any] | None) -> Iterator[Text]:
    """Yield the event's seats afterwards (None: it can't be read), and whether all is well, as lines."""
    if event is None:
        yield Text("\nthe event can't be read any more: nothing is known of its seats", "bold red")
        return
    yield _row(
        "seats",
        f"{event['capacity']:,} · {event['confirmed']:,} confirmed · {event['held']:,} held · "
        f"{event['available']:,} available · {event['waitlisted']:,} on the waitlist",
    )
    if _went_wrong(result):
        yield Text("\nsome met a fault or got no answer: 'ticketcap status' names the logs", "yellow")
    too_many = oversold(result, event)
    yield (
        Text(f"\nOVERSOLD: {too_many:,} too many", "bold red") if too_many else Text("\nnothing oversold", "bold green")
    )


def _row(label: str, text: str, style: str = "") -> Text:
    return Text.assemble((f"{label:<{_LABEL_WIDTH}}", "dim"), (text, style))


def _went_wrong(result: Rush) -> bool:
    return any(refusal.startswith(("5", "no answer")) for refusal in result.refusals)
