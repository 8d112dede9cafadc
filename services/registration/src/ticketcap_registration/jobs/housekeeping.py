"""Deletes idempotency keys and outbox rows that nobody can ask for any more."""

from ticketcap_observability import get_logger

from ticketcap_registration.store.watchkeeping import Watchkeeping

_log = get_logger(__name__)


async def delete_aged(watchkeeping: Watchkeeping, *, idempotency_seconds: float, outbox_seconds: float) -> None:
    """Delete one bounded portion of each table; the next round takes more."""
    for table, seconds in (("idempotency_keys", idempotency_seconds), ("outbox", outbox_seconds)):
        deleted = await watchkeeping.delete_aged(table, seconds)
        if deleted:
            _log.info("housekeeping.deleted", table=table, rows=deleted)
