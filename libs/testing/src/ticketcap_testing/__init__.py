"""Provide fakes and helpers to the tests of several packages."""
