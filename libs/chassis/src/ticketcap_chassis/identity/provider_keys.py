"""Cache an identity provider's keys and fetch new ones.

The provider may be slow or down while its tokens are still valid, so a cached key verifies at once, however old it is.
One fetch at a time serves all callers, and each caller waits for it within its own deadline.
"""

import asyncio
import contextvars
import ssl
import time
from collections.abc import Mapping
from typing import Final

import httpx
import jwt
from ticketcap_observability import get_logger

from ticketcap_chassis import deadlines
from ticketcap_chassis.errors import Unavailable
from ticketcap_chassis.identity.tokens import NO_KEYS, KeyLimits, KeyState

_MAX_BYTES: Final = 256 * 1024
_NEVER: Final = float("-inf")

_log = get_logger(__name__)


class UnknownKey(jwt.PyJWTError):
    """The provider has no key of this id."""


class ProviderKeys:
    """The keys of one provider, by their id (``kid``)."""

    def __init__(self, url: str, limits: KeyLimits | None = None) -> None:
        self._url = url
        self._limits = limits or KeyLimits()
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = _NEVER
        self._failing = self._stale_logged = False
        self._fetching: asyncio.Task[None] | None = None
        # The machine's certificate authorities, because a provider may have its own. No connection outlives its fetch,
        # so none has to be closed at the end.
        self._http = httpx.AsyncClient(
            timeout=self._limits.fetch,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=0),
            verify=ssl.create_default_context(),
        )

    @property
    def state(self) -> KeyState:
        """Whether there are keys, and whether they are fresh."""
        if not self._keys:
            return KeyState.MISSING
        return KeyState.STALE if self._age() > self._limits.stale else KeyState.OK

    async def key(self, kid: str) -> jwt.PyJWK:
        """Return the key with the id ``kid``; wait for the provider only if the id is new.

        Raises UnknownKey when the provider has no such key, and Unavailable when it does not answer in time.
        """
        if kid not in self._keys:
            await self._wait_for_fetch()
        if kid in self._keys:
            return self._keys[kid]
        # A fetch that still runs after this caller's deadline has given no answer either.
        if self._failing or self._fetching is not None or not self._keys:
            raise Unavailable("the identity provider's keys can't be fetched; try again", reason=NO_KEYS)
        raise UnknownKey("the identity provider has no key of this id")

    async def refresh(self) -> None:
        """Fetch the keys when they are due; return within the time limit of one fetch."""
        if self._failing or self._age() >= self._limits.refresh:
            await self._wait_for_fetch()
        if self.state is KeyState.STALE and not self._stale_logged:
            self._stale_logged = True
            _log.error("identity.keys_stale", age_seconds=round(self._age()), keys=len(self._keys))

    async def _wait_for_fetch(self) -> None:
        """Wait for the fetch under way, or for a new one unless the last fetch ended within the pause."""
        if self._fetching is None and time.monotonic() - self._tried_at >= self._limits.pause:
            # No await between the check and here, so two callers never start two fetches. The fetch gets a context of
            # its own: it outlives its first caller, with that caller's deadline and trace.
            self._fetching = asyncio.create_task(self._fetch(), name="identity keys", context=contextvars.Context())
        if self._fetching is not None:
            # wait() and not await: a cancelled caller must not cancel the fetch that others wait for.
            await asyncio.wait([self._fetching], timeout=deadlines.bounded(self._limits.fetch))

    async def _fetch(self) -> None:
        try:
            # httpx limits each wait; this limits an answer that arrives byte by byte.
            async with asyncio.timeout(self._limits.fetch):
                self._keys = _signing_keys(await self._document())
        except Exception as error:  # noqa: BLE001 - after any failure the cached keys still verify
            self._failed(error)
        else:
            self._succeeded()
        finally:
            # Before the task is done: a caller that wakes from wait() then sees the result without a fetch under way.
            self._tried_at = time.monotonic()
            self._fetching = None

    async def _document(self) -> bytes:
        async with self._http.stream("GET", self._url, headers={"accept": "application/json"}) as response:
            if response.status_code != httpx.codes.OK:
                raise jwt.PyJWKClientError(f"the identity provider answered HTTP {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise jwt.PyJWKClientError(f"the identity provider's keys have more than {_MAX_BYTES} bytes")
        return bytes(body)

    def _succeeded(self) -> None:
        self._fetched_at = time.monotonic()
        if self._failing:
            _log.info("identity.keys_fetched", keys=len(self._keys))
        self._failing = self._stale_logged = False

    def _failed(self, error: Exception) -> None:
        if not self._failing:
            _log.warning("identity.keys_unavailable", error_type=type(error).__name__, keys=len(self._keys))
        self._failing = True

    def _age(self) -> float:
        return time.monotonic() - self._fetched_at


def _signing_keys(document: bytes) -> Mapping[str, jwt.PyJWK]:
    """Return the keys that sign tokens, by id; raise PyJWTError or ValueError if the document holds none."""
    keys = {
        key.key_id: key
        for key in jwt.PyJWKSet.from_json(document.decode()).keys
        if key.key_id and key.public_key_use in {"sig", None}
    }
    if not keys:
        raise jwt.PyJWKClientError("the identity provider has no key that signs tokens")
    return keys
