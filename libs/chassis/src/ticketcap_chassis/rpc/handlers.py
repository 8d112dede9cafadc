"""Wrap gRPC handlers: admit, decode, check, and answer errors.

grpc.aio decodes a request before any interceptor's handler runs. Undecodable bytes then become UNKNOWN with a Python
class name and write an ERROR line each, so anyone who reaches the port can fill the log. A handler without a
deserializer receives the bytes instead and decodes them here, where errors become statuses.
"""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from ticketcap_chassis.errors import InvalidInput

Context = grpc.aio.ServicerContext[Any, Any]
# A string: grpc's class takes type arguments only in its type stubs.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Admit = Callable[[Context], Awaitable[AbstractContextManager[None]]]
Check = Callable[[Message], None]
Refuse = Callable[[Context, Exception], Awaitable[None]]

_KINDS: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


def wrap(handler: Handler, *, admit: Admit, check: Check, refuse: Refuse) -> "Handler | None":
    """Return ``handler`` with its steps around it; None when it is no coroutine and no async generator.

    ``admit`` returns the context manager that surrounds the call, ``check`` raises for an invalid request, and
    ``refuse`` answers every exception with a status.
    """
    kind = next(kind for kind in _KINDS if getattr(handler, kind))
    behaviour = getattr(handler, kind)
    read: Any = _reader(handler, check)
    if kind.startswith("stream"):
        read = _each(read)
    if inspect.iscoroutinefunction(behaviour):
        wrapped: Any = _coroutine(behaviour, admit, read, refuse)
    elif inspect.isasyncgenfunction(behaviour):
        wrapped = _generator(behaviour, admit, read, refuse)
    else:
        return None
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(wrapped, None, handler.response_serializer)  # type: ignore[no-any-return]


def _reader(handler: Handler, check: Check) -> Callable[[bytes], Message]:
    deserialize = handler.request_deserializer
    assert deserialize is not None  # noqa: S101 - generated code always gives one

    def read(data: bytes) -> Message:
        try:
            request: Message = deserialize(data)
        except DecodeError:
            raise InvalidInput(
                "the request's bytes are not the message that this method takes; send the proto's message",
                reason="UNDECODABLE_REQUEST",
            ) from None
        check(request)
        return request

    return read


def _each(read: Callable[[bytes], Message]) -> Callable[[AsyncIterator[bytes]], AsyncIterator[Message]]:
    async def read_each(requests: AsyncIterator[bytes]) -> AsyncIterator[Message]:
        async for request in requests:
            yield read(request)

    return read_each


def _coroutine(behaviour: Any, admit: Admit, read: Callable[[Any], Any], refuse: Refuse) -> Any:
    async def serve(data: Any, context: Context) -> Any:
        try:
            with await admit(context):
                return await behaviour(read(data), context)
        except Exception as error:  # noqa: BLE001 - every failure becomes a status
            return await refuse(context, error)

    return serve


def _generator(behaviour: Any, admit: Admit, read: Callable[[Any], Any], refuse: Refuse) -> Any:
    async def serve(data: Any, context: Context) -> AsyncGenerator[Any, None]:
        try:
            with await admit(context):
                async with aclosing(behaviour(read(data), context)) as responses:
                    async for response in responses:
                        yield response
        except Exception as error:  # noqa: BLE001 - every failure becomes a status
            await refuse(context, error)

    return serve
