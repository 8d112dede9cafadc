"""Check that every fault acts as named and the book stays right."""

import time
from urllib.parse import urlsplit

import httpx
import pytest
from ticketcap_testing.yaadpay import Gateway, fields_of

DONE = ["timeout_after", "reset_after", "html_after", "empty_after", "cut_after", "http_500_after", "slow"]
NOT_DONE = ["timeout_before", "reset_before", "html", "empty", "http_500", "ccode"]
SILENT = ["timeout_before", "timeout_after", "reset_before", "reset_after"]
FORM = {"CC": "5253360311315452", "Tmonth": "12", "Tyear": "2029", "simulator_button": "pay"}
SOFT = {
    "CC": "5253360311315452",
    "Tmonth": "12",
    "Tyear": "2029",
    "Amount": "49.90",
    "ClientName": "Dana",
    "Info": "x",
    "Order": "A1001",
}


def more(kind: str) -> dict[str, float]:
    """Further fields that a kind requires."""
    return {"ccode": 999} if kind == "ccode" else {"seconds": 0.15}


@pytest.mark.parametrize("kind", [*DONE, *NOT_DONE])
def test_a_fault_at_the_commit(gateway: Gateway, kind: str) -> None:
    postponed = gateway.postponed()
    gateway.fault("commitTrans", kind, **more(kind))
    started = time.monotonic()
    try:
        answer = gateway.post("commitTrans", TransId=postponed)
    except httpx.TransportError:
        assert kind in SILENT
    else:
        _check_answer(kind, answer)
    waited = time.monotonic() - started
    assert waited >= 0.15 if kind.startswith(("timeout", "slow")) else waited < 0.15
    assert gateway.book()["net_agorot"] == (4990 if kind in DONE else 0)
    again = gateway.call("commitTrans", TransId=postponed)["CCode"]
    assert again == ("250" if kind in DONE else "0")
    assert gateway.book()["net_agorot"] == 4990


def _check_answer(kind: str, answer: httpx.Response) -> None:
    body = answer.content
    assert kind not in SILENT
    assert answer.status_code == (500 if kind.startswith("http_500") else 200)
    if kind.startswith(("html", "http_500")):
        assert body.startswith(b"<")
    elif kind.startswith("empty"):
        assert body == b""
    elif kind == "cut_after":
        assert body.endswith(b"&CCo")
    elif kind == "ccode":
        assert body == b"CCode=999\n"
    else:
        assert b"&CCode=0&" in body


@pytest.mark.parametrize(
    ("action", "parameters"),
    [
        ("SIGN", {}),
        ("VERIFY", {}),
        ("CancelTrans", {"TransId": "1"}),
        ("zikoyAPI", {"TransId": "1", "Amount": "1"}),
        ("soft", SOFT),
        ("getToken", {"TransId": "1"}),
        ("payRequest", {"iCommand": "LIST"}),
        ("*", SOFT),
    ],
)
def test_faults_strike_the_action_they_name_only(gateway: Gateway, action: str, parameters: dict[str, str]) -> None:
    gateway.fault(action, "http_500")
    what = {"What": action} if action in {"SIGN", "VERIFY"} else {}
    name = "APISign" if what else "soft" if action == "*" else action
    if action != "*":
        assert gateway.post("commitTrans", TransId="1").status_code == 200
    assert gateway.post(name, **what, **parameters).status_code == 500
    assert gateway.post(name, **what, **parameters).status_code == 200


@pytest.mark.parametrize("kind", ["timeout_after", "reset_after", "html_after", "empty_after", "cut_after"])
def test_a_soft_charge_whose_answer_is_lost_stands(gateway: Gateway, kind: str) -> None:
    gateway.fault("soft", kind, seconds=0)
    try:
        assert "CCode=0" not in gateway.post("soft", **SOFT).text
    except httpx.TransportError:
        assert kind in SILENT
    assert gateway.book()["net_agorot"] == 4990


@pytest.mark.parametrize("kind", ["html_after", "html"])
def test_refunds_and_cancels_whose_answer_is_lost(gateway: Gateway, kind: str) -> None:
    charge, other = gateway.charged(), gateway.charged(Order="B")
    gateway.fault("*", kind, times=2)
    gateway.post("zikoyAPI", TransId=charge, Amount="10")
    gateway.post("CancelTrans", TransId=other)
    is_done = kind == "html_after"
    assert gateway.book()["refunded_agorot"] == (1000 if is_done else 0)
    assert gateway.book("B")["cancelled_agorot"] == (4990 if is_done else 0)


def test_a_fault_strikes_as_often_and_for_the_order_it_says(gateway: Gateway) -> None:
    gateway.fault("commitTrans", "http_500", times=2, order="B")
    mine, other = gateway.postponed(), gateway.postponed(Order="B")
    assert gateway.call("commitTrans", TransId=mine)["CCode"] == "0"
    codes = [gateway.post("commitTrans", TransId=other).status_code for _ in range(3)]
    assert codes == [500, 500, 200]


