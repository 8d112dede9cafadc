"""Compare the answers of a rush with rows and seats."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from tests.stack_under_test import Stack


def assert_exact(stack: Stack, event: str, answers: Iterable[dict[str, Any]], *, capacity: int) -> None:
    """Fail unless answers, rows and seats agree, and no spot is oversold, idle or missing from the waitlist."""
    by_id = {answer["id"]: answer for answer in answers}
    rows = {row["id"]: row for row in stack.registrations(event)}
    assert by_id.keys() == rows.keys(), "answers and rows differ"
    statuses = Counter(row["status"] for row in rows.values())
    waiting = max(0, len(rows) - capacity)
    assert statuses == +Counter(CONFIRMED=len(rows) - waiting, WAITLISTED=waiting)
    assert all(rows[id_]["status"] == answer["status"] for id_, answer in by_id.items()), "an answer is wrong"
    positions = sorted(answer["waitlist_position"] for answer in by_id.values() if answer["status"] == "WAITLISTED")
    assert positions == list(range(1, waiting + 1))
    seats = stack.event(event)
    assert (seats["confirmed"], seats["waitlisted"]) == (len(rows) - waiting, waiting)
    assert len({answer["confirmation_code"] for answer in by_id.values()}) == len(rows)
