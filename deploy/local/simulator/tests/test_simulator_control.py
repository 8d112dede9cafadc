"""Check the control plane: views, changes and refusals."""

import csv

import pytest
from ticketcap_testing.yaadpay import KEY, MASOF, Gateway


def test_transactions_are_listed_oldest_first_and_in_portions(gateway: Gateway) -> None:
    ids = [int(gateway.charged(Order=order)) for order in ("A", "B", "A")]
    assert [row["id"] for row in gateway.transactions()] == ids
    assert [row["id"] for row in gateway.transactions(order="A")] == [ids[0], ids[2]]
    assert [row["id"] for row in gateway.transactions(id=str(ids[1]))] == [ids[1]]
    assert [row["id"] for row in gateway.transactions(after=str(ids[0]), limit="1")] == [ids[1]]
    assert gateway.transactions(id="1") == []
    row = gateway.transactions()[0]
    assert (row["kind"], row["ccode"], row["amount_agorot"], row["currency"]) == ("pay", 0, 4990, "ILS")
    assert (row["card_last4"], row["parent_id"], row["committed"], row["cancelled"]) == ("5452", None, False, False)
    assert (row["refunded_agorot"], row["state"]) == (0, "charged")


def test_the_book_has_a_line_per_order(gateway: Gateway) -> None:
    gateway.charged(Order="A")
    gateway.paid({"button": "decline"}, Order="B")
    orders = gateway.http.get("/simulator/book").json()["orders"]
    assert [(one["order"], one["net_agorot"], one["charges"]) for one in orders] == [("A", 4990, 1), ("B", 0, 0)]
    assert gateway.book("nothing") == {}


def test_requests_show_names_and_never_secrets(gateway: Gateway) -> None:
    query = f"action=getToken&Masof={MASOF}&PassP=yaad&TransId=77&KEY={KEY}"
    gateway.http.get(f"/p/?{query}", headers={"traceparent": "00-1"})
    gateway.post("soft", CC="5253360311315452", cvv="493")
    gateway.sign()
    response = gateway.http.get("/simulator/requests")
    items = response.json()["items"]
    assert [(one["action"], one["what"]) for one in items] == [("getToken", ""), ("soft", ""), ("APISign", "SIGN")]
    assert [one["secret_in_url"] for one in items] == [True, False, False]
    assert items[0]["trans_id"] == "77"
    assert "traceparent" in items[0]["header_names"]
    assert "PassP" in items[0]["parameter_names"]
    for secret in (KEY, "yaad&", "5253360311315452", "493"):
        assert secret not in response.text
    assert [one["what"] for one in gateway.http.get("/simulator/requests?action=SIGN").json()["items"]] == ["SIGN"]


def test_the_newest_thousand_requests_are_kept(gateway: Gateway) -> None:
    for number in range(1010):
        gateway.http.get(f"/p/?action=x&Order={number}")
    items = gateway.http.get("/simulator/requests").json()["items"]
    assert (len(items), items[-1]["order"]) == (1000, "1009")


def test_the_report_is_csv_that_no_program_runs(gateway: Gateway) -> None:
    gateway.paid(Order="A", Info="=1+1", Postpone="True")
    rows = list(csv.DictReader(gateway.http.get("/simulator/report").text.splitlines()))
    assert list(rows[0]) == ["Id", "date", "order", "info", "amount", "state"]
    assert (rows[0]["info"], rows[0]["amount"], rows[0]["state"]) == ("'=1+1", "49.90", "postponed")


def test_the_page_for_people(gateway: Gateway) -> None:
    gateway.paid(Order="<b>")
    gateway.fault("soft", "html")
    page = gateway.http.get("/simulator/").text
    assert "&lt;b&gt;" in page
    assert "cancel_cutoff" in page
    assert KEY not in page


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"cancel_cutoff": "25:00"}, "cancel_cutoff"),
        ({"verify_mismatch_code": 901}, "verify_mismatch_code"),
        ({"signed_link_single_use": "yes"}, "signed_link_single_use"),
        ({"masof": "12"}, "masof"),
        ({"success_url": "ftp://x"}, "success_url"),
        ({"auth": {"pass": True}}, "auth"),
        ({"currencies": [5]}, "currencies"),
        ({"hold_days": True}, "hold_days"),
        ({"order_filter": "alnum_only", "hold_days": 0}, "hold_days"),
    ],
)
def test_a_wrong_knob_is_named_and_nothing_is_changed(gateway: Gateway, values: dict[str, object], named: str) -> None:
    before = gateway.http.get("/simulator/terminal").json()
    response = gateway.http.patch("/simulator/terminal", json=values)
    assert response.status_code == 422
    assert response.json()["error"].startswith(named)
    assert gateway.http.get("/simulator/terminal").json() == before


