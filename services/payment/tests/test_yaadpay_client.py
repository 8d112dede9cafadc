"""Check the client against the simulator, action by action."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from payment_under_test import GOOD_CARD, KEY, MASOF, PASSP, Simulator, simulator_client
from ticketcap_chassis import deadlines
from ticketcap_observability import InMemoryTelemetry, Telemetry
from ticketcap_payment.domain.order import new_order
from ticketcap_payment.telemetry import PaymentTelemetry
from ticketcap_payment.yaadpay.ccodes import CCodeClass
from ticketcap_payment.yaadpay.client import (
    CardHold,
    Page,
    Terminal,
    Verification,
    YaadPayClient,
    YaadPayRefused,
    YaadPayUnavailable,
    YaadPayUnreached,
)
from ticketcap_payment.yaadpay.response import Outcome
from ticketcap_payment.yaadpay.return_query import parse_return
from ticketcap_payment.yaadpay.wire import parse
from ticketcap_testing.stack import free_port

IMMEDIATE_DEBIT = "5253360000000101"
LOST = ["timeout_after", "reset_after", "html_after", "empty_after", "cut_after", "http_500_after"]


def client_of(url: str, telemetry: Telemetry, *, key: str = KEY) -> YaadPayClient:
    terminal = Terminal(masof=MASOF, key=key, password=PASSP)
    return YaadPayClient(
        f"{url}/p/", terminal, PaymentTelemetry(telemetry), page_url=f"{url}/p/", seconds=1, money_seconds=1
    )


@pytest.fixture
def telemetry() -> InMemoryTelemetry:
    return Telemetry.in_memory()


@pytest.fixture
async def simulator(yaadpay_url: str) -> AsyncIterator[Simulator]:
    async with simulator_client(yaadpay_url) as simulator:
        yield simulator


@pytest.fixture
async def client(simulator: Simulator, telemetry: InMemoryTelemetry) -> AsyncIterator[YaadPayClient]:
    client = client_of(simulator.url, telemetry)
    yield client
    await client.close()


def a_page(**changes: object) -> Page:
    plain = {
        "order": new_order(UUID(int=0)),
        "amount_agorot": 4990,
        "currency": "ILS",
        "info": "טיול #1",
        "client_name": "דנה כהן",
    }
    return Page(**{**plain, **changes})  # type: ignore[arg-type]  # as the fields are


async def returned(client: YaadPayClient, simulator: Simulator, card: str = GOOD_CARD, **changes: object) -> bytes:
    """Sign a page, pay on it and return the query that came back."""
    came = await simulator.customer(await client.sign(a_page(**changes)), card)
    return str(urlsplit(came["redirects"][0]).query).encode()


async def paid(client: YaadPayClient, simulator: Simulator, card: str = GOOD_CARD, **changes: object) -> str:
    return parse_return(await returned(client, simulator, card, **changes)).transaction


async def test_a_page_is_signed_and_holds_no_secret(client: YaadPayClient, simulator: Simulator) -> None:
    """Opened as it is; UTF-8, Sign and MoreData are asked for in YaadPay's own words."""
    url = await client.sign(a_page())
    fields = dict(parse(urlsplit(url).query.encode()))
    assert {"KEY", "PassP", "What"}.isdisjoint(fields)
    for name in ("UTF8", "UTF8out", "Sign", "MoreData", "Postpone"):
        assert fields[name] == b"True"
    assert fields["Amount"] == b"49.90"
    assert (await simulator.customer(url))["status"] == "approved"


async def test_secrets_travel_in_forms_and_no_trace_goes_along(
    client: YaadPayClient, simulator: Simulator, telemetry: InMemoryTelemetry
) -> None:
    """Nothing secret in an address, no trace header to the gateway, no query on a span."""
    with telemetry.tracer.start_as_current_span("request"):
        transaction = await paid(client, simulator)
        await client.commit(transaction)
    for action in ("SIGN", "commitTrans"):
        (seen,) = await simulator.requests(action)
        assert seen["method"] == "POST"
        assert not seen["secret_in_url"]
        assert {"traceparent", "tracestate", "baggage", "sentry-trace"}.isdisjoint(seen["header_names"])
    spans = [span for span in telemetry.spans if span.name.startswith("POST yaadpay")]
    assert {span.name for span in spans} == {"POST yaadpay SIGN", "POST yaadpay commitTrans"}
    attributes = " ".join(str(dict(span.attributes or {})) for span in spans)
    for secret in (KEY, PASSP, "?", "TransId", transaction, "דנה"):
        assert secret not in attributes


