"""Check that pasted text is folded or refused at the edge."""

import base64
import json
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest
from ticketcap_testing.service_fakes import EVENT_ID, REGISTRATION_ID, FakeRegistration, bearer, token

EVENT: Final = "/api/v1/schools/herzl/events/football"
CLAIM: Final = {"name": "Noa Levi", "phone": "050-123-4567", "email": "noa@example.org", "spots": 2}
OPENED: Final = {"title": "Football", "starts_at": "2026-12-01T18:00:00Z", "capacity": 100}
OVERRIDE: Final = "\u202e"
UNSEEN: Final = "\u3164\u200b\u2800"


@pytest.mark.parametrize(
    ("field", "pasted", "meant"),
    [
        ("phone", "\u202a+972\u201150\u2009123\u22124567\u202c", "+972-50 123-4567"),
        ("phone", "tel:050\u05be\uff11\uff12\uff13\u2014\uff14\uff15\uff16\uff17\ufe0d", "050-123-4567"),
        ("phone", "".join(f"\u2066{digit}\u2069\u200b" for digit in "+972501234567"), "+972501234567"),
        ("name", "\u2067נועה\u00a0\u00a0בן\u05beלוי\u2069", "נועה בן-לוי"),
        ("name", "\u200f" * 200 + "Noa", "Noa"),
        ("email", "\u200enoa\u00ad@example.org\ufeff", "noa@example.org"),
        ("email", "noa\uff20example.org", "noa@example.org"),
    ],
)
async def test_a_claim_is_taken_as_it_was_meant(
    client: httpx.AsyncClient, registration: FakeRegistration, field: str, pasted: str, meant: str
) -> None:
    """Format characters go; spaces, dashes and digits become plain; lengths are those of the result."""
    response = await client.post(f"{EVENT}/registrations", json=CLAIM | {field: pasted})
    assert response.status_code == 201, response.text
    assert getattr(registration.requests["RegisterBatch"][0].items[0].request, field) == meant


async def test_codes_reasons_and_slugs_are_folded_too(
    client: httpx.AsyncClient, registration: FakeRegistration
) -> None:
    """In bodies, and in the address of a school and an event."""
    code = {"confirmation_code": "\u200fk7m\u20133qx\u00a0"}
    assert (await client.post(f"{EVENT}/check-ins", json=code, headers=bearer("MANAGER"))).status_code == 201
    assert registration.requests["CheckIn"][0].confirmation_code == "K7M3QX"
    reason = {"reason": "\u202bחולה\u202c\nמאוד "}
    cancelled = await client.post(
        f"/api/v1/registrations/{REGISTRATION_ID}/cancel", json=reason, headers={"x-manage-token": "t"}
    )
    assert cancelled.status_code == 200
    assert registration.requests["CancelRegistration"][0].reason == "חולה\nמאוד"
    opened = await client.post(
        "/api/v1/schools/herzl/events", json=OPENED | {"slug": "\u200efoot\u2013ball"}, headers=bearer()
    )
    assert opened.status_code == 201
    assert registration.requests["CreateEvent"][0].fields.slug == "foot-ball"
    pasted = quote("/api/v1/schools/herzl\u200f/events/foot\u2013ball\u2060")
    assert (await client.get(pasted)).status_code == 200
    assert (registration.requests["GetEvent"][0].school, registration.requests["GetEvent"][0].event) == (
        "herzl",
        "foot-ball",
    )
    assert (await client.get(f"/api/v1/schools/herzl/events/{EVENT_ID}")).status_code == 200


@pytest.mark.parametrize("wrong", ["ab\x85cd", f"ab{OVERRIDE}cd", UNSEEN, "\u202d50 tickets"], ids=ascii)
async def test_names_and_titles_are_seen_and_turn_nothing_around(
    client: httpx.AsyncClient, registration: FakeRegistration, wrong: str
) -> None:
    """C1 controls, bidirectional overrides and texts without a visible character: 422 with the field's name."""
    requests: list[tuple[str, str, dict[str, Any], str]] = [
        ("POST", f"{EVENT}/registrations", CLAIM | {"name": wrong}, "name"),
        ("POST", "/api/v1/schools/herzl/events", OPENED | {"title": wrong}, "title"),
        ("PATCH", EVENT, {"title": wrong}, "title"),
        ("POST", "/api/v1/schools", {"slug": "other", "name": wrong}, "name"),
    ]
    for method, path, body, field in requests:
        headers = bearer("SUPER_ADMIN", None) if path.endswith("schools") else bearer()
        response = await client.request(method, path, json=body, headers=headers)
        assert response.status_code == 422, (path, response.text)
        assert [error["field"] for error in response.json()["errors"]] == [field]
    assert not registration.requests


async def test_titles_keep_what_belongs_to_them(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """A family of emoji is joined by format characters, and a title stays as its organiser wrote it."""
    title = "יום ספורט 👨\u200d👩\u200d👧 – 50%"
    opened = await client.post("/api/v1/schools/herzl/events", json=OPENED | {"title": title}, headers=bearer())
    assert opened.status_code == 201
    assert registration.requests["CreateEvent"][0].fields.title == title


@pytest.mark.parametrize(
    ("fraction", "nanos"), [("", 0), (".5", 500_000_000), (".1234567", 123_456_000), (".123456789", 123_456_000)]
)
async def test_times_have_as_many_digits_as_their_writers_clock(
    client: httpx.AsyncClient, registration: FakeRegistration, fraction: str, nanos: int
) -> None:
    """7 digits of .NET, 9 of Java and Go: what is finer than microseconds is cut off."""
    body = OPENED | {"starts_at": f"2026-12-01T18:00:00{fraction}+02:00"}
    response = await client.post("/api/v1/schools/herzl/events", json=body, headers=bearer())
    assert response.status_code == 201, response.text
    starts_at = registration.requests["CreateEvent"][0].fields.starts_at
    assert (starts_at.seconds, starts_at.nanos) == (1_796_140_800, nanos)


async def test_a_batch_is_sent_as_the_gateway_itself(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """A token of role SERVICE, for every caller's claim."""
    headers = {"authorization": f"Bearer {token()}"}
    assert (await client.post(f"{EVENT}/registrations", json=CLAIM, headers=headers)).status_code == 201
    sent = registration.metadata["RegisterBatch"][0]["authorization"].removeprefix("Bearer ")
    claims = json.loads(base64.urlsafe_b64decode(sent.split(".")[1] + "=="))
    assert (claims["role"], claims["sub"]) == ("SERVICE", "gateway")


@pytest.mark.parametrize("wrong", ["é" * 43, "a b", "a\xa0b"])
async def test_a_manage_token_of_other_characters_is_a_wrong_one(
    client: httpx.AsyncClient, registration: FakeRegistration, wrong: str
) -> None:
    """It is asked about like any other, and opens nothing."""
    headers = {"x-manage-token": wrong.encode("latin-1")}
    await client.get(f"/api/v1/registrations/{REGISTRATION_ID}", headers=headers)  # type: ignore[arg-type]
    assert registration.requests["GetRegistration"][0].manage_token.isascii()
