"""The table of connections: who has a place, and who gives it to another."""

import pytest
from ticketcap_gateway.http.connections import ConnectionTable, Standing


class _Connection:
    """A connection of the table's tests."""

    def __init__(self) -> None:
        self.is_closed = False

    def make_room(self) -> None:
        self.is_closed = True


def test_the_table_forgets_what_left() -> None:
    """No place and no address is kept; who is not counted stays uncounted."""
    table = ConnectionTable(most=2, share=2, trusted=())
    connections = [_Connection() for _ in range(3)]
    assert [table.admit(connection, "192.0.2.1") for connection in connections] == [True, True, False]
    table.note(connections[2], Standing.BUSY)
    for connection in (*connections, *connections):
        table.leave(connection)
    assert len(table) == 0
    assert table.admit(connections[2], "")


@pytest.mark.parametrize("standing", [Standing.IDLE, Standing.HEAD])
def test_the_table_closes_nothing_that_has_just_come(standing: Standing) -> None:
    """A request may be on its way; a second later there is none."""
    now = 100.0
    table = ConnectionTable(most=2, share=2, trusted=(), clock=lambda: now)
    first, second, third = _Connection(), _Connection(), _Connection()
    for connection in (first, second):
        assert table.admit(connection, "192.0.2.1")
        table.note(connection, standing)
    assert not table.admit(third, "192.0.2.2")
    now += 1
    assert table.admit(third, "192.0.2.2")
    assert (first.is_closed, second.is_closed, len(table)) == (True, False, 2)
