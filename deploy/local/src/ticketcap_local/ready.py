"""Check whether a part is ready."""

import asyncio
from collections.abc import Awaitable, Callable

from ticketcap_local.settings import HOST


def http_ok(port: int, path: str) -> Callable[[], Awaitable[bool]]:
    """Return a check that is true when GET ``path`` answers 200."""

    async def check() -> bool:
        try:
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_connection(HOST, port)
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                status_line = await reader.readline()
                writer.close()
        except (OSError, TimeoutError):
            return False
        return b" 200 " in status_line

    return check


def grpc_serving(port: int) -> Callable[[], Awaitable[bool]]:
    """Return a check that is true when the gRPC health service answers SERVING."""

    async def check() -> bool:
        import grpc.aio
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        async with grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=2)  # type: ignore[attr-defined]  # set in its constructor
            except grpc.aio.AioRpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    return check
