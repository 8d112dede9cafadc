"""The style of a page, and the policy under which a browser applies it and nothing else."""

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Style:
    """CSS, to be written into a page's only <style>."""

    text: str

    @property
    def policy(self) -> str:
        """The Content-Security-Policy of a page with this style: no scripts, nothing loaded, in nobody's frame.

        It leaves form-action out: browsers would hold it against the redirect
        to YaadPay that answers a form.
        """
        digest = base64.b64encode(hashlib.sha256(self.text.encode()).digest()).decode()
        return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'"


def load_style(package: str, name: str) -> Style:
    """Return a stylesheet of ``package``."""
    return Style(files(package).joinpath(name).read_text(encoding="utf-8"))
