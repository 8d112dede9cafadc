"""Tell the simulator's time: the real time, moved by tests."""

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

ISRAEL: Final = ZoneInfo("Asia/Jerusalem")


class Clock:
    """Real time plus an offset."""

    def __init__(self) -> None:
        self._offset = timedelta()

    @property
    def offset_seconds(self) -> float:
        """How far it is ahead of real time."""
        return self._offset.total_seconds()

    def now(self) -> datetime:
        """Return the present, in UTC."""
        return datetime.now(UTC) + self._offset

    def advance(self, seconds: float) -> None:
        """Move it; negative seconds move it back. Raise OverflowError when no calendar reaches that far."""
        offset = self._offset + timedelta(seconds=seconds)
        datetime.now(UTC) + offset  # fails here, before it is stored
        self._offset = offset

    def set(self, moment: datetime) -> None:
        """Set the time to ``moment``; it runs on from there."""
        self._offset = moment - datetime.now(UTC)

    def reset(self) -> None:
        """Go back to real time."""
        self._offset = timedelta()


def cut_off_after(moment: datetime, cut_off: str) -> datetime:
    """Return when a charge of ``moment`` is transmitted: the first ``cut_off`` (HH:MM in Israel) after it."""
    hours, minutes = map(int, cut_off.split(":"))
    local = moment.astimezone(ISRAEL)
    candidate = local.replace(hour=hours, minute=minutes, second=0, microsecond=0)
    if candidate <= local:
        candidate += timedelta(days=1)
    return candidate.astimezone(UTC)
