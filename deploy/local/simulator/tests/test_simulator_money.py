"""Check commits, cancels, refunds, tokens and captures against the book."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ticketcap_testing.yaadpay import Gateway

SOFT = {
    "Amount": "30",
    "CC": "5253360311315452",
    "Tmonth": "12",
    "Tyear": "2029",
    "UserId": "000000000",
    "ClientName": "Dana",
    "ClientLName": "Cohen",
    "Info": "Renewal A1001",
    "Order": "A1001",
    "MoreData": "True",
}
DAY = 86_400.0


def totals(gateway: Gateway) -> tuple[int, int, int, int]:
    """Charged, refunded, cancelled, net."""
    book = gateway.book()
    return book["charged_agorot"], book["refunded_agorot"], book["cancelled_agorot"], book["net_agorot"]


def test_a_commit_charges_once_under_a_new_id(gateway: Gateway) -> None:
    postponed = gateway.postponed()
    assert totals(gateway) == (0, 0, 0, 0)
    answer = gateway.call("commitTrans", TransId=postponed, Fild1="x")
    assert list(answer) == ["Id", "CCode", "Fild1", "Fild2", "Fild3", "HeshASM"]
    assert (answer["CCode"], answer["Fild1"]) == ("0", "x")
    assert answer["Id"] != postponed
    assert gateway.call("commitTrans", TransId=postponed) == {"CCode": "250"}
    first, second = gateway.transactions(order="A1001")
    assert (first["ccode"], first["committed"], first["kind"]) == (800, True, "pay")
    assert (second["kind"], second["parent_id"], str(second["id"])) == ("commit", first["id"], answer["Id"])
    assert totals(gateway) == (4990, 0, 0, 4990)


@pytest.mark.parametrize("wrong", ["1", "", "abc", "9" * 30, "0x1"])
def test_a_commit_of_what_is_not_there(gateway: Gateway, wrong: str) -> None:
    assert gateway.call("commitTrans", TransId=wrong) == {"CCode": "250"}
    assert gateway.call("commitTrans", TransId=gateway.charged()) == {"CCode": "250"}


def test_a_card_may_be_refused_at_the_commit(gateway: Gateway) -> None:
    result = gateway.paid({"card": "5253360000008004"}, Postpone="True")
    assert result["transaction"]["ccode"] == 800
    postponed = str(result["transaction"]["id"])
    assert gateway.call("commitTrans", TransId=postponed) == {"CCode": "4"}
    assert totals(gateway) == (0, 0, 0, 0)
    assert gateway.transactions(id=postponed)[0]["committed"] is False


def test_one_commit_sent_twenty_times_at_once_charges_once(gateway: Gateway) -> None:
    postponed = gateway.postponed()
    with ThreadPoolExecutor(20) as pool:
        codes = list(pool.map(lambda _: gateway.call("commitTrans", TransId=postponed)["CCode"], range(20)))
    assert sorted(codes) == sorted(["0"] + ["250"] * 19)
    assert gateway.book()["charges"] == 1


def test_a_cancel_before_the_cut_off_undoes_the_whole_charge(gateway: Gateway) -> None:
    charge = gateway.charged()
    answer = gateway.call("CancelTrans", TransId=charge)
    assert answer == {"TransId": charge, "CCode": "0", "Hesh": "EZ", "ReversalStatus": "777"}
    assert gateway.call("CancelTrans", TransId=charge) == {"TransId": charge, "CCode": "920"}
    assert totals(gateway) == (4990, 0, 4990, 0)
    assert gateway.transactions(id=charge)[0]["status"] == 998
    assert gateway.call("zikoyAPI", TransId=charge, Amount="1")["CCode"] == "33"


@pytest.mark.parametrize(
    ("charged_at", "cancelled_at", "ccode"),
    [
        ("2026-12-01T10:00:00+02:00", "2026-12-01T21:59:59+02:00", "0"),
        ("2026-12-01T10:00:00+02:00", "2026-12-01T22:00:00+02:00", "920"),
        ("2026-07-01T10:00:00+03:00", "2026-07-01T21:59:00+03:00", "0"),
        ("2026-07-01T10:00:00+03:00", "2026-07-01T22:00:01+03:00", "920"),
        ("2026-12-01T23:00:00+02:00", "2026-12-02T21:00:00+02:00", "0"),
        ("2026-12-01T23:00:00+02:00", "2026-12-02T22:30:00+02:00", "920"),
    ],
)
def test_the_cut_off_is_at_ten_in_the_evening_in_israel(
    gateway: Gateway, charged_at: str, cancelled_at: str, ccode: str
) -> None:
    gateway.at(charged_at)
    charge = gateway.charged()
    gateway.at(cancelled_at)
    assert gateway.transactions(id=charge)[0]["transmitted"] is (ccode == "920")
    assert gateway.call("CancelTrans", TransId=charge)["CCode"] == ccode
    assert gateway.book()["net_agorot"] == (0 if ccode == "0" else 4990)


def test_what_cannot_be_cancelled(gateway: Gateway) -> None:
    postponed = gateway.postponed()
    assert gateway.call("CancelTrans", TransId=postponed)["CCode"] == "920"
    assert gateway.call("CancelTrans", TransId="1")["CCode"] == "920"
    charge = gateway.charged()
    gateway.call("zikoyAPI", TransId=charge, Amount="10")
    assert gateway.call("CancelTrans", TransId=charge)["CCode"] == "920"
    assert totals(gateway) == (4990, 1000, 0, 3990)


def test_refunds_are_rows_of_their_own_and_stop_at_the_amount(gateway: Gateway) -> None:
    charge = gateway.call("commitTrans", TransId=gateway.postponed())["Id"]
    gateway.advance(2 * DAY)
    answer = gateway.call("zikoyAPI", TransId=charge, Amount="20")
    assert list(answer) == ["Id", "CCode", "ACode", "HeshASM"]
    assert answer["CCode"] == "0"
    assert gateway.call("zikoyAPI", TransId=charge, Amount="29.91") == {"CCode": "33"}
    assert gateway.call("zikoyAPI", TransId=charge, Amount="29.90")["CCode"] == "0"
    assert gateway.call("zikoyAPI", TransId=charge, Amount="0.01") == {"CCode": "33"}
    assert totals(gateway) == (4990, 4990, 0, 0)
    kinds = [row["kind"] for row in gateway.transactions(order="A1001")]
    assert kinds == ["pay", "commit", "refund", "refund"]
    assert gateway.transactions(id=charge)[0]["refunded_agorot"] == 4990


@pytest.mark.parametrize(
    ("amount", "ccode"), [("0", "415"), ("-1", "415"), ("1.001", "415"), ("", "415"), ("49.91", "33"), ("1e1", "415")]
)
def test_refunds_of_wrong_amounts(gateway: Gateway, amount: str, ccode: str) -> None:
    charge = gateway.charged()
    assert gateway.call("zikoyAPI", TransId=charge, Amount=amount)["CCode"] == ccode
    assert gateway.call("zikoyAPI", TransId="1", Amount="1")["CCode"] == "250"
    assert gateway.call("zikoyAPI", TransId=gateway.postponed(Order="B"), Amount="1")["CCode"] == "33"
    assert totals(gateway) == (4990, 0, 0, 4990)


def test_a_token_stands_for_its_card(gateway: Gateway) -> None:
    answer = gateway.call("getToken", TransId=gateway.charged(), Fild2="y")
    assert list(answer) == ["Id", "CCode", "Token", "Tokef", "Fild1", "Fild2", "Fild3"]
    assert (answer["Tokef"], answer["Fild2"], len(answer["Token"])) == ("2912", "y", 19)
    soft = gateway.call("soft", **{**SOFT, "CC": answer["Token"], "Token": "True"})
    assert (soft["CCode"], soft["L4digit"], soft["Amount"]) == ("0", "5452", "30")
    assert gateway.call("soft", **{**SOFT, "CC": answer["Token"]}) == {"CCode": "447"}
    assert gateway.call("soft", **{**SOFT, "CC": "1" * 19, "Token": "True"}) == {"CCode": "997"}
    swapped = {**SOFT, "CC": answer["Token"], "Token": "True", "Tmonth": "29", "Tyear": "12"}
    assert gateway.call("soft", **swapped) == {"CCode": "416"}
    assert totals(gateway) == (4990 + 3000, 0, 0, 4990 + 3000)


def test_a_token_of_a_decline_needs_allow_false(gateway: Gateway) -> None:
    declined = str(gateway.paid({"button": "decline"})["transaction"]["id"])
    assert gateway.call("getToken", TransId=declined) == {"CCode": "910"}
    assert gateway.call("getToken", TransId=declined, allowFalse="True")["CCode"] == "0"
    assert gateway.call("getToken", TransId="1")["CCode"] == "250"
    assert gateway.call("getToken", TransId=gateway.postponed())["CCode"] == "0"


def test_soft_answers_in_the_order_of_the_samples(gateway: Gateway) -> None:
    response = gateway.post("soft", **SOFT)
    names = [part.split("=")[0] for part in response.text.strip().split("&")]
    assert names == [
        *("Id", "CCode", "Amount", "ACode", "Fild1", "Fild2", "Fild3", "Hesh", "Bank", "tashType", "Payments"),
        *("TashFirstPayment", "UserId", "Brand", "Issuer", "L4digit", "firstname", "lastname", "info", "street"),
        *("city", "zip", "cell", "email", "Coin", "Tmonth", "Tyear", "CardName", "errMsg", "UID", "SpType", "BinCard"),
    ]
    assert "&CardName=%28%3F%3F%3F%3F%29%20Cal&errMsg= (0)&" in response.text
    assert "Sign=" not in response.text


@pytest.mark.parametrize(
    ("change", "ccode"),
    [
        ({"Info": ""}, "402"),
        ({"ClientName": ""}, "401"),
        ({"Tash": "13"}, "903"),
        ({"Coin": "9"}, "301"),
        ({"Amount": "0"}, "415"),
        ({"Tmonth": "13"}, "416"),
        ({"Tyear": "2020"}, "15"),
        ({"CC": "5253360311315453"}, "447"),
        ({"CC": "4580458045804580"}, "4"),
        ({"zPass": "wrong"}, "901"),
        ({"PassP": "wrong"}, "902"),
        ({"TransType": "Cash"}, "901"),
        ({"WalletToken": "{}"}, "901"),
    ],
)
def test_soft_refuses(gateway: Gateway, change: dict[str, str], ccode: str) -> None:
    assert gateway.call("soft", **{**SOFT, **change}) == {"CCode": ccode}
    assert gateway.book().get("net_agorot", 0) == 0


def test_soft_postpones_holds_and_pays_out(gateway: Gateway) -> None:
    postponed = gateway.call("soft", **SOFT, Postpone="True")
    assert postponed["CCode"] == "800"
    assert gateway.call("soft", **SOFT, J5="J2")["CCode"] == "600"
    assert gateway.call("commitTrans", TransId=postponed["Id"])["CCode"] == "0"
    assert gateway.call("soft", **{**SOFT, "Amount": "10"}, zPass="zpass")["CCode"] == "0"
    assert totals(gateway) == (3000, 1000, 0, 2000)


def hold(gateway: Gateway, *, card: str = "5253360311315452", payments: int = 1) -> tuple[dict[str, str], str]:
    """A hold of 49.90 and the parameters of its capture."""
    result = gateway.paid({"card": card, "payments": payments}, J5="True", Tash="3")
    row: dict[str, Any] = result["transaction"]
    token = gateway.call("getToken", TransId=str(row["id"]))["Token"]
    capture = {
        **SOFT,
        "CC": token,
        "Token": "True",
        "Amount": "45",
        "AuthNum": row["acode"],
        "inputObj.originalUid": row["uid"],
        "inputObj.originalAmount": "4990",
        "inputObj.authorizationCodeManpik": "7",
    }
    return capture, str(row["id"])


def test_a_hold_is_captured_once(gateway: Gateway) -> None:
    capture, held = hold(gateway)
    assert totals(gateway) == (0, 0, 0, 0)
    answer = gateway.call("soft", **capture)
    assert (answer["CCode"], answer["ACode"]) == ("0", "0054321")
    assert gateway.call("soft", **capture) == {"CCode": "4"}
    row = gateway.transactions(id=answer["Id"])[0]
    assert (row["kind"], str(row["parent_id"])) == ("capture", held)
    assert gateway.transactions(id=held)[0]["ccode"] == 700
    assert totals(gateway) == (4500, 0, 0, 4500)


@pytest.mark.parametrize(
    ("change", "ccode"),
    [
        ({"AuthNum": ""}, "418"),
        ({"AuthNum": "9999999"}, "4"),
        ({"inputObj.originalUid": "1" * 23}, "415"),
        ({"inputObj.originalUid": ""}, "418"),
        ({"inputObj.originalAmount": "49.90"}, "415"),
        ({"inputObj.originalAmount": "45"}, "415"),
        ({"inputObj.originalAmount": "499000"}, "415"),
        ({"inputObj.authorizationCodeManpik": "6"}, "415"),
        ({"Amount": "49.91"}, "507"),
    ],
)
def test_a_capture_that_does_not_fit_its_hold(gateway: Gateway, change: dict[str, str], ccode: str) -> None:
    capture, _ = hold(gateway)
    assert gateway.call("soft", **{**capture, **change}) == {"CCode": ccode}
    assert totals(gateway) == (0, 0, 0, 0)


def test_an_immediate_debit_card_is_not_captured_but_charged_anew(gateway: Gateway) -> None:
    capture, _ = hold(gateway, card="5253360000000101")
    assert gateway.call("soft", **capture) == {"CCode": "512"}
    plain = {name: value for name, value in capture.items() if not name.startswith(("AuthNum", "inputObj"))}
    assert gateway.call("soft", **plain)["CCode"] == "0"


def test_a_hold_lapses_and_a_cancelled_one_is_gone(gateway: Gateway) -> None:
    capture, _ = hold(gateway)
    gateway.advance(5 * DAY + 1)
    assert gateway.call("soft", **capture) == {"CCode": "4"}
    capture, held = hold(gateway)
    assert gateway.call("CancelTrans", TransId=held)["ReversalStatus"] == "777"
    assert gateway.call("soft", **capture) == {"CCode": "4"}
    _, held = hold(gateway, payments=2)
    assert gateway.call("CancelTrans", TransId=held) == {"TransId": held, "CCode": "920", "ReversalStatus": "404"}


@pytest.mark.parametrize(
    ("terminal", "action", "parameters", "ccode"),
    [
        ({"allow_tokens": False}, "getToken", {"TransId": "1"}, "996"),
        ({"allow_tokens": False}, "soft", {**SOFT, "CC": "1" * 19, "Token": "True"}, "996"),
        ({"allow_refund": False}, "zikoyAPI", {"TransId": "1", "Amount": "1"}, "901"),
        ({"allow_payrequest": False}, "payRequest", {"iCommand": "LIST"}, "901"),
        ({"currencies": [2]}, "soft", SOFT, "301"),
        ({"max_payments": 2}, "soft", {**SOFT, "Tash": "3"}, "903"),
        ({"passp": "other"}, "soft", SOFT, "902"),
        ({"masof": "0010999999"}, "soft", SOFT, "902"),
        ({"is_test": False}, "soft", SOFT, "4"),
    ],
)
def test_what_the_terminal_may_not(
    gateway: Gateway, terminal: dict[str, Any], action: str, parameters: dict[str, str], ccode: str
) -> None:
    gateway.set(**terminal)
    assert gateway.call(action, **parameters)["CCode"] == ccode


def test_payment_links(gateway: Gateway) -> None:
    asked = {"Amount": "49.90", "ClientName": "דנה", "email": "dana@example.com", "Info": "A1001", "MoreData": "True"}
    created = gateway.call("payRequest", iCommand="CREATE", **asked)
    link = created["payRequestId"]
    assert gateway.post("payRequest", iCommand="LIST").json() == [{"payRequestId": link, "status": "1"}]
    address = f"{gateway.url}{created['paymentURL'].removeprefix('http://127.0.0.1:8090')}"
    assert 'name="CC"' in gateway.http.get(address).text
    paid = gateway.customer(address)
    assert "Sign=" not in paid["redirects"][0]
    listed = {"payRequestId": link, "status": "3", "transId": str(paid["transaction"]["id"])}
    assert gateway.post("payRequest", iCommand="LIST").json() == [listed]
    assert gateway.call("payRequest", iCommand="DELETE", PayRequest=link) == {"CCode": "995"}
    assert gateway.customer(address)["status"] == "error"
    assert gateway.call("payRequest", iCommand="DELETE", PayRequest="1") == {"CCode": "250"}
    other = gateway.call("payRequest", iCommand="CREATE", **asked)["payRequestId"]
    assert gateway.call("payRequest", iCommand="DELETE", PayRequest=other) == {"CCode": "0"}
    assert gateway.call("payRequest", iCommand="CREATE", Amount="1", ClientName="x")["CCode"] == "415"
    assert gateway.call("payRequest", iCommand="CREATE", Amount="1", email="a@b.c")["CCode"] == "401"
    assert gateway.call("payRequest", iCommand="SHOW")["CCode"] == "904"


def test_an_invoice_link_opens_with_its_signature(gateway: Gateway) -> None:
    charge = gateway.charged()
    asked = {"What": "SIGN", "KEY": "7110eda4d09e062aa5e4a390b0a572ac0d2c0220", "ACTION": "PrintHesh"}
    link = gateway.http.post(
        "/p/", data={"action": "APISign", "Masof": "0010131918", "PassP": "yaad", "TransId": charge, **asked}
    ).text.strip()
    assert "49.90" in gateway.http.get(f"/cgi-bin/yaadpay/yaadpay3ds.pl?{link}").content.decode("cp1255")
    forged = link.replace(charge, "1")
    assert "שגיאת אימות" in gateway.http.get(f"/p/?{forged}").content.decode("cp1255")
