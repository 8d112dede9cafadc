"""Plant people and secrets in every input over HTTP and gRPC."""

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, cast
from urllib.parse import quote, urlencode, urlsplit

import grpc
import httpx
from google.protobuf.descriptor import FieldDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from ticketcap.payment.v1 import payment_pb2
from ticketcap.registration.v1 import registration_pb2

from tests.canary.launcher import BANG
from tests.canary.people import People
from tests.stack_under_test import EVENTS
from tests.traces.calls import CALLS, Call
from tests.traces.world import PRICE, World, holder

_AT_ONCE: Final = 4
_HUGE: Final = 300
_HEADERS: Final = (
    *("Authorization", "X-Manage-Token", "Idempotency-Key", "Cookie", "User-Agent", "Referer", "X-Forwarded-For"),
    *("traceparent", "tracestate", "baggage", "X-Request-Id", "Accept"),
)


def plant(world: World, people: People) -> None:
    """Make every call with planted data."""
    _good_registrations(world, people)
    _good_payments(world, people)
    break_handlers(world, people)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(lambda job: job(), [*_over_http(world, people), *_over_grpc(world, people)]))


# Good: people do what people do


def _good_registrations(world: World, people: People) -> None:
    event = _event_of_people(world, people)
    names, emails = itertools.cycle(people.names), itertools.cycle([*people.emails, None])
    keys = itertools.cycle(people.idempotency_keys)
    for number, phone in enumerate(people.phones):
        body = {"name": next(names), "phone": phone, "email": next(emails), "spots": 1}
        headers = {"Idempotency-Key": f"{next(keys)}{number}"}
        for _ in range(2):
            response = world.post(f"{EVENTS}/{event}/registrations", json=body, headers=headers)
            assert response.status_code == 201, response.text
        world.post(f"{EVENTS}/{event}/registrations", json=body)
        _add_tokens(people, response.json())
        _look_and_cancel(world, people, response.json())
    for path in (f"{EVENTS}/{event}/registrations", f"{EVENTS}/{event}/registrations.csv"):
        assert world.get(path, headers=world.token("VIEWER")).status_code == 200


def _event_of_people(world: World, people: People) -> str:
    said = " ".join(people.one_of_each())[:200]
    return world.event(title=said, description=said, location=said)


def _look_and_cancel(world: World, people: People, registration: dict[str, Any]) -> None:
    url = f"/api/v1/registrations/{registration['id']}"
    assert world.get(url, headers=holder(registration)).status_code == 200
    world.get(url, headers={"Authorization": f"Bearer {registration['manage_token']}"})
    reason = " ".join(people.one_of_each())[:500]
    assert world.post(f"{url}/cancel", json={"reason": reason}, headers=holder(registration)).status_code == 200


def _add_tokens(people: People, registration: dict[str, Any]) -> None:
    people.add_issued_secret("manage token", registration["manage_token"])
    if "pay_url" in registration:
        people.add_issued_secret("pay token", urlsplit(registration["pay_url"]).query.removeprefix("token="))


def _good_payments(world: World, people: People) -> None:
    for card in (*people.cards, "4580458045804580"):
        event = world.event(price_agorot=PRICE, title=people.names[0])
        body = {"name": people.names[1], "phone": people.phones[1], "email": people.emails[0], "spots": 1}
        registration = world.post(f"{EVENTS}/{event}/registrations", json=body).json()
        _add_tokens(people, registration)
        link = urlsplit(registration["pay_url"])
        world.get(f"{link.path}?{link.query}")
        opened = world.opened(registration)
        back = _paid(world, people, opened, card)
        if back:
            _come_back(world, people, back)
            payment = opened.json()["payment_id"]
            world.get(f"/api/v1/payments/{payment}", headers=holder(registration))
            world.post(f"/api/v1/payments/{payment}/refunds", json={"amount_agorot": 100}, headers=world.token("OWNER"))
            world.get(f"/payments/{payment}")
    world.get("/api/v1/schools/herzl/payments.csv", headers=world.token("OWNER"))


def _paid(world: World, people: People, opened: httpx.Response, card: str) -> str:
    typed = {
        "page_url": opened.json()["redirect_url"],
        "card": card,
        "name": people.names[0].split()[0],
        "last_name": people.names[0].split()[1],
        "user_id": people.ids[0],
        "email": people.emails[0],
        "phone": people.phones[0],
    }
    answer = httpx.post(f"{world.stack.simulator_url}/simulator/customer", json=typed, trust_env=False, timeout=10)
    assert answer.status_code == 200, answer.text
    redirects: list[str] = answer.json()["redirects"]
    if not redirects:
        return ""
    parts = urlsplit(redirects[0])
    return f"{parts.path}?{parts.query}"


def _come_back(world: World, people: People, back: str) -> None:
    """The genuine return, and the same with people and secrets where nothing is signed."""
    unsigned = {f"Fild{number}": text for number, text in zip((1, 2, 3), people.one_of_each(), strict=False)}
    for more in (unsigned, {"KEY": people.key, "PassP": people.passp, "UserId": people.ids[1]}):
        world.get(f"{back}&{urlencode(more)}")
    for text in people.one_of_each():
        world.get(f"/api/v1/payments/yaadpay/return?Id=1&Order={quote(text)}&Fild1={quote(text)}&Sign={quote(text)}")
    assert world.get(back).status_code == 303


