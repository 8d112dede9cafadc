"""Delete aged idempotency keys and registration changes."""

from typing import Final
from uuid import UUID

from ticketcap_observability import get_logger

from ticketcap_registration.store.watchkeeping import DELETED_AT_ONCE, Watchkeeping

_PORTIONS: Final = 20
"""Full portions of one school and table in one round."""

_log = get_logger(__name__)


async def delete_aged(watchkeeping: Watchkeeping, *, idempotency_seconds: float, change_log_seconds: float) -> None:
    """Delete from each table, school by school in portions, a bounded number of them; the next round deletes more."""
    for table, seconds in (("idempotency_keys", idempotency_seconds), ("registration_changes", change_log_seconds)):
        deleted = 0
        for school_id in await watchkeeping.schools_with_aged(table, seconds):
            deleted += await _delete_of_school(watchkeeping, table, seconds, school_id)
        if deleted:
            _log.info("housekeeping.deleted", table=table, rows=deleted)


async def _delete_of_school(watchkeeping: Watchkeeping, table: str, seconds: float, school_id: UUID) -> int:
    deleted = 0
    for _ in range(_PORTIONS):
        portion = await watchkeeping.delete_aged(table, seconds, school_id)
        deleted += portion
        if portion < DELETED_AT_ONCE:
            break
    return deleted
