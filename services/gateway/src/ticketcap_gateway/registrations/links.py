"""Where people find the gateway's pages."""

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Links:
    """``public_url`` is scheme and host, as people reach them."""

    public_url: str

    def pay(self, registration: str, pay_token: str) -> str:
        """Return the address of a registration's payment page; secret, as its token is."""
        return f"{self.public_url}/pay/{registration}?token={quote(pay_token, safe='')}"


def result_page(payment: str) -> str:
    """Return the path of the page that says how a payment stands."""
    return f"/payments/{quote(payment, safe='')}"
