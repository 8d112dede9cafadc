"""Remember whether this process is draining."""


class Draining:
    """Begins once and never ends; from then on /readyz answers 503."""

    def __init__(self) -> None:
        self.has_begun = False

    def begin(self) -> None:
        """Start draining."""
        self.has_begun = True
