"""Check both signatures against all published examples."""

import pytest
from ticketcap_testing.yaadpay import KEY, Gateway, fields_of
from ticketcap_yaadpay_simulator.protocol.encoding import percent
from ticketcap_yaadpay_simulator.protocol.parameters import Parameters
from ticketcap_yaadpay_simulator.protocol.signatures import digest, page_string, return_string

UNRESERVED = "ABCXYZabcxyz0189-._~"
PAGES = {
    (
        "Amount=10&ClientLName=Isareli&ClientName=Israel&Coin=1&FixTash=False&Info=test-api&J5=False&Masof=0010131918"
        "&MoreData=True&Order=12345678910&PageLang=HEB&Postpone=False&Pritim=True&SendHesh=True&ShowEngTashText=False"
        "&Sign=True&Tash=2&UTF8=True&UTF8out=True&UserId=203269535&action=pay&cell=050555555555&city=netanya"
        "&email=test%40yaad.net&heshDesc=%5B0~Item%201~1~8%5D%5B0~Item%202~2~1%5D&phone=098610338&sendemail=True"
        "&street=levanon%203&tmp=1&zip=42361"
    ): "908f05b9905e64bed97f3fbdb800151cb175069b5053bfda55d48d716db441c8",
    (
        "Amount=49.90&Coin=1&Info=Demo%20order&Masof=0010131918&MoreData=True&Order=A1001&PageLang=HEB&Sign=True"
        "&UTF8=True&UTF8out=True&action=pay&tmp=6"
    ): "5b259bead4c464cc8b3e7d0cdfbb9aab3701deab1d6d60b128171bc57e5fbd73",
    (
        "Amount=49.90&ClientLName=%D7%9B%D7%94%D7%9F&ClientName=%D7%93%D7%A0%D7%94&Coin=1&Info=Demo%20order"
        "&Masof=0010131918&MoreData=True&Order=A1001&PageLang=HEB&Pritim=True&SendHesh=True&Sign=True&Tash=3"
        "&UTF8=True&UTF8out=True&action=pay&email=dana%40example.com&heshDesc=%5B0~%D7%A1%D7%A4%D7%A8~1~49.90%5D&tmp=6"
    ): "51c360b6cca10a53645a776148ce08e41ca55728a654236ef9cd9c6d364700a9",
}
INVOICES = {
    "Masof=0010210290&TransId=55373520&action=PrintHesh&type=EZCOUNT": (
        "ae0aab7176a3e8a6edc0541d1c399a6b6c51b512bf93acdcf5559025ed9a6c9a"
    ),
    "Masof=0010131918&TransId=70000001&action=PrintHesh&type=EZCOUNT": (
        "06ebe25c68cc995b33ee8322ca30a5db8ef162b78051212dcecbff02e4acd650"
    ),
}
ISRAEL = "Fild1=Israel%20Isareli&Fild2=test%40yaad.net&Fild3="
DANA = "Fild1=Dana%20Cohen&Fild2=dana%40example.com&Fild3="
RETURNS = {
    f"Id=12788261&CCode=0&Amount=10&ACode=0012345&Order=12345678910&{ISRAEL}": (
        "13cccf141e2fc2e2dd8d8201a90d58929514d97e00084cb9436cab087f1ba8c6"
    ),
    f"Id=12788352&CCode=0&Amount=10&ACode=0012345&Order=12345678910&{ISRAEL}": (
        "f7c8f8e89a0463cf0a5b258033af4c662236b601361c7c44e4d3e98f8ddb8e7d"
    ),
    (
        "Id=70000001&CCode=0&Amount=49.90&ACode=0012345&Order=A1001"
        "&Fild1=%D7%93%D7%A0%D7%94%20%D7%9B%D7%94%D7%9F&Fild2=dana%40example.com&Fild3="
    ): "585ca609e08e8daf0e930419913cccb65c68d31986a6c8d8fe610ff44c7950ba",
    (
        "Id=70000001&CCode=0&Amount=49.90&ACode=0012345&Order=A1001"
        "&Fild1=%E3%F0%E4%20%EB%E4%EF&Fild2=dana%40example.com&Fild3="
    ): "f79ad20caa83e0d3e41fe0ca3c5765a5eee8accf172c8fac9e18c8eec2b18bb6",
    f"Id=70000002&CCode=700&Amount=49.90&ACode=0054321&Order=A1001&{DANA}": (
        "9394cfe4eef54f13a2a66518fdb121f707614a5d01625f9f8045322d30acef23"
    ),
    f"Id=70000003&CCode=800&Amount=49.90&ACode=0012345&Order=A1001&{DANA}": (
        "21bd8141fe966d78604ffa5a78d447f8dae5d2dd5bfb68d0c0f3038bf90bd7b7"
    ),
    f"Id=70000004&CCode=4&Amount=49.90&ACode=&Order=A1001&{DANA}": (
        "eb73414213df3e74475ac39387eff6a5e3f0dd8f8d54bf36fcdb6f69dd645af3"
    ),
    f"HKId=64001&Id=70000005&CCode=0&Amount=49.90&ACode=0012345&Order=A1001&{DANA}": (
        "722cd1f9889b169cc6f15cfb9fe9d93792e51e9d4fffa86fa9415ad385878324"
    ),
}


