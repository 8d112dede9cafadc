"""Issue and verify manage tokens and pay tokens.

A manage token lets its holder see and cancel one registration, a pay token pay for it.
A token is derived from the registration's id with a key of the service: a repeated
request gets the same one, and the database holds none that could be stolen.
"""

import base64
import enum
import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID


class Purpose(enum.Enum):
    """The use of a token; a token of one purpose is invalid for the other."""

    MANAGE = b"manage-token:"
    PAY = b"pay-token:"


@dataclass(frozen=True, slots=True)
class HolderTokens:
    """Issues tokens with the first key and accepts those of every key, so that a key can be replaced."""

    purpose: Purpose
    keys: tuple[bytes, ...]

    def issue(self, registration_id: UUID) -> str:
        """Return the token of a registration: 43 characters, URL-safe."""
        return self._token(self.keys[0], registration_id)

    def matches(self, registration_id: UUID, token: str) -> bool:
        """Say whether ``token`` is this registration's, in constant time per key."""
        offered = token.encode()
        return any([hmac.compare_digest(self._token(key, registration_id).encode(), offered) for key in self.keys])  # noqa: C419

    def _token(self, key: bytes, registration_id: UUID) -> str:
        digest = hmac.digest(key, self.purpose.value + registration_id.bytes, hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
