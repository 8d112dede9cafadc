"""Share the gateway's connections among the addresses that open them.

Only a connection that was idle, or without a whole head, for a second makes
room for another: on a new one a request may be on its way.
"""

import enum
import time
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

from ticketcap_gateway.edge.addresses import Network, is_trusted, subscriber

_GRACE_SECONDS: Final = 1.0


class Standing(enum.Enum):
    """The progress of a connection's current request."""

    IDLE = "no request has begun"
    HEAD = "a part of a request's head has arrived"
    BUSY = "a request is in progress"


class Connection(Protocol):
    """One client's connection."""

    def make_room(self) -> None:
        """Close, for another connection."""
        ...


class _Peer:
    """The connections of one address by standing, oldest first, each with the time since when."""

    def __init__(self) -> None:
        self.members: dict[Standing, dict[Connection, float]] = {standing: {} for standing in Standing}

    def __len__(self) -> int:
        return sum(len(members) for members in self.members.values())

    def oldest(self, standing: Standing, before: float) -> Connection | None:
        """Return the connection that has this standing longest, since ``before`` or earlier."""
        connection, since = next(iter(self.members[standing].items()), (None, 0.0))
        return connection if since <= before else None


class ConnectionTable:
    """Counts connections: at most ``most`` in all, and ``share`` of one address.

    An IPv6 /64 is one address; a trusted proxy, which speaks for many, has no
    share. When there is no room for a new connection, an idle one is closed for
    it, or else one whose head is unfinished: of the same address when its share
    is used up, otherwise of the address with most connections.
    """

    def __init__(
        self, *, most: int, share: int, trusted: Sequence[Network], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._share = share
        self._trusted = trusted
        self._clock = clock
        self._peers: dict[str, _Peer] = {}
        self._counted: dict[Connection, tuple[str, Standing]] = {}

    def __len__(self) -> int:
        return len(self._counted)

    def admit(self, connection: Connection, address: str) -> bool:
        """Count a new connection of ``address``; False when there is no room for it."""
        key = subscriber(address)
        peer = self._peers.get(key)
        if peer is not None and len(peer) >= self._share and not is_trusted(address, self._trusted):
            if not self._make_room([peer]):
                return False
        elif len(self) >= self._most and not self._make_room(self._peers.values()):
            return False
        self._counted[connection] = key, Standing.IDLE
        # Made room for, the address may have lost its last connection.
        self._peers.setdefault(key, _Peer()).members[Standing.IDLE][connection] = self._clock()
        return True

    def note(self, connection: Connection, standing: Standing) -> None:
        """Record a connection's standing; an uncounted connection stays uncounted."""
        entry = self._counted.get(connection)
        if entry is None or entry[1] is standing:
            return
        key, before = entry
        members = self._peers[key].members
        del members[before][connection]
        members[standing][connection] = self._clock()
        self._counted[connection] = key, standing

    def leave(self, connection: Connection) -> None:
        """Stop counting a connection."""
        entry = self._counted.pop(connection, None)
        if entry is not None:
            key, standing = entry
            peer = self._peers[key]
            del peer.members[standing][connection]
            if not len(peer):
                del self._peers[key]

    def _make_room(self, peers: Collection[_Peer]) -> bool:
        before = self._clock() - _GRACE_SECONDS
        for standing in (Standing.IDLE, Standing.HEAD):
            closable = [peer for peer in peers if peer.oldest(standing, before) is not None]
            if closable:
                connection = max(closable, key=len).oldest(standing, before)
                assert connection is not None  # noqa: S101 - closable says so
                self.leave(connection)
                connection.make_room()
                return True
        return False
