"""Test the whole system through a PgBouncer in transaction mode."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_local.traffic import rush

from tests.deploy.pgbouncer import pgbouncer
from tests.stack_under_test import Stack, serves
from tests.stack_under_test import stack as run_stack
from tests.test_end_to_end import watching
from tests.test_payments_end_to_end import held, opened, paid_on_the_page

SESSIONS = 3
ROLES = ("registration_app", "registration_jobs", "payment_app", "payment_jobs")


@contextmanager
def pooled(server: EmbeddedPostgres) -> Iterator[Callable[[str], Mapping[str, str]]]:
    """Run PgBouncer before ``server``; each login has a password of its own and three sessions."""
    passwords = {role: secrets.token_urlsafe(12) for role in ROLES}
    with pgbouncer(server, "transaction", passwords=passwords, size=SESSIONS) as port:

        def variables(url: str) -> dict[str, str]:
            service = str(conninfo_to_dict(url)["dbname"])

            def login(role: str, **place: int) -> str:
                name = f"{service}_{role}"
                return make_conninfo(url, user=name, password=passwords[name], **place)

            return {
                "DATABASE_OWNER_URL": url,
                "DATABASE_URL": login("app", port=port),
                "DATABASE_JOBS_URL": login("jobs", port=port),
                "DATABASE_DIRECT_URL": login("app"),
            }

        yield variables


@pytest.fixture(scope="module")
def behind_a_pooler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with run_stack(tmp_path_factory.mktemp("stack"), database_way=pooled) as running:
        yield running


def test_a_rush_is_decided_through_the_pooler(behind_a_pooler: Stack) -> None:
    """100 seats, 300 on the waitlist in order, a promotion that a watcher sees, and few sessions of the server."""
    stack = behind_a_pooler
    stack.open_event("rush")
    result = asyncio.run(rush(url=stack.url, school="herzl", event="rush", parents=400, concurrency=64, seconds=100))
    assert result.statuses == Counter(CONFIRMED=100, WAITLISTED=300), (result.refusals, result.seed)
    positions = sorted(answer["waitlist_position"] for answer in result.answers if answer["status"] == "WAITLISTED")
    assert positions == list(range(1, 301))
    confirmed = next(answer for answer in result.answers if answer["status"] == "CONFIRMED")
    with watching(stack, "rush") as seen:
        cancelled = stack.client.post(
            f"/api/v1/registrations/{confirmed['id']}/cancel", headers={"X-Manage-Token": confirmed["manage_token"]}
        )
        assert cancelled.status_code == 200, cancelled.text
        assert seen.get(timeout=20)["waitlisted"] == 299
    with psycopg.connect(stack.postgres.url()) as owner:
        found = owner.execute(
            "SELECT usename, count(*) FROM pg_stat_activity"
            " WHERE application_name LIKE 'ticketcap-%' AND application_name <> 'ticketcap-announcements' GROUP BY 1"
        ).fetchall()
    assert {role for role, _ in found} <= set(ROLES)
    assert all(number <= SESSIONS for _, number in found), found


def test_a_trip_is_paid_through_the_pooler(behind_a_pooler: Stack) -> None:
    """The seat is confirmed and the money captured; both services stay healthy."""
    stack = behind_a_pooler
    stack.open_event("trip", price_agorot=4990)
    hold = held(stack, "trip")
    page = opened(stack, hold).json()["redirect_url"]
    result = stack.client.get(paid_on_the_page(stack, page), headers={"Accept": "application/json"}).json()
    assert result["state"] == "CAPTURED"
    assert result["seat"] == "CONFIRMED"
    assert serves(stack.registration_address)
    assert serves(stack.payment_address)
    for log in (stack.registration.output(), stack.payment.output()):
        assert "prepared statement" not in log
        assert '"database_connections"' in log or "database_connections=" in log
