"""Decode requests inside their handlers, so that undecodable bytes are refused.

grpc.aio decodes a request before any interceptor's handler runs. Bytes that it
can't decode become UNKNOWN with a Python class name, and each writes an ERROR
line: anyone who reaches the port fills the log. A handler without a
deserializer gets the bytes instead, and decodes them where errors become
statuses.
"""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from ticketcap_chassis.errors import InvalidInput

Context = grpc.aio.ServicerContext[Any, Any]
# A string: grpc's class takes type arguments only in its type stubs.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Parse = Callable[[bytes], Message]
Refuse = Callable[[Context, Exception], Awaitable[None]]

_KINDS: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


def parsing(handler: Handler) -> Parse:
    """Return what decodes a handler's requests; it raises InvalidInput for bytes that are no such message."""
    deserialize = handler.request_deserializer
    assert deserialize is not None  # noqa: S101 - generated code always gives one

    def parse(data: bytes) -> Message:
        try:
            return deserialize(data)  # type: ignore[no-any-return]
        except DecodeError:
            raise InvalidInput(
                "the request's bytes are not the message that this method takes; send the proto's message",
                reason="UNDECODABLE_REQUEST",
            ) from None

    return parse


def decoding(handler: Handler, refuse: Refuse) -> Handler:
    """Return a handler that decodes its requests itself; ``refuse`` answers a call whose bytes are no request.

    For handlers of other libraries: health and reflection. A handler that blocks a thread stays as it is.
    """
    kind = next(kind for kind in _KINDS if getattr(handler, kind))
    behaviour, parse = getattr(handler, kind), parsing(handler)
    read = (lambda requests: _parsed(requests, parse)) if kind.startswith("stream") else parse
    if inspect.iscoroutinefunction(behaviour):
        wrapped: Any = _coroutine(behaviour, read, refuse)
    elif inspect.isasyncgenfunction(behaviour):
        wrapped = _generator(behaviour, read, refuse)
    else:
        return handler
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(wrapped, None, handler.response_serializer)  # type: ignore[no-any-return]


def _coroutine(behaviour: Any, read: Callable[[Any], Any], refuse: Refuse) -> Any:
    async def serve(request: Any, context: Context) -> Any:
        try:
            return await behaviour(read(request), context)
        except InvalidInput as error:
            return await refuse(context, error)

    return serve


def _generator(behaviour: Any, read: Callable[[Any], Any], refuse: Refuse) -> Any:
    async def serve(request: Any, context: Context) -> AsyncGenerator[Any, None]:
        try:
            async with aclosing(behaviour(read(request), context)) as responses:
                async for response in responses:
                    yield response
        except InvalidInput as error:
            await refuse(context, error)

    return serve


async def _parsed(requests: AsyncIterator[bytes], parse: Parse) -> AsyncIterator[Message]:
    async for request in requests:
        yield parse(request)
