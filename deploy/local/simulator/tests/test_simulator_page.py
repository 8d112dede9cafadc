"""Check the path from SIGN to the redirect and VERIFY."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest
from ticketcap_testing.yaadpay import KEY, MASOF, PAGE, RETURN, Gateway, fields_of

ORDER_OF_FIELDS = (
    *("Id", "CCode", "Amount", "ACode", "Order", "Fild1", "Fild2", "Fild3", "Sign", "Bank", "Payments", "UserId"),
    *("Brand", "Issuer", "L4digit", "street", "city", "zip", "cell", "Coin", "Tmonth", "Tyear", "Info", "errMsg"),
    *("Hesh", "UID", "SpType", "BinCard"),
)
FORM = {"CC": "5253360311315452", "Tmonth": "12", "Tyear": "2029", "simulator_button": "pay"}


def pressed(gateway: Gateway, address: str, **form: str) -> httpx.Response:
    """Return the reply to a browser that submits the page's form."""
    return gateway.http.post(address, data={**FORM, **form})


def test_the_redirect_holds_all_fields_in_order_and_verifies(gateway: Gateway) -> None:
    result = gateway.paid()
    (url,) = result["redirects"]
    assert url.startswith(f"{RETURN}?Id={result['transaction']['id']}&CCode=0&Amount=49.90&ACode=0012345&Order=A1001&")
    fields = fields_of(urlsplit(url).query)
    assert tuple(fields) == ORDER_OF_FIELDS
    assert fields["Fild1"] == "דנה כהן"
    assert re.fullmatch(r"\d{8}", fields["Id"])
    assert re.fullmatch(r"\d{23}", fields["UID"])
    assert gateway.verify(urlsplit(url).query) == "0"
    assert gateway.book()["net_agorot"] == 4990


def test_a_browser_gets_the_same_as_the_customer(gateway: Gateway) -> None:
    response = pressed(gateway, gateway.page_url())
    assert response.status_code == 302
    fields = fields_of(urlsplit(response.headers["location"]).query)
    assert tuple(fields) == ORDER_OF_FIELDS
    assert gateway.verify(urlsplit(response.headers["location"]).query) == "0"


@pytest.mark.parametrize(
    ("parameters", "ccode", "net"),
    [({"J5": "True"}, 700, 0), ({"J5": "J2"}, 600, 0), ({"Postpone": "True"}, 800, 0), ({}, 0, 4990)],
)
def test_what_was_asked_decides_the_code_and_what_is_taken(
    gateway: Gateway, parameters: dict[str, str], ccode: int, net: int
) -> None:
    result = gateway.paid(**parameters)
    assert result["transaction"]["ccode"] == ccode
    assert f"&CCode={ccode}&" in result["redirects"][0]
    assert gateway.verify(urlsplit(result["redirects"][0]).query) == "0"
    assert gateway.book()["net_agorot"] == net


@pytest.mark.parametrize("changed", ["Amount", "Order", "Coin", "Info", "UTF8out"])
def test_a_changed_page_does_not_open(gateway: Gateway, changed: str) -> None:
    query = gateway.sign()
    forged = re.sub(rf"(^|&){changed}=[^&]*", rf"\1{changed}=2", query)
    response = gateway.http.get(f"/p/?{forged}")
    assert "שגיאת אימות" in response.content.decode("cp1255")
    assert "windows-1255" in response.headers["content-type"]
    assert gateway.customer(f"{gateway.url}/p/?{forged}")["html_error"]
    assert "שגיאת אימות" in gateway.http.post(f"/p/?{forged}", data=FORM).content.decode("cp1255")
    assert gateway.transactions() == []


def test_an_added_or_a_missing_parameter_does_not_open_it_but_a_repeated_action_does(gateway: Gateway) -> None:
    query = gateway.sign()
    for forged in (f"{query}&Extra=1", query.replace("MoreData=True&", ""), query.split("&signature")[0]):
        assert gateway.customer(f"{gateway.url}/p/?{forged}")["status"] == "error"
    assert gateway.customer(f"{gateway.url}/p/?action=pay&{query}")["status"] == "approved"


def test_a_truncated_address_has_no_action(gateway: Gateway) -> None:
    truncated = gateway.sign().split("&action=")[0]
    assert "Action is not good" in gateway.http.get(f"/p/?{truncated}").text


