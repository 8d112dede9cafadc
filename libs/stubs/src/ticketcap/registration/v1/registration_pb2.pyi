import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from ticketcap.rules.v1 import rules_pb2 as _rules_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RegistrationStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REGISTRATION_STATUS_UNSPECIFIED: _ClassVar[RegistrationStatus]
    REGISTRATION_STATUS_PENDING_PAYMENT: _ClassVar[RegistrationStatus]
    REGISTRATION_STATUS_CONFIRMED: _ClassVar[RegistrationStatus]
    REGISTRATION_STATUS_WAITLISTED: _ClassVar[RegistrationStatus]
    REGISTRATION_STATUS_CANCELLED: _ClassVar[RegistrationStatus]
    REGISTRATION_STATUS_EXPIRED: _ClassVar[RegistrationStatus]

class EventStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_STATUS_UNSPECIFIED: _ClassVar[EventStatus]
    EVENT_STATUS_OPEN: _ClassVar[EventStatus]
    EVENT_STATUS_PAUSED: _ClassVar[EventStatus]
    EVENT_STATUS_CLOSED: _ClassVar[EventStatus]

class WaitlistPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WAITLIST_POLICY_UNSPECIFIED: _ClassVar[WaitlistPolicy]
    WAITLIST_POLICY_FIRST_FIT: _ClassVar[WaitlistPolicy]
    WAITLIST_POLICY_STRICT_FIFO: _ClassVar[WaitlistPolicy]
REGISTRATION_STATUS_UNSPECIFIED: RegistrationStatus
REGISTRATION_STATUS_PENDING_PAYMENT: RegistrationStatus
REGISTRATION_STATUS_CONFIRMED: RegistrationStatus
REGISTRATION_STATUS_WAITLISTED: RegistrationStatus
REGISTRATION_STATUS_CANCELLED: RegistrationStatus
REGISTRATION_STATUS_EXPIRED: RegistrationStatus
EVENT_STATUS_UNSPECIFIED: EventStatus
EVENT_STATUS_OPEN: EventStatus
EVENT_STATUS_PAUSED: EventStatus
EVENT_STATUS_CLOSED: EventStatus
WAITLIST_POLICY_UNSPECIFIED: WaitlistPolicy
WAITLIST_POLICY_FIRST_FIT: WaitlistPolicy
WAITLIST_POLICY_STRICT_FIFO: WaitlistPolicy

