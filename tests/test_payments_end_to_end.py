"""Test payments over HTTP, with real processes and the simulator's page."""

import csv
import html
import io
import re
import secrets
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from tests.stack_under_test import EVENTS, YAADPAY_KEY, Stack

PRICE = 4990
DECLINED = "4580458045804580"


@pytest.fixture
def trip(stack: Stack) -> str:
    """A paid event of the test's own."""
    slug = f"trip-{secrets.token_hex(4)}"
    stack.open_event(slug, title="טיול לגליל", price_agorot=PRICE, capacity=3)
    return slug


def held(stack: Stack, event: str, number: int = 1, **fields: Any) -> dict[str, Any]:
    answer = stack.register(event, number, **fields)
    assert answer.status_code == 201, answer.text
    hold: dict[str, Any] = answer.json()
    assert hold["status"] == "PENDING_PAYMENT"
    return hold


def opened(stack: Stack, hold: dict[str, Any], **headers: str) -> httpx.Response:
    url = f"/api/v1/registrations/{hold['id']}/payments"
    return stack.client.post(url, headers={"X-Manage-Token": hold["manage_token"], **headers})


def paid_on_the_page(stack: Stack, page_url: str, card: str | None = None) -> str:
    """Fill the hosted page's own form in, press its button, and return where it sends the browser."""
    with httpx.Client(timeout=10, trust_env=False) as browser:
        page = browser.get(page_url)
        assert page.status_code == 200
        assert 'dir="rtl"' in page.text
        form = re.search(r"<form[^>]*>.*?</form>", page.text, re.DOTALL)
        assert form, page.text
        fields = _inputs(form[0])
        if card:
            (name,) = [key for key, value in fields.items() if value.replace(" ", "") == "5253360311315452"]
            fields[name] = card
        target = re.search(r'action="([^"]*)"', form[0])
        button = re.search(r'<button[^>]*name="([^"]+)"[^>]*value="([^"]+)"', form[0])
        if button:
            fields[button[1]] = button[2]
        answer = browser.post(urljoin(page_url, html.unescape(target[1])) if target else page_url, data=fields)
    return answer.headers.get("location", "") or answer.text


def _inputs(form: str) -> dict[str, str]:
    found = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name, value = re.search(r'name="([^"]+)"', tag), re.search(r'value="([^"]*)"', tag)
        if name:
            found[name[1]] = html.unescape(value[1]) if value else ""
    return found


def paid(stack: Stack, hold: dict[str, Any]) -> str:
    """Pay a hold the whole way, and return the payment's id."""
    answer = opened(stack, hold)
    assert answer.status_code == 201, answer.text
    back = stack.client.get(_path(paid_on_the_page(stack, answer.json()["redirect_url"])))
    assert back.status_code == 303, back.text
    payment_id: str = answer.json()["payment_id"]
    assert back.headers["location"].endswith(f"/payments/{payment_id}")
    return payment_id


