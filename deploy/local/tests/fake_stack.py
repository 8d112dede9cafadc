"""Run a stack of tiny parts, or one of them.

`fake_stack.py` runs `up` over them; `fake_stack.py http|grpc PORT` runs one.

FAKE_FAULT=dies: the front ends before it is ready. FAKE_FAULT=stubborn: the front ignores SIGTERM.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer

from ticketcap_local.part import Part
from ticketcap_local.process import CommandPart, ServicePart
from ticketcap_local.ready import grpc_serving, http_ok
from ticketcap_local.settings import HOST, StackSettings
from ticketcap_local.state import StateFolder
from ticketcap_local.up import StackError, up


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


def serve_http(port: int) -> None:
    if os.environ.get("FAKE_FAULT") == "dies":
        sys.exit("no luck today")
    server = HTTPServer((HOST, port), _Ready)
    if os.environ.get("FAKE_FAULT") == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(0.02)


async def serve_grpc(port: int) -> None:
    import grpc.aio
    from grpc_health.v1 import health, health_pb2_grpc

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    server.add_insecure_port(f"{HOST}:{port}")
    await server.start()
    await stop.wait()
    await server.stop(None)


def parts(settings: StackSettings, state: StateFolder) -> Sequence[Part]:
    me = [sys.executable, __file__]
    back, front = settings.registration_port, settings.gateway_port
    return [
        ServicePart(
            name="back",
            argv=[*me, "grpc", str(back)],
            env=dict,
            address=f"{HOST}:{back}",
            ready=grpc_serving(back),
            log_file=state.logs / "back.log",
        ),
        CommandPart(
            name="work",
            argv=[sys.executable, "-c", "print('worked')"],
            env=dict,
            needs=["back"],
            log_file=state.logs / "work.log",
        ),
        ServicePart(
            name="front",
            argv=[*me, "http", str(front)],
            env=dict,
            address=settings.gateway_url,
            needs=["work"],
            ready=http_ok(front, "/readyz"),
            log_file=state.logs / "front.log",
        ),
    ]


async def fill(_gateway_url: str, _jwt_secret: str) -> None:
    """Create no demo school: the tiny parts have no API."""


def main(arguments: list[str]) -> None:
    match arguments:
        case ["http", port]:
            serve_http(int(port))
        case ["grpc", port]:
            asyncio.run(serve_grpc(int(port)))
        case _:
            try:
                asyncio.run(up(StackSettings.read(), print, parts=parts, fill=fill))
            except StackError as error:
                sys.exit(f"ticketcap: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
