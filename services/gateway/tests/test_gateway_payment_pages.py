"""Check the pages of a payment: paying, results, and their texts."""

import re
from html import unescape
from itertools import product
from typing import get_args

import httpx
import pytest
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap_chassis import errors
from ticketcap_chassis.errors import ServiceError
from ticketcap_gateway.payments import page_texts
from ticketcap_gateway.payments.schemas import PaymentState, SeatState
from ticketcap_testing.gateway import running_gateway
from ticketcap_testing.service_fakes import PAY_TOKEN, PAYMENT_ID, REDIRECT_URL, REGISTRATION_ID, FakePayment, a_result

PAY = f"/pay/{REGISTRATION_ID}"
RESULT = f"/payments/{PAYMENT_ID}"
FORM = {"token": PAY_TOKEN, "key": "k" * 32, "lang": "he"}
FORM_TYPE = {"content-type": "application/x-www-form-urlencoded"}
RUNNING = {"payment_id": PAYMENT_ID, "state": "REDIRECTED", "redirect_url": REDIRECT_URL}


def _hidden(page: str) -> dict[str, str]:
    return {
        name: unescape(value) for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page)
    }


def _is_a_page(response: httpx.Response, language: str) -> None:
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    # Browsers hold it against the redirect to YaadPay, too.
    assert "form-action" not in policy
    direction = "rtl" if language == "he" else "ltr"
    assert f'<html lang="{language}" dir="{direction}">' in response.text
    assert not re.search(r"<script|<link|<img|url\(|\sstyle=|\son\w+=", response.text)


@pytest.mark.parametrize("language", ["he", "en"])
async def test_the_button_leads_to_yaadpay(client: httpx.AsyncClient, payment: FakePayment, language: str) -> None:
    """GET shows a form and calls no service; POST opens the payment with the pay token and goes where it is paid."""
    page = await client.get(PAY, params={"token": PAY_TOKEN, "lang": language})
    assert page.status_code == 200
    _is_a_page(page, language)
    assert not payment.requests
    form = _hidden(page.text)
    assert (form["token"], form["lang"]) == (PAY_TOKEN, language)
    pressed = [await client.post(PAY, data=form) for _ in range(2)]
    for response in pressed:
        assert (response.status_code, response.headers["location"]) == (303, REDIRECT_URL)
        assert response.headers["referrer-policy"] == "no-referrer"
    first, second = payment.requests["CreatePayment"]
    assert first == second
    assert (first.registration_id, first.pay_token, first.manage_token) == (REGISTRATION_ID, PAY_TOKEN, "")
    assert first.language == (pb.LANGUAGE_ENGLISH if language == "en" else pb.LANGUAGE_HEBREW)
    assert form["key"] in first.idempotency_key


async def test_each_page_has_a_key_of_its_own(client: httpx.AsyncClient) -> None:
    """So that pressing twice pays once, and opening the link again may pay again."""
    pages = [await client.get(PAY, params={"token": PAY_TOKEN}) for _ in range(3)]
    assert len({_hidden(page.text)["key"] for page in pages}) == 3


async def test_a_page_in_the_other_language_is_one_click_away(client: httpx.AsyncClient) -> None:
    """Hebrew unless lang says English; the switch preserves every token."""
    for token in (PAY_TOKEN, 'a&b+c%2F#d"<e>'):
        page = await client.get(PAY, params={"token": token})
        _is_a_page(page, "he")
        (href,) = re.findall(r'<a href="([^"]+)" lang="en"', page.text)
        other = await client.get(PAY + unescape(href))
        _is_a_page(other, "en")
        assert _hidden(page.text)["token"] == _hidden(other.text)["token"] == token


