"""Load the plugins of all tests."""

pytest_plugins = [
    "tests.plugins.fixture_failures",
    "tests.plugins.limits",
    "tests.plugins.programs",
    "tests.plugins.unit_tests",
]
