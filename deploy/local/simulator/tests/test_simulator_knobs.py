"""Check that each knob changes its behaviour and no other."""

from urllib.parse import urlsplit

import pytest
from ticketcap_testing.yaadpay import KEY, RETURN, Gateway, fields_of
from ticketcap_yaadpay_simulator.knobs import KNOB_CHECKS, Knobs
from ticketcap_yaadpay_simulator.protocol.signatures import digest

FAILURE = "http://127.0.0.1:8080/failed"
DAY = 86_400.0


def redirect(gateway: Gateway, **parameters: str) -> dict[str, str]:
    """The fields of a redirect."""
    return fields_of(urlsplit(gateway.paid(**parameters)["redirects"][0]).query)


def test_every_knob_has_a_check_that_takes_its_default() -> None:
    defaults = Knobs().as_json()
    assert set(defaults) == set(KNOB_CHECKS)
    assert Knobs().patched(defaults) == Knobs()


@pytest.mark.parametrize("parameters", [{"J5": "J2"}, {"J5": "True"}, {"Postpone": "True"}])
def test_nonzero_ok_goes_to(gateway: Gateway, parameters: dict[str, str]) -> None:
    assert gateway.paid(**parameters)["redirects"][0].startswith(f"{RETURN}?")
    gateway.set(failure_url=FAILURE)
    assert gateway.paid(**parameters)["redirects"][0].startswith(f"{FAILURE}?")
    gateway.set(nonzero_ok_goes_to="success_url")
    assert gateway.paid(**parameters)["redirects"][0].startswith(f"{RETURN}?")
    assert gateway.paid()["redirects"][0].startswith(f"{RETURN}?")


def test_per_request_urls(gateway: Gateway) -> None:
    own = {"SuccessUrl": "https://shop.example/back?x=1"}
    assert gateway.paid(**own)["redirects"][0].startswith(RETURN)
    gateway.set(per_request_urls="honour")
    assert gateway.paid(**own)["redirects"][0].startswith("https://shop.example/back?x=1&Id=")
    assert gateway.paid(SuccessUrl="javascript:alert(1)")["redirects"][0].startswith(RETURN)
    gateway.set(per_request_urls="902_if_unregistered")
    assert gateway.sign(**own) == "CCode=902"
    assert gateway.paid(SuccessUrl="http://127.0.0.1:8080/other")["redirects"][0].startswith(
        "http://127.0.0.1:8080/other?"
    )


def test_echo_encoding(gateway: Gateway) -> None:
    text = {"Info": "a#b&c=d", "street": "x+y%z?"}
    assert redirect(gateway, **text)["Info"] == "a#b&c=d"
    gateway.set(echo_encoding="raw")
    (url,) = gateway.paid(**text)["redirects"]
    assert "&Info=a#b&c=d&errMsg=" in url
    assert "&street=x+y%z?&" in url
    assert gateway.verify(urlsplit(url).query) == "0"


def test_order_filter(gateway: Gateway) -> None:
    assert redirect(gateway, Order="A-10.01")["Order"] == "A-10.01"
    gateway.set(order_filter="alnum_only")
    (url,) = gateway.paid(Order="A-10.01")["redirects"]
    assert "&Order=A1001&" in url
    assert gateway.verify(urlsplit(url).query) == "0"


def test_sign_without_flag_has_one_answer(gateway: Gateway) -> None:
    assert "signature=" not in gateway.sign(Sign="False")
    assert gateway.http.patch("/simulator/terminal", json={"sign_without_flag": "signed"}).status_code == 422


def test_verify_mismatch_code(gateway: Gateway) -> None:
    query = urlsplit(gateway.paid()["redirects"][0]).query
    forged = query.replace("Amount=49.90", "Amount=1")
    assert gateway.verify(forged) == "902"
    gateway.set(verify_mismatch_code=200)
    assert gateway.verify(forged) == "200"
    assert gateway.verify(query) == "0"


