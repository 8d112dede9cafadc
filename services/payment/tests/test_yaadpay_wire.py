"""Check signatures, encodings, amounts, codes and responses against YaadPay's bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ticketcap_payment.yaadpay import amounts
from ticketcap_payment.yaadpay.ccodes import CCodeClass, class_of
from ticketcap_payment.yaadpay.response import Outcome, fields_of, parse_response
from ticketcap_payment.yaadpay.signatures import page_signature, return_signature
from ticketcap_payment.yaadpay.wire import MAX_BYTES, Unreadable, harmless, parse, query, text

# The vendor's public test key.
KEY = "7110eda4d09e062aa5e4a390b0a572ac0d2c0220"

PAGES = [
    (
        (
            "Amount=10&ClientLName=Isareli&ClientName=Israel&Coin=1&FixTash=False&Info=test-api&J5=False&Masof=0010131918"
            "&MoreData=True&Order=12345678910&PageLang=HEB&Postpone=False&Pritim=True&SendHesh=True"
            "&ShowEngTashText=False&Sign=True&Tash=2&UTF8=True&UTF8out=True&UserId=203269535&action=pay"
            "&cell=050555555555&city=netanya&email=test%40yaad.net&heshDesc=%5B0~Item%201~1~8%5D%5B0~Item%202~2~1%5D"
            "&phone=098610338&sendemail=True&street=levanon%203&tmp=1&zip=42361"
        ),
        "908f05b9905e64bed97f3fbdb800151cb175069b5053bfda55d48d716db441c8",
    ),
    (
        "Masof=0010210290&TransId=55373520&ACTION=PrintHesh&type=EZCOUNT",
        "ae0aab7176a3e8a6edc0541d1c399a6b6c51b512bf93acdcf5559025ed9a6c9a",
    ),
    (
        (
            "Amount=49.90&ClientLName=%D7%9B%D7%94%D7%9F&ClientName=%D7%93%D7%A0%D7%94&Coin=1&Info=Demo%20order"
            "&Masof=0010131918&MoreData=True&Order=A1001&PageLang=HEB&Pritim=True&SendHesh=True&Sign=True&Tash=3"
            "&UTF8=True&UTF8out=True&email=dana%40example.com&heshDesc=%5B0~%D7%A1%D7%A4%D7%A8~1~49.90%5D&tmp=6"
        ),
        "51c360b6cca10a53645a776148ce08e41ca55728a654236ef9cd9c6d364700a9",
    ),
]
RETURNS = [
    (
        "Id=12788261&CCode=0&Amount=10&ACode=0012345&Order=12345678910&Fild1=Israel%20Isareli&Fild2=test%40yaad.net&Fild3=",
        "13cccf141e2fc2e2dd8d8201a90d58929514d97e00084cb9436cab087f1ba8c6",
    ),
    (
        "Id=12788352&CCode=0&Amount=10&ACode=0012345&Order=12345678910&Fild1=Israel%20Isareli&Fild2=test%40yaad.net&Fild3=",
        "f7c8f8e89a0463cf0a5b258033af4c662236b601361c7c44e4d3e98f8ddb8e7d",
    ),
    (
        "Id=70000001&CCode=0&Amount=49.90&ACode=0012345&Order=A1001&Fild1=%E3%F0%E4%20%EB%E4%EF&Fild2=dana%40example.com&Fild3=",
        "f79ad20caa83e0d3e41fe0ca3c5765a5eee8accf172c8fac9e18c8eec2b18bb6",
    ),
    (
        "Id=70000004&CCode=4&Amount=49.90&ACode=&Order=A1001&Fild1=Dana%20Cohen&Fild2=dana%40example.com&Fild3=",
        "eb73414213df3e74475ac39387eff6a5e3f0dd8f8d54bf36fcdb6f69dd645af3",
    ),
]


@pytest.mark.parametrize(("sample", "expected"), PAGES)
def test_pages_are_signed_as_the_vendor_signs_them(sample: str, expected: str) -> None:
    """In any order of the parameters, and with the secrets beside them."""
    parameters = {name: text(value) for name, value in reversed(parse(sample.encode()))}
    parameters |= {"KEY": KEY, "PassP": "yaad", "What": "SIGN"}
    assert page_signature(parameters, KEY) == expected


@pytest.mark.parametrize(("sample", "expected"), RETURNS)
def test_returns_are_signed_as_the_vendor_signs_them(sample: str, expected: str) -> None:
    """Over the raw bytes, whichever encoding they are in."""
    assert return_signature(dict(parse(sample.encode())), KEY) == expected
    assert return_signature(dict(parse(sample.replace("Amount=", "Amount=1").encode())), KEY) != expected


@given(
    st.lists(st.tuples(st.from_regex("[A-Za-z][A-Za-z0-9.]{0,8}", fullmatch=True), st.binary(max_size=30)), max_size=9)
)
def test_what_is_written_is_read(pairs: list[tuple[str, bytes]]) -> None:
    """Any bytes, duplicates and order included."""
    assert parse(query(pairs).encode()) == pairs


@given(st.text(alphabet="אבגדהוזחטיכלמנסעפצקרשת'-ABCxyz 0123", max_size=40))
def test_hebrew_is_read_in_either_encoding(name: str) -> None:
    """UTF-8 as requested, and windows-1255 as it comes."""
    assert text(name.encode("cp1255")) == name
    assert text(name.encode()) == name


def test_what_can_not_be_a_query_is_refused() -> None:
    """Too long, too many, or names in no alphabet."""
    for raw in (b"a" * (MAX_BYTES + 1), b"&".join([b"a=1"] * 101), b"%FF=1"):
        with pytest.raises(Unreadable):
            parse(raw)


def test_text_that_is_echoed_unencoded_does_no_harm() -> None:
    """No character that would cut an address off remains, in any event's title."""
    assert harmless("ליגה #1 & גמר? 50% = a+b\r\nx", 100) == "ליגה 1 גמר 50 a b x"
    assert harmless("x" * 300, 100) == "x" * 100


