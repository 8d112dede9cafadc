import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from ticketcap.rules.v1 import rules_pb2 as _rules_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PaymentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PAYMENT_STATE_UNSPECIFIED: _ClassVar[PaymentState]
    PAYMENT_STATE_CREATED: _ClassVar[PaymentState]
    PAYMENT_STATE_REDIRECTED: _ClassVar[PaymentState]
    PAYMENT_STATE_AUTHORISED: _ClassVar[PaymentState]
    PAYMENT_STATE_CAPTURED: _ClassVar[PaymentState]
    PAYMENT_STATE_REFUND_PENDING: _ClassVar[PaymentState]
    PAYMENT_STATE_REFUNDED: _ClassVar[PaymentState]
    PAYMENT_STATE_FAILED: _ClassVar[PaymentState]
    PAYMENT_STATE_EXPIRED: _ClassVar[PaymentState]
    PAYMENT_STATE_UNKNOWN: _ClassVar[PaymentState]

class SeatState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEAT_STATE_UNSPECIFIED: _ClassVar[SeatState]
    SEAT_STATE_HELD: _ClassVar[SeatState]
    SEAT_STATE_SECURED: _ClassVar[SeatState]
    SEAT_STATE_CONFIRMED: _ClassVar[SeatState]
    SEAT_STATE_GONE: _ClassVar[SeatState]

class RefundState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFUND_STATE_UNSPECIFIED: _ClassVar[RefundState]
    REFUND_STATE_REQUESTED: _ClassVar[RefundState]
    REFUND_STATE_SENT: _ClassVar[RefundState]
    REFUND_STATE_DONE: _ClassVar[RefundState]
    REFUND_STATE_REFUSED: _ClassVar[RefundState]
    REFUND_STATE_UNKNOWN: _ClassVar[RefundState]

class RefundReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFUND_REASON_UNSPECIFIED: _ClassVar[RefundReason]
    REFUND_REASON_CANCELLED: _ClassVar[RefundReason]
    REFUND_REASON_SEAT_GONE: _ClassVar[RefundReason]
    REFUND_REASON_ORGANISER: _ClassVar[RefundReason]
    REFUND_REASON_SURPLUS: _ClassVar[RefundReason]
    REFUND_REASON_FREE: _ClassVar[RefundReason]

