"""Count what each holder has at once, so that one can't take all."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Holders:
    """Those who hold places for a while: at most ``most`` in all, and ``share`` by one holder.

    Who holds under several names counts under each. Memory is bounded by
    ``most``: a name without a place is forgotten.
    """

    def __init__(self, *, most: int, share: int) -> None:
        self.most = most
        self.share = share
        self.held = 0
        self._by_holder: dict[str, int] = {}

    @property
    def is_full(self) -> bool:
        """Whether no place is left for anyone."""
        return self.held >= self.most

    def used_up(self, holders: Iterable[str]) -> bool:
        """Say whether one of ``holders`` has its share."""
        return any(self._by_holder.get(holder, 0) >= self.share for holder in holders)

    @contextmanager
    def hold(self, holders: Iterable[str]) -> Iterator[None]:
        """Hold one place in the name of ``holders`` while the code inside runs. Ask first whether there is one."""
        names = tuple(holders)
        self.held += 1
        for name in names:
            self._by_holder[name] = self._by_holder.get(name, 0) + 1
        try:
            yield
        finally:
            self.held -= 1
            for name in names:
                left = self._by_holder.pop(name) - 1
                if left:
                    self._by_holder[name] = left