@pytest.mark.parametrize(
    ("parameters", "ccode"),
    [
        ({"Info": ""}, 402),
        ({"Coin": "7"}, 301),
        ({"Amount": "0"}, 415),
        ({"Amount": "1,000"}, 415),
        ({"Pritim": "True", "blockItemValidation": "True", "heshDesc": "[0~Ticket~2~45]"}, 400),
    ],
)
def test_a_page_with_wrong_fields_names_the_code(gateway: Gateway, parameters: dict[str, str], ccode: int) -> None:
    assert f"({ccode})" in gateway.paid(**parameters)["html_error"]


def test_items_that_agree_open_the_page(gateway: Gateway) -> None:
    items = {"Pritim": "True", "blockItemValidation": "True", "heshDesc": "[0~Ticket~2~30][0~Less~1~-10.10]"}
    assert gateway.paid(**items)["status"] == "approved"


def test_the_page_is_in_the_language_asked_for_and_links_to_the_other(gateway: Gateway) -> None:
    query = gateway.sign()
    hebrew = gateway.http.get(f"/p/?{query}").text
    assert 'lang="he" dir="rtl"' in hebrew
    assert "זהו סימולטור" in hebrew
    assert "This is a simulator" in hebrew
    (other,) = re.findall(r'<a href="([^"]*)">English', hebrew)
    english = gateway.http.get("/p/" + other.replace("&amp;", "&")).text
    assert 'lang="en" dir="ltr"' in english
    (action,) = re.findall(r'action="([^"]*)"', english)
    assert pressed(gateway, "/p/" + action.replace("&amp;", "&")).status_code == 302


def test_the_page_shows_free_text_as_text(gateway: Gateway) -> None:
    page = gateway.http.get(f"/p/?{gateway.sign(Info='<script>alert(1)</script>')}").text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_payments_can_be_chosen_up_to_tash(gateway: Gateway) -> None:
    query = gateway.sign(Tash="3", Amount="10")
    assert 'name="Payments"' in gateway.http.get(f"/p/?{query}").text
    result = gateway.customer(f"{gateway.url}/p/?{query}", payments=3)
    fields = fields_of(urlsplit(result["redirects"][0]).query)
    assert (fields["Payments"], fields["noKPayments"]) == ("3", "2")
    assert (fields["nFirstPayment"], fields["firstPayment"]) == ("3.34", "3.33")
    assert gateway.customer(f"{gateway.url}/p/?{query}", payments=4)["status"] == "error"


def test_an_amount_left_open_is_typed(gateway: Gateway) -> None:
    query = gateway.sign(Amount="")
    assert 'name="Amount"' in gateway.http.get(f"/p/?{query}").text
    assert gateway.customer(f"{gateway.url}/p/?{query}", amount="18")["transaction"]["amount_agorot"] == 1800


def test_a_decline_stays_on_the_page_and_another_card_may_follow(gateway: Gateway) -> None:
    address = gateway.page_url()
    page = pressed(gateway, address, CC="4580458045804580")
    assert page.status_code == 200
    assert "(קוד 4)" in page.text
    assert pressed(gateway, address).status_code == 302
    declined, approved = gateway.transactions()
    assert (declined["ccode"], approved["ccode"]) == (4, 0)
    assert declined["id"] < approved["id"]


def test_a_decline_goes_to_the_failure_url_when_there_is_one_and_verifies(gateway: Gateway) -> None:
    gateway.set(failure_url="http://127.0.0.1:8080/failed?shop=1")
    result = gateway.paid({"button": "decline", "decline_ccode": 26})
    (url,) = result["redirects"]
    assert url.startswith("http://127.0.0.1:8080/failed?shop=1&Id=")
    assert "&CCode=26&Amount=49.90&ACode=&" in url
    assert gateway.verify(urlsplit(url).query) == "0"
    assert gateway.book()["net_agorot"] == 0


def test_without_the_sign_flag_the_redirect_has_no_sign_and_verify_misses_it(gateway: Gateway) -> None:
    gateway.set(verify_by_signature=False)
    query = gateway.sign(Sign="False")
    assert "signature=" not in query
    (url,) = gateway.customer(f"{gateway.url}/p/?{query}")["redirects"]
    assert "Sign=" not in url
    assert gateway.verify(urlsplit(url).query) == "200"


def test_without_more_data_the_redirect_ends_with_the_signature(gateway: Gateway) -> None:
    (url,) = gateway.paid(MoreData="False")["redirects"]
    assert tuple(fields_of(urlsplit(url).query)) == ORDER_OF_FIELDS[:9]


