"""Check how `ticketcap sql` opens psql."""

from pathlib import Path

import pytest
from ticketcap_local.settings import StackSettings
from ticketcap_local.sql import CannotOpen, psql

GIVEN = StackSettings(
    database_url="postgresql://me:p%40ss@db:5/registration", payment_database_url="postgresql://me@db/payment"
)


def test_the_password_is_no_argument() -> None:
    """Every user of the machine sees the arguments of a process."""
    program, arguments, environment = psql(GIVEN, "registration", command="SELECT 1", as_owner=False)
    assert program.endswith("/psql")
    assert "postgresql://me@db:5/registration" in arguments
    assert arguments[-2:] == ["--command", "SELECT 1"]
    assert environment["PGPASSWORD"] == "p@ss"
    assert environment["PGOPTIONS"] == "-c role=registration_jobs"


def test_the_owner_is_asked_for() -> None:
    """Corrections of rows are made as the owner, looking is not."""
    assert psql(GIVEN, "payment", command="", as_owner=True)[2]["PGOPTIONS"] == ""


def test_what_can_not_be_opened_says_why(tmp_path: Path) -> None:
    """A service without a database, and a stack that never ran."""
    with pytest.raises(CannotOpen, match="registration or payment"):
        psql(GIVEN, "gateway", command="", as_owner=False)
    with pytest.raises(CannotOpen, match="make run"):
        psql(StackSettings(state_dir=tmp_path), "payment", command="", as_owner=False)
