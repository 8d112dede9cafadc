"""Check that a schema at its newest version costs one query."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory
from ticketcap_chassis.database.migration import head
from ticketcap_local.postgres import EmbeddedPostgres

SERVICES = Path(__file__).resolve().parents[3] / "services"


@pytest.mark.parametrize("service", ["registration", "payment"])
def test_the_newest_revision_is_read_from_the_files(service: str) -> None:
    """Files are named by their revision, in the order in which Alembic runs them."""
    folder = SERVICES / f"{service}/src/ticketcap_{service}/store/migrations"
    assert head(folder) == ScriptDirectory(str(folder)).get_current_head()


@pytest.mark.parametrize("service", ["registration", "payment"])
def test_a_second_migration_imports_nothing_and_waits_for_no_lock(postgres: EmbeddedPostgres, service: str) -> None:
    """Nor does it wait while another process holds the migrations' lock; an older schema is upgraded."""
    url = postgres.url(f"twice_{service}")
    first, second = migrate(service, url), ""
    with psycopg.connect(url) as connection:
        connection.execute("LOCK alembic_version IN SHARE ROW EXCLUSIVE MODE")
        second = migrate(service, url)
    assert "alembic" in first
    assert "sqlalchemy" not in second
    assert "ticketcap_observability" not in second


def migrate(service: str, url: str) -> str:
    """Run the command and return the modules that it imported."""
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"ticketcap_{service}", "migrate"],
        env=os.environ | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return process.stderr
