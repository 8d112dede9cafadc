"""Recognise ids and slugs, which name no person."""

import re
from typing import Final

_IDENTIFIER: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_LONGEST: Final = 63


def is_identifier(text: str) -> bool:
    """Return whether ``text`` is a UUID or a slug."""
    return len(text) <= _LONGEST and _IDENTIFIER.fullmatch(text) is not None
