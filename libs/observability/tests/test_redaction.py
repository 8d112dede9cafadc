"""Check redaction: every spelling is found, lookalikes stay."""

import datetime as dt
import string
import uuid
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ticketcap_observability.redaction import REDACTED, is_hidden, redact, redact_all, redact_under

BEFORE = st.sampled_from(["", " ", "(", "=", '"', "לטלפון ", "ל", "phone ", "x: ", "[", "a, ", "\n", "/", "id_"])
AFTER = st.sampled_from(["", " ", ")", '"', ".", ",", " נרשם", "&next=1", "]", "\n", ";", "!"])
GAPS = st.sampled_from(
    ["", "-", " ", ".", "\u2010", "\u2011", "\u2013", "\u2014", "\u2212", "\u00a0", "\u200f", "\u05be", "/"]
)
NATIONAL = st.one_of(
    st.tuples(st.sampled_from(["50", "52", "54", "55", "58", "72", "77"]), st.from_regex(r"[0-9]{7}", fullmatch=True)),
    st.tuples(st.sampled_from(["2", "3", "4", "8", "9"]), st.from_regex(r"[2-9][0-9]{6}", fullmatch=True)),
)  # fmt: skip


def check_digit(digits: str) -> str:
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[::-1][::2]]
    total = sum(doubled) + sum(int(digit) for digit in digits[::-1][1::2])
    return digits + str(-total % 10)


@st.composite
def phones(draw: st.DrawFn) -> str:
    area, number = draw(NATIONAL)
    gap, inner = draw(GAPS), draw(GAPS)
    prefix = draw(
        st.sampled_from(
            ["0", "(0", "+972", "+972-", "+972 ", "+972(0)", "00972", "00972-", "972-", "%2B972", "(+972) "]
        )
    )
    close = ")" if prefix == "(0" else ""
    at = draw(st.integers(2, 5))
    return f"{prefix}{area}{close}{gap}{number[:at]}{inner}{number[at:]}"  # fmt: skip


@given(BEFORE, phones(), AFTER)
def test_phones_go_in_every_spelling(before: str, phone: str, after: str) -> None:
    """Local or international, with dots, spaces, brackets, and any dash that a keyboard has."""
    redacted = redact(f"{before}{phone}{after}")
    assert REDACTED in redacted
    digits = "".join(filter(str.isdecimal, phone))[-7:]
    assert digits not in "".join(filter(str.isdecimal, redacted))


@given(BEFORE, st.from_regex(r"[0-9]{8}", fullmatch=True).filter(lambda digits: digits != "0" * 8), AFTER)
def test_israeli_ids_go_by_their_check_digit(before: str, digits: str, after: str) -> None:
    """With and without the dash before it."""
    whole = check_digit(digits)
    for spelled in (whole, f"{whole[:8]}-{whole[8]}", f"{whole[:3]} {whole[3:6]} {whole[6:]}"):
        assert whole not in "".join(filter(str.isdecimal, redact(f"{before}{spelled}{after}")))


@given(BEFORE, st.sampled_from("3456"), st.integers(11, 14), st.data(), AFTER)
def test_card_numbers_go_by_their_check_digit(
    before: str, first: str, more: int, data: st.DataObject, after: str
) -> None:
    """In groups of four or in one piece, also with the month of expiry behind."""
    whole = check_digit(first + data.draw(st.text(string.digits, min_size=more, max_size=more)))
    grouped = " ".join(whole[at : at + 4] for at in range(0, len(whole), 4))
    for spelled in (whole, grouped, grouped.replace(" ", "-"), f"{grouped} 12/31"):
        assert whole not in "".join(filter(str.isdecimal, redact(f"{before}{spelled}{after}")))  # fmt: skip


@given(BEFORE, st.emails(), AFTER.filter(lambda after: after[:1] != "."))
def test_e_mails_go(before: str, email: str, after: str) -> None:
    """In any surroundings; neither the local part nor the domain is left."""
    local, _, domain = email.rpartition("@")
    redacted = redact(f"{before}{email}{after}")
    assert f"@{domain}" not in redacted or not domain.rpartition(".")[2].isalpha()
    assert f"{local}@" not in redacted or not domain.rpartition(".")[2].isalpha()


