"""The secret that lets its holder see and cancel one registration.

A token is derived from the registration's id with a key of the service, so a
repeated request gets the same one back and the database holds none to steal.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ManageTokens:
    """Makes tokens with the first key and accepts those of every key, so that a key can be replaced."""

    keys: tuple[bytes, ...]

    def issue(self, registration_id: UUID) -> str:
        """Return the token of a registration: 43 characters, URL-safe."""
        return _token(self.keys[0], registration_id)

    def matches(self, registration_id: UUID, token: str) -> bool:
        """Say whether ``token`` opens this registration, in constant time per key."""
        given = token.encode()
        return any([hmac.compare_digest(_token(key, registration_id).encode(), given) for key in self.keys])  # noqa: C419


def _token(key: bytes, registration_id: UUID) -> str:
    digest = hmac.digest(key, b"manage-token:" + registration_id.bytes, hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
