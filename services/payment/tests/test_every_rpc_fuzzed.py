"""Send random bytes, texts and numbers to every RPC.

Both services must refuse them and raise no unexpected exception.
"""

import itertools
import logging
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2
from grpc_status import rpc_status
from payment_under_test import World
from service_under_test import SERVICE, SUPER_ADMIN, Metadata, token
from ticketcap.payment.v1 import payment_pb2
from ticketcap.registration.v1 import registration_pb2
from ticketcap_chassis.rpc.validation import validate
from ticketcap_observability import get_logger

# Print a failure's seed and play it again: FUZZ_SEED=… ; FUZZ_CALLS is how many calls each RPC gets.
SEED = int(os.environ.get("FUZZ_SEED", random.SystemRandom().randrange(2**32)))
CALLS = int(os.environ.get("FUZZ_CALLS", "100"))

ALLOWED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
FAULTS = {code_pb2.UNKNOWN, code_pb2.INTERNAL, code_pb2.UNAVAILABLE, code_pb2.DATA_LOSS}
METHODS: list[MethodDescriptor] = [
    method
    for module, service in ((registration_pb2, "RegistrationService"), (payment_pb2, "PaymentService"))
    for method in module.DESCRIPTOR.services_by_name[service].methods_by_name.values()
]
TOKENS: Sequence[Metadata] = (
    (),
    (("authorization", "Bearer x"),),
    (("authorization", "Bearer a.b.c"),),
    (("authorization", "Basic ~"),),
    token("VIEWER", "other"),
    token("OWNER", "herzl"),
    SUPER_ADMIN,
    SUPER_ADMIN,
    SERVICE,
    SERVICE,
)
TEXTS = (
    *("", " ", "\x00", "a\x00b", "\x1b[31m", "a\x7f", "ab\x85", "\u202eab", "\u202aab\u202c", "\u200b\u3164", "\ufeff"),
    *(
        "\u2028",
        "\uffff",
        "\U0010ffff",
        "e\u0301" * 40,
        "א" * 100,
        "א" * 3_000,
        "a" * 200_000,
        "\u0378\ue000",
        "\u2800",
    ),
    *("0001-01-01", "2000-01-01", "2026-02-30", "2100-12-31", "9999-12-31", "0000-00-00", "٢٠٢٦-٠١-٠١"),
    *("{01999999-0000-7000-8000-000000000000}", "urn:uuid:01999999-0000-7000-8000-000000000000", "f" * 32, "-", "0"),
    *("' OR 1=1 --", "%00", "..", "*", "a.b.c", "MDAwMQ==", "1.1", "999999999999999999.999999999999999999"),
    *("MDAwMS0wMS0wMVQwMDowMDowMCsxNDowMCAwMTk5OTk5OS0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDA=", "tel:050-123-4567"),
    *("050-123-4567", "+972 50 123 4567;ext=5", "+1 212 555 0100", "a@b", "a@b.co", "@", "00-" + "0" * 32 + "-x"),
)
WHOLE = (0, 1, 2, -1, 50, 200, 86_400, 100_000, 10_000_000, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63))
SECONDS = (0, 1, -1, 1_900_000_000, 4_133_980_799, 4_133_980_800, -62_135_596_800, 253_402_300_800, 2**63 - 1, -(2**63))
# The texts that the sweep puts into each field alone; the random calls take from all of the above.
WORST = ("\x00", "a\x00b", "ab\x85", "\u202eab", "0001-01-01", "9999-12-31", "א" * 3_000)
NANOS = (0, 0, 0, 999_999_999, 1_000_000_000, -1, 2**31 - 1, -(2**31))


def ways(of: Descriptor) -> Iterator[tuple[FieldDescriptor, ...]]:
    """Yield the way to every field of a request that is no message itself."""
    for field in of.fields:
        if field.message_type:
            yield from ((field, *rest) for rest in ways(field.message_type))
        else:
            yield (field,)


def worst(field: FieldDescriptor) -> Sequence[Any]:
    if field.name == "nanos":
        return NANOS
    return {
        FieldDescriptor.TYPE_STRING: WORST,
        FieldDescriptor.TYPE_INT32: [number for number in WHOLE if -(2**31) <= number < 2**31],
        FieldDescriptor.TYPE_INT64: SECONDS if field.name == "seconds" else WHOLE,
    }.get(field.type, ())