@pytest.mark.parametrize(
    "body",
    [{}, {"now": "yesterday"}, {"now": "2026-01-01"}, {"advance_seconds": "1"}, {"advance_seconds": 1e300}, {"now": 1}],
)
def test_a_wrong_clock(gateway: Gateway, body: dict[str, object]) -> None:
    assert gateway.http.post("/simulator/clock", json=body).status_code == 422


def test_the_clock_moves_and_goes_back(gateway: Gateway) -> None:
    gateway.at("2030-01-01T00:00:00Z")
    gateway.advance(60)
    assert gateway.http.get("/simulator/clock").json()["now"].startswith("2030-01-01T00:01:0")
    assert gateway.http.delete("/simulator/clock").json()["offset_seconds"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"page_url": 1},
        {"page_url": "http://x/p/?action=soft"},
        {"page_url": "http://x/other?action=pay"},
        {"page_url": "http://x/p/?a=1", "button": "explode"},
        {"page_url": "http://x/p/?a=1", "payments": "2"},
        {"page_url": "http://x/p/?a=1", "decline_ccode": 800},
        {"page_url": "http://x/p/?a=1", "colour": "red"},
        {"page_url": "http://x/p/?" + "a=1&" * 400},
    ],
)
def test_a_wrong_customer(gateway: Gateway, body: dict[str, object]) -> None:
    response = gateway.http.post("/simulator/customer", json=body)
    assert response.status_code == 422
    assert response.json()["error"]


def test_bodies_and_addresses_have_limits(gateway: Gateway) -> None:
    assert gateway.http.post("/p/", data={"a": "x" * 70_000}).status_code == 413
    assert gateway.http.get("/p/?a=" + "x" * 20_000).status_code == 413
    assert gateway.http.get("/p/?" + "a=1&" * 301).status_code == 413
    assert gateway.http.post("/simulator/faults", content=b"x" * 200_000).status_code == 413
    assert gateway.http.post("/simulator/faults", content=b"{").status_code == 422
    assert gateway.http.get("/simulator/transactions?limit=99999999").status_code == 422


def test_the_control_plane_is_not_under_the_protocol(gateway: Gateway) -> None:
    for path in ("/p/simulator/health", "/p/health", "/health"):
        assert gateway.http.get(path).status_code == 404
    assert gateway.http.get("/simulator/health").json() == {"status": "ok"}


def test_forgetting_begins_anew_but_never_repeats_an_id(gateway: Gateway) -> None:
    first = int(gateway.charged())
    gateway.set(hold_days=3, is_test=False)
    gateway.fault("soft", "html")
    gateway.advance(1000)
    gateway.forget()
    assert gateway.transactions() == []
    terminal = gateway.http.get("/simulator/terminal").json()
    assert (terminal["hold_days"], terminal["is_test"]) == (5, True)
    assert gateway.http.get("/simulator/faults").json()["faults"] == []
    assert gateway.http.get("/simulator/clock").json()["offset_seconds"] == 0
    assert gateway.http.get("/simulator/requests").json() == {"items": []}
    assert int(gateway.charged()) > first


@pytest.mark.parametrize("name", ["KEY", "PassP", "zPass", "CC", "cvv"])
def test_each_secret_in_an_address_is_noticed(gateway: Gateway, name: str) -> None:
    gateway.http.get(f"/p/?action=soft&{name}=1")
    gateway.http.post("/p/?action=soft", data={name: "1"})
    assert [one["secret_in_url"] for one in gateway.http.get("/simulator/requests").json()["items"]] == [True, False]
