"""Check how `ticketcap sql` and `ticketcap dump` start their programs."""

import os
import subprocess
from pathlib import Path

import psycopg
import pytest
from ticketcap_local.settings import StackSettings
from ticketcap_local.sql import NoDatabase, pg_dump, psql
from ticketcap_testing.stack import connection_forms, postgres_server

EXTERNAL = StackSettings(
    database_url="postgresql://me:p%40ss@db:5/registration", payment_database_url="postgresql://me@db/payment"
)


def test_the_password_is_no_argument() -> None:
    """Every user of the machine sees the arguments of a process."""
    program, arguments, environment = psql(EXTERNAL, "registration", command="SELECT 1", as_owner=False)
    assert program.endswith("/psql")
    assert "--dbname=user=me dbname=registration host=db port=5 options='-c role=registration_jobs'" in arguments
    assert arguments[-2:] == ["--command", "SELECT 1"]
    assert environment["PGPASSWORD"] == "p@ss"


def test_the_owner_is_an_option() -> None:
    """Corrections of rows are made as the owner, looking is not."""
    assert "role" not in psql(EXTERNAL, "payment", command="", as_owner=True)[1][1]


def test_psql_takes_every_form_of_a_connection_string(tmp_path: Path) -> None:
    """Each one reaches the database as the role for jobs, also when the string's own options name another."""
    with postgres_server() as server:
        server.create_database("registration")
        with psycopg.connect(server.url("registration"), autocommit=True) as owner:
            owner.execute("CREATE ROLE registration_jobs")
        other_role: tuple[str, dict[str, str]] = (f"{server.url('registration')}?options=-c%20role%3Dpg_monitor", {})
        for form, variables in [*connection_forms(server, "registration", tmp_path), other_role]:
            settings = StackSettings(database_url=form)
            program, arguments, environment = psql(
                settings, "registration", command="SELECT current_user", as_owner=False
            )
            done = subprocess.run(
                [program, *arguments[1:], "--tuples-only", "--no-align"],
                env={**os.environ, **variables, **environment},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.stdout.strip() == "registration_jobs", (form, done.stderr)


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
