"""Bind an idempotency key to the body of its first request."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid5

from ticketcap_registration.domain.errors import IdempotencyKeyReused

_SCHOOLS: Final = UUID("5f0c7d1e-3a52-4b86-9d1f-6c2e8a4b7093")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """A caller's key, the scope in which it is unique, and the fingerprint of its request's body."""

    scope: str
    key: str
    fingerprint: str


def must_be_same_body(stored: str, fingerprint: str) -> None:
    """Raise IdempotencyKeyReused unless the key's stored fingerprint is that of the request."""
    if stored != fingerprint:
        raise IdempotencyKeyReused


def id_of_new_school(key: str) -> UUID:
    """Return the id of the school that a request with this key opens.

    A key is stored in its school, so a repeated request must find the school by the key alone. An id tells nothing of
    a key that is hard to guess.
    """
    return uuid5(_SCHOOLS, key)


def fingerprint(operation: str, body: Mapping[str, object]) -> str:
    """Return 64 hex digits that are equal for equal bodies of the same operation.

    Only the digest is stored: the bodies hold personal data.
    """
    canonical = json.dumps(
        [operation, dict(body)], sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str
    )
    return hashlib.sha256(canonical.encode()).hexdigest()
