"""Set a setting until a transaction ends.

SET takes no parameters, so the value travels as a quoted literal. Unlike ``set_config``, a database that is spread over
machines passes SET LOCAL on to each of them. The statement is never prepared: each value makes another text of it.
"""

from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.sql import SQL, Composed, Identifier, Literal
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection as EngineConnection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

_SENT: Final = "ticketcap_sent"


def set_local(name: str, value: str) -> Composed:
    """Return the statement that sets ``name``; each part of a dotted name is quoted."""
    return SQL("SET LOCAL {} = {}").format(Identifier(*name.split(".")), Literal(value))


async def execute_set_local(connection: AsyncConnection[Any], name: str, value: str) -> None:
    """Set ``name`` over a driver's connection, also in a pipeline."""
    await connection.execute(set_local(name, value), prepare=False)


async def enter_tenant(connection: EngineConnection, name: str, tenant: str) -> None:
    """Set ``name``, which row-level security reads, to ``tenant``."""
    statement = text(f"""-- tenant.enter: Set the tenant that row-level security reads, until the transaction ends.
SET LOCAL {name} = :tenant""")
    await connection.execute(statement, {"tenant": tenant}, execution_options={_SENT: set_local(name, tenant)})


def send_literals(engine: AsyncEngine) -> None:
    """Let ``engine`` send the statements of ``enter_tenant`` with their literals; spans keep the text without them."""

    def execute(_cursor: Any, _statement: str, _values: Any, context: Any) -> bool:
        sent = context.execution_options.get(_SENT)
        if sent is None:
            return False
        driver = context.root_connection.connection.driver_connection
        await_only(driver.execute(sent, prepare=False))
        return True

    event.listen(engine.sync_engine, "do_execute", execute)
