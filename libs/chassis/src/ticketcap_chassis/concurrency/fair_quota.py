"""Limit how many slots each holder has, without waiting."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class FairQuota:
    """Lend at most ``most`` slots in all, and at most ``share`` to one name; never wait.

    A holder with several names counts under each. A name without a slot is forgotten, so ``most`` bounds the memory.
    """

    def __init__(self, *, most: int, share: int) -> None:
        self.most = most
        self.share = share
        self.held = 0
        self._by_name: dict[str, int] = {}

    @property
    def is_full(self) -> bool:
        """Return True when no slot is free."""
        return self.held >= self.most

    def used_up(self, names: Iterable[str]) -> bool:
        """Return whether one of ``names`` has its share."""
        return any(self._by_name.get(name, 0) >= self.share for name in names)

    @contextmanager
    def hold(self, names: Iterable[str]) -> Iterator[None]:
        """Hold one slot under ``names`` while the code inside runs. Check ``is_full`` and ``used_up`` before."""
        names = tuple(names)
        self.held += 1
        for name in names:
            self._by_name[name] = self._by_name.get(name, 0) + 1
        try:
            yield
        finally:
            self.held -= 1
            for name in names:
                left = self._by_name.pop(name) - 1
                if left:
                    self._by_name[name] = left