def break_handlers(world: World, people: People) -> None:
    for where in ("gateway", "registration", "sql", "payment"):
        event = world.event(price_agorot=PRICE)
        body = {"name": f"{BANG} {where} {people.names[0]}", "phone": people.phones[0], "email": people.emails[0]}
        response = world.post(f"{EVENTS}/{event}/registrations", json={**body, "spots": 1})
        if where == "payment":
            registration = response.json()
            _add_tokens(people, registration)
            response = world.post(f"/api/v1/registrations/{registration['id']}/payments", headers=holder(registration))
        assert response.status_code == 500, response.text


# Bad: everything everywhere


def _over_http(world: World, people: People) -> Iterator[Any]:
    for call in CALLS:
        for text in people.one_of_each():
            yield lambda call=call, text=text: _in_path_query_and_headers(world, call, text)
            if call.body is not None:
                yield lambda call=call, text=text: _in_body(world, call, text)
        if call.body is not None:
            yield lambda call=call, text=text: _in_broken_bodies(world, call, text)


def _send(world: World, method: str, path: str, **sent: Any) -> None:
    """Make a call; a stream that begins is left at once."""
    url = f"{world.stack.url}{path}"
    with httpx.Client(trust_env=False, verify=False, timeout=10) as client, client.stream(method, url, **sent):
        pass


def _in_path_query_and_headers(world: World, call: Call, text: str) -> None:
    auth = call.auth(world, call.role)
    written = quote(text, safe="")
    parts = dict.fromkeys(("school", "event", "id", "registration", "kind"), written)
    query = "&".join(f"{name}={written}" for name in (written, "token", "cursor", "lang", "day", "status", "limit"))
    _send(world, call.method, call.route.format(**parts), headers=auth)
    _send(world, call.method, f"{call.path()}/{written}?{query}")
    _send(world, call.method, f"{call.path()}?{query}", headers=auth)
    headers = {name: text.encode() for name in _HEADERS}
    headers["Authorization"] = f"Bearer {text}".encode()
    _send(world, call.method, call.path(), headers=headers)


def _in_body(world: World, call: Call, text: str) -> None:
    assert call.body is not None
    auth = call.auth(world, call.role)
    named = {**call.body, "name": text, "reason": text}
    for body in (dict.fromkeys(call.body, text), {**call.body, text: text}, named):
        sent = {"data": body} if call.form else {"json": body}
        _send(world, call.method, call.path(), headers=auth, **sent)


def _in_broken_bodies(world: World, call: Call, text: str) -> None:
    media = "application/x-www-form-urlencoded" if call.form else "application/json"
    headers = {**call.auth(world, call.role), "Content-Type": media}
    whole = json.dumps({"name": text, "phone": text}, ensure_ascii=False).encode()
    for content in (whole[:-1], whole + whole, b"\xff" + whole, text.encode() * _HUGE, b"[" * _HUGE + whole):
        _send(world, call.method, call.path(), headers=headers, content=content)
    _send(world, call.method, call.path(), headers={**headers, "Content-Type": f"text/{quote(text)}"}, content=whole)


# Calls that HTTP can't reach


def _over_grpc(world: World, people: People) -> Iterator[Any]:
    services = (
        (world.stack.registration_address, registration_pb2.DESCRIPTOR.services_by_name["RegistrationService"]),
        (world.stack.payment_address, payment_pb2.DESCRIPTOR.services_by_name["PaymentService"]),
    )
    for address, service in services:
        yield lambda address=address, service=service: _in_messages(world, people, address, service)


def _in_messages(world: World, people: People, address: str, service: ServiceDescriptor) -> None:
    tokens = [world.token(role)["Authorization"] for role in ("SUPER_ADMIN", "OWNER", "SERVICE")]
    with grpc.insecure_channel(address) as grpc_channel:
        # grpc's stubs know the asynchronous channel only.
        channel: Any = cast("Any", grpc_channel)
        for method in service.methods:
            for number, text in enumerate(people.one_of_each()):
                request = GetMessageClass(method.input_type)()
                _fill(request, text)
                metadata = (
                    ("authorization", tokens[number % 3] if number % 4 else f"Bearer {quote(text)}"),
                    ("baggage", f"school.slug={quote(text)},name={quote(text)}"),
                    ("x-said", quote(text)),
                    ("said-bin", text.encode()),
                )
                _call(channel, f"/{service.full_name}/{method.name}", request, metadata)


def _call(channel: Any, path: str, request: Message, metadata: tuple[tuple[str, Any], ...]) -> None:
    call = channel.unary_stream(path, request_serializer=lambda message: message.SerializeToString())
    try:
        for _ in zip(range(2), call(request, timeout=2, metadata=metadata), strict=False):
            pass
    except grpc.RpcError:
        return


def _fill(message: Message, text: str, depth: int = 3) -> None:
    """Write ``text`` into every text of a message."""
    for field in message.DESCRIPTOR.fields:
        if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
            setattr(message, field.name, text)
        elif field.type == FieldDescriptor.TYPE_BYTES:
            setattr(message, field.name, text.encode())
        elif field.type == FieldDescriptor.TYPE_MESSAGE and depth:
            held = getattr(message, field.name)
            _fill(held.add() if field.is_repeated else held, text, depth - 1)
        elif field.type == FieldDescriptor.TYPE_INT32 and not field.is_repeated:
            setattr(message, field.name, 1)
