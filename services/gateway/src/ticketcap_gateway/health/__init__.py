"""Report whether the gateway is live, ready and healthy."""