@pytest.mark.parametrize(("content", "signature"), PAGES.items())
def test_a_page_is_signed_as_published(content: str, signature: str) -> None:
    shuffled = Parameters(list(reversed(Parameters.parse(content).pairs))).joined(
        Parameters.parse(f"KEY={KEY}&PassP=yaad&What=SIGN")
    )
    assert page_string(shuffled.pairs) == content
    assert digest(KEY, content) == signature


@pytest.mark.parametrize(("content", "signature"), PAGES.items())
def test_sign_answers_the_published_string(gateway: Gateway, content: str, signature: str) -> None:
    parameters = {**fields_of(content), "What": "SIGN", "KEY": KEY, "PassP": "yaad", "action": "APISign"}
    assert gateway.http.get("/p/", params=parameters).text == f"{content}&signature={signature}\n"
    page = gateway.http.get(f"/p/?{content}&signature={signature}")
    assert 'name="CC"' in page.text


@pytest.mark.parametrize(("content", "signature"), INVOICES.items())
def test_an_invoice_link_is_signed_as_published(gateway: Gateway, content: str, signature: str) -> None:
    asked = fields_of(content)
    gateway.set(masof=asked["Masof"])
    form = {"What": "SIGN", "KEY": KEY, "PassP": "yaad", "ACTION": "PrintHesh", **asked, "action": "APISign"}
    assert gateway.http.post("/p/", data=form).text.strip() == f"{content}&signature={signature}"


@pytest.mark.parametrize(("content", "signature"), RETURNS.items())
def test_a_redirect_is_signed_as_published_and_verifies(gateway: Gateway, content: str, signature: str) -> None:
    assert return_string(Parameters.parse(content).pairs) == content
    assert digest(KEY, content) == signature
    assert gateway.verify(f"{content}&Sign={signature}&Bank=6&Coin=1") == "0"
    assert gateway.verify(f"{content}&Sign={signature}".replace("%20", "+")) == "0"
    assert gateway.verify(f"{content}&Sign={'0' * 64}") == "902"


def test_values_are_percent_encoded_as_rfc_3986_has_it() -> None:
    assert percent(UNRESERVED.encode()) == UNRESERVED
    assert percent(b"a/b c+!'()*\xff") == "a%2Fb%20c%2B%21%27%28%29%2A%FF"


def test_names_are_sorted_by_bytes() -> None:
    names = ["tmp", "UTF8out", "action", "UserId", "UTF8", "9x", "cell"]
    ordered = [part.split("=")[0] for part in page_string([(name, b"") for name in names]).split("&")]
    assert ordered == ["9x", "UTF8", "UTF8out", "UserId", "action", "cell", "tmp"]
