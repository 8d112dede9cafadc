"""Misbehave for amounts with magic last digits.

The last two digits choose the effect on an approved payment's reply.
"""

from dataclasses import dataclass, field, replace
from typing import Final

_LOST: Final = 99
_SLOW: Final = 98
_BROKEN: Final = 97
_TWICE: Final = 96
_WINDOWS_1255: Final = 95


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """The effects on a payment's reply after the decision."""

    lost: bool = False
    delay_seconds: float = 0.0
    broken: bool = False
    """HTTP 500 and HTML in place of the answer."""
    twice: bool = False
    windows_1255: bool = False
    tampered: dict[str, str] = field(default_factory=dict)
    """Values of the redirect that are replaced after signing."""
    duplicated: dict[str, str] = field(default_factory=dict)
    """Parameters that are put a second time at the redirect's end."""


def effects_of(amount_agorot: int, *, slow_seconds: float) -> Effects:
    """Return what an approved payment of this amount meets."""
    ending = amount_agorot % 100
    return Effects(
        lost=ending == _LOST,
        delay_seconds=slow_seconds if ending == _SLOW else 0.0,
        broken=ending == _BROKEN,
        twice=ending == _TWICE,
        windows_1255=ending == _WINDOWS_1255,
    )


def both(first: Effects, second: Effects) -> Effects:
    """Return what happens when both apply."""
    return replace(
        first,
        lost=first.lost or second.lost,
        delay_seconds=max(first.delay_seconds, second.delay_seconds),
        broken=first.broken or second.broken,
        twice=first.twice or second.twice,
        windows_1255=first.windows_1255 or second.windows_1255,
        tampered={**first.tampered, **second.tampered},
        duplicated={**first.duplicated, **second.duplicated},
    )