@pytest.mark.parametrize(
    "secret",
    [
        "dana.cohen@school.co.il",
        "dana%40school.co.il",
        "דנה@בית-ספר.קום",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJkYW5hIn0.abc-DEF_123",
        "Bearer abcdef123456",
        "authorization: Basic dXNlcjpwYXNz",
        "7110eda4d09e062aa5e4a390b0a572ac0d2c0220",
        "KEY=abc123",
        "PassP=yaad",
        "postgresql://user:hunter2@",
        "phone=anything",
        "٠٥٠١٢٣٤٥٦٧",
        "+1 (212) 555-0100",
        "12345678-2",
    ],
)
def test_secrets_go_by_their_shape(secret: str) -> None:
    """Tokens, keys, logins and pairs whose key is hidden."""
    redacted = redact(f"before {secret} after")
    assert secret not in redacted
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")
    assert REDACTED in redacted


@given(st.uuids(), BEFORE, AFTER)
def test_uuids_stay(value: uuid.UUID, before: str, after: str) -> None:
    """Ids of events and registrations are how a trace is read."""
    assert str(value) in redact(f"{before}{value}{after}")


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1))
@example(1, 0x000000364A000000)  # its first nine digits are an Israeli id's
def test_trace_ids_stay(trace: int, span: int) -> None:
    """Also as a traceparent."""
    spelled = f"00-{trace:032x}-{span:016x}-01"
    assert f"{trace:032x}" in redact(spelled)
    if not f"{span:016x}".isdecimal():
        assert redact(spelled) == spelled


@given(st.integers(1_577_836_800_000_000, 1_988_150_400_000_000))
def test_times_stay(microseconds: int) -> None:
    """As text in two forms, and as seconds, milli-, micro- and nanoseconds."""
    moment = dt.datetime.fromtimestamp(microseconds / 10**6, dt.UTC)
    for spelled in (moment.isoformat(), moment.strftime("%Y-%m-%d %H:%M:%S.%f"), moment.strftime("%Y-%m-%dT%H:%M:%SZ")):
        assert redact(f"at {spelled}") == f"at {spelled}"
    seconds = int(moment.timestamp())
    for number in (seconds, seconds * 1000, seconds * 10**6, seconds * 10**9 + 123_456_789):
        assert redact(f"at {number}") == f"at {number}"
        assert redact_under("at", number) == number


@given(st.integers(0, 10**8 - 1), st.sampled_from(["ILS", "agorot", "₪"]))
def test_amounts_stay(agorot: int, unit: str) -> None:
    """In agorot up to a million shekels, and as decimals."""
    for spelled in (f"{agorot} {unit}", f"amount {Decimal(agorot) / 100:.2f} {unit}", f"{agorot}"):
        assert redact(spelled) == spelled
    assert redact_under("amount", agorot) == agorot


@given(st.floats(0, 1000))
def test_durations_stay(seconds: float) -> None:
    """However many decimals they have."""
    assert redact(f"took {seconds!r} s") == f"took {seconds!r} s"


@given(st.text("ABCDEFGHJKMNPQRSTUVWXYZ23456789", min_size=8, max_size=8), BEFORE, AFTER)
def test_confirmation_codes_stay(code: str, before: str, after: str) -> None:
    """They identify and grant nothing."""
    assert code in redact(f"{before}{code}{after}")


@pytest.mark.parametrize(
    "text",
    [
        "ticketcap@0.1.0+dev",
        "127.0.0.1:50051",
        "http://127.0.0.1:8080/api/v1/schools/herzl/events/spring-match",
        "ticketcap.registration.v1.RegistrationService/Register",
        "SELECT id FROM schools WHERE slug = $1",
        "/home/app/services/registration/main.py:120 running",
        "batch of 256, 4096 waiting, 10.5 ms",
        "10.0.12.134 answered 503 in 0.0501234567 s",
    ],
)
def test_the_usual_stays(text: str) -> None:
    """Log lines and spans are full of these."""
    assert redact(text) == text


@pytest.mark.parametrize(
    "key", ["phone", "parentPhone", "http.request.header.authorization", "Set-Cookie", "KEY", "UserId"]
)
def test_a_key_is_known_in_any_spelling(key: str) -> None:
    """Case, camels, hyphens and dots do not matter."""
    assert is_hidden(key)
    assert redact_under(key, 5) == REDACTED


@pytest.mark.parametrize(
    "key", ["service.name", "event_id", "school.id", "user_id", "db.query.text", "keys", "http.route"]
)
def test_other_keys_are_not(key: str) -> None:
    """Not every name is a person's."""
    assert not is_hidden(key)


def test_values_are_looked_at_all_the_way_down() -> None:
    """Mappings, lists, bytes, numbers; and keys themselves."""
    redacted = redact_all({"a": [{"b": b"call 050-1234567"}], "n": 123456782, "ok": True, "d@e.com": 1})
    assert redacted == {"a": [{"b": f"call {REDACTED}"}], "n": REDACTED, "ok": True, REDACTED: 1}
