"""Check that every form of a connection string is parsed alike."""

import pytest
from sqlalchemy.dialects import postgresql
from ticketcap_chassis.database.connection_string import WrongConnectionString, beside, connection_parameters
from ticketcap_chassis.database.engine import driver_url
from ticketcap_chassis.database.settings import MigrateSettings
from ticketcap_chassis.settings import load

TWO = {"user": "u", "dbname": "d", "host": "a,b", "port": "1,2", "target_session_attrs": "read-write"}
FORMS = [
    ("postgresql://u:p%40%2B@h:1/d", {"user": "u", "password": "p@+", "dbname": "d", "host": "h", "port": "1"}),
    ("postgresql://u:a?b@h/d", {"user": "u", "password": "a?b", "dbname": "d", "host": "h"}),
    ("postgres://u@h/d", {"user": "u", "dbname": "d", "host": "h"}),
    ("postgresql+psycopg://u@h/d", {"user": "u", "dbname": "d", "host": "h"}),
    ("postgresql+psycopg2://u@h/d?sslmode=require", {"user": "u", "dbname": "d", "host": "h", "sslmode": "require"}),
    ("postgresql://u@[::1]:5/d", {"user": "u", "dbname": "d", "host": "::1", "port": "5"}),
    ("postgresql://u@%2Frun%2Fpg/d", {"user": "u", "dbname": "d", "host": "/run/pg"}),
    ("postgresql://u@/d?host=/run/pg", {"user": "u", "dbname": "d", "host": "/run/pg"}),
    ("postgresql://u@a:1,b:2/d", TWO),
    ("postgresql://u@a:1,b:2/d?target_session_attrs=primary", {**TWO, "target_session_attrs": "primary"}),
    ("postgresql://u@a,b/d", {**TWO, "port": ","}),
    ("postgresql://u@/d?host=a,b&port=1,2", TWO),
    ("postgresql+psycopg://u@/d?host=a:1&host=b:2", TWO),
    ("postgresql+psycopg://u@/d?host=a%3A1&host=b%3A2", TWO),
    ("postgresql+psycopg://u@/d?host=a&host=b&port=1&port=2", TWO),
    ("postgresql+psycopg://u@/d?host=a:1&host=b&sslmode=require", {**TWO, "port": "1,", "sslmode": "require"}),
    ("host=a,b port=1,2 user=u dbname=d", TWO),
    ("service=registration", {"service": "registration"}),
    (" postgresql://u@h/d\n", {"user": "u", "dbname": "d", "host": "h"}),
]
WRONG = [
    "",
    "  ",
    "registration-db",
    "mysql://u:hunter2@h/d",
    "http://hunter2",
    "postgresql//u:hunter2@h/d",
    "postgresql://u:hunter2@h:port/d",
    "postgresql://u:hunter2@h:99999/d",
    "postgresql://u:hunter2@a:1,b:2/d?port=1,2,3",
    "postgresql://u:hunter2@a,b,c/d?port=1,2",
    "postgresql://u:hunter2@[::1/d",
    "postgresql://u:hunter2@h/d?hunter2=1",
    "postgresql://u:hunter2@h/d?sslmode=hunter2",
    "postgresql://u:hunter2@a,b/d?target_session_attrs=standby",
    "postgresql://u:hunter2@h/d?connect_timeout=hunter2",
    "postgresql://u:hunter2@h/d?prepare_threshold=0",
    "postgresql+psycopg://u:hunter2@/d?host=a:1&host=b:2&port=3",
    "host=a,b hostaddr=127.0.0.1 password=hunter2",
    "host=h password=hunter2 nonsense",
]


def without_default_ports(parameters: dict[str, str]) -> dict[str, str]:
    """Leave out ports where a string has none: each host then has the default port."""
    return {key: value for key, value in parameters.items() if key != "port" or value.strip(",")}


@pytest.mark.parametrize(("url", "parameters"), FORMS)
def test_every_form_means_the_same_to_all(url: str, parameters: dict[str, str]) -> None:
    """libpq receives these parameters, and SQLAlchemy hands the same to the driver."""
    assert without_default_ports(connection_parameters(url)) == without_default_ports(parameters)
    positional, handed = postgresql.psycopg.dialect().create_connect_args(driver_url(url))  # type: ignore[no-untyped-call]  # SQLAlchemy's
    assert positional == []
    assert without_default_ports({key: str(value) for key, value in handed.items()}) == without_default_ports(
        parameters
    )


@pytest.mark.parametrize("url", WRONG)
def test_a_wrong_one_stops_the_process_in_one_line(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variable's name, with nothing of its value."""
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(SystemExit) as caught:
        load(MigrateSettings)
    message = str(caught.value.code)
    assert "DATABASE_URL: " in message
    assert " must " in message
    assert "\n" not in message
    assert "hunter2" not in message


def test_a_password_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by the settings nor by SQLAlchemy's URL."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2@a,b/d")
    loaded = load(MigrateSettings)
    assert "hunter2" in loaded.database_url
    assert "hunter2" not in repr(loaded) + str(loaded) + repr(driver_url(loaded.database_url))


@pytest.mark.parametrize("url", [url for url, _ in FORMS])
def test_the_database_beside_it_is_on_the_same_server(url: str) -> None:
    """Hosts and login stay."""
    assert connection_parameters(beside(url, "payment")) == {
        **connection_parameters(url),
        "dbname": "payment",
    }


def test_of_a_wrong_one_there_is_nothing_beside() -> None:
    """It is refused here as well."""
    with pytest.raises(WrongConnectionString):
        beside("mysql://h/d", "payment")
