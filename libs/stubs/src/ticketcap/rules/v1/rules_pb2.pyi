from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor
LINE_FIELD_NUMBER: _ClassVar[int]
line: _descriptor.FieldDescriptor
TEXT_FIELD_NUMBER: _ClassVar[int]
text: _descriptor.FieldDescriptor
TITLE_FIELD_NUMBER: _ClassVar[int]
title: _descriptor.FieldDescriptor
VISIBLE_ASCII_FIELD_NUMBER: _ClassVar[int]
visible_ascii: _descriptor.FieldDescriptor
SLUG_FIELD_NUMBER: _ClassVar[int]
slug: _descriptor.FieldDescriptor
IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
idempotency_key: _descriptor.FieldDescriptor
CURSOR_FIELD_NUMBER: _ClassVar[int]
cursor: _descriptor.FieldDescriptor
TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
traceparent: _descriptor.FieldDescriptor
DIGITS_FIELD_NUMBER: _ClassVar[int]
digits: _descriptor.FieldDescriptor
CURRENCY_FIELD_NUMBER: _ClassVar[int]
currency: _descriptor.FieldDescriptor
