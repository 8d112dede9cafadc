"""Check that every invalid body gets a clear 4xx at the edge."""

import gzip
import json
from typing import Any, Final

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ticketcap_chassis.errors import InvalidInput
from ticketcap_gateway.edge.bodies import parse_json
from ticketcap_gateway.edge.fields import Input
from ticketcap_gateway.edge.problems import MalformedRequest
from ticketcap_gateway.events.schemas import EventCreate, EventPatch
from ticketcap_gateway.registrations.schemas import Cancellation, RegistrationCreate
from ticketcap_gateway.schools.schemas import SchoolCreate
from ticketcap_testing.service_fakes import REGISTRATION_ID, FakeRegistration, bearer

REGISTRATIONS: Final = "/api/v1/schools/herzl/events/football/registrations"
CLAIM: Final = {"name": "Noa Levi", "phone": "050-123-4567", "email": "noa@example.org", "spots": 2}
EVENT: Final = {"title": "Football", "starts_at": "2026-12-01T18:00:00Z", "capacity": 100}

MALFORMED: Final = [
    b"",
    b"{",
    b"{'name': 1}",
    b'{"name": "a",}',
    b'{"name": "\xff"}',
    b'{"name": "Noa", "name": "Dan", "phone": "0501234567", "spots": 1}',
    b'{"spots": NaN}',
    b'{"spots": Infinity}',
    b'{"spots": ' + b"9" * 5000 + b"}",
    b'{"name": "\\ud800", "phone": "0501234567", "spots": 1}',
    b'{"name": ' + b"[" * 30_000,
    b'{"a":' * 900 + b"1" + b"}" * 900,
    '{"name": "Noa"}'.encode("utf-16"),
    b"\xef\xbb\xbf{}",
]

WRONG_CLAIMS: Final[list[tuple[dict[str, Any], set[str]]]] = [
    ({"spots": "3"}, {"spots"}),
    ({"spots": True}, {"spots"}),
    ({"spots": 3.0}, {"spots"}),
    ({"spots": 0}, {"spots"}),
    ({"spots": -1}, {"spots"}),
    ({"spots": 101}, {"spots"}),
    ({"spots": 10**300}, {"spots"}),
    ({"spots": None}, {"spots"}),
    ({"name": ""}, {"name"}),
    ({"name": "x"}, {"name"}),
    ({"name": "x" * 101}, {"name"}),
    ({"name": "No\x00a"}, {"name"}),
    ({"name": "No\na"}, {"name"}),
    ({"name": ["Noa"]}, {"name"}),
    ({"phone": "050"}, {"phone"}),
    ({"phone": "0501234567890123456"}, {"phone"}),
    ({"phone": "050-CALL-ME"}, {"phone"}),
    ({"phone": 501234567}, {"phone"}),
    ({"phone": "050-123-4567\x00"}, {"phone"}),
    ({"email": "noa"}, {"email"}),
    ({"email": "noa@"}, {"email"}),
    ({"email": "a b@example.org"}, {"email"}),
    ({"email": "a" * 250 + "@example.org"}, {"email"}),
    ({"status": "CONFIRMED"}, {"status"}),
    ({"{x}": 1, "name": 1, "spots": 0, "phone": "x"}, {"{x}", "name", "spots", "phone"}),
]

WRONG_EVENTS: Final[list[tuple[dict[str, Any], set[str]]]] = [
    ({"slug": "Foot Ball"}, {"slug"}),
    ({"title": ""}, {"title"}),
    ({"starts_at": 1_790_000_000}, {"starts_at"}),
    ({"starts_at": "2026-12-01T18:00:00"}, {"starts_at"}),
    ({"starts_at": "2026-13-01T18:00:00Z"}, {"starts_at"}),
    ({"starts_at": "0001-01-01T00:00:00+23:59"}, {"starts_at"}),
    ({"ends_at": None}, {"ends_at"}),
    ({"capacity": 0}, {"capacity"}),
    ({"capacity": 100_001}, {"capacity"}),
    ({"price_agorot": -1}, {"price_agorot"}),
    ({"price_agorot": 10.5}, {"price_agorot"}),
    ({"currency": "XYZ"}, {"currency"}),
    ({"waitlist_enabled": 1}, {"waitlist_enabled"}),
    ({"waitlist_policy": "LOTTERY"}, {"waitlist_policy"}),
    ({"status": "open"}, {"status"}),
    ({"hold_seconds": 0}, {"hold_seconds"}),
    ({"confirmed": 5}, {"confirmed"}),
]


async def _post(client: httpx.AsyncClient, body: bytes, content_type: str = "application/json") -> httpx.Response:
    return await client.post(REGISTRATIONS, content=body, headers={"content-type": content_type})


async def test_what_is_not_json_is_a_400(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """Broken, doubled, deep, endless, wrongly encoded: each is told apart from wrong fields."""
    for body in MALFORMED:
        response = await _post(client, body)
        assert (response.status_code, response.json()["code"]) == (400, "MALFORMED_JSON"), body[:60]
    assert not registration.requests


async def test_what_is_no_object_is_a_422(client: httpx.AsyncClient) -> None:
    """JSON of another kind is well-formed but wrong."""
    for body in (b"null", b"3", b'"text"', b"[]", b"[" * 150 + b"]" * 150):
        response = await _post(client, body)
        assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "body"), body[:60]


