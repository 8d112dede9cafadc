"""Report a shared fixture's failure once; skip the tests after it.

pytest raises the stored exception of a module's or a session's fixture again for each test: one cause would
look like hundreds of errors.
"""

from collections.abc import Generator

import pytest

# The exceptions are held, so that their ids stay theirs.
_first_failures: dict[int, tuple[BaseException, str]] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the second report of one exception into a skip that names the first test."""
    report = yield
    if report.when == "setup" and report.failed and call.excinfo is not None:
        error = call.excinfo.value
        _, first = _first_failures.setdefault(id(error), (error, item.nodeid))
        if first != item.nodeid:
            report.outcome = "skipped"
            report.longrepr = (str(item.path), item.reportinfo()[1] or 0, f"its fixture failed in {first}")
    return report