@given(st.integers(0, 10**11 - 1))
def test_amounts_come_back_to_the_agora(agorot: int) -> None:
    """With and without the zeros that YaadPay drops."""
    spelled = amounts.decimal(agorot)
    assert amounts.agorot(spelled) == agorot
    assert amounts.agorot(spelled.rstrip("0").rstrip(".") if spelled.endswith("0") else spelled) == agorot


def test_what_is_no_amount_is_none() -> None:
    """Never guessed."""
    for spelled in ("", " ", "-1", "1,000", "1.234", "1e3", "٤", "1.", ",5", "1.2,3"):
        assert amounts.agorot(spelled) is None


@pytest.mark.parametrize("spelled", ["49.90", "49.9", "49,90", " 49.90", "49.90 ", "49,90\xa0", "4 9.90"])
def test_one_amount_however_it_is_spelled(spelled: str) -> None:
    """A comma for the point, and blanks, change no amount."""
    assert amounts.agorot(spelled) == 4990


def test_coins_are_numbers_of_currencies() -> None:
    """Both ways."""
    assert [amounts.currency(amounts.coin(code)) for code in ("ILS", "USD", "EUR", "GBP")] == [
        "ILS",
        "USD",
        "EUR",
        "GBP",
    ]
    assert amounts.currency("5") is None


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        (CCodeClass.SUCCESS, [0, 600, 700, 800]),
        (CCodeClass.DECLINED, [1, 2, 3, 4, 5, 36, 445, 455, 512]),
        (CCodeClass.RETRYABLE, [6, 8, 15, 26, 447]),
        (CCodeClass.CONFIG, [16, 33, 101, 301, 402, 415, 901, 902, 903, 904, 997]),
        (CCodeClass.STATE, [250, 920, 995, 998]),
        (CCodeClass.UNKNOWN, [9, 422, 431, 451, 509, 551, 567, 599, 999, 43, 250_000, -1]),
    ],
)
def test_every_code_has_one_class(kind: CCodeClass, codes: list[int]) -> None:
    """And what is in no table is not known."""
    assert {class_of(code) for code in codes} == {kind}


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b"Id=70000030&CCode=0&Fild1=&Fild2=&Fild3=HeshASM=1001\n", Outcome.DONE),
        (b"TransId=1&CCode=000&Hesh=EZ&ReversalStatus=777", Outcome.DONE),
        (b"CCode=4", Outcome.REFUSED),
        (b"CCode=004&errMsg= (4)", Outcome.REFUSED),
        (b"CCode=250", Outcome.REFUSED),
        (b"CCode=999", Outcome.UNKNOWN),
        (b"CCode=77777", Outcome.UNKNOWN),
        (b"Id=70000030&CCo", Outcome.UNKNOWN),
        (b"Id=1&CCode=0&CCode=4", Outcome.UNKNOWN),
        (b"", Outcome.UNKNOWN),
        (b" \r\n", Outcome.UNKNOWN),
        ("<html>שגיאה CCode=0".encode("cp1255"), Outcome.UNKNOWN),
        (b"\xff\xfe\x00", Outcome.UNKNOWN),
    ],
)
def test_only_a_clear_answer_is_believed(body: bytes, outcome: Outcome) -> None:
    """HTML, nothing, half an answer and two answers are UNKNOWN."""
    assert parse_response(body).outcome is outcome


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    """Any bytes."""
    fields_of(body)
    parse_response(body)