@pytest.mark.parametrize("kind", [*DONE, *NOT_DONE])
def test_a_fault_at_the_page(gateway: Gateway, kind: str) -> None:
    address = gateway.page_url()
    gateway.fault("pay", kind, **more(kind))
    try:
        response = gateway.http.post(address, data=FORM)
    except httpx.TransportError:
        assert kind in SILENT
    else:
        is_redirect = response.status_code == 302
        assert is_redirect is (kind == "slow")
    assert gateway.book().get("net_agorot", 0) == (4990 if kind in DONE else 0)


@pytest.mark.parametrize("kind", [*DONE, *NOT_DONE])
def test_a_fault_for_the_customer(gateway: Gateway, kind: str) -> None:
    gateway.fault("pay", kind, **more(kind))
    result = gateway.paid()
    assert result["fault"] == kind
    assert (result["transaction"] is not None) is (kind in DONE or kind == "ccode")
    assert result["lost"] is (kind not in {"slow", "ccode"})
    assert (result["html_error"] is not None) is kind.startswith(("html", "http_500"))
    if kind in DONE:
        url = [*result["redirects"], *result["lost_redirects"]][0]
        assert gateway.verify(urlsplit(url).query) == "0"


def test_redirect_faults(gateway: Gateway) -> None:
    gateway.fault("pay", "redirect_twice")
    assert len(gateway.paid()["redirects"]) == 2
    gateway.fault("pay", "lost_redirect")
    lost = gateway.paid()
    assert (lost["lost"], lost["redirects"], len(lost["lost_redirects"])) == (True, [], 1)
    gateway.fault("pay", "late_redirect", seconds=7)
    late = gateway.paid()
    assert (late["delay_seconds"], len(late["redirects"])) == (7, 1)
    gateway.fault("pay", "windows_1255")
    assert "&Fild1=%E3%F0%E4%20%EB%E4%EF&" in gateway.paid()["redirects"][0]
    gateway.fault("pay", "duplicate_parameter")
    assert gateway.paid()["redirects"][0].count("CCode=") == 2
    gateway.fault("pay", "duplicate_parameter", set={"Order": "B"})
    assert gateway.paid()["redirects"][0].endswith("&Order=B")
    assert gateway.book()["charges"] == 6


def test_a_tampered_redirect_no_longer_verifies(gateway: Gateway) -> None:
    gateway.fault("pay", "tampered_redirect", set={"Amount": "1.00"})
    query = urlsplit(gateway.paid()["redirects"][0]).query
    assert fields_of(query)["Amount"] == "1.00"
    assert gateway.verify(query) == "902"
    gateway.fault("pay", "tampered_redirect", set={"Coin": "2", "KEY": "x"})
    query = urlsplit(gateway.paid()["redirects"][0]).query
    assert (fields_of(query)["Coin"], fields_of(query)["KEY"]) == ("2", "x")


def test_a_late_redirect_in_the_browser_comes_late(gateway: Gateway) -> None:
    address = gateway.page_url()
    gateway.fault("pay", "late_redirect", seconds=0.3)
    response = gateway.http.post(address, data=FORM)
    assert response.status_code == 302
    assert response.elapsed.total_seconds() >= 0.3


def test_a_forced_code_at_the_page_declines(gateway: Gateway) -> None:
    gateway.fault("pay", "ccode", ccode=26)
    result = gateway.paid()
    assert (result["status"], result["transaction"]["ccode"]) == ("declined", 26)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"kind": "html"}, "action"),
        ({"action": "soft"}, "kind"),
        ({"action": "refund", "kind": "html"}, "action"),
        ({"action": "soft", "kind": "explode"}, "kind"),
        ({"action": "soft", "kind": "html", "times": 0}, "times"),
        ({"action": "soft", "kind": "html", "seconds": -1}, "seconds"),
        ({"action": "soft", "kind": "html", "colour": "red"}, "colour"),
        ({"action": "soft", "kind": "ccode"}, "ccode"),
        ({"action": "soft", "kind": "html", "ccode": 4}, "ccode"),
        ({"action": "soft", "kind": "redirect_twice"}, "kind"),
        ({"action": "pay", "kind": "tampered_redirect"}, "set"),
        ({"action": "pay", "kind": "tampered_redirect", "set": {"a": 1}}, "set"),
        ([], "body"),
    ],
)
def test_a_wrong_fault_is_named(gateway: Gateway, body: object, named: str) -> None:
    response = gateway.http.post("/simulator/faults", json=body)
    assert response.status_code == 422
    assert response.json()["error"].startswith(named)
    assert gateway.http.get("/simulator/faults").json() == {"faults": [], "struck": {}}


def test_faults_are_listed_and_cleared(gateway: Gateway) -> None:
    gateway.fault("soft", "html", times=3)
    gateway.post("soft", **SOFT)
    listed = gateway.http.get("/simulator/faults").json()
    assert (listed["faults"][0]["times"], listed["struck"]) == (2, {"html": 1})
    assert gateway.http.delete("/simulator/faults").json() == {"faults": [], "struck": {}}
    assert gateway.call("soft", **SOFT)["CCode"] == "0"
