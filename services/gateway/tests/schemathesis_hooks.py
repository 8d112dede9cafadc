"""Hooks of the schemathesis run, which loads this file by its path."""

from typing import Any

import schemathesis


@schemathesis.hook
def map_body(context: object, body: Any) -> Any:
    """Write whole numbers as such: JSON Schema calls 3.0 an integer, the strict reader refuses it on purpose."""
    return {name: _whole(value) for name, value in body.items()} if isinstance(body, dict) else body


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
