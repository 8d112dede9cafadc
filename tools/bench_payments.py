"""Measure how long opening a payment takes, and YaadPay's share of it."""

import secrets
import statistics
import time
from collections.abc import Callable

import httpx
from bench_stack import EVENTS, Stack

# The vendor's public test terminal, which the simulator plays.
TERMINAL = {"Masof": "0010131918", "KEY": "7110eda4d09e062aa5e4a390b0a572ac0d2c0220", "PassP": "yaad"}
PAGE = {"action": "APISign", "What": "SIGN", "Sign": "True", "Amount": "49.90", "Order": "BENCH", "Info": "bench"}


def payment_latency(stack: Stack, event: str, *, rounds: int) -> str:
    """Return one line: p50 of opening a payment, of SIGN alone, of an empty page, and the rest: TicketCap's own."""
    with (
        httpx.Client(base_url=stack.url, trust_env=False, timeout=30) as gateway,
        httpx.Client(base_url=stack.simulator_url, trust_env=False, timeout=30) as yaadpay,
    ):
        holds = iter([register(gateway, event, number) for number in range(rounds)])
        opened, signed, empty = [], [], []
        # In turns, so that a slow moment of the machine meets all three.
        for _ in range(rounds):
            opened.append(seconds(lambda: open_payment(gateway, *next(holds))))
            signed.append(seconds(lambda: yaadpay.post("/p/", data={**PAGE, **TERMINAL})))
            empty.append(seconds(lambda: gateway.get("/livez")))
    payment, sign, page = (statistics.median(series) * 1000 for series in (opened, signed, empty))
    return (
        f"open a payment p50 {payment:5.1f} ms; YaadPay's SIGN alone {sign:4.1f} ms, an empty page {page:4.1f} ms: "
        f"{payment - sign - page:4.1f} ms are TicketCap's"
    )


def register(gateway: httpx.Client, event: str, number: int) -> tuple[str, str]:
    """Return the id and the manage token of a new hold."""
    body = {"name": "Bench Parent", "phone": f"055-{number:07d}", "spots": 1}
    hold = gateway.post(f"{EVENTS}/{event}/registrations", json=body).raise_for_status().json()
    return hold["id"], hold["manage_token"]


def open_payment(gateway: httpx.Client, hold_id: str, manage_token: str) -> httpx.Response:
    headers = {"X-Manage-Token": manage_token, "Idempotency-Key": secrets.token_hex(8)}
    return gateway.post(f"/api/v1/registrations/{hold_id}/payments", headers=headers)


def seconds(request: Callable[[], httpx.Response]) -> float:
    began = time.perf_counter()
    request().raise_for_status()
    return time.perf_counter() - began
