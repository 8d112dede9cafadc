"""Check that calls survive the end of their gRPC connection."""

import asyncio
from collections import Counter

import httpx
from ticketcap_chassis.rpc.connection_age import ConnectionAge
from ticketcap_testing.gateway import running_gateway
from ticketcap_testing.service_fakes import bearer, running_registration

EVENT = "/api/v1/schools/herzl/events/football"
CONNECTIONS = 4
"""Connections that a test sees, one after the other; with the default age it would see one."""
CALLERS = 16


async def test_no_call_fails_when_its_connection_ends() -> None:
    """A rush continues over several connections, with calls that are never sent twice among them."""
    age = ConnectionAge(seconds=0.3, grace=5)
    statuses: Counter[int] = Counter()
    async with (
        running_registration(age=age) as registration,
        running_gateway(registration.target) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=20) as client,
    ):

        async def call_again_and_again() -> None:
            for _ in range(2_000):
                code = {"confirmation_code": "K7M3QX"}
                answer = await client.post(f"{EVENT}/check-ins", json=code, headers=bearer())
                statuses[answer.status_code] += 1
                answer = await client.get(EVENT)
                statuses[answer.status_code] += 1
                if len(registration.connections) >= CONNECTIONS:
                    return

        await asyncio.gather(*(call_again_and_again() for _ in range(CALLERS)))
        assert len(registration.connections) >= CONNECTIONS
        calls = len(registration.requests["CheckIn"]), len(registration.requests["GetEvent"])
    assert set(statuses) <= {200, 201}, statuses
    assert sum(calls) == statuses.total()
