"""Stand in for an identity provider, with real keys and faults."""

import contextlib
import http.server
import json
import threading
import time
from typing import Any, Final, Literal, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from ticketcap_local.ports import is_free

from ticketcap_testing.stack import free_port

ISSUER: Final = "https://login.example.org"
AUDIENCE: Final = "ticketcap-tests"
Fault = Literal["", "silent", "slow", "trickle", "error", "redirect", "garbage", "empty", "huge"]

_SLOW_SECONDS: Final = 0.3
_HUGE_BYTES: Final = 4 * 1024 * 1024
_WAIT_SECONDS: Final = 5.0


class IdentityProvider:
    """Publishes keys by key id and signs tokens with them. ``fault`` is the fault of every answer from now on."""

    def __init__(self) -> None:
        self.port = free_port()
        self.fault: Fault = ""
        self.requests = 0
        self._keys: dict[str, rsa.RSAPrivateKey] = {}
        self._released = threading.Event()
        self._server: http.server.ThreadingHTTPServer | None = None
        self.rotate("one")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The URL of the key set."""
        return f"http://127.0.0.1:{self.port}/jwks"

    @property
    def listens(self) -> bool:
        """True between start and stop."""
        return self._server is not None

    def start(self) -> None:
        """Listen on the same port each time."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while not is_free(self.port) and time.monotonic() < deadline:
            time.sleep(0.01)
        self._released.clear()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on and close open ones."""
        self._released.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def rotate(self, *kids: str) -> None:
        """Publish exactly the keys of ``kids``."""
        self._keys = {kid: self._keys.get(kid) or rsa.generate_private_key(65537, 2048) for kid in kids}

    def token(self, role: str = "OWNER", school: str | None = "herzl", *, kid: str = "one", **claims: Any) -> str:
        """Return a token signed by the key ``kid``; an unknown ``kid`` gets a key that is not published."""
        plain = {"sub": "tester", "role": role, "iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 3600}
        owned = plain if school is None else plain | {"school": school}
        key = self._keys.get(kid) or rsa.generate_private_key(65537, 2048)
        return jwt.encode(owned | claims, key, algorithm="RS256", headers={"kid": kid})

    def _document(self) -> bytes:
        public = {kid: json.loads(RSAAlgorithm.to_jwk(key.public_key())) for kid, key in self._keys.items()}
        keys = [{**key, "kid": kid, "use": "sig", "alg": "RS256"} for kid, key in public.items()]
        return json.dumps({"keys": [] if self.fault == "empty" else keys}).encode()

    def _answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        self.requests += 1
        fault, body = self.fault, self._document()
        if fault == "silent":
            self._released.wait()
            return
        if fault == "slow":
            self._released.wait(_SLOW_SECONDS)
        handler.send_response({"error": 500, "redirect": 302}.get(fault, 200))
        if fault == "redirect":
            handler.send_header("location", "/elsewhere")
        handler.end_headers()
        if fault == "trickle":
            while not self._released.wait(0.05):
                handler.wfile.write(b" ")
            return
        handler.wfile.write({"garbage": b"<html>", "huge": b" " * _HUGE_BYTES}.get(fault, body))

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        provider = self

        class Keys(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(OSError):  # the client closed the connection
                    provider._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        return Keys
