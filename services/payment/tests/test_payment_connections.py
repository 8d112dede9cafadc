"""Check that the number of payment's connections is bounded and published."""

import asyncio

import pytest
from payment_under_test import World
from service_under_test import OWNER
from ticketcap.payment.v1 import payment_pb2 as pb

POOLS = {"payment_app": 3, "payment_jobs": 2}
COUNT = """SELECT replace(application_name, 'ticketcap-', '') AS pool, count(*)::int AS connections
           FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'ticketcap-payment%'
           GROUP BY 1"""


@pytest.mark.ground(payment={"database_connections": 3, "database_jobs_connections": 2})
async def test_under_load_it_opens_as_many_connections_as_it_publishes(here: World) -> None:
    """Both pools are full then, and neither has more; the metric says the same."""
    hold = await here.hold()

    async def repeat() -> None:
        while True:
            calls = (here.create(hold), here.stub.GetPayment(pb.GetPaymentRequest(id="none"), metadata=OWNER))
            await asyncio.gather(*calls, return_exceptions=True)

    load = [asyncio.create_task(repeat()) for _ in range(12)]
    most: dict[str, int] = {}
    looks_when_full = 10
    for _ in range(400):
        for row in await asyncio.to_thread(here.rows, COUNT):
            most[row["pool"]] = max(row["connections"], most.get(row["pool"], 0))
        looks_when_full -= most == POOLS
        if not looks_when_full:
            break
        await asyncio.sleep(0.05)
    for task in load:
        task.cancel()
    await asyncio.wait(load)
    assert most == POOLS
    points = here.telemetry.points("db.client.connection.max")
    assert {point.attributes["db.client.connection.pool.name"]: point.value for point in points} == POOLS