def test_windows_1255_is_the_default_in_both_directions(gateway: Gateway) -> None:
    name = "%E3%F0%E4"  # in windows-1255
    form = {**PAGE, "action": "APISign", "What": "SIGN", "Masof": MASOF, "KEY": KEY, "PassP": "yaad"}
    del form["UTF8"], form["UTF8out"], form["ClientName"], form["ClientLName"]
    query = gateway.http.get("/p/?" + str(httpx.QueryParams(form)) + f"&ClientName={name}").text.strip()
    assert f"ClientName={name}&" in query
    (url,) = gateway.customer(f"{gateway.url}/p/?{query}")["redirects"]
    assert f"&Fild1={name}&" in url
    assert gateway.verify(urlsplit(url).query) == "0"


def test_buttons_for_tests_do_what_they_say(gateway: Gateway) -> None:
    address = gateway.page_url()
    assert gateway.customer(address, button="abandon")["transaction"] is None
    lost = gateway.customer(address, button="lose_redirect")
    assert (lost["lost"], lost["redirects"]) == (True, [])
    twice = gateway.customer(address, button="redirect_twice")["redirects"]
    assert len(twice) == 2
    assert twice[0] == twice[1]
    (mixed,) = gateway.customer(address, button="windows_1255")["redirects"]
    assert "&Fild1=%E3%F0%E4%20%EB%E4%EF&" in mixed
    assert "errMsg=%FA%F7%E9%EF" in mixed
    assert gateway.verify(urlsplit(mixed).query) == "0"
    assert gateway.customer(address, button="approve", card="1")["status"] == "approved"
    assert gateway.book()["charges"] == 4


def test_buttons_for_tests_in_the_browser(gateway: Gateway) -> None:
    address = gateway.page_url()
    assert "התשלום ננטש" in pressed(gateway, address, simulator_button="abandon").text
    lost = pressed(gateway, address, simulator_button="lose_redirect")
    assert "הדרך חזרה אבדה" in lost.text
    assert f'href="{RETURN}?Id=' in lost.text
    twice = pressed(gateway, address, simulator_button="redirect_twice")
    assert f'<img src="{RETURN}?Id=' in twice.text
    assert twice.headers["refresh"].startswith(f"2; url={RETURN}?Id=")


def test_a_page_with_a_time_out_ends_after_twenty_minutes(gateway: Gateway) -> None:
    address = gateway.page_url(pageTimeOut="True")
    (opened,) = re.findall(r'name="simulator_opened" value="(\d+)"', gateway.http.get(address).text)
    gateway.advance(19 * 60)
    assert pressed(gateway, address, simulator_opened=opened).status_code == 302
    gateway.advance(2 * 60)
    assert "תוקף הדף פג" in pressed(gateway, address, simulator_opened=opened).content.decode("cp1255")


@pytest.mark.parametrize(
    ("change", "ccode"),
    [
        (lambda q: q.replace("CCode=0", "CCode=1"), "902"),
        (lambda q: q.replace("Amount=49.90", "Amount=1.00"), "902"),
        (lambda q: q.replace("Order=A1001", "Order=A1002"), "902"),
        (lambda q: q.replace("Coin=1", "Coin=2").replace("L4digit=5452", "L4digit=0000"), "0"),
        (lambda q: re.sub("Sign=[^&]*&", "", q), "200"),
        (lambda q: q.replace("&Fild3=", ""), "200"),
        (lambda q: re.sub("Id=(.)", r"Id=\1_", q, count=1), "200"),
        (lambda q: f"KEY=x&{q}", "902"),
    ],
)
def test_verify_tells_what_is_genuine(gateway: Gateway, change: Callable[[str], str], ccode: str) -> None:
    query = urlsplit(gateway.paid()["redirects"][0]).query
    changed = change(query)
    if changed.startswith("KEY=x"):
        response = gateway.http.get(f"/p/?{changed}&action=APISign&What=VERIFY&Masof={MASOF}&KEY={KEY}&PassP=yaad")
        assert response.text.strip() == f"CCode={ccode}"
    else:
        assert gateway.verify(changed) == ccode


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"KEY": "wrong"}, "CCode=902"),
        ({"PassP": "wrong"}, "CCode=902"),
        ({"Masof": "0010999999"}, "CCode=902"),
        ({"What": ""}, "CCode=904"),
        ({"What": "GetTransLog"}, "CCode=904"),
        ({"Tash": "99"}, "CCode=903"),
    ],
)
def test_sign_refuses(gateway: Gateway, change: dict[str, str], answer: str) -> None:
    form = {**PAGE, "action": "APISign", "What": "SIGN", "Masof": MASOF, "KEY": KEY, "PassP": "yaad", **change}
    response = gateway.http.post("/p/", data=form)
    assert response.text == f"{answer}\n"
    assert response.status_code == 200