async def test_links_that_can_not_be_any_are_a_404_page(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """No token, one with blanks, an id that is none: the page asks for the whole link. It calls no service."""
    for path, params in (
        (PAY, {}),
        (PAY, {"token": "a b"}),
        (PAY, {"token": "a\x00b"}),
        (PAY, {"token": "x" * 201}),
        (PAY, {"token": '"><script>'}),
        ("/pay/nobody", {"token": PAY_TOKEN}),
    ):
        page = await client.get(path, params=params)
        assert page.status_code == (200 if "<" in params.get("token", "") else 404)
        assert "<script>" not in page.text
    assert (await client.get(PAY, params={"token": PAY_TOKEN, "lang": "fr"})).status_code == 422
    assert (await client.post("/pay/nobody", data=FORM)).status_code == 404
    assert not payment.requests


@pytest.mark.parametrize(
    ("failure", "status", "words", "button"),
    [
        (errors.FailedPrecondition("x", reason="HOLD_EXPIRED"), 410, "להירשם שוב", False),
        (
            errors.FailedPrecondition("x", reason="HOLD_EXPIRED", metadata={"status": "CANCELLED"}),
            410,
            "ההרשמה בוטלה",
            False,
        ),
        (errors.NotFound("x", reason="REGISTRATION_NOT_FOUND"), 404, "אינו תקין", False),
        (errors.FailedPrecondition("x", reason="FREE_EVENT"), 409, "אין מה לשלם", False),
        (errors.FailedPrecondition("x", reason="NOT_A_HOLD"), 409, "אין מה לשלם", False),
        (errors.Busy("x", reason="TOO_MANY_PAYMENTS"), 429, "יותר מדי", False),
        (errors.Aborted("x", reason="IDEMPOTENCY_IN_FLIGHT"), 409, "נפתח", True),
        (errors.Unavailable("x", reason="YAADPAY_UNAVAILABLE"), 503, "לא חויבתם", True),
        (errors.DeadlineExceeded("x"), 504, "לא חויבתם", True),
        (errors.InternalError("x"), 500, "לא חויבתם", True),
    ],
    ids=lambda value: getattr(value, "reason", ""),
)
async def test_what_can_not_be_paid_is_told_on_a_page(
    client: httpx.AsyncClient, payment: FakePayment, failure: ServiceError, status: int, words: str, button: bool
) -> None:
    """Every refusal in plain words; where trying again helps there is a button that sends the same form."""
    payment.failures["CreatePayment"] = failure
    page = await client.post(PAY, data=FORM)
    assert page.status_code == status
    _is_a_page(page, "he")
    assert words in page.text
    assert _hidden(page.text) == (FORM if button else {})
    english = await client.post(PAY, data=FORM | {"lang": "en"})
    _is_a_page(english, "en")
    payment.failures.clear()
    if button:
        assert (await client.post(PAY, data=_hidden(page.text))).status_code == 303


async def test_a_payment_that_runs_is_gone_on_with(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """While it can be paid the browser goes there; else to the page that says how it stands."""
    payment.failures["CreatePayment"] = errors.AlreadyExists("x", reason="PAYMENT_RUNNING", metadata=RUNNING)
    response = await client.post(PAY, data=FORM)
    assert (response.status_code, response.headers["location"]) == (303, REDIRECT_URL)
    paid = {"payment_id": PAYMENT_ID, "state": "CAPTURED"}
    payment.failures["CreatePayment"] = errors.AlreadyExists("x", reason="PAYMENT_RUNNING", metadata=paid)
    response = await client.post(PAY, data=FORM)
    assert (response.status_code, response.headers["location"]) == (303, f"{RESULT}?lang=he")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", FORM_TYPE, 422),
        (b"token=t&key=" + b"k" * 32, FORM_TYPE, 422),
        (b"token=t&token=u&lang=he&key=" + b"k" * 32, FORM_TYPE, 400),
        (b"token=t&lang=he&key=" + b"k" * 32 + b"&more=1", FORM_TYPE, 422),
        (b"token=t&lang=he&key=short", FORM_TYPE, 422),
        (b"token=%FF&lang=he&key=" + b"k" * 32, FORM_TYPE, 400),
        (b"token=\xd7\x90&lang=he&key=" + b"k" * 32, FORM_TYPE, 400),
        (b"token", FORM_TYPE, 400),
        (b"&".join(b"f%d=" % number for number in range(20)), FORM_TYPE, 400),
        (b"token=" + b"t" * 2048, FORM_TYPE, 413),
        (b"{}", {"content-type": "application/json"}, 415),
        (b"token=t", {"content-type": "application/x-www-form-urlencoded; charset=windows-1255"}, 415),
    ],
)
async def test_forms_are_read_strictly(
    client: httpx.AsyncClient, payment: FakePayment, body: bytes, headers: dict[str, str], status: int
) -> None:
    """At most 2 kB, known fields, each once, UTF-8; anything else is a problem."""
    response = await client.post(PAY, content=body, headers=headers)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert not payment.requests


