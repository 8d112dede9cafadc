"""Check log lines: JSON with their trace, without personal data."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import pytest
import structlog
from ticketcap_observability import Telemetry, configure_logging, current_trace_id, get_logger


@pytest.fixture
def lines() -> Iterator[Any]:
    """Yield a function that returns what was logged, parsed."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("shop", "1.2", "INFO", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def test_a_line_says_what_where_and_in_which_trace(lines: Any) -> None:
    """TicketCap's lines and other libraries' alike."""
    telemetry = Telemetry.in_memory()
    with telemetry.tracer.start_as_current_span("work"):
        get_logger("a.b").info("thing.done", count=3)
        logging.getLogger("lib").warning("careful %s", "now")
        trace_id = current_trace_id()
    ours, theirs = lines()
    assert (ours["event"], ours["count"], ours["level"], ours["logger"]) == ("thing.done", 3, "info", "a.b")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("careful now", "warning", "lib")
    for line in (ours, theirs):
        assert (line["trace_id"], line["service"], line["version"]) == (trace_id, "shop", "1.2")
        assert line["timestamp"].endswith("Z")


def test_an_exception_is_its_type_and_frames(lines: Any) -> None:
    """Its message may quote a person."""
    try:
        raise ValueError("phone 050-1234567")
    except ValueError as error:
        get_logger("a").error("failed", exc_info=error)
        logging.getLogger("lib").exception("failed")
    for line in lines():
        assert line["exception"]["type"] == "ValueError"
        assert any("test_logs.py" in frame for frame in line["exception"]["frames"])
        assert "050-1234567" not in json.dumps(line)


def test_secrets_are_hidden_by_their_key(lines: Any) -> None:
    """The value does not matter."""
    get_logger("a").info("x", phone="050", email="a@b", token="t", authorization="Bearer t", name="דנה", event_id="7")
    [line] = lines()
    assert {line[key] for key in ("phone", "email", "token", "authorization", "name")} == {"[redacted]"}
    assert line["event_id"] == "7"


@pytest.mark.parametrize("key", ["Authorization", "Set-Cookie", "PHONE", "parent_phone", "access-token", "PassP"])
def test_a_key_is_known_in_any_spelling(lines: Any, key: str) -> None:
    """Case, hyphens and words before it do not matter."""
    get_logger("a").info("x", **{key: "050-1234567"})
    logging.getLogger("lib").info("x", extra={key: "050-1234567"})
    for line in lines():
        assert line[key] == "[redacted]"


def test_secrets_are_hidden_inside_of_values_too(lines: Any) -> None:
    """Mappings and lists, deeper than any line nests; harmless values stay."""
    get_logger("a").info("x", request={"headers": [{"authorization": "Bearer t", "accept": "text/csv"}]}, names=["a"])
    deep: dict[str, Any] = {"phone": "050-1234567"}
    for _ in range(20):
        deep = {"inner": deep}
    get_logger("a").info("x", deep=deep)
    shallow, hidden = lines()
    assert shallow["request"] == {"headers": [{"authorization": "[redacted]", "accept": "text/csv"}]}
    assert shallow["names"] == ["a"]
    assert "050-1234567" not in json.dumps(hidden)


def test_an_exception_as_a_value_is_its_type(lines: Any) -> None:
    """As it is everywhere else; other things are their text."""
    get_logger("a").info("x", error=ValueError("phone 050-1234567"), path=PurePosixPath("/tmp"))
    [line] = lines()
    assert (line["error"], line["path"]) == ("ValueError", "/tmp")


def test_what_is_below_the_level_is_not_written(lines: Any) -> None:
    """Debug stays silent at INFO."""
    get_logger("a").debug("x")
    assert lines() == []