def test_page_signature_check(gateway: Gateway) -> None:
    query = gateway.sign()
    first, rest = query.split("&", 1)
    changed = [f"{rest}&{first}", query.replace("Demo%20order", "Demo+order"), query.replace("%D7", "%d7")]
    for address in changed:
        assert gateway.customer(f"{gateway.url}/p/?{address}")["status"] == "approved"
    gateway.set(page_signature_check="verbatim")
    for address in changed:
        assert gateway.customer(f"{gateway.url}/p/?{address}")["status"] == "error"
    assert gateway.customer(f"{gateway.url}/p/?{query}")["status"] == "approved"
    assert gateway.customer(f"{gateway.url}/p/?action=pay&{query}")["status"] == "approved"
    form = {"CC": "5253360311315452", "Tmonth": "12", "Tyear": "2029", "simulator_button": "pay"}
    assert gateway.http.post(f"/p/?{query}&simulator_lang=ENG", data=form).status_code == 302


def test_api_error_body(gateway: Gateway) -> None:
    assert gateway.call("commitTrans", TransId="1") == {"CCode": "250"}
    gateway.set(api_error_body="with_fields")
    answer = gateway.call("commitTrans", TransId="1")
    assert list(answer) == ["CCode", "errMsg", "Id", "Fild1", "Fild2", "Fild3"]
    assert answer["CCode"] == "250"


def test_verify_on_800(gateway: Gateway) -> None:
    query = urlsplit(gateway.paid(Postpone="True")["redirects"][0]).query
    assert gateway.verify(query) == "0"
    gateway.set(verify_on_800="fail_902")
    assert gateway.verify(query) == "902"
    assert gateway.verify(urlsplit(gateway.paid()["redirects"][0]).query) == "0"


def test_link_expiry_seconds(gateway: Gateway) -> None:
    address = gateway.page_url()
    gateway.advance(30 * DAY)
    assert gateway.customer(address)["status"] == "approved"
    gateway.set(link_expiry_seconds=60)
    assert gateway.customer(address)["status"] == "error"
    fresh = gateway.page_url(Order="B")
    assert gateway.customer(fresh)["status"] == "approved"
    gateway.advance(61)
    assert gateway.customer(fresh)["status"] == "error"


def test_link_expiry_of_a_page_signed_elsewhere_counts_from_its_first_opening(gateway: Gateway) -> None:
    gateway.set(link_expiry_seconds=60)
    content = "Amount=5&Info=x&Masof=0010131918&Order=Z&Sign=True&action=pay"
    address = f"{gateway.url}/p/?{content}&signature={digest(KEY, content)}"
    assert gateway.customer(address)["status"] == "approved"
    gateway.advance(61)
    assert gateway.customer(address)["status"] == "error"


def test_signed_link_single_use(gateway: Gateway) -> None:
    address = gateway.page_url()
    assert gateway.customer(address)["status"] == "approved"
    assert gateway.customer(address)["status"] == "approved"
    gateway.set(signed_link_single_use=True)
    assert gateway.customer(address)["status"] == "error"
    other = gateway.page_url(Order="B")
    assert gateway.customer(other, button="decline")["status"] == "declined"
    assert gateway.customer(other)["status"] == "approved"
    assert gateway.customer(other)["status"] == "error"
    assert gateway.book()["charges"] == 2


def test_duplicate_guard(gateway: Gateway) -> None:
    address = gateway.page_url()
    gateway.set(duplicate_guard=10)
    assert gateway.customer(address)["transaction"]["ccode"] == 0
    assert gateway.customer(address)["transaction"]["ccode"] == 425
    assert gateway.customer(address, card="5326105300985614")["transaction"]["ccode"] == 0
    assert gateway.paid(Amount="50")["transaction"]["ccode"] == 0
    gateway.advance(10 * 60 + 1)
    assert gateway.customer(address)["transaction"]["ccode"] == 0
    gateway.set(duplicate_guard="off")
    assert gateway.customer(address)["transaction"]["ccode"] == 0


def test_refund_33_counts_previous(gateway: Gateway) -> None:
    charge = gateway.charged()
    assert gateway.call("zikoyAPI", TransId=charge, Amount="40")["CCode"] == "0"
    assert gateway.call("zikoyAPI", TransId=charge, Amount="40")["CCode"] == "33"
    gateway.set(refund_33_counts_previous=False)
    assert gateway.call("zikoyAPI", TransId=charge, Amount="40")["CCode"] == "0"
    assert gateway.call("zikoyAPI", TransId=charge, Amount="50")["CCode"] == "33"


