"""List missing Debian packages when the tests start."""

from tests.deploy import debian


def pytest_report_header() -> list[str]:
    """Name the packages; the tests that need them fail."""
    packages = debian.missing_packages()
    if not packages:
        return []
    return [f"missing programs, their tests fail: apt-get install --no-install-recommends {' '.join(packages)}"]