async def test_verify_says_whose_a_return_is(client: YaadPayClient, simulator: Simulator) -> None:
    """Genuine, forged, or not known; never guessed."""
    pairs = parse(await returned(client, simulator))
    assert await client.verify(pairs) is Verification.GENUINE
    forged = [(name, b"1.00" if name == "Amount" else value) for name, value in pairs]
    assert await client.verify(forged) is Verification.FORGED
    for kind in ("html", "empty", "http_500"):
        await simulator.fault("VERIFY", kind, times=2)
        assert await client.verify(pairs) is Verification.UNKNOWN
    await simulator.fault("VERIFY", "ccode", ccode=200)
    assert await client.verify(pairs) is Verification.FORGED
    await simulator.fault("VERIFY", "ccode", ccode=901)
    assert await client.verify(pairs) is Verification.UNKNOWN


async def test_a_commit_charges_once(client: YaadPayClient, simulator: Simulator) -> None:
    """The second one is answered 250, which is no charge."""
    transaction = await paid(client, simulator)
    first, second = await client.commit(transaction), await client.commit(transaction)
    assert (first.outcome, second.outcome, second.ccode) == (Outcome.DONE, Outcome.REFUSED, 250)
    assert first.id not in {"", transaction}


@pytest.mark.parametrize("kind", LOST)
async def test_a_lost_answer_is_unknown(client: YaadPayClient, simulator: Simulator, kind: str) -> None:
    """For every money call: the money moved, and the outcome is unknown."""
    transaction = await paid(client, simulator, postpone=False)
    await simulator.fault("zikoyAPI", kind, **({"seconds": 1.2} if "timeout" in kind else {}))
    assert (await client.refund(transaction, 100)).outcome is Outcome.UNKNOWN
    assert len(await simulator.requests("zikoyAPI")) == 1, "never sent twice by itself"


async def test_a_closed_port_is_not_reached(telemetry: InMemoryTelemetry) -> None:
    """Nothing was asked, so that asking again is safe."""
    client = client_of(f"http://127.0.0.1:{free_port()}", telemetry)
    assert (await client.refund("1", 100)).outcome is Outcome.NOT_SENT
    with pytest.raises(YaadPayUnreached):
        await client.sign(a_page())
    await client.close()


async def test_a_wrong_key_is_a_refusal_with_its_code(simulator: Simulator, telemetry: InMemoryTelemetry) -> None:
    """902, of the class that the operators must look at; the message holds no secret."""
    client = client_of(simulator.url, telemetry, key="f" * 40)
    with pytest.raises(YaadPayRefused) as error:
        await client.sign(a_page())
    assert error.value.ccode == 902
    assert "f" * 40 not in str(error.value)
    await client.close()


async def test_cancelling_before_and_after_the_cut_off(client: YaadPayClient, simulator: Simulator) -> None:
    """Whole and today: undone. The next day: 920, and a refund instead, whole or in part."""
    today, yesterday = [await paid(client, simulator, postpone=False) for _ in range(2)]
    assert (await client.cancel(today)).outcome is Outcome.DONE
    await simulator.http.post("/simulator/clock", json={"advance_seconds": 86_400})
    late = await client.cancel(yesterday)
    assert (late.outcome, late.ccode, late.ccode_class) == (Outcome.REFUSED, 920, CCodeClass.STATE)
    assert (await client.refund(yesterday, 990)).outcome is Outcome.DONE
    too_much = await client.refund(yesterday, 4001)
    assert (too_much.outcome, too_much.ccode) == (Outcome.REFUSED, 33)
    assert (await client.refund(yesterday, 4000)).outcome is Outcome.DONE


async def test_a_hold_is_captured_by_its_token(client: YaadPayClient, simulator: Simulator) -> None:
    """J5: at most what is held, in major units beside minor ones, as a new charge."""
    hold = await held(client, simulator, GOOD_CARD)
    answer = await client.capture(hold, 4500, currency="ILS", name="דנה", info="x")
    assert answer.outcome is Outcome.DONE
    (charge,) = (await simulator.http.get("/simulator/transactions", params={"id": answer.id})).json()["items"]
    assert charge["amount_agorot"] == 4500


