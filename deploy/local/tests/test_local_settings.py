"""Check which databases replace the embedded one."""

import pytest
from ticketcap_chassis.database.connection_string import connection_parameters
from ticketcap_local.settings import SettingError, StackSettings


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@a:1,b:2/registration?target_session_attrs=read-write",
        "postgresql+psycopg://u:p@/registration?host=a:1&host=b:2",
        "host=a,b port=1,2 user=u password=p dbname=registration",
    ],
)
def test_payments_database_is_beside_registrations(url: str) -> None:
    """On the same servers with the same login, whichever form the string has."""
    read = StackSettings.read({"DATABASE_URL": url})
    assert read.database_url == url
    assert read.payment_database_url is not None
    beside = {**connection_parameters(url), "dbname": "payment"}
    assert connection_parameters(read.payment_database_url) == beside


def test_a_wrong_connection_string_is_named() -> None:
    """Without its value, before anything is started."""
    with pytest.raises(SettingError, match=r"^DATABASE_URL: must begin with postgresql://$"):
        StackSettings.read({"DATABASE_URL": "mysql://u:hunter2@h/d"})
    with pytest.raises(SettingError, match=r"^PAYMENT_DATABASE_URL: must"):
        StackSettings.read({"PAYMENT_DATABASE_URL": "nonsense"})
