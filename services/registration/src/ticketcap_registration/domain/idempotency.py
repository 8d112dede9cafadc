"""One effect per key: what a body is, so that a key can't come back with another one."""

import hashlib
import json
from collections.abc import Mapping


def fingerprint(operation: str, body: Mapping[str, object]) -> str:
    """Return 64 hex digits that are equal for equal bodies of the same operation.

    Only the digest is kept: the bodies hold personal data.
    """
    canonical = json.dumps(
        [operation, dict(body)], sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str
    )
    return hashlib.sha256(canonical.encode()).hexdigest()