class Language(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LANGUAGE_UNSPECIFIED: _ClassVar[Language]
    LANGUAGE_HEBREW: _ClassVar[Language]
    LANGUAGE_ENGLISH: _ClassVar[Language]
PAYMENT_STATE_UNSPECIFIED: PaymentState
PAYMENT_STATE_CREATED: PaymentState
PAYMENT_STATE_REDIRECTED: PaymentState
PAYMENT_STATE_AUTHORISED: PaymentState
PAYMENT_STATE_CAPTURED: PaymentState
PAYMENT_STATE_REFUND_PENDING: PaymentState
PAYMENT_STATE_REFUNDED: PaymentState
PAYMENT_STATE_FAILED: PaymentState
PAYMENT_STATE_EXPIRED: PaymentState
PAYMENT_STATE_UNKNOWN: PaymentState
SEAT_STATE_UNSPECIFIED: SeatState
SEAT_STATE_HELD: SeatState
SEAT_STATE_SECURED: SeatState
SEAT_STATE_CONFIRMED: SeatState
SEAT_STATE_GONE: SeatState
REFUND_STATE_UNSPECIFIED: RefundState
REFUND_STATE_REQUESTED: RefundState
REFUND_STATE_SENT: RefundState
REFUND_STATE_DONE: RefundState
REFUND_STATE_REFUSED: RefundState
REFUND_STATE_UNKNOWN: RefundState
REFUND_REASON_UNSPECIFIED: RefundReason
REFUND_REASON_CANCELLED: RefundReason
REFUND_REASON_SEAT_GONE: RefundReason
REFUND_REASON_ORGANISER: RefundReason
REFUND_REASON_SURPLUS: RefundReason
REFUND_REASON_FREE: RefundReason
LANGUAGE_UNSPECIFIED: Language
LANGUAGE_HEBREW: Language
LANGUAGE_ENGLISH: Language

class Payment(_message.Message):
    __slots__ = ("id", "registration_id", "event_id", "school", "state", "seat", "amount_agorot", "currency", "refunded_agorot", "refund_pending_agorot", "order", "yaadpay_id", "ccode", "failure", "escalation", "created_at", "captured_at", "refunds")
    ID_FIELD_NUMBER: _ClassVar[int]
    REGISTRATION_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    SCHOOL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SEAT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_AGOROT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    REFUNDED_AGOROT_FIELD_NUMBER: _ClassVar[int]
    REFUND_PENDING_AGOROT_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    YAADPAY_ID_FIELD_NUMBER: _ClassVar[int]
    CCODE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    ESCALATION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_AT_FIELD_NUMBER: _ClassVar[int]
    REFUNDS_FIELD_NUMBER: _ClassVar[int]
    id: str
    registration_id: str
    event_id: str
    school: str
    state: PaymentState
    seat: SeatState
    amount_agorot: int
    currency: str
    refunded_agorot: int
    refund_pending_agorot: int
    order: str
    yaadpay_id: str
    ccode: int
    failure: str
    escalation: str
    created_at: _timestamp_pb2.Timestamp
    captured_at: _timestamp_pb2.Timestamp
    refunds: _containers.RepeatedCompositeFieldContainer[Refund]
    def __init__(self, id: _Optional[str] = ..., registration_id: _Optional[str] = ..., event_id: _Optional[str] = ..., school: _Optional[str] = ..., state: _Optional[_Union[PaymentState, str]] = ..., seat: _Optional[_Union[SeatState, str]] = ..., amount_agorot: _Optional[int] = ..., currency: _Optional[str] = ..., refunded_agorot: _Optional[int] = ..., refund_pending_agorot: _Optional[int] = ..., order: _Optional[str] = ..., yaadpay_id: _Optional[str] = ..., ccode: _Optional[int] = ..., failure: _Optional[str] = ..., escalation: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., captured_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., refunds: _Optional[_Iterable[_Union[Refund, _Mapping]]] = ...) -> None: ...

class Refund(_message.Message):
    __slots__ = ("id", "payment_id", "state", "reason", "amount_agorot", "currency", "yaadpay_id", "escalation", "created_at", "done_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_AGOROT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    YAADPAY_ID_FIELD_NUMBER: _ClassVar[int]
    ESCALATION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    DONE_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    payment_id: str
    state: RefundState
    reason: RefundReason
    amount_agorot: int
    currency: str
    yaadpay_id: str
    escalation: str
    created_at: _timestamp_pb2.Timestamp
    done_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., payment_id: _Optional[str] = ..., state: _Optional[_Union[RefundState, str]] = ..., reason: _Optional[_Union[RefundReason, str]] = ..., amount_agorot: _Optional[int] = ..., currency: _Optional[str] = ..., yaadpay_id: _Optional[str] = ..., escalation: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., done_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreatePaymentRequest(_message.Message):
    __slots__ = ("registration_id", "manage_token", "pay_token", "language", "idempotency_key")
    REGISTRATION_ID_FIELD_NUMBER: _ClassVar[int]
    MANAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PAY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    registration_id: str
    manage_token: str
    pay_token: str
    language: Language
    idempotency_key: str
    def __init__(self, registration_id: _Optional[str] = ..., manage_token: _Optional[str] = ..., pay_token: _Optional[str] = ..., language: _Optional[_Union[Language, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class CreatePaymentResponse(_message.Message):
    __slots__ = ("payment_id", "redirect_url", "amount_agorot", "currency", "replayed")
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    REDIRECT_URL_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_AGOROT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    redirect_url: str
    amount_agorot: int
    currency: str
    replayed: bool
    def __init__(self, payment_id: _Optional[str] = ..., redirect_url: _Optional[str] = ..., amount_agorot: _Optional[int] = ..., currency: _Optional[str] = ..., replayed: _Optional[bool] = ...) -> None: ...

class GetPaymentRequest(_message.Message):
    __slots__ = ("id", "manage_token")
    ID_FIELD_NUMBER: _ClassVar[int]
    MANAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    id: str
    manage_token: str
    def __init__(self, id: _Optional[str] = ..., manage_token: _Optional[str] = ...) -> None: ...

class GetPaymentResponse(_message.Message):
    __slots__ = ("payment",)
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    payment: Payment
    def __init__(self, payment: _Optional[_Union[Payment, _Mapping]] = ...) -> None: ...

class GetPaymentResultRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetPaymentResultResponse(_message.Message):
    __slots__ = ("id", "state", "seat", "failure", "amount_agorot", "currency", "refunded_agorot", "language")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SEAT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_AGOROT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    REFUNDED_AGOROT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: PaymentState
    seat: SeatState
    failure: str
    amount_agorot: int
    currency: str
    refunded_agorot: int
    language: Language
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[PaymentState, str]] = ..., seat: _Optional[_Union[SeatState, str]] = ..., failure: _Optional[str] = ..., amount_agorot: _Optional[int] = ..., currency: _Optional[str] = ..., refunded_agorot: _Optional[int] = ..., language: _Optional[_Union[Language, str]] = ...) -> None: ...

class SettleReturnRequest(_message.Message):
    __slots__ = ("query",)
    QUERY_FIELD_NUMBER: _ClassVar[int]
    query: bytes
    def __init__(self, query: _Optional[bytes] = ...) -> None: ...

class SettleReturnResponse(_message.Message):
    __slots__ = ("result", "replayed")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    result: GetPaymentResultResponse
    replayed: bool
    def __init__(self, result: _Optional[_Union[GetPaymentResultResponse, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class RefundPaymentRequest(_message.Message):
    __slots__ = ("payment_id", "amount_agorot", "idempotency_key")
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_AGOROT_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    amount_agorot: int
    idempotency_key: str
    def __init__(self, payment_id: _Optional[str] = ..., amount_agorot: _Optional[int] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class RefundPaymentResponse(_message.Message):
    __slots__ = ("refund", "payment", "replayed")
    REFUND_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    refund: Refund
    payment: Payment
    replayed: bool
    def __init__(self, refund: _Optional[_Union[Refund, _Mapping]] = ..., payment: _Optional[_Union[Payment, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class ExportPaymentsRequest(_message.Message):
    __slots__ = ("school", "day")
    SCHOOL_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    school: str
    day: str
    def __init__(self, school: _Optional[str] = ..., day: _Optional[str] = ...) -> None: ...

class BookEntry(_message.Message):
    __slots__ = ("kind", "id", "payment_id", "registration_id", "event_id", "order", "yaadpay_id", "state", "amount_agorot", "currency", "at")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    REGISTRATION_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    YAADPAY_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_AGOROT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    id: str
    payment_id: str
    registration_id: str
    event_id: str
    order: str
    yaadpay_id: str
    state: str
    amount_agorot: int
    currency: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, kind: _Optional[str] = ..., id: _Optional[str] = ..., payment_id: _Optional[str] = ..., registration_id: _Optional[str] = ..., event_id: _Optional[str] = ..., order: _Optional[str] = ..., yaadpay_id: _Optional[str] = ..., state: _Optional[str] = ..., amount_agorot: _Optional[int] = ..., currency: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExportPaymentsResponse(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[BookEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[BookEntry, _Mapping]]] = ...) -> None: ...

class ListEscalationsRequest(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: int
    def __init__(self, limit: _Optional[int] = ...) -> None: ...

class Escalation(_message.Message):
    __slots__ = ("kind", "id", "payment_id", "school", "order", "yaadpay_id", "amount_agorot", "currency", "why", "since")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SCHOOL_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    YAADPAY_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_AGOROT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    id: str
    payment_id: str
    school: str
    order: str
    yaadpay_id: str
    amount_agorot: int
    currency: str
    why: str
    since: _timestamp_pb2.Timestamp
    def __init__(self, kind: _Optional[str] = ..., id: _Optional[str] = ..., payment_id: _Optional[str] = ..., school: _Optional[str] = ..., order: _Optional[str] = ..., yaadpay_id: _Optional[str] = ..., amount_agorot: _Optional[int] = ..., currency: _Optional[str] = ..., why: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListEscalationsResponse(_message.Message):
    __slots__ = ("escalations",)
    ESCALATIONS_FIELD_NUMBER: _ClassVar[int]
    escalations: _containers.RepeatedCompositeFieldContainer[Escalation]
    def __init__(self, escalations: _Optional[_Iterable[_Union[Escalation, _Mapping]]] = ...) -> None: ...

class ResolveEscalationRequest(_message.Message):
    __slots__ = ("kind", "id", "moved", "yaadpay_id", "again")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    YAADPAY_ID_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    kind: str
    id: str
    moved: bool
    yaadpay_id: str
    again: bool
    def __init__(self, kind: _Optional[str] = ..., id: _Optional[str] = ..., moved: _Optional[bool] = ..., yaadpay_id: _Optional[str] = ..., again: _Optional[bool] = ...) -> None: ...

class ResolveEscalationResponse(_message.Message):
    __slots__ = ("payment",)
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    payment: Payment
    def __init__(self, payment: _Optional[_Union[Payment, _Mapping]] = ...) -> None: ...