class School(_message.Message):
    __slots__ = ("id", "slug", "name", "created_at", "synthetic")
    ID_FIELD_NUMBER: _ClassVar[int]
    SLUG_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    SYNTHETIC_FIELD_NUMBER: _ClassVar[int]
    id: str
    slug: str
    name: str
    created_at: _timestamp_pb2.Timestamp
    synthetic: bool
    def __init__(self, id: _Optional[str] = ..., slug: _Optional[str] = ..., name: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., synthetic: _Optional[bool] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("id", "school", "slug", "title", "description", "location", "starts_at", "ends_at", "status", "capacity", "confirmed", "held", "waitlisted", "available", "max_spots_per_registration", "price_agorot", "currency", "waitlist_enabled", "waitlist_policy", "hold_seconds", "cancellation_deadline_hours", "version", "created_at", "updated_at", "school_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    SCHOOL_FIELD_NUMBER: _ClassVar[int]
    SLUG_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    STARTS_AT_FIELD_NUMBER: _ClassVar[int]
    ENDS_AT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    WAITLISTED_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    MAX_SPOTS_PER_REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    PRICE_AGOROT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    WAITLIST_ENABLED_FIELD_NUMBER: _ClassVar[int]
    WAITLIST_POLICY_FIELD_NUMBER: _ClassVar[int]
    HOLD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CANCELLATION_DEADLINE_HOURS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    SCHOOL_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    school: str
    slug: str
    title: str
    description: str
    location: str
    starts_at: _timestamp_pb2.Timestamp
    ends_at: _timestamp_pb2.Timestamp
    status: EventStatus
    capacity: int
    confirmed: int
    held: int
    waitlisted: int
    available: int
    max_spots_per_registration: int
    price_agorot: int
    currency: str
    waitlist_enabled: bool
    waitlist_policy: WaitlistPolicy
    hold_seconds: int
    cancellation_deadline_hours: int
    version: int
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    school_id: str
    def __init__(self, id: _Optional[str] = ..., school: _Optional[str] = ..., slug: _Optional[str] = ..., title: _Optional[str] = ..., description: _Optional[str] = ..., location: _Optional[str] = ..., starts_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ends_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., status: _Optional[_Union[EventStatus, str]] = ..., capacity: _Optional[int] = ..., confirmed: _Optional[int] = ..., held: _Optional[int] = ..., waitlisted: _Optional[int] = ..., available: _Optional[int] = ..., max_spots_per_registration: _Optional[int] = ..., price_agorot: _Optional[int] = ..., currency: _Optional[str] = ..., waitlist_enabled: _Optional[bool] = ..., waitlist_policy: _Optional[_Union[WaitlistPolicy, str]] = ..., hold_seconds: _Optional[int] = ..., cancellation_deadline_hours: _Optional[int] = ..., version: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., school_id: _Optional[str] = ...) -> None: ...

class Registration(_message.Message):
    __slots__ = ("id", "event_id", "school", "event", "status", "name", "phone", "email", "spots", "confirmation_code", "waitlist_position", "hold_expires_at", "created_at", "cancelled_at", "cancel_reason", "checked_in_at", "pay_token", "price_agorot", "currency", "school_id", "school_synthetic")
    ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    SCHOOL_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PHONE_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    SPOTS_FIELD_NUMBER: _ClassVar[int]
    CONFIRMATION_CODE_FIELD_NUMBER: _ClassVar[int]
    WAITLIST_POSITION_FIELD_NUMBER: _ClassVar[int]
    HOLD_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_AT_FIELD_NUMBER: _ClassVar[int]
    CANCEL_REASON_FIELD_NUMBER: _ClassVar[int]
    CHECKED_IN_AT_FIELD_NUMBER: _ClassVar[int]
    PAY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PRICE_AGOROT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    SCHOOL_ID_FIELD_NUMBER: _ClassVar[int]
    SCHOOL_SYNTHETIC_FIELD_NUMBER: _ClassVar[int]
    id: str
    event_id: str
    school: str
    event: str
    status: RegistrationStatus
    name: str
    phone: str
    email: str
    spots: int
    confirmation_code: str
    waitlist_position: int
    hold_expires_at: _timestamp_pb2.Timestamp
    created_at: _timestamp_pb2.Timestamp
    cancelled_at: _timestamp_pb2.Timestamp
    cancel_reason: str
    checked_in_at: _timestamp_pb2.Timestamp
    pay_token: str
    price_agorot: int
    currency: str
    school_id: str
    school_synthetic: bool
    def __init__(self, id: _Optional[str] = ..., event_id: _Optional[str] = ..., school: _Optional[str] = ..., event: _Optional[str] = ..., status: _Optional[_Union[RegistrationStatus, str]] = ..., name: _Optional[str] = ..., phone: _Optional[str] = ..., email: _Optional[str] = ..., spots: _Optional[int] = ..., confirmation_code: _Optional[str] = ..., waitlist_position: _Optional[int] = ..., hold_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cancelled_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cancel_reason: _Optional[str] = ..., checked_in_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., pay_token: _Optional[str] = ..., price_agorot: _Optional[int] = ..., currency: _Optional[str] = ..., school_id: _Optional[str] = ..., school_synthetic: _Optional[bool] = ...) -> None: ...

class Seats(_message.Message):
    __slots__ = ("event_id", "status", "capacity", "confirmed", "held", "waitlisted", "available", "version")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    WAITLISTED_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    status: EventStatus
    capacity: int
    confirmed: int
    held: int
    waitlisted: int
    available: int
    version: int
    def __init__(self, event_id: _Optional[str] = ..., status: _Optional[_Union[EventStatus, str]] = ..., capacity: _Optional[int] = ..., confirmed: _Optional[int] = ..., held: _Optional[int] = ..., waitlisted: _Optional[int] = ..., available: _Optional[int] = ..., version: _Optional[int] = ...) -> None: ...

class CreateSchoolRequest(_message.Message):
    __slots__ = ("slug", "name", "idempotency_key", "synthetic")
    SLUG_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    SYNTHETIC_FIELD_NUMBER: _ClassVar[int]
    slug: str
    name: str
    idempotency_key: str
    synthetic: bool
    def __init__(self, slug: _Optional[str] = ..., name: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., synthetic: _Optional[bool] = ...) -> None: ...

class CreateSchoolResponse(_message.Message):
    __slots__ = ("school", "replayed")
    SCHOOL_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    school: School
    replayed: bool
    def __init__(self, school: _Optional[_Union[School, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class EventFields(_message.Message):
    __slots__ = ("slug", "title", "description", "location", "starts_at", "ends_at", "capacity", "max_spots_per_registration", "price_agorot", "currency", "waitlist_enabled", "waitlist_policy", "hold_seconds", "cancellation_deadline_hours", "status")
    SLUG_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    STARTS_AT_FIELD_NUMBER: _ClassVar[int]
    ENDS_AT_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    MAX_SPOTS_PER_REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    PRICE_AGOROT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    WAITLIST_ENABLED_FIELD_NUMBER: _ClassVar[int]
    WAITLIST_POLICY_FIELD_NUMBER: _ClassVar[int]
    HOLD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CANCELLATION_DEADLINE_HOURS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    slug: str
    title: str
    description: str
    location: str
    starts_at: _timestamp_pb2.Timestamp
    ends_at: _timestamp_pb2.Timestamp
    capacity: int
    max_spots_per_registration: int
    price_agorot: int
    currency: str
    waitlist_enabled: bool
    waitlist_policy: WaitlistPolicy
    hold_seconds: int
    cancellation_deadline_hours: int
    status: EventStatus
    def __init__(self, slug: _Optional[str] = ..., title: _Optional[str] = ..., description: _Optional[str] = ..., location: _Optional[str] = ..., starts_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ends_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., capacity: _Optional[int] = ..., max_spots_per_registration: _Optional[int] = ..., price_agorot: _Optional[int] = ..., currency: _Optional[str] = ..., waitlist_enabled: _Optional[bool] = ..., waitlist_policy: _Optional[_Union[WaitlistPolicy, str]] = ..., hold_seconds: _Optional[int] = ..., cancellation_deadline_hours: _Optional[int] = ..., status: _Optional[_Union[EventStatus, str]] = ...) -> None: ...

class CreateEventRequest(_message.Message):
    __slots__ = ("school", "fields", "idempotency_key")
    SCHOOL_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    school: str
    fields: EventFields
    idempotency_key: str
    def __init__(self, school: _Optional[str] = ..., fields: _Optional[_Union[EventFields, _Mapping]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class CreateEventResponse(_message.Message):
    __slots__ = ("event", "replayed")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    event: Event
    replayed: bool
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...

class GetEventRequest(_message.Message):
    __slots__ = ("school", "event")
    SCHOOL_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    school: str
    event: str
    def __init__(self, school: _Optional[str] = ..., event: _Optional[str] = ...) -> None: ...

class GetEventResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: Event
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class ListEventsRequest(_message.Message):
    __slots__ = ("school", "limit", "cursor")
    SCHOOL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    school: str
    limit: int
    cursor: str
    def __init__(self, school: _Optional[str] = ..., limit: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class ListEventsResponse(_message.Message):
    __slots__ = ("events", "next_cursor")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    next_cursor: str
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class UpdateEventRequest(_message.Message):
    __slots__ = ("school", "event", "fields")
    SCHOOL_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    school: str
    event: str
    fields: EventFields
    def __init__(self, school: _Optional[str] = ..., event: _Optional[str] = ..., fields: _Optional[_Union[EventFields, _Mapping]] = ...) -> None: ...

class UpdateEventResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: Event
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class DeleteEventRequest(_message.Message):
    __slots__ = ("school", "event")
    SCHOOL_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    school: str
    event: str
    def __init__(self, school: _Optional[str] = ..., event: _Optional[str] = ...) -> None: ...

class DeleteEventResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RegisterRequest(_message.Message):
    __slots__ = ("school", "event", "name", "phone", "email", "spots", "idempotency_key")
    SCHOOL_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PHONE_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    SPOTS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    school: str
    event: str
    name: str
    phone: str
    email: str
    spots: int
    idempotency_key: str
    def __init__(self, school: _Optional[str] = ..., event: _Optional[str] = ..., name: _Optional[str] = ..., phone: _Optional[str] = ..., email: _Optional[str] = ..., spots: _Optional[int] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class RegisterResponse(_message.Message):
    __slots__ = ("id", "status", "confirmation_code", "spots", "waitlist_position", "hold_expires_at", "manage_token", "replayed", "pay_token")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CONFIRMATION_CODE_FIELD_NUMBER: _ClassVar[int]
    SPOTS_FIELD_NUMBER: _ClassVar[int]
    WAITLIST_POSITION_FIELD_NUMBER: _ClassVar[int]
    HOLD_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    MANAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    PAY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    id: str
    status: RegistrationStatus
    confirmation_code: str
    spots: int
    waitlist_position: int
    hold_expires_at: _timestamp_pb2.Timestamp
    manage_token: str
    replayed: bool
    pay_token: str
    def __init__(self, id: _Optional[str] = ..., status: _Optional[_Union[RegistrationStatus, str]] = ..., confirmation_code: _Optional[str] = ..., spots: _Optional[int] = ..., waitlist_position: _Optional[int] = ..., hold_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., manage_token: _Optional[str] = ..., replayed: _Optional[bool] = ..., pay_token: _Optional[str] = ...) -> None: ...

class RegisterBatchRequest(_message.Message):
    __slots__ = ("items",)
    class Item(_message.Message):
        __slots__ = ("request", "traceparent", "timeout_ms")
        REQUEST_FIELD_NUMBER: _ClassVar[int]
        TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
        TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
        request: RegisterRequest
        traceparent: str
        timeout_ms: int
        def __init__(self, request: _Optional[_Union[RegisterRequest, _Mapping]] = ..., traceparent: _Optional[str] = ..., timeout_ms: _Optional[int] = ...) -> None: ...
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[RegisterBatchRequest.Item]
    def __init__(self, items: _Optional[_Iterable[_Union[RegisterBatchRequest.Item, _Mapping]]] = ...) -> None: ...

class RegisterBatchResponse(_message.Message):
    __slots__ = ("results",)
    class Result(_message.Message):
        __slots__ = ("response", "error")
        RESPONSE_FIELD_NUMBER: _ClassVar[int]
        ERROR_FIELD_NUMBER: _ClassVar[int]
        response: RegisterResponse
        error: _status_pb2.Status
        def __init__(self, response: _Optional[_Union[RegisterResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[RegisterBatchResponse.Result]
    def __init__(self, results: _Optional[_Iterable[_Union[RegisterBatchResponse.Result, _Mapping]]] = ...) -> None: ...

class GetRegistrationRequest(_message.Message):
    __slots__ = ("id", "manage_token")
    ID_FIELD_NUMBER: _ClassVar[int]
    MANAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    id: str
    manage_token: str
    def __init__(self, id: _Optional[str] = ..., manage_token: _Optional[str] = ...) -> None: ...

class GetRegistrationResponse(_message.Message):
    __slots__ = ("registration",)
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    registration: Registration
    def __init__(self, registration: _Optional[_Union[Registration, _Mapping]] = ...) -> None: ...

class ListRegistrationsRequest(_message.Message):
    __slots__ = ("school", "event", "cursor", "limit", "status")
    SCHOOL_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    school: str
    event: str
    cursor: str
    limit: int
    status: RegistrationStatus
    def __init__(self, school: _Optional[str] = ..., event: _Optional[str] = ..., cursor: _Optional[str] = ..., limit: _Optional[int] = ..., status: _Optional[_Union[RegistrationStatus, str]] = ...) -> None: ...

class ListRegistrationsResponse(_message.Message):
    __slots__ = ("items", "next_cursor")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Registration]
    next_cursor: str
    def __init__(self, items: _Optional[_Iterable[_Union[Registration, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class ExportRegistrationsRequest(_message.Message):
    __slots__ = ("school", "event")
    SCHOOL_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    school: str
    event: str
    def __init__(self, school: _Optional[str] = ..., event: _Optional[str] = ...) -> None: ...

class ExportRegistrationsResponse(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Registration]
    def __init__(self, items: _Optional[_Iterable[_Union[Registration, _Mapping]]] = ...) -> None: ...

class CancelRegistrationRequest(_message.Message):
    __slots__ = ("id", "manage_token", "reason", "refund_agorot")
    ID_FIELD_NUMBER: _ClassVar[int]
    MANAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REFUND_AGOROT_FIELD_NUMBER: _ClassVar[int]
    id: str
    manage_token: str
    reason: str
    refund_agorot: int
    def __init__(self, id: _Optional[str] = ..., manage_token: _Optional[str] = ..., reason: _Optional[str] = ..., refund_agorot: _Optional[int] = ...) -> None: ...

class CancelRegistrationResponse(_message.Message):
    __slots__ = ("registration",)
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    registration: Registration
    def __init__(self, registration: _Optional[_Union[Registration, _Mapping]] = ...) -> None: ...

class ConfirmHoldRequest(_message.Message):
    __slots__ = ("registration_id",)
    REGISTRATION_ID_FIELD_NUMBER: _ClassVar[int]
    registration_id: str
    def __init__(self, registration_id: _Optional[str] = ...) -> None: ...

class ConfirmHoldResponse(_message.Message):
    __slots__ = ("registration",)
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    registration: Registration
    def __init__(self, registration: _Optional[_Union[Registration, _Mapping]] = ...) -> None: ...

class ReleaseHoldRequest(_message.Message):
    __slots__ = ("registration_id", "reason")
    REGISTRATION_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    registration_id: str
    reason: str
    def __init__(self, registration_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ReleaseHoldResponse(_message.Message):
    __slots__ = ("registration",)
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    registration: Registration
    def __init__(self, registration: _Optional[_Union[Registration, _Mapping]] = ...) -> None: ...

class ExtendHoldRequest(_message.Message):
    __slots__ = ("registration_id", "seconds")
    REGISTRATION_ID_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    registration_id: str
    seconds: int
    def __init__(self, registration_id: _Optional[str] = ..., seconds: _Optional[int] = ...) -> None: ...

class ExtendHoldResponse(_message.Message):
    __slots__ = ("registration",)
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    registration: Registration
    def __init__(self, registration: _Optional[_Union[Registration, _Mapping]] = ...) -> None: ...

class ReclaimHoldRequest(_message.Message):
    __slots__ = ("registration_id", "seconds")
    REGISTRATION_ID_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    registration_id: str
    seconds: int
    def __init__(self, registration_id: _Optional[str] = ..., seconds: _Optional[int] = ...) -> None: ...

class ReclaimHoldResponse(_message.Message):
    __slots__ = ("registration",)
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    registration: Registration
    def __init__(self, registration: _Optional[_Union[Registration, _Mapping]] = ...) -> None: ...

class GetHoldRequest(_message.Message):
    __slots__ = ("registration_id", "manage_token", "pay_token")
    REGISTRATION_ID_FIELD_NUMBER: _ClassVar[int]
    MANAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PAY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    registration_id: str
    manage_token: str
    pay_token: str
    def __init__(self, registration_id: _Optional[str] = ..., manage_token: _Optional[str] = ..., pay_token: _Optional[str] = ...) -> None: ...

class GetHoldResponse(_message.Message):
    __slots__ = ("registration", "event")
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    registration: Registration
    event: Event
    def __init__(self, registration: _Optional[_Union[Registration, _Mapping]] = ..., event: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class RegistrationChange(_message.Message):
    __slots__ = ("registration_id", "event_id", "school", "status", "changed_at", "traceparent", "price_agorot", "starts_at", "cancellation_deadline_hours", "refund_agorot", "school_synthetic", "school_id", "id")
    REGISTRATION_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    SCHOOL_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    PRICE_AGOROT_FIELD_NUMBER: _ClassVar[int]
    STARTS_AT_FIELD_NUMBER: _ClassVar[int]
    CANCELLATION_DEADLINE_HOURS_FIELD_NUMBER: _ClassVar[int]
    REFUND_AGOROT_FIELD_NUMBER: _ClassVar[int]
    SCHOOL_SYNTHETIC_FIELD_NUMBER: _ClassVar[int]
    SCHOOL_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    registration_id: str
    event_id: str
    school: str
    status: RegistrationStatus
    changed_at: _timestamp_pb2.Timestamp
    traceparent: str
    price_agorot: int
    starts_at: _timestamp_pb2.Timestamp
    cancellation_deadline_hours: int
    refund_agorot: int
    school_synthetic: bool
    school_id: str
    id: str
    def __init__(self, registration_id: _Optional[str] = ..., event_id: _Optional[str] = ..., school: _Optional[str] = ..., status: _Optional[_Union[RegistrationStatus, str]] = ..., changed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., traceparent: _Optional[str] = ..., price_agorot: _Optional[int] = ..., starts_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cancellation_deadline_hours: _Optional[int] = ..., refund_agorot: _Optional[int] = ..., school_synthetic: _Optional[bool] = ..., school_id: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class ListChangesRequest(_message.Message):
    __slots__ = ("cursor", "limit", "statuses", "consumer")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    limit: int
    statuses: _containers.RepeatedScalarFieldContainer[RegistrationStatus]
    consumer: str
    def __init__(self, cursor: _Optional[str] = ..., limit: _Optional[int] = ..., statuses: _Optional[_Iterable[_Union[RegistrationStatus, str]]] = ..., consumer: _Optional[str] = ...) -> None: ...

class ListChangesResponse(_message.Message):
    __slots__ = ("changes", "cursor")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[RegistrationChange]
    cursor: str
    def __init__(self, changes: _Optional[_Iterable[_Union[RegistrationChange, _Mapping]]] = ..., cursor: _Optional[str] = ...) -> None: ...

class AcknowledgeChangesRequest(_message.Message):
    __slots__ = ("consumer", "ids")
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    consumer: str
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, consumer: _Optional[str] = ..., ids: _Optional[_Iterable[str]] = ...) -> None: ...

class AcknowledgeChangesResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckInRequest(_message.Message):
    __slots__ = ("school", "event", "confirmation_code")
    SCHOOL_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    CONFIRMATION_CODE_FIELD_NUMBER: _ClassVar[int]
    school: str
    event: str
    confirmation_code: str
    def __init__(self, school: _Optional[str] = ..., event: _Optional[str] = ..., confirmation_code: _Optional[str] = ...) -> None: ...

class CheckInResponse(_message.Message):
    __slots__ = ("registration",)
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    registration: Registration
    def __init__(self, registration: _Optional[_Union[Registration, _Mapping]] = ...) -> None: ...

class UndoCheckInRequest(_message.Message):
    __slots__ = ("school", "event", "id")
    SCHOOL_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    school: str
    event: str
    id: str
    def __init__(self, school: _Optional[str] = ..., event: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class UndoCheckInResponse(_message.Message):
    __slots__ = ("registration",)
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    registration: Registration
    def __init__(self, registration: _Optional[_Union[Registration, _Mapping]] = ...) -> None: ...

class GetSchoolStatsRequest(_message.Message):
    __slots__ = ("school",)
    SCHOOL_FIELD_NUMBER: _ClassVar[int]
    school: str
    def __init__(self, school: _Optional[str] = ...) -> None: ...

class GetSchoolStatsResponse(_message.Message):
    __slots__ = ("events", "active_events", "registrations", "confirmed", "pending_payment", "waitlisted", "cancelled", "expired", "checked_in", "capacity_spots", "confirmed_spots", "held_spots", "capacity_utilization")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_EVENTS_FIELD_NUMBER: _ClassVar[int]
    REGISTRATIONS_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    PENDING_PAYMENT_FIELD_NUMBER: _ClassVar[int]
    WAITLISTED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    CHECKED_IN_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_SPOTS_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_SPOTS_FIELD_NUMBER: _ClassVar[int]
    HELD_SPOTS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_UTILIZATION_FIELD_NUMBER: _ClassVar[int]
    events: int
    active_events: int
    registrations: int
    confirmed: int
    pending_payment: int
    waitlisted: int
    cancelled: int
    expired: int
    checked_in: int
    capacity_spots: int
    confirmed_spots: int
    held_spots: int
    capacity_utilization: float
    def __init__(self, events: _Optional[int] = ..., active_events: _Optional[int] = ..., registrations: _Optional[int] = ..., confirmed: _Optional[int] = ..., pending_payment: _Optional[int] = ..., waitlisted: _Optional[int] = ..., cancelled: _Optional[int] = ..., expired: _Optional[int] = ..., checked_in: _Optional[int] = ..., capacity_spots: _Optional[int] = ..., confirmed_spots: _Optional[int] = ..., held_spots: _Optional[int] = ..., capacity_utilization: _Optional[float] = ...) -> None: ...

class WatchEventRequest(_message.Message):
    __slots__ = ("school", "event")
    SCHOOL_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    school: str
    event: str
    def __init__(self, school: _Optional[str] = ..., event: _Optional[str] = ...) -> None: ...

class WatchEventResponse(_message.Message):
    __slots__ = ("seats", "promoted")
    SEATS_FIELD_NUMBER: _ClassVar[int]
    PROMOTED_FIELD_NUMBER: _ClassVar[int]
    seats: Seats
    promoted: int
    def __init__(self, seats: _Optional[_Union[Seats, _Mapping]] = ..., promoted: _Optional[int] = ...) -> None: ...
