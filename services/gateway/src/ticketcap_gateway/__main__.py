"""Start the gateway: ``python -m ticketcap_gateway``."""

import sys

from ticketcap_gateway.main import main

if __name__ == "__main__":
    sys.exit(main())
