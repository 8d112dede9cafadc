"""Check which connection makes room for another one."""

import subprocess
import sys

import pytest
from ticketcap_gateway.edge.connections import ConnectionTable, Standing


class _Connection:
    """A connection of the table's tests."""

    def __init__(self) -> None:
        self.is_closed = False

    def make_room(self) -> None:
        self.is_closed = True


def test_the_table_forgets_what_left() -> None:
    """The table forgets connections and addresses that left; an uncounted connection stays uncounted."""
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


@pytest.mark.parametrize(("files", "connections"), [(1000, 616), (100, 1), (4000, 2048)])
def test_no_more_connections_than_files(files: int, connections: int) -> None:
    """The process opens as many files as it may; a listener without any could neither accept nor refuse."""
    script = (
        "import resource, sys\n"
        "from ticketcap_gateway.edge.server import affordable\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, int(sys.argv[1])))\n"
        "print(affordable(2048), resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(files)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(connections), str(files)]
