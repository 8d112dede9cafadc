"""Define the error that a command prints as one line."""

from typing import ClassVar


class CommandError(Exception):
    """A command failed; the message says why and what to do."""

    exit_code: ClassVar[int] = 1
