"""Whether this process is on its way out."""


class Draining:
    """Begins once and never ends. While it lasts, /readyz says no."""

    def __init__(self) -> None:
        self.has_begun = False

    def begin(self) -> None:
        """From now on traffic should go elsewhere."""
        self.has_begun = True
