"""The secrets that let their holder act on one registration: a manage token to see and cancel, a pay token to pay.

A token is derived from the registration's id with a key of the service, so a
repeated request gets the same one back and the database holds none to steal.
"""

import base64
import enum
import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID


class Purpose(enum.Enum):
    """What a token is good for; a token of one purpose is none of another."""

    MANAGE = b"manage-token:"
    PAY = b"pay-token:"


@dataclass(frozen=True, slots=True)
class HolderTokens:
    """Makes tokens with the first key and accepts those of every key, so that a key can be replaced."""

    purpose: Purpose
    keys: tuple[bytes, ...]

    def issue(self, registration_id: UUID) -> str:
        """Return the token of a registration: 43 characters, URL-safe."""
        return self._token(self.keys[0], registration_id)

    def matches(self, registration_id: UUID, token: str) -> bool:
        """Say whether ``token`` opens this registration, in constant time per key."""
        given = token.encode()
        return any([hmac.compare_digest(self._token(key, registration_id).encode(), given) for key in self.keys])  # noqa: C419

    def _token(self, key: bytes, registration_id: UUID) -> str:
        digest = hmac.digest(key, self.purpose.value + registration_id.bytes, hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
