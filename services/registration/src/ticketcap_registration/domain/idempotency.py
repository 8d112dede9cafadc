"""Bind an idempotency key to the body of its first request."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from ticketcap_registration.domain.errors import IdempotencyKeyReused


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


def fingerprint(operation: str, body: Mapping[str, object]) -> str:
    """Return 64 hex digits that are equal for equal bodies of the same operation.

    Only the digest is stored: the bodies hold personal data.
    """
    canonical = json.dumps(
        [operation, dict(body)], sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str
    )
    return hashlib.sha256(canonical.encode()).hexdigest()