@dataclass
class Fuzz:
    """Make requests; ``valid_texts`` holds, by field name, texts that name existing things."""

    random: random.Random
    valid_texts: dict[str, Sequence[str]]
    wild: float = 0.0
    filled: float = 1.0
    """How likely a field is odd. Most requests have one odd field at most, so that the handlers are reached."""

    def data(self, of: Descriptor) -> bytes:
        """Return a request: any bytes, a damaged message, or a message whose fields hold anything."""
        kind = self.random.random()
        self.wild, self.filled = self.random.choice([0.0, 0.05, 0.15, 0.8]), 0.9
        if kind < 0.1:
            return self.random.randbytes(self.random.randrange(60))
        data = self.message(of).SerializeToString()
        return self._damaged(data) if kind < 0.25 and data else data

    def sweep(self, of: Descriptor) -> Iterator[bytes]:
        """Yield requests that are right in all but one field, for each field and each of its worst values."""
        self.wild, self.filled = 0.0, 1.0
        for way in ways(of):
            for value in worst(way[-1]):
                whole = self.message(of)
                message: Any = whole
                for field in way[:-1]:
                    inner = getattr(message, field.name)
                    message = (inner or [inner.add()])[0] if field.is_repeated else inner
                if not way[-1].is_repeated:
                    setattr(message, way[-1].name, value)
                yield whole.SerializeToString()

    def message(self, of: Descriptor) -> Message:
        message = GetMessageClass(of)()
        for field in of.fields:
            if self.random.random() < self.filled:
                self._fill(message, field)
        return message

    def _damaged(self, data: bytes) -> bytes:
        at = self.random.randrange(len(data))
        return self.random.choice([data[:at], data[:at] + self.random.randbytes(2) + data[at + 1 :], data + data[at:]])

    def _fill(self, message: Message, field: FieldDescriptor) -> None:
        values = [self._value(field) for _ in range(self.random.choice([0, 1, 1, 2, 5]) if field.is_repeated else 1)]
        if field.is_repeated:
            getattr(message, field.name).extend(values)
        elif field.message_type:
            getattr(message, field.name).CopyFrom(values[0])
        else:
            setattr(message, field.name, values[0])

    def _value(self, field: FieldDescriptor) -> Any:
        if field.message_type:
            return self._time(field) if field.message_type.name == "Timestamp" else self.message(field.message_type)
        return self._by_type()[field.type](field)

    def _by_type(self) -> dict[int, Callable[[FieldDescriptor], Any]]:
        kinds = FieldDescriptor
        return {
            kinds.TYPE_STRING: self._text,
            kinds.TYPE_BYTES: lambda _: self.random.randbytes(self.random.choice([0, 3, 40, 9_000])),
            kinds.TYPE_BOOL: lambda _: self.random.random() < 0.5,
            kinds.TYPE_ENUM: lambda _: self._odd([1, 2], [0, 3, -1, 99, 2**31 - 1]),
            kinds.TYPE_INT32: lambda _: self._odd([1, 2, 20], [n for n in WHOLE if -(2**31) <= n < 2**31]),
            kinds.TYPE_INT64: lambda _: self._odd([1, 20, 4990], WHOLE),
        }

    def _text(self, field: FieldDescriptor) -> str:
        return str(self._odd(self.valid_texts.get(field.name, ["text"]), TEXTS))

    def _time(self, field: FieldDescriptor) -> Message:
        assert field.message_type is not None
        return GetMessageClass(field.message_type)(
            seconds=self._odd([1_900_000_000], SECONDS), nanos=self._odd([0], NANOS)
        )

    def _odd(self, plain: Sequence[Any], odd: Sequence[Any]) -> Any:
        return self.random.choice(odd if self.random.random() < self.wild else plain)