def test_double_capture(gateway: Gateway) -> None:
    row = gateway.paid(J5="True")["transaction"]
    capture = {
        "CC": gateway.call("getToken", TransId=str(row["id"]))["Token"],
        "Token": "True",
        "Tmonth": "12",
        "Tyear": "29",
        "Amount": "20",
        "ClientName": "D",
        "Info": "x",
        "AuthNum": row["acode"],
        "inputObj.originalUid": row["uid"],
        "inputObj.originalAmount": "4990",
        "inputObj.authorizationCodeManpik": "7",
        "Order": "A1001",
    }
    assert [gateway.call("soft", **capture)["CCode"] for _ in range(2)] == ["0", "4"]
    gateway.set(double_capture="allow")
    assert gateway.call("soft", **capture)["CCode"] == "0"
    assert gateway.book()["charged_agorot"] == 4000


def test_gettoken_repeat(gateway: Gateway) -> None:
    charge = gateway.charged()
    first, second = (gateway.call("getToken", TransId=charge)["Token"] for _ in range(2))
    assert first == second
    gateway.set(gettoken_repeat="new")
    third = gateway.call("getToken", TransId=charge)["Token"]
    assert third not in {first, gateway.call("getToken", TransId=charge)["Token"]}


def test_cancel_cutoff(gateway: Gateway) -> None:
    gateway.at("2026-12-01T10:00:00+02:00")
    charge = gateway.charged()
    gateway.at("2026-12-01T23:00:00+02:00")
    assert gateway.call("CancelTrans", TransId=charge)["CCode"] == "920"
    gateway.set(cancel_cutoff="23:20")
    assert gateway.call("CancelTrans", TransId=charge)["CCode"] == "0"


def test_cancel_j5(gateway: Gateway) -> None:
    gateway.at("2026-12-01T10:00:00+02:00")
    gateway.set(cancel_j5="always_920")
    held = str(gateway.paid(J5="True")["transaction"]["id"])
    refused = {"TransId": held, "CCode": "920", "ReversalStatus": "404"}
    assert gateway.call("CancelTrans", TransId=held) == refused
    gateway.set(cancel_j5="single_payment_same_day")
    assert gateway.call("CancelTrans", TransId=held)["CCode"] == "0"


@pytest.mark.parametrize("days", [3, 5])
def test_hold_days(gateway: Gateway, days: int) -> None:
    gateway.at("2026-12-01T10:00:00+00:00")
    gateway.set(hold_days=days)
    assert gateway.paid(J5="True")["transaction"]["hold_until"].startswith(f"2026-12-{1 + days:02d}T10:00")


def test_late_field_case(gateway: Gateway) -> None:
    assert {"SpType", "BinCard"} <= set(redirect(gateway))
    gateway.set(late_field_case="spType")
    fields = set(redirect(gateway))
    assert {"spType", "bincard"} <= fields
    assert not {"SpType", "BinCard"} & fields


def test_trailing_newline(gateway: Gateway) -> None:
    assert gateway.post("commitTrans", TransId="1").text == "CCode=250\n"
    gateway.set(trailing_newline=False)
    assert gateway.post("commitTrans", TransId="1").text == "CCode=250"


@pytest.mark.parametrize("value", ["0", "EZ", "1234"])
def test_hesh_value(gateway: Gateway, value: str) -> None:
    gateway.set(hesh_value=value)
    assert redirect(gateway)["Hesh"] == value


def test_userid_placeholder(gateway: Gateway) -> None:
    assert redirect(gateway)["UserId"] == "890108558"
    gateway.set(userid_placeholder=True)
    assert len(redirect(gateway)["UserId"]) == 10


def test_payrequest_return_has_sign(gateway: Gateway) -> None:
    gateway.set(payrequest_return_has_sign=True)
    created = gateway.call(
        "payRequest", iCommand="CREATE", Amount="5", ClientName="x", cell="0501234567", Info="i", Order="L1"
    )
    address = gateway.url + created["paymentURL"].removeprefix("http://127.0.0.1:8090")
    (url,) = gateway.customer(address)["redirects"]
    assert gateway.verify(urlsplit(url).query) == "0"
