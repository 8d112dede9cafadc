"""Check how `ticketcap sql` and `ticketcap dump` start their programs."""

from pathlib import Path

import pytest
from ticketcap_local.settings import StackSettings
from ticketcap_local.sql import NoDatabase, pg_dump, psql

EXTERNAL = StackSettings(
    database_url="postgresql://me:p%40ss@db:5/registration", payment_database_url="postgresql://me@db/payment"
)


def test_the_password_is_no_argument() -> None:
    """Every user of the machine sees the arguments of a process."""
    program, arguments, environment = psql(EXTERNAL, "registration", command="SELECT 1", as_owner=False)
    assert program.endswith("/psql")
    assert "--dbname=postgresql://me@db:5/registration" in arguments
    assert arguments[-2:] == ["--command", "SELECT 1"]
    assert environment["PGPASSWORD"] == "p@ss"
    assert environment["PGOPTIONS"] == "-c role=registration_jobs"


def test_the_owner_is_an_option() -> None:
    """Corrections of rows are made as the owner, looking is not."""
    assert psql(EXTERNAL, "payment", command="", as_owner=True)[2]["PGOPTIONS"] == ""


def test_a_dump_is_one_file(tmp_path: Path) -> None:
    """The password is no argument either."""
    program, arguments, environment = pg_dump(EXTERNAL, "registration", tmp_path / "registration.dump")
    assert program.endswith("/pg_dump")
    assert f"--file={tmp_path}/registration.dump" in arguments
    assert "p@ss" not in str(arguments)
    assert environment["PGPASSWORD"] == "p@ss"


def test_an_unavailable_database_is_an_error_that_says_why(tmp_path: Path) -> None:
    """A service without a database, and a stack that never ran."""
    with pytest.raises(NoDatabase, match="has no database"):
        psql(EXTERNAL, "gateway", command="", as_owner=False)
    with pytest.raises(NoDatabase, match="make run"):
        psql(StackSettings(state_dir=tmp_path), "payment", command="", as_owner=False)