@pytest.fixture
async def fuzz(here: World) -> Fuzz:
    hold = await here.hold(1)
    other = await here.hold(2)
    opened = await here.create(hold)
    event = await here.registration.seats()
    await here.registration.event(slug="free", price_agorot=0)
    return Fuzz(
        random.Random(SEED),
        {
            "school": ["herzl"],
            "event": [event.id, event.id, "spring-match", "free"],
            "slug": ["herzl", "spring-match", *(f"new-{number}" for number in range(200))],
            "id": [hold.id, opened.payment_id],
            "registration_id": [hold.id, other.id],
            "payment_id": [opened.payment_id],
            "manage_token": ["", hold.manage_token],
            "pay_token": ["", hold.pay_token],
            "confirmation_code": [hold.confirmation_code],
            "name": ["אורי בן-דוד"],
            "title": ["Match"],
            "phone": [f"050-765-{number}" for number in range(4000, 4200)],
            "email": ["a@example.org"],
            "currency": ["ILS"],
            "idempotency_key": [f"key {number}" for number in range(300)],
            "yaadpay_id": ["", "12345"],
            "kind": ["payment", "refund", "return", "seat"],
            "day": ["2026-06-01", "2000-01-01", "2100-12-31"],
            "cursor": ["", "1.1"],
            "traceparent": [""],
        },
    )


async def answers(channel: Any, method: MethodDescriptor, data: bytes, metadata: Metadata) -> list[bytes]:
    """Call a method with these bytes and return the first answers, as bytes."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    if not method.server_streaming:
        return [await channel.unary_unary(path)(data, metadata=metadata, timeout=60)]
    call = channel.unary_stream(path)(data, metadata=metadata, timeout=60)
    try:
        first = await call.read()
    finally:
        call.cancel()
    return [] if first is grpc.aio.EOF else [first]


def faults_of(method: MethodDescriptor, answered: list[bytes]) -> Iterator[str]:
    """Yield what is wrong with answers: they break their own rules, or an item of a batch met a fault."""
    for data in answered:
        message: Any = GetMessageClass(method.output_type).FromString(data)
        validate(message)
        for result in getattr(message, "results", ()):
            if result.error.code in FAULTS:
                yield str(result.error)


def error_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the ERROR lines; a job's finding is none of a call's: a service's token may confirm an unpaid seat."""
    return [record.getMessage() for record in caplog.records if not record.name.startswith("ticketcap_payment.jobs")]


async def play(here: World, fuzz: Fuzz, method: MethodDescriptor, caplog: pytest.LogCaptureFixture) -> Counter[str]:
    """Call a method many times and return how it answered."""
    channel = here.channel if method.containing_service.name == "PaymentService" else here.registration.channel
    seen: Counter[str] = Counter()
    swept = ((data, SUPER_ADMIN) for data in fuzz.sweep(method.input_type))
    random_ones = ((fuzz.data(method.input_type), fuzz.random.choice(TOKENS)) for _ in range(CALLS))
    for number, (data, metadata) in enumerate(itertools.chain(swept, random_ones)):
        about = f"FUZZ_SEED={SEED}: {method.name}, call {number}: {data[:300]!r}"
        try:
            answered, refusal = await answers(channel, method, data, metadata), None
        except grpc.aio.AioRpcError as error:
            answered, refusal = [], error
        if refusal is not None:
            assert refusal.code() in ALLOWED, f"{refusal.code()} {refusal.details()}; {about}"
            assert rpc_status.from_call(refusal) is not None, f"a plain status; {about}"  # type: ignore[arg-type]
        assert not list(faults_of(method, answered)), about
        seen[refusal.code().name if refusal else "OK"] += 1
        assert not error_lines(caplog), f"{error_lines(caplog)}; {about}"
    return seen


@pytest.mark.timeout(600)
@pytest.mark.ground(payment={"yaadpay_seconds": 30, "yaadpay_money_seconds": 30, "outbox_lease_seconds": 60})
async def test_any_request_is_served_or_refused(here: World, fuzz: Fuzz, caplog: pytest.LogCaptureFixture) -> None:
    """A status that names the caller's mistake, in our words; answers that keep their protos' rules; no ERROR line."""
    with caplog.at_level(logging.ERROR):
        seen = {method.name: await play(here, fuzz, method, caplog) for method in METHODS}
    assert all(counts["INVALID_ARGUMENT"] for counts in seen.values()), seen


async def test_the_log_is_watched(caplog: pytest.LogCaptureFixture) -> None:
    """The negative control: an ERROR line of a service's logger is seen."""
    with caplog.at_level(logging.ERROR):
        get_logger("ticketcap_chassis.rpc.server_interceptor").error("rpc.unexpected_error")
    assert caplog.records
