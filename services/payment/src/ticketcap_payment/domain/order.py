"""Make the Order, a payment's reference at YaadPay; read its tag.

Letters and digits only, and 20 of them: YaadPay may drop every other character, and may cut a longer Order.
"""

import re
import secrets
from typing import Final
from uuid import UUID

from ticketcap_chassis.tagged_ids import tag_of

_ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_RANDOM: Final = 13
"""Letters and digits of five bits each: 65 random bits."""
# Earlier releases made Orders of TC and 18 letters of the alphabet, which has no 0.
_TAGGED: Final = re.compile(f"TC0(?P<tag>[0-9A-F]{{4}})[{_ALPHABET}]{{{_RANDOM}}}")
_UNTAGGED: Final = re.compile(f"TC[{_ALPHABET}]{{18}}")


def new_order(school_id: UUID) -> str:
    """Return an unguessable Order with the tag of a school: TC0, the tag, and 13 random letters and digits."""
    return f"TC0{tag_of(school_id).upper()}{''.join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))}"


def tag_of_order(order: str) -> str | None:
    """Return the tag in an Order, or None when it has none."""
    tagged = _TAGGED.fullmatch(order)
    return tagged["tag"].lower() if tagged else None


def is_untagged_order(order: str) -> bool:
    """Say whether an Order may be of a release before tags."""
    return _UNTAGGED.fullmatch(order) is not None