async def test_an_address_that_breaks_headers_is_not_followed(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """No service's address, with any characters, can add a header."""
    payment.redirect_url = "https://pay.example.org/\r\nset-cookie: a=b"
    response = await client.post(PAY, data=FORM)
    assert response.status_code == 500
    assert "set-cookie" not in response.headers


STANDS: list[tuple[pb.PaymentState, pb.SeatState, str, str, str, bool]] = [
    (pb.PAYMENT_STATE_CREATED, pb.SEAT_STATE_HELD, "", "עדיין לא קיבלנו", "no word of a payment", True),
    (pb.PAYMENT_STATE_REDIRECTED, pb.SEAT_STATE_HELD, "", "עדיין לא קיבלנו", "no word of a payment", True),
    (pb.PAYMENT_STATE_AUTHORISED, pb.SEAT_STATE_SECURED, "", "בבדיקה", "being checked", True),
    (pb.PAYMENT_STATE_UNKNOWN, pb.SEAT_STATE_SECURED, "", "אין לשלם שוב", "do not pay again", True),
    (pb.PAYMENT_STATE_CAPTURED, pb.SEAT_STATE_CONFIRMED, "", "מאושר", "confirmed", False),
    (pb.PAYMENT_STATE_CAPTURED, pb.SEAT_STATE_SECURED, "", "התקבל", "has arrived", True),
    (pb.PAYMENT_STATE_CAPTURED, pb.SEAT_STATE_GONE, "", "יוחזר", "refunded", False),
    (pb.PAYMENT_STATE_REFUND_PENDING, pb.SEAT_STATE_GONE, "", "יוחזר", "refunded", False),
    (pb.PAYMENT_STATE_REFUND_PENDING, pb.SEAT_STATE_CONFIRMED, "", "בדרך חזרה", "on its way back", False),
    (pb.PAYMENT_STATE_REFUNDED, pb.SEAT_STATE_CONFIRMED, "", "הוחזר", "was refunded", False),
    (pb.PAYMENT_STATE_REFUNDED, pb.SEAT_STATE_GONE, "", "להירשם שוב", "register again", False),
    (pb.PAYMENT_STATE_FAILED, pb.SEAT_STATE_HELD, "declined", "הכרטיס לא אושר", "card was refused", False),
    (pb.PAYMENT_STATE_FAILED, pb.SEAT_STATE_GONE, "seat_gone", "לא חויבתם", "not charged", False),
    (pb.PAYMENT_STATE_FAILED, pb.SEAT_STATE_HELD, "terminal", "לא בוצע", "was not made", False),
    (pb.PAYMENT_STATE_EXPIRED, pb.SEAT_STATE_HELD, "not_paid", "נגמר", "is over", False),
    (pb.PAYMENT_STATE_EXPIRED, pb.SEAT_STATE_HELD, "not_returned", "נא לפנות לבית הספר", "tell the school", False),
    (pb.PAYMENT_STATE_EXPIRED, pb.SEAT_STATE_HELD, "registration_cancelled", "בוטלה", "was cancelled", False),
    (pb.PAYMENT_STATE_EXPIRED, pb.SEAT_STATE_HELD, "superseded", "בתשלום אחר", "Another payment", False),
    (pb.PAYMENT_STATE_FAILED, pb.SEAT_STATE_CONFIRMED, "free", "לא חויבתם", "seat is confirmed", False),
    (pb.PAYMENT_STATE_EXPIRED, pb.SEAT_STATE_HELD, "free", "אין מה לשלם", "nothing to pay", False),
]


@pytest.mark.parametrize(("state", "seat", "failure", "hebrew", "english", "waits"), STANDS)
async def test_the_result_is_told_in_plain_words(
    client: httpx.AsyncClient,
    payment: FakePayment,
    state: pb.PaymentState,
    seat: pb.SeatState,
    failure: str,
    hebrew: str,
    english: str,
    waits: bool,
) -> None:
    """For each state, seat and failure; what is not final looks again by itself."""
    payment.result = a_result(state=state, seat=seat, failure=failure)
    for language, words in (("he", hebrew), ("en", english)):
        page = await client.get(RESULT, params={"lang": language})
        assert page.status_code == 200
        _is_a_page(page, language)
        assert words in page.text
        assert "₪100.00" in page.text
        refresh = f'<meta http-equiv="refresh" content="3;url={RESULT}?lang={language}&amp;looked=1">'
        assert (refresh in page.text) is ("http-equiv" in page.text) is waits
    assert payment.requests["GetPaymentResult"][0] == pb.GetPaymentResultRequest(id=PAYMENT_ID)


@pytest.mark.parametrize(("state", "seat"), list(product(get_args(PaymentState), get_args(SeatState))))
def test_there_are_words_for_everything(state: PaymentState, seat: SeatState) -> None:
    """Every state, seat and failure has a notice; none asks a customer who may have paid to pay again."""
    for failure in ("", "declined", "seat_gone", "not_paid", "a reason of tomorrow"):
        notice = page_texts.result(state, seat, failure)
        assert all(text.he and text.en for text in (notice.title, *notice.lines))
        words = " ".join(text.en for text in notice.lines)
        if state in {"AUTHORISED", "UNKNOWN", "CAPTURED", "REFUND_PENDING"}:
            assert "try again" not in words
            assert "not charged" not in words


async def test_the_page_looks_again_for_a_minute(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """Twenty times at most; then it says that checking continues, and has a link to check again."""
    payment.result = a_result(state=pb.PAYMENT_STATE_AUTHORISED)
    path, looks = RESULT, 0
    while refresh := re.search(r'content="3;url=([^"]+)"', (page := await client.get(path)).text):
        path, looks = unescape(refresh[1]), looks + 1
    assert looks == 20
    assert "נמשכת יותר מהרגיל" in page.text
    assert f'href="{RESULT}?lang=he"' in page.text
    payment.result = a_result()
    assert "מאושר" in (await client.get(path)).text
    for wrong in ("-1", "x", "1001"):
        assert (await client.get(RESULT, params={"looked": wrong})).status_code == 422


async def test_the_page_speaks_the_language_of_the_payment(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """Unless lang says otherwise."""
    payment.result = a_result(language=pb.LANGUAGE_ENGLISH, refunded_agorot=123_456_05)
    page = await client.get(RESULT)
    _is_a_page(page, "en")
    assert "₪123,456.05" in page.text
    _is_a_page(await client.get(RESULT, params={"lang": "he"}), "he")


async def test_results_that_can_not_be_shown(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """Unknown is a 404 page; an unavailable service a page that refreshes itself at the same address."""
    assert (await client.get("/payments/nothing")).status_code == 404
    payment.failures["GetPaymentResult"] = errors.NotFound("x", reason="PAYMENT_NOT_FOUND")
    unknown = await client.get(RESULT)
    assert unknown.status_code == 404
    _is_a_page(unknown, "he")
    for failure, status in ((errors.Unavailable("x"), 503), (errors.DeadlineExceeded("x"), 504)):
        payment.failures["GetPaymentResult"] = failure
        away = await client.get(RESULT, params={"lang": "en"})
        assert away.status_code == status
        assert away.headers["retry-after"]
        assert '<meta http-equiv="refresh" content="5">' in away.text


async def test_pages_stay_up_without_the_payment_service() -> None:
    """The form is shown; the button's answer has a button to try again."""
    async with running_gateway("127.0.0.1:9") as gateway, httpx.AsyncClient(base_url=gateway.url) as client:
        assert (await client.get(PAY, params={"token": PAY_TOKEN})).status_code == 200
        page = await client.post(PAY, data=FORM)
        assert (page.status_code, _hidden(page.text)) == (503, FORM)
        assert (await client.get(RESULT)).status_code == 503
