"""Check the cards and amounts with special effects."""

from urllib.parse import urlsplit

import httpx
import pytest
from ticketcap_testing.yaadpay import Gateway
from ticketcap_yaadpay_simulator.cards import ISSUER_CODES

SOFT = {
    "CC": "5253360311315452",
    "Tmonth": "12",
    "Tyear": "2029",
    "UserId": "000000000",
    "ClientName": "Dana",
    "Info": "A1001",
    "Order": "A1001",
}


@pytest.mark.parametrize("card", ["5253360311315452", "5326105300985614", "5253360000000101"])
def test_cards_that_are_approved(gateway: Gateway, card: str) -> None:
    assert gateway.paid({"card": card})["transaction"]["ccode"] == 0


def test_the_older_test_card_is_good_after_its_expiry_and_others_are_not(gateway: Gateway) -> None:
    address = gateway.page_url()
    old = {"month": "12", "year": "2025"}
    assert gateway.customer(address, card="5326105300985614", **old)["transaction"]["ccode"] == 0
    assert gateway.customer(address, **old)["transaction"]["ccode"] == 15


@pytest.mark.parametrize("ccode", sorted(ISSUER_CODES))
def test_a_card_that_ends_in_0nnn_is_refused_with_that_code(gateway: Gateway, ccode: int) -> None:
    result = gateway.paid({"card": f"458000000000{ccode:04d}"})
    assert (result["status"], result["transaction"]["ccode"]) == ("declined", ccode)
    assert gateway.book()["charges"] == 0


@pytest.mark.parametrize(
    ("card", "ccode"),
    [("4580458045804580", 4), ("4111111111111111", 4), ("4111111111111112", 447), ("12", 447), ("abc", 447)],
)
def test_other_cards_are_refused_by_a_test_terminal(gateway: Gateway, card: str, ccode: int) -> None:
    assert gateway.paid({"card": card})["transaction"]["ccode"] == ccode


def test_a_real_terminal_takes_real_cards_only(gateway: Gateway) -> None:
    gateway.set(is_test=False)
    assert gateway.paid({"card": "4111111111111111"})["transaction"]["ccode"] == 0
    assert gateway.paid()["transaction"]["ccode"] == 4


@pytest.mark.parametrize("ccode", [3, 4, 15, 999])
def test_a_card_that_ends_in_8nnn_is_refused_at_the_commit(gateway: Gateway, ccode: int) -> None:
    result = gateway.paid({"card": f"525336000000{8000 + ccode}"}, Postpone="True")
    assert result["transaction"]["ccode"] == 800
    assert gateway.call("commitTrans", TransId=str(result["transaction"]["id"])) == {"CCode": str(ccode)}
    assert gateway.book()["net_agorot"] == 0


def test_99_loses_the_redirect(gateway: Gateway) -> None:
    result = gateway.paid(Amount="10.99")
    assert (result["lost"], result["redirects"]) == (True, [])
    assert gateway.book()["net_agorot"] == 1099
    with pytest.raises(httpx.TransportError):
        gateway.call("soft", **SOFT, Amount="1.99")
    assert gateway.book()["net_agorot"] == 1099 + 199


def test_98_is_slow(gateway: Gateway) -> None:
    assert gateway.paid(Amount="10.98")["delay_seconds"] == 50
    gateway.set(slow_amount_seconds=0.3)
    answer = gateway.post("soft", **SOFT, Amount="1.98")
    assert answer.elapsed.total_seconds() >= 0.3
    assert "CCode=0" in answer.text


def test_97_charges_and_answers_a_server_error(gateway: Gateway) -> None:
    result = gateway.paid(Amount="10.97")
    assert result["html_error"]
    assert result["redirects"] == []
    page = gateway.http.post(gateway.page_url(Amount="10.97"), data={**SOFT, "simulator_button": "pay"})
    assert page.status_code == 500
    assert page.text.startswith("<")
    assert gateway.post("soft", **SOFT, Amount="1.97").status_code == 500
    assert gateway.book()["net_agorot"] == 1097 * 2 + 197


def test_96_redirects_twice(gateway: Gateway) -> None:
    first, second = gateway.paid(Amount="10.96")["redirects"]
    assert first == second


def test_95_returns_windows_1255_although_utf_8_was_asked_for(gateway: Gateway) -> None:
    (url,) = gateway.paid(Amount="10.95", street="הרצל")["redirects"]
    assert "&Fild1=%E3%F0%E4%20%EB%E4%EF&" in url
    assert "&street=%D7%94" in url
    assert gateway.verify(urlsplit(url).query) == "0"


def test_a_declined_payment_of_a_magic_amount_is_just_declined(gateway: Gateway) -> None:
    result = gateway.paid({"card": "4580458045804580"}, Amount="10.99")
    assert (result["status"], result["lost"]) == ("declined", False)
