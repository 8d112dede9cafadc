"""Send HTTP requests for load generation, at little CPU.

Everything else uses httpx; a rush measures the gateway, not its client.
"""

import asyncio
import json
import ssl
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

_MAX_HEAD: Final = 32 * 1024
_MAX_BODY: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """Status, headers (lower-case names) and the JSON body; the body is None without JSON."""

    status: int
    headers: dict[str, str]
    body: Any


class HttpConnection:
    """One keep-alive connection to one server; it reconnects after the server closes it."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._host = parts.hostname or "127.0.0.1"
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def request(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None, seconds: float = 30.0
    ) -> HttpResponse:
        """Send one request and return its response.

        ``seconds`` limits the whole exchange. Raises OSError, EOFError or TimeoutError; the outcome is then unknown.
        """
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await self._open()
                writer.write(self._message(method, path, body, headers or {}))
                await writer.drain()
                return await self._response(reader)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None or self._reader.at_eof():
            self.close()
            self._reader, self._writer = await asyncio.open_connection(
                self._host, self._port, limit=_MAX_HEAD, ssl=self._tls
            )
        return self._reader, self._writer

    def _message(self, method: str, path: str, body: Any, headers: dict[str, str]) -> bytes:
        content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}:{self._port}", f"Content-Length: {len(content)}"]
        if body is not None:
            lines.append("Content-Type: application/json")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + content

    async def _response(self, reader: asyncio.StreamReader) -> HttpResponse:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(head[0].split(" ")[1])
            headers = _headers(head[1:])
            content = await reader.readexactly(_length(headers))
            is_json = "json" in headers.get("content-type", "")
            body = json.loads(content) if is_json and content else None
        except (ValueError, IndexError, asyncio.LimitOverrunError) as error:
            raise OSError(f"{self._host}:{self._port} sent an invalid HTTP/1.1 response: {error}") from error
        if headers.get("connection", "").lower() == "close":
            self.close()
        return HttpResponse(status, headers, body)


def _headers(lines: list[str]) -> dict[str, str]:
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}


def _length(headers: dict[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise ValueError("the body has no Content-Length")
    length = int(headers.get("content-length") or 0)
    if length > _MAX_BODY:
        raise ValueError(f"the body of {length} bytes is larger than {_MAX_BODY}")
    return length
