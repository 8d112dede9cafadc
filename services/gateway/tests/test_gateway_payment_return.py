"""Check that returns from YaadPay pass unchanged and are never lost."""

import asyncio
import ipaddress
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap_chassis import errors
from ticketcap_gateway.payments.yaadpay_return import prefers_json
from ticketcap_testing.gateway import RunningGateway, running_gateway
from ticketcap_testing.service_fakes import PAYMENT_ID, FakePayment, FakeRegistration, a_result

RETURN = "/api/v1/payments/yaadpay/return"
JSON = {"accept": "application/json"}
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
REFUSED = errors.FailedPrecondition("this return is not genuine (sign); nothing was changed", reason="RETURN_REFUSED")


async def _get(gateway: RunningGateway, target: bytes, headers: bytes = b"") -> tuple[int, bytes]:
    """Send a request target as it is, which clients would tidy up, and return the status and the whole answer."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(b"GET " + target + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + headers + b"\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize(
    "query",
    [
        b"Id=12788261&CCode=0&Amount=10&ACode=0012345&Order=TC1&Fild1=%E3%F0%20%EB%E4%EF&Sign=0af7",
        b"Fild1=a+b&Fild1=%2B&Fild1=c&&=&x",
        b"%E3%f0=%d7%93&CCode=000&errMsg=%F2%F1%F7%E4",
        b"a=?b=/;c&d='\"()!*~|^`{}[]\\",
        b"Amount=1%2C0&amount=10&Amount=%31",
        b"",
    ],
)
async def test_the_query_is_passed_on_byte_for_byte(
    gateway: RunningGateway, payment: FakePayment, query: bytes
) -> None:
    """Case of escapes, plus signs, windows-1255, repeated and empty names: nothing is read, decoded or put in order."""
    status, _ = await _get(gateway, f"{RETURN}?".encode() + query)
    assert status == 303
    assert [request.query for request in payment.requests["SettleReturn"]] == [query]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.text("".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "#"), max_size=200))
async def test_any_query_is_passed_on(gateway: RunningGateway, payment: FakePayment, query: str) -> None:
    """The query string may hold any visible characters."""
    payment.requests.clear()
    status, _ = await _get(gateway, f"{RETURN}?{query}".encode())
    assert (status, payment.requests["SettleReturn"][0].query) == (303, query.encode())


async def test_a_browser_goes_on_to_the_result(client: httpx.AsyncClient) -> None:
    """303 to the page that says how it stands, without the query."""
    response = await client.get(f"{RETURN}?Id=1", headers=BROWSER)
    assert (response.status_code, response.headers["location"]) == (303, f"/payments/{PAYMENT_ID}")
    assert response.headers["referrer-policy"] == "no-referrer"
    assert (await client.get(f"{RETURN}?Id=1")).status_code == 303


async def test_a_program_gets_the_result(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """200 with JSON where Accept asks for it."""
    payment.result = a_result(
        state=pb.PAYMENT_STATE_FAILED, seat=pb.SEAT_STATE_GONE, failure="seat_gone", language=pb.LANGUAGE_ENGLISH
    )
    response = await client.get(f"{RETURN}?Id=1", headers=JSON)
    assert response.status_code == 200
    assert response.json() == {
        "id": PAYMENT_ID,
        "state": "FAILED",
        "seat": "GONE",
        "failure": "seat_gone",
        "amount_agorot": 10_000,
        "currency": "ILS",
        "refunded_agorot": 0,
        "language": "en",
    }


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        ("", False),
        ("*/*", False),
        (BROWSER["accept"], False),
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("Application/JSON, text/plain, */*", True),
        ("application/problem+json", True),
        ("text/html, application/json;q=0.5", False),
        ("text/html;q=0.2, application/json;q=0.5", True),
        ("application/json;q=0", False),
        ("application/json;q=nan", True),
        (",;q,;=", False),
    ],
)
def test_json_is_for_who_asks(accept: str, json: bool) -> None:
    """A browser never gets it."""
    assert prefers_json(accept) is json


async def test_what_is_not_genuine_is_a_400(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """A problem for a program; for a browser a page in both languages that does not ask again."""
    payment.failures["SettleReturn"] = REFUSED
    problem = await client.get(f"{RETURN}?Id=1", headers=JSON)
    assert (problem.status_code, problem.json()["code"]) == (400, "RETURN_REFUSED")
    assert "retry-after" not in problem.headers
    page = await client.get(f"{RETURN}?Id=1", headers=BROWSER)
    assert (page.status_code, page.headers["content-type"]) == (400, "text/html; charset=utf-8")
    for words in ("אינה אמיתית", "דבר לא השתנה", "not genuine", "Nothing was changed"):
        assert words in page.text
    assert "http-equiv" not in page.text
    assert "script" not in page.text


async def test_one_payment_has_so_many_returns(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """Beyond them 429: the page says that those before count, and does not ask again."""
    payment.failures["SettleReturn"] = errors.Busy("50 already", reason="TOO_MANY_RETURNS", retry_after=3600.0)
    page = await client.get(f"{RETURN}?Id=1", headers=BROWSER)
    assert (page.status_code, page.headers["retry-after"]) == (429, "3600")
    assert "Those before it were" in page.text
    assert "http-equiv" not in page.text


@pytest.mark.parametrize(
    ("failure", "status", "seconds"),
    [
        (errors.Unavailable("away"), 503, "1"),
        (errors.DeadlineExceeded("slow"), 504, "5"),
        (errors.Busy("full", reason="TOO_MANY_CALLS"), 429, "1"),
        (errors.InternalError("fault"), 500, "5"),
    ],
)
async def test_a_return_is_not_lost(
    client: httpx.AsyncClient, payment: FakePayment, failure: errors.ServiceError, status: int, seconds: str
) -> None:
    """Errors that may pass are retried: by the page itself at the same address, by a program after Retry-After."""
    payment.failures["SettleReturn"] = failure
    page = await client.get(f"{RETURN}?Id=1&Fild1=%E3%F0", headers=BROWSER)
    assert (page.status_code, page.headers["retry-after"]) == (status, seconds)
    # Without an address in it, the browser asks for the one that it has; and the query is not written into a page.
    assert '<meta http-equiv="refresh" content="5">' in page.text
    assert "Fild1" not in page.text
    problem = await client.get(f"{RETURN}?Id=1", headers=JSON)
    assert (problem.status_code, problem.headers["retry-after"]) == (status, seconds)
    payment.failures.clear()
    assert (await client.get(f"{RETURN}?Id=1&Fild1=%E3%F0", headers=BROWSER)).status_code == 303


async def test_without_the_payment_service_the_page_waits(registration: FakeRegistration) -> None:
    """503 and the page that asks again, when nothing answers at all."""
    async with running_gateway(registration.target) as gateway, httpx.AsyncClient() as client:
        page = await client.get(f"{gateway.url}{RETURN}?Id=1", headers=BROWSER)
    assert page.status_code == 503
    assert '<meta http-equiv="refresh" content="5">' in page.text


async def test_long_queries_are_refused(gateway: RunningGateway, payment: FakePayment) -> None:
    """8,192 bytes pass, one more is a 414 problem; POST is a 405."""
    status, _ = await _get(gateway, f"{RETURN}?".encode() + b"x" * 8192)
    assert status == 303
    status, answer = await _get(gateway, f"{RETURN}?".encode() + b"x" * 8193)
    assert status == 414
    assert b"QUERY_TOO_LONG" in answer
    assert [len(request.query) for request in payment.requests["SettleReturn"]] == [8192]
    async with httpx.AsyncClient() as client:
        posted = await client.post(f"{gateway.url}{RETURN}", data={"Id": "1"})
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")


async def test_refused_returns_are_limited_and_genuine_ones_never(
    registration: FakeRegistration, payment: FakePayment
) -> None:
    """After the hour's number of refused ones an address gets 429; who pays from there is still let through."""
    proxies = (ipaddress.ip_network("127.0.0.0/8"),)
    async with (
        running_gateway(
            registration.target, payment_target=payment.target, registrations_per_hour=2, trusted_proxies=proxies
        ) as gateway,
        httpx.AsyncClient(base_url=gateway.url, headers={"x-forwarded-for": "198.51.100.1"}) as client,
    ):
        genuine = [(await client.get(f"{RETURN}?Id=1")).status_code for _ in range(4)]
        assert genuine == [303] * 4
        payment.failures["SettleReturn"] = errors.Unavailable("away")
        assert [(await client.get(f"{RETURN}?Id=1")).status_code for _ in range(4)] == [503] * 4
        payment.failures["SettleReturn"] = REFUSED
        assert [(await client.get(f"{RETURN}?Id=1")).status_code for _ in range(3)] == [400, 400, 429]
        limited = await client.get(f"{RETURN}?Id=1", headers=JSON)
        assert (limited.status_code, limited.json()["code"]) == (429, "RATE_LIMITED")
        assert int(limited.headers["retry-after"]) > 5
        page = await client.get(f"{RETURN}?Id=1", headers=BROWSER)
        assert "http-equiv" not in page.text
        elsewhere = await client.get(f"{RETURN}?Id=1", headers={"x-forwarded-for": "198.51.100.2"})
        assert elsewhere.status_code == 400
        payment.failures.clear()
        assert (await client.get(f"{RETURN}?Id=1")).status_code == 303


async def test_the_result_page_is_there(client: httpx.AsyncClient) -> None:
    """The browser's next page belongs to this gateway."""
    location = (await client.get(f"{RETURN}?Id=1")).headers["location"]
    assert urlsplit(location).netloc == ""
    assert (await client.get(location)).status_code == 200