async def test_only_json_is_taken(client: httpx.AsyncClient) -> None:
    """Another content type, or another charset, is a 415; unknown parameters change nothing."""
    body = json.dumps(CLAIM).encode()
    for content_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "application/json; profile=x; charset=latin-1",
        "application/json; charset=utf-8; charset=latin-1",
        "application/json; charset*=utf-8''utf-8",
        "application/json, application/json",
        "application/jsonp; application/json",
        ";application/json",
        "",
    ):
        assert (await _post(client, body, content_type)).status_code == 415, content_type
    for content_type in (
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=UTF-8",
        "application/json; charset=utf-8; profile=x",
        "application/json; profile=x; charset=utf-8",
        "application/json;",
        'application/json; profile="a;charset=latin-1"; Charset="utf-8"',
    ):
        assert (await _post(client, body, content_type)).status_code == 201, content_type
    both = [("content-type", "application/json"), ("content-type", "text/plain")]
    assert (await client.post(REGISTRATIONS, content=body, headers=both)).status_code == 415


async def test_a_compressed_body_is_a_415(client: httpx.AsyncClient, registration: FakeRegistration) -> None:
    """Accept-Encoding says what is taken: a JSON body and a form as they are."""
    body = gzip.compress(json.dumps(CLAIM).encode())
    form = "application/x-www-form-urlencoded"
    for path, media_type, coding in (
        (REGISTRATIONS, "application/json", "gzip"),
        (REGISTRATIONS, "application/json", "identity, br"),
        (f"/pay/{REGISTRATION_ID}", form, "deflate"),
    ):
        headers = {"content-type": media_type, "content-encoding": coding}
        response = await client.post(path, content=body, headers=headers)
        assert response.status_code == 415, path
        assert response.headers["accept-encoding"] == "identity"
    assert not registration.requests
    headers = {"content-type": "application/json", "content-encoding": "identity"}
    assert (await client.post(REGISTRATIONS, json=CLAIM, headers=headers)).status_code == 201


async def test_every_wrong_field_of_a_claim_is_named_at_once(
    client: httpx.AsyncClient, registration: FakeRegistration
) -> None:
    """422 with each wrong field, and nothing lost to the service."""
    for change, fields in WRONG_CLAIMS:
        response = await client.post(REGISTRATIONS, json=CLAIM | change)
        assert response.status_code == 422, change
        assert {error["field"] for error in response.json()["errors"]} == fields, change
    empty = await client.post(REGISTRATIONS, json={})
    assert {error["field"] for error in empty.json()["errors"]} == {"name", "phone", "spots"}
    assert not registration.requests


async def test_every_wrong_field_of_an_event_is_named(
    client: httpx.AsyncClient, registration: FakeRegistration
) -> None:
    """The same rules hold when an event is opened and when it is changed."""
    for change, fields in WRONG_EVENTS:
        for response in (
            await client.post("/api/v1/schools/herzl/events", json=EVENT | change, headers=bearer()),
            await client.patch("/api/v1/schools/herzl/events/football", json=change, headers=bearer()),
        ):
            assert response.status_code == 422, change
            assert {error["field"] for error in response.json()["errors"]} == fields, change
    assert not registration.requests


async def test_names_and_phones_as_people_write_them_are_taken(client: httpx.AsyncClient) -> None:
    """Hebrew, apostrophes, hyphens; every spelling of a phone."""
    for name in ("נועה", "ג'ונס", "O'Brien-לוי", "ד״ר נועה"):
        assert (await client.post(REGISTRATIONS, json=CLAIM | {"name": name})).status_code == 201, name
    for phone in ("050 123 4567", "(050) 123-4567", "+972501234567", "+972-50-123-4567", "02-6231234"):
        assert (await client.post(REGISTRATIONS, json=CLAIM | {"phone": phone})).status_code == 201, phone


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=12,
)
_MODELS = st.sampled_from([RegistrationCreate, EventCreate, EventPatch, SchoolCreate, Cancellation])


@given(model=_MODELS, body=st.binary(max_size=64) | _JSON.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=3 * settings().max_examples, deadline=None)
def test_any_body_is_read_or_refused(model: type[Input], body: bytes) -> None:
    """No bytes make the reader fail in any other way; what it says can be written as JSON."""
    try:
        parse_json(body, model)
    except InvalidInput as error:
        json.dumps([[field.field, field.message] for field in error.fields], ensure_ascii=False).encode()
    except MalformedRequest as error:
        str(error.detail).encode()


@given(
    change=st.dictionaries(
        st.sampled_from(["name", "phone", "email", "spots", "\ud800", "x"]), _JSON, min_size=1, max_size=4
    )
)
@settings(max_examples=3 * settings().max_examples, deadline=None)
def test_a_claim_that_is_taken_is_within_its_limits(change: dict[str, Any]) -> None:
    """A claim with any replaced field is refused, or has the promised types and sizes."""
    try:
        claim = parse_json(json.dumps(CLAIM | change).encode(), RegistrationCreate)
    except (InvalidInput, MalformedRequest):
        return
    assert type(claim.spots) is int
    assert 1 <= claim.spots <= 100
    assert 2 <= len(claim.name) <= 100
    assert "\x00" not in claim.name + claim.phone + (claim.email or "")


@pytest.mark.parametrize("size", [65_536, 65_537, 200_000, 5_000_000])
async def test_bodies_are_bounded(client: httpx.AsyncClient, registration: FakeRegistration, size: int) -> None:
    """One byte more than the limit is a 413 that its sender gets to see, declared or chunked."""
    body = json.dumps(CLAIM).encode().ljust(size)
    expected = 201 if size == 65_536 else 413
    assert (await _post(client, body)).status_code == expected

    async def chunks() -> Any:
        for start in range(0, len(body), 16_384):
            yield body[start : start + 16_384]

    headers = {"content-type": "application/json"}
    if size <= 200_000:
        assert (await client.post(REGISTRATIONS, content=chunks(), headers=headers)).status_code == expected
    assert len(registration.requests["RegisterBatch"]) == (2 if expected == 201 else 0)