async def test_an_immediate_debit_card_refuses_a_capture(client: YaadPayClient, simulator: Simulator) -> None:
    """512: refused for certain, so that another way may be tried."""
    hold = await held(client, simulator, IMMEDIATE_DEBIT)
    answer = await client.capture(hold, 4990, currency="ILS", name="דנה", info="x")
    assert (answer.outcome, answer.ccode, answer.ccode_class) == (Outcome.REFUSED, 512, CCodeClass.DECLINED)


async def test_a_capture_whose_answer_was_lost_is_unknown(client: YaadPayClient, simulator: Simulator) -> None:
    """soft can charge twice: it is sent once and not tried again."""
    hold = await held(client, simulator, GOOD_CARD)
    await simulator.fault("soft", "timeout_after", seconds=1.2)
    assert (await client.capture(hold, 4990, currency="ILS", name="ד", info="x")).outcome is Outcome.UNKNOWN
    assert len(await simulator.requests("soft")) == 1


async def held(client: YaadPayClient, simulator: Simulator, card: str) -> CardHold:
    """Take a J5 hold: a page that asks for one, signed by the same terminal."""
    page = {"J5": "True", "Postpone": "False", "MoreData": "True", "Sign": "True", "UTF8": "True", "UTF8out": "True"}
    plain = {
        "Masof": MASOF,
        "Amount": "49.90",
        "Order": new_order(UUID(int=0)),
        "Info": "x",
        "ClientName": "Dana",
        "Coin": "1",
    }
    secret = {"action": "APISign", "What": "SIGN", "KEY": KEY, "PassP": PASSP}
    signed = (await simulator.http.post("/p/", data={**page, **plain, **secret})).text.strip()
    came = await simulator.customer(f"{simulator.url}/p/?{signed}", card)
    fields = {name: value.decode() for name, value in parse(urlsplit(came["redirects"][0]).query.encode())}
    assert fields["CCode"] == "700"
    token = await client.get_token(fields["Id"])
    return CardHold(
        token=token.token,
        expiry_yymm=token.expiry_yymm,
        approval=fields["ACode"],
        uid=fields["UID"],
        amount_agorot=4990,
    )


async def test_payment_links_are_listed(client: YaadPayClient, simulator: Simulator) -> None:
    """JSON where everything else is a form; paid ones name their transaction; a closed door is an error."""
    secret = {"action": "payRequest", "iCommand": "CREATE", "Masof": MASOF, "PassP": PASSP}
    asked = {"Amount": "49.90", "ClientName": "Dana", "email": "dana@example.com", "Info": "x"}
    await simulator.http.post("/p/", data={**secret, **asked})
    (link,) = await client.payment_links()
    assert link.id
    assert link.transaction == ""
    await simulator.set(allow_payrequest=False)
    with pytest.raises(YaadPayRefused, match="901"):
        await client.payment_links()
    await simulator.fault("payRequest", "html", times=2)
    with pytest.raises(YaadPayUnavailable):
        await client.payment_links()


async def test_calls_are_measured_by_action_and_outcome(
    client: YaadPayClient, simulator: Simulator, telemetry: InMemoryTelemetry
) -> None:
    """A few words, never a number or a name."""
    await client.commit(await paid(client, simulator))
    labels = {tuple(sorted(point.attributes.items())) for point in telemetry.points("yaadpay.call.duration")}
    assert labels == {
        (("action", "SIGN"), ("outcome", "success"), ("school_synthetic", "false")),
        (("action", "commitTrans"), ("outcome", "success"), ("school_synthetic", "false")),
    }


async def test_a_question_ends_within_its_callers_time(simulator: Simulator, telemetry: InMemoryTelemetry) -> None:
    """YaadPay hangs for longer than the caller waits: no second try, and time is left to answer and to store it."""
    patient = YaadPayClient(
        f"{simulator.url}/p/",
        Terminal(masof=MASOF, key=KEY, password=PASSP),
        PaymentTelemetry(telemetry),
        page_url=f"{simulator.url}/p/",
        seconds=60,
        money_seconds=60,
    )
    await simulator.fault("SIGN", "timeout_before", seconds=30, times=2)
    with deadlines.within(1.5):
        async with asyncio.timeout(20):
            with pytest.raises(YaadPayUnavailable):
                await patient.sign(a_page())
    await patient.close()
    assert len(await simulator.requests("SIGN")) == 1
