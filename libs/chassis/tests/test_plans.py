"""Test that a setting chooses how sessions plan their statements."""

import pytest
from sqlalchemy import text
from ticketcap_chassis.database.engine import engine_opener
from ticketcap_chassis.database.settings import DatabaseSettings
from ticketcap_observability import Telemetry

MODES = text("SELECT current_setting('plan_cache_mode'), current_setting('jit')")


@pytest.mark.parametrize(("chosen", "mode"), [({}, "force_generic_plan"), ({"database_generic_plans": False}, "auto")])
async def test_a_session_plans_as_the_setting_says(database: str, chosen: dict[str, bool], mode: str) -> None:
    """Beside the settings that a service's sessions have anyway."""
    settings = DatabaseSettings(database_url=database, **chosen)  # type: ignore[arg-type]  # one field by its name
    opened = engine_opener(settings, Telemetry.in_memory(), {"jit": "off"})
    async with opened(database, role="chassis_app", connections=1) as engine, engine.connect() as connection:
        assert tuple((await connection.execute(MODES)).one()) == (mode, "off")