def _path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def test_a_parent_pays_from_the_link_to_the_seat(stack: Stack, trip: str) -> None:
    """From pay_url over the button and YaadPay's page to the page that says: paid, and yours."""
    hold = held(stack, trip)
    page = stack.client.get(_path(hold["pay_url"]))
    assert page.status_code == 200
    pressed = stack.client.post(
        urlsplit(hold["pay_url"]).path,
        data=_inputs(page.text),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert pressed.status_code == 303, pressed.text
    back = stack.client.get(_path(paid_on_the_page(stack, pressed.headers["location"])))
    result = stack.client.get(back.headers["location"])
    assert result.status_code == 200
    assert "49.90" in result.text
    answer = stack.client.get(f"/api/v1/registrations/{hold['id']}", headers={"X-Manage-Token": hold["manage_token"]})
    assert answer.json()["status"] == "CONFIRMED"
    assert "pay_url" not in answer.json()
    assert (stack.event(trip)["confirmed"], stack.event(trip)["held"]) == (1, 0)


def test_the_whole_story_is_in_the_traces(stack: Stack, trip: str) -> None:
    """Opening is one trace, coming back another that links to it; each ends at the SQL and at YaadPay's door."""
    hold = held(stack, trip)
    answer = opened(stack, hold)
    trace_id = answer.headers["traceresponse"].split("-")[1]
    first = stack.trace(trace_id, "payment.create", "POST yaadpay SIGN", "payments.serial")
    names = {span["name"] for span in first}
    assert "ticketcap.registration.v1.RegistrationService/GetHold" in names
    back = stack.client.get(_path(paid_on_the_page(stack, answer.json()["redirect_url"])))
    return_id = back.headers["traceresponse"].split("-")[1]
    second = stack.trace(
        return_id,
        *("payment.return", "payment.capture", "outbox.deliver", "POST yaadpay VERIFY", "POST yaadpay commitTrans"),
        "ticketcap.registration.v1.RegistrationService/ConfirmHold",
    )
    (came,) = [span for span in second if span["name"] == "payment.return"]
    assert trace_id in {link["trace_id"] for link in came["links"]}
    delivered = [span for span in second if span["name"] == "outbox.deliver"]
    assert len(delivered) == 3
    assert {link["trace_id"] for span in delivered for link in span["links"]} == {return_id}


def test_paying_twice_is_answered_with_the_running_payment(stack: Stack, trip: str) -> None:
    """409, which payment it is, and its page while it can be paid on; the same key gets the first answer."""
    hold = held(stack, trip)
    first = opened(stack, hold, **{"Idempotency-Key": "first"})
    second = opened(stack, hold)
    assert (second.status_code, second.json()["code"]) == (409, "PAYMENT_RUNNING")
    assert second.json()["payment_id"] == first.json()["payment_id"]
    assert second.json()["redirect_url"] == first.json()["redirect_url"]
    again = opened(stack, hold, **{"Idempotency-Key": "first"})
    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
    assert again.json() == first.json()


def test_what_can_not_be_paid_says_why(stack: Stack, trip: str) -> None:
    """A free event is 409, another holder's token 404, no token 401, an expired hold 410 with the next step."""
    stack.open_event(f"{trip}-free")
    free = stack.register(f"{trip}-free", 7).json()
    assert opened(stack, free).json()["code"] == "FREE_EVENT"
    mine, other = held(stack, trip, 1), held(stack, trip, 2)
    stolen = opened(stack, {**mine, "manage_token": other["manage_token"]})
    assert stolen.status_code == 404
    assert stack.client.post(f"/api/v1/registrations/{mine['id']}/payments").status_code == 401
    stack.open_event(f"{trip}-short", price_agorot=PRICE, hold_seconds=1)
    late = held(stack, f"{trip}-short", 3)
    gone = _until(lambda: opened(stack, late), lambda answer: answer.status_code == 410)
    assert gone.json()["code"] == "HOLD_EXPIRED"
    assert "register again" in gone.json()["detail"]


def _until(fetch: Any, good: Any) -> httpx.Response:
    import time

    for _ in range(100):
        answer: httpx.Response = fetch()
        if good(answer):
            return answer
        time.sleep(0.1)
    raise AssertionError(answer.text)


def test_a_forged_return_is_refused_in_both_tongues(stack: Stack, trip: str) -> None:
    """400 for programs and for people; the genuine one still counts afterwards."""
    hold = held(stack, trip)
    answer = opened(stack, hold)
    genuine = _path(paid_on_the_page(stack, answer.json()["redirect_url"]))
    forged = genuine.replace("Amount=49.9", "Amount=1.9")
    for accept in ("application/json", "text/html"):
        refused = stack.client.get(forged, headers={"Accept": accept})
        assert refused.status_code == 400
        assert accept.split("/")[1] in refused.headers["content-type"]
    as_program = stack.client.get(genuine, headers={"Accept": "application/json"})
    assert (as_program.status_code, as_program.json()["state"]) == (200, "CAPTURED")


def test_refunds_and_the_books_of_the_day(stack: Stack, trip: str) -> None:
    """Part, too much, the rest; each line to the agora, in a file that a spreadsheet opens."""
    payment_id = paid(stack, held(stack, trip))
    url = f"/api/v1/payments/{payment_id}/refunds"
    part = stack.client.post(url, json={"amount_agorot": 990}, headers=stack.token("OWNER"))
    assert part.status_code == 201, part.text
    assert part.json()["payment"]["refunded_agorot"] == 990
    too_much = stack.client.post(url, json={"amount_agorot": 4001}, headers=stack.token("OWNER"))
    assert (too_much.status_code, too_much.json()["code"]) == (422, "REFUND_TOO_LARGE")
    assert stack.client.post(url, headers=stack.token("OWNER", "bialik")).status_code == 404
    assert stack.client.post(url, headers=stack.token("MANAGER")).status_code == 403
    rest = stack.client.post(url, headers=stack.token("ADMIN"))
    assert rest.json()["payment"]["state"] == "REFUNDED"
    book = stack.client.get("/api/v1/schools/herzl/payments.csv", headers=stack.token("OWNER"))
    rows = list(csv.DictReader(io.StringIO(book.content.decode("utf-8-sig"))))
    mine = [(row["kind"], row["amount_agorot"], row["amount"]) for row in rows if row["payment_id"] == payment_id]
    # Text to a spreadsheet: a program removes the apostrophe.
    assert mine == [("payment", "'4990", "'49.90"), ("refund", "'-990", "'-9.90"), ("refund", "'-4000", "'-40.00")]
    assert all(row["yaadpay_id"] for row in rows if row["payment_id"] == payment_id)


def test_a_cancelled_seat_is_paid_back_and_offered_on(stack: Stack, trip: str) -> None:
    """The next on the waitlist gets an offer with a window and a link of its own."""
    holds = [held(stack, trip, number) for number in (1, 2, 3)]
    waiting = stack.register(trip, 4).json()
    assert waiting["status"] == "WAITLISTED"
    payment_id = paid(stack, holds[0])
    token = {"X-Manage-Token": holds[0]["manage_token"]}
    assert stack.client.post(f"/api/v1/registrations/{holds[0]['id']}/cancel", headers=token).status_code == 200
    url = f"/api/v1/payments/{payment_id}"
    _until(lambda: stack.client.get(url, headers=token), lambda answer: answer.json()["state"] == "REFUNDED")
    offered = stack.client.get(
        f"/api/v1/registrations/{waiting['id']}", headers={"X-Manage-Token": waiting["manage_token"]}
    ).json()
    assert offered["status"] == "PENDING_PAYMENT"
    assert offered["hold_expires_at"]
    assert stack.client.get(_path(offered["pay_url"])).status_code == 200


def test_a_refused_card_keeps_the_seat(stack: Stack, trip: str) -> None:
    """The page says so and takes another card; the hold is untouched."""
    hold = held(stack, trip)
    url = opened(stack, hold).json()["redirect_url"]
    said = paid_on_the_page(stack, url, DECLINED)
    assert not said.startswith("http")
    assert stack.event(trip)["held"] == 1
    assert stack.client.get(_path(paid_on_the_page(stack, url))).status_code == 303


def test_nothing_secret_and_nobody_is_told(stack: Stack, trip: str) -> None:
    """No key, password, token, card or person in any log line or span, after good and bad payments."""
    planted = {"name": "פלונית נסתרת", "phone": "053-9876543", "email": "hidden@example.org"}
    hold = stack.client.post(f"{EVENTS}/{trip}/registrations", json={**planted, "spots": 1}).json()
    payment_id = paid(stack, hold)
    forged = stack.client.get("/api/v1/payments/yaadpay/return?Id=1&Fild2=hidden@example.org&KEY=mine")
    assert forged.status_code == 400
    stack.client.post(f"/api/v1/payments/{payment_id}/refunds", headers=stack.token("OWNER"))
    stack.trace(forged.headers["traceresponse"].split("-")[1], "payment.return")
    transactions = httpx.get(f"{stack.simulator_url}/simulator/transactions", timeout=5, trust_env=False).text
    assert "49.90" in transactions
    output = "".join(process.output() for process in (stack.payment, stack.registration, stack.gateway))
    output += httpx.get(f"{stack.sink_url}/api/traces?limit=1000", timeout=10).text
    pay_token = urlsplit(hold["pay_url"]).query.removeprefix("token=")
    tokens = (hold["manage_token"], pay_token)
    for secret in ("פלונית", "9876543", "hidden@", YAADPAY_KEY, "PassP=", "525336031131", *tokens):
        assert secret not in output, secret
