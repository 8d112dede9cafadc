"""How long it takes to open a payment, and how much of that is YaadPay's own time and HTTP's."""

import secrets
import statistics
import time
from collections.abc import Callable

import httpx

EVENTS = "/api/v1/schools/herzl/events"
# The vendor's public test terminal, which the simulator plays.
TERMINAL = {"Masof": "0010131918", "KEY": "7110eda4d09e062aa5e4a390b0a572ac0d2c0220", "PassP": "yaad"}
PAGE = {"action": "APISign", "What": "SIGN", "Sign": "True", "Amount": "49.90", "Order": "BENCH", "Info": "bench"}


def opening(gateway_url: str, simulator_url: str, event: str, *, rounds: int) -> str:
    """Return one line: p50 of opening a payment, of SIGN alone, of an empty page, and what is left for us."""
    with (
        httpx.Client(base_url=gateway_url, trust_env=False, timeout=30) as gateway,
        httpx.Client(base_url=simulator_url, trust_env=False, timeout=30) as yaadpay,
    ):
        holds = iter([registered(gateway, event, number) for number in range(rounds)])
        opened, signed, empty = [], [], []
        # Side by side, so that a slow moment of the machine meets all three.
        for _ in range(rounds):
            opened.append(seconds(lambda: open_payment(gateway, next(holds))))
            signed.append(seconds(lambda: yaadpay.post("/p/", data={**PAGE, **TERMINAL}).raise_for_status()))
            empty.append(seconds(lambda: gateway.get("/livez").raise_for_status()))
    whole, own, http = (statistics.median(series) * 1000 for series in (opened, signed, empty))
    return (
        f"open a payment p50 {whole:5.1f} ms; YaadPay's SIGN alone {own:4.1f} ms, an empty page {http:4.1f} ms: "
        f"{whole - own - http:4.1f} ms are ours"
    )


def registered(gateway: httpx.Client, event: str, number: int) -> tuple[str, str]:
    body = {"name": "Bench Parent", "phone": f"055-{number:07d}", "spots": 1}
    answer = gateway.post(f"{EVENTS}/{event}/registrations", json=body)
    answer.raise_for_status()
    return answer.json()["id"], answer.json()["manage_token"]


def open_payment(gateway: httpx.Client, hold: tuple[str, str]) -> None:
    headers = {"X-Manage-Token": hold[1], "Idempotency-Key": secrets.token_hex(8)}
    gateway.post(f"/api/v1/registrations/{hold[0]}/payments", headers=headers).raise_for_status()


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
