"""Check that secrets of returns and links reach no log."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterable

import httpx
from opentelemetry.sdk.trace import ReadableSpan
from ticketcap_chassis import errors
from ticketcap_observability.telemetry import Telemetry
from ticketcap_testing.gateway import running_gateway
from ticketcap_testing.service_fakes import (
    MANAGE_TOKEN,
    PAY_TOKEN,
    PAYMENT_ID,
    REGISTRATION_ID,
    SECRET,
    FakePayment,
    FakeRegistration,
    running_payment,
)

QUERY = "Id=12788261&Fild1=secretname&UserId=203269535&Sign=0af7secretsign"
KEY = "page-key-of-thirty-two-characters"
SECRETS = ("secretname", "203269535", "secretsign", PAY_TOKEN, MANAGE_TOKEN, KEY, "signature=0af7")
FAILURES = (
    None,
    errors.Unavailable("away"),
    errors.FailedPrecondition("not genuine", reason="RETURN_REFUSED"),
    RuntimeError("not a service's error"),
)


async def _use(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """Make every call that carries a secret, well and badly."""
    for failure in FAILURES:
        # An error that is no ServiceError is answered as an internal error.
        payment.failures = {} if failure is None else dict.fromkeys(("CreatePayment", "SettleReturn"), failure)  # type: ignore[arg-type]
        for accept in ("text/html", "application/json"):
            await client.get(f"/api/v1/payments/yaadpay/return?{QUERY}", headers={"accept": accept})
        await client.get(f"/pay/{REGISTRATION_ID}?token={PAY_TOKEN}")
        await client.get(f"/pay/{REGISTRATION_ID}?token={PAY_TOKEN}&lang=wrong")
        await client.post(f"/pay/{REGISTRATION_ID}", data={"token": PAY_TOKEN, "key": KEY, "lang": "he"})
        await client.post(f"/pay/{REGISTRATION_ID}", data={"token": PAY_TOKEN, "key": KEY})
        await client.post(f"/api/v1/registrations/{REGISTRATION_ID}/payments", headers={"x-manage-token": MANAGE_TOKEN})
        await client.get(f"/api/v1/payments/{PAYMENT_ID}", headers={"x-manage-token": MANAGE_TOKEN})


def _text_of(spans: Iterable[ReadableSpan]) -> str:
    return " ".join(span.to_json() for span in spans)


async def test_no_span_holds_a_secret(registration: FakeRegistration) -> None:
    """Neither the gateway's nor the service's; and the spans are there."""
    gateway_side, served = Telemetry.in_memory(), Telemetry.in_memory()
    async with (
        running_payment(telemetry=served) as payment,
        running_gateway(registration.target, payment_target=payment.target, telemetry=gateway_side) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):
        await _use(client, payment)
    text = _text_of([*gateway_side.spans, *served.spans])
    for route in ("/pay/{registration}", "/api/v1/payments/yaadpay/return", "PaymentService/SettleReturn"):
        assert route in text
    for secret in SECRETS:
        assert secret not in text, secret


async def test_no_log_line_holds_a_secret(registration: FakeRegistration, payment: FakePayment) -> None:
    """At the lowest level, from start to stop, on both outputs of a real process."""
    environment = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}} | {
        "JWT_SECRET": SECRET,
        "REGISTRATION_TARGET": registration.target,
        "PAYMENT_TARGET": payment.target,
        "LISTEN_ADDRESS": "127.0.0.1:0",
        "LOG_LEVEL": "DEBUG",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ticketcap_gateway", env=environment, stdout=PIPE, stderr=PIPE
    )
    try:
        assert process.stdout is not None
        lines = []
        async with asyncio.timeout(20):
            while b"gateway.listening" not in (line := await process.stdout.readline()):
                lines.append(line)
        listening = json.loads(line)
        assert listening["payment"] == payment.target
        async with httpx.AsyncClient(base_url=f"http://{listening['address']}") as client:
            await _use(client, payment)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            output, error = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    text = (b"".join(lines) + output + error).decode()
    assert "gateway.stopped" in text
    for secret in SECRETS:
        assert secret not in text, secret