@pytest.mark.parametrize("masof", ["", "abc", "001013191", "٠٠١٠١٣١٩١٨"])
def test_a_malformed_terminal_gets_html(gateway: Gateway, masof: str) -> None:
    body = gateway.post("APISign", What="SIGN", Masof=masof).content
    assert body.startswith(b"<")
    assert "Masof Error" in body.decode("cp1255")


def test_unknown_actions_and_paths(gateway: Gateway) -> None:
    for action in ("refund", "APIrefund", "PAY", ""):
        assert "Action is not good" in gateway.post(action).text
    assert gateway.http.get("/p").status_code == 404
    for path in ("/p3/", "/cgi-bin/yaadpay/yaadpay3ds.pl", "/cgi-bin/yaadpay/yaadpay.pl"):
        assert "Masof Error" in gateway.http.get(path).content.decode("cp1255")


def test_the_perimeter(gateway: Gateway) -> None:
    gateway.set(auth={"ip": ["192.0.2.1"]})
    page = gateway.post("getToken", TransId="1").text
    assert "<title>Hyp</title>" in page
    assert "REMOTE HOST: 127.0.0.1" in page
    gateway.set(auth={"ip": [], "domain": ["shop.example"]})
    form = {**PAGE, "action": "APISign", "What": "SIGN", "Masof": MASOF, "KEY": KEY, "PassP": "yaad"}
    assert "HTTP REFERER" in gateway.http.post("/p/", data=form).text
    allowed = gateway.http.post("/p/", data=form, headers={"Referer": "https://shop.example/cart"})
    assert "signature=" in allowed.text


def test_recurring_pages_return_an_agreement_first(gateway: Gateway) -> None:
    (url,) = gateway.paid(HK="True", Tash="999", freq="1")["redirects"]
    assert url.startswith(f"{RETURN}?HKId=")
    assert gateway.verify(urlsplit(url).query) == "0"
    agreement = fields_of(urlsplit(url).query)["HKId"]
    assert gateway.call("HKStatus", HKId=agreement, NewStat="1") == {"HKId": agreement, "CCode": "0"}
    assert gateway.call("hkstatus", HKId=agreement, NewStat="3")["CCode"] == "905"
    assert gateway.call("HKStatus", HKId="1", NewStat="2")["CCode"] == "906"
    gateway.set(allow_hk=False)
    assert gateway.call("HKStatus", HKId=agreement, NewStat="1")["CCode"] == "901"
    assert gateway.paid(HK="True", TashFirstPayment="5")["html_error"]


@pytest.mark.parametrize("out", ["True", "False"])
def test_a_redirect_verifies_in_either_encoding(gateway: Gateway, out: str) -> None:
    query = urlsplit(gateway.paid(UTF8out=out)["redirects"][0]).query
    utf8, windows_1255 = "%D7%93%D7%A0%D7%94%20%D7%9B%D7%94%D7%9F", "%E3%F0%E4%20%EB%E4%EF"
    sent, other = (utf8, windows_1255) if out == "True" else (windows_1255, utf8)
    assert f"&Fild1={sent}&" in query
    assert gateway.verify(query) == "0"
    assert gateway.verify(query.replace(sent, other)) == "0"
    assert gateway.verify(query.replace(sent, other[:-3] + "%41")) == "902"


def test_a_page_opened_by_a_form_can_be_paid(gateway: Gateway) -> None:
    pairs = fields_of(gateway.sign())
    page = gateway.http.post("/p/", data=pairs).text
    (action,) = re.findall(r'action="([^"]*)"', page)
    assert pressed(gateway, "/p/" + action.replace("&amp;", "&")).status_code == 302


def test_an_unsigned_page_opens_only_where_signatures_are_off(gateway: Gateway) -> None:
    address = f"{gateway.url}/p/?action=pay&Masof={MASOF}&Info=x&Amount=5&Order=U"
    assert gateway.customer(address)["status"] == "error"
    gateway.set(verify_by_signature=False)
    assert gateway.customer(address)["transaction"]["amount_agorot"] == 500
